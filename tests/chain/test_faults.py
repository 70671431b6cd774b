"""Faults of the machine: a clear error, nothing lost, and the same bytes after another run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from higherhrnet.cli import program
from tests.support import ascend_host
from tests.support.datasets import ROOT, TINY_CONFIG, TINY_IMAGES, TINY_RESULTS, write_dataset
from tests.support.programs import CPU, Outcome, error, main_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("faults") / "coco", sizes=TINY_IMAGES[:2] * 7)


@pytest.fixture
def chain(data: Path, tiny_onnx: Path, tmp_path: Path) -> list[object]:
    """``run`` on that data set; its current directory is ``tmp_path``."""
    where = ["--cfg", TINY_CONFIG, "--model", tiny_onnx, *CPU, "DATASET.ROOT", data]
    return ["-m", "higherhrnet", "run", "--workers", 1, "--disk_budget", "8MB", *where]


@pytest.fixture
def in_chunks(data: Path, small_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """``chain`` through files, for the stand-in of Ascend's benchmark tool."""
    tool = ascend_host.install(tmp_path, monkeypatch)
    where = ["--cfg", TINY_CONFIG, "--model", small_models / "tiny_bs1_dynamic.om", "DATASET.ROOT", data]
    network = ["--backend", "benchmark", "--benchmark_path", tool]
    return ["-m", "higherhrnet", "run", "--workers", 1, "--disk_budget", "40MB", *network, *where]


def start(arguments: Sequence[object], cwd: Path, before: Sequence[object] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*map(str, before), sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def refused(arguments: Sequence[object], cwd: Path, before: Sequence[object] = ()) -> str:
    """The one line with which a command ends."""
    status, err = end(start(arguments, cwd, before))
    assert status == 1, err
    assert err.splitlines()[-1].startswith("error: "), err
    assert "Traceback" not in err
    return err


def done(arguments: Sequence[object], cwd: Path) -> None:
    """Call an undisturbed program in this process, which need not start one."""
    first, *rest = map(str, arguments)
    name, rest = ("higherhrnet.__main__", rest[1:]) if first == "-m" else (Path(first).stem, rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        assert program.run(main_of(name), rest) == 0


@pytest.fixture(scope="module")
def expected(data: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results of an undisturbed run."""
    work = tmp_path_factory.mktemp("undisturbed")
    where = ["--cfg", TINY_CONFIG, "--model", tiny_onnx, *CPU, "DATASET.ROOT", data]
    done(["-m", "higherhrnet", "run", "--workers", 1, *where], work)
    return (work / TINY_RESULTS).read_bytes()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_namespace(script: str) -> list[str]:
    """A shell with mounts of its own, which end with it; ``script`` runs the command that follows as "$@"."""
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs mount namespaces")
    return [*unshare, "sh", "-c", script, "sh"]


ON_SMALL_DISK = """
mount -t tmpfs -o size={megabytes}m tmpfs small || exit 9
cp -a saved/. small/
cd small
"$@"
status=$?
cp -a . ../saved/
exit $status
"""


def test_a_full_disk(in_chunks: list[object], tmp_path: Path, expected: bytes):
    """A disk smaller than the budget, then a larger one with what the first run left."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "small").mkdir()
    message = refused(in_chunks, tmp_path, in_namespace(ON_SMALL_DISK.format(megabytes=4)))
    assert "No space left on device" in message or "free space" in message
    assert not (tmp_path / "saved" / TINY_RESULTS).exists()
    status, err = end(start(in_chunks, tmp_path, in_namespace(ON_SMALL_DISK.format(megabytes=60))))
    assert status == 0, err
    assert (tmp_path / "saved" / TINY_RESULTS).read_bytes() == expected


def test_permission_lost(in_chunks: list[object], tmp_path: Path, expected: bytes):
    """Root may do everything, so the run is given root without that."""
    as_user = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    if as_user and (not shutil.which("setpriv") or subprocess.run([*as_user, "true"], check=False).returncode):
        pytest.skip("needs setpriv")
    process = start(in_chunks, tmp_path, as_user)
    wait_for((tmp_path / "run_work/chunks").is_dir, process)
    (tmp_path / "run_work/chunks").chmod(0o500)
    status, err = end(process)
    assert status == 1, err
    assert "Permission denied" in err or "permission denied" in err
    assert "Traceback" not in err
    (tmp_path / "run_work/chunks").chmod(0o700)
    done(in_chunks, tmp_path)
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected


def children(pid: int) -> list[int]:
    """The Python processes that a process has started to work for it."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split() if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def test_a_worker_killed_by_the_system(in_chunks: list[object], tmp_path: Path, expected: bytes):
    process = start([*in_chunks, "--workers", 2], tmp_path)
    wait_for(lambda: children(process.pid), process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    status, err = end(process)
    assert status == 1, err
    assert "a worker process was killed, probably out of memory" in err
    done([*in_chunks, "--workers", 2], tmp_path)
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected


def test_an_image_that_vanishes_between_stages(chain: list[object], tmp_path: Path, expected: bytes, data: Path):
    """First from the data set while the run is on, then as an input that only preprocessing had seen."""
    images = sorted((data / "images/val2017").iterdir())
    process = start(chain, tmp_path)
    wait_for((tmp_path / "run_work/people.jsonl").is_file, process)
    images[-1].rename(tmp_path / "away.jpg")
    status, err = end(process)
    shutil.move(tmp_path / "away.jpg", images[-1])
    assert (status == 1 and f"cannot read image {images[-1]}" in err) or status == 0, err
    done(chain, tmp_path)
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected


@pytest.fixture
def staged(data: Path, tmp_path: Path) -> Callable[[str], list[object]]:
    """Commands of the scripts in ``tmp_path``, up to the lists already run."""

    def command(name: str) -> list[object]:
        cfg = ["--cfg", TINY_CONFIG, "DATASET.ROOT", data]
        dump_dirs = ["--dump_dir", "result/dumpOutput_device0_bs1"]
        dump_dirs += ["--dump_dir_flip", "result/dumpOutput_device0_bs1_flip"]
        trees = ["--output", "bins", "--output_flip", "flip"]
        return {
            "preprocess": [ROOT / "HigherHRNet_preprocess.py", *trees, "--workers", 1, *cfg],
            "list": [ROOT / "gen_dataset_info.py", "bin", "bins", "./prep_bin"],
            "list flip": [ROOT / "gen_dataset_info.py", "bin", "flip", "./prep_bin_flip"],
            "infer": [
                ROOT / "HigherHRNet_benchmark.py",
                *CPU,
                "--model",
                "tiny.onnx",
                *cfg,
            ],
            "decode": [ROOT / "HigherHRNet_postprocess.py", *dump_dirs, "--workers", 1, *cfg],
        }[name]

    for name in ("preprocess", "list", "list flip"):
        done(command(name), tmp_path)
    return command


def test_inputs_and_dumps_that_vanish_or_are_cut(
    staged: Callable[[str], list[object]],
    script: Callable[..., Outcome],
    tmp_path: Path,
    expected: bytes,
    tiny_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def refusal(name: str) -> str:
        first, *arguments = staged(name)
        return error(script(Path(str(first)).stem, *arguments))

    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_onnx, tmp_path / "tiny.onnx")
    missing = next((tmp_path / "flip").rglob("000000000009.bin"))
    missing.unlink()
    assert f"cannot read input {missing.relative_to(tmp_path)}" in refusal("infer")
    done(staged("preprocess"), tmp_path)
    done(staged("infer"), tmp_path)
    dump = tmp_path / "result/dumpOutput_device0_bs1/000000000007_2.bin"
    os.truncate(dump, 1000)
    assert "000000000007_2.bin: found 1000 bytes" in refusal("decode")
    done(staged("infer"), tmp_path)
    done(staged("decode"), tmp_path)
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected


def test_a_clock_set_back(staged: Callable[[str], list[object]], tmp_path: Path, expected: bytes, tiny_onnx: Path):
    """Files of tomorrow and of 1980: what is done is known by what it was made from, not by which is newer."""
    shutil.copy(tiny_onnx, tmp_path / "tiny.onnx")
    tomorrow = time.time() + 86400
    for file in tmp_path.rglob("*.bin"):
        os.utime(file, (tomorrow, tomorrow))
    done(staged("infer"), tmp_path)
    for file in (tmp_path / "result").rglob("*"):
        os.utime(file, (3e8, 3e8))
    done(staged("infer"), tmp_path)
    times = {file.stat().st_mtime for file in (tmp_path / "result").rglob("*_1.bin")}
    assert times == {3e8}, "no dump was made again"
    done(staged("decode"), tmp_path)
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected


def test_two_runs_on_one_directory(chain: list[object], tmp_path: Path, expected: bytes, data: Path):
    process = start(chain, tmp_path)
    wait_for((tmp_path / "run_work/people.jsonl").is_file, process)
    process.send_signal(signal.SIGSTOP)
    assert "another run is working in run_work; wait for it, or give another --work" in refused(chain, tmp_path)
    process.send_signal(signal.SIGCONT)
    status, err = end(process)
    assert status == 0, err
    assert (tmp_path / TINY_RESULTS).read_bytes() == expected

    trees = ["--output", "bins", "--output_flip", "flip", "--cfg", TINY_CONFIG, "DATASET.ROOT", data]
    preprocess = [ROOT / "HigherHRNet_preprocess.py", "--workers", 1, *trees]
    process = start(preprocess, tmp_path)
    wait_for(lambda: list(tmp_path.glob("bins/shape_*/*.bin")), process)
    process.send_signal(signal.SIGSTOP)
    assert "another run is working in bins; wait for it, or give another --output" in refused(preprocess, tmp_path)
    process.send_signal(signal.SIGCONT)
    assert end(process)[0] == 0


def test_a_read_only_file_system(chain: list[object], tmp_path: Path):
    place = tmp_path / "place"
    place.mkdir()
    script = f'mount --bind {place} {place} && mount -o remount,bind,ro {place} && cd {place} && "$@"'
    assert "or a read-only file system; give another path with OUTPUT_DIR" in refused(
        chain, tmp_path, in_namespace(script)
    )
    assert list(place.iterdir()) == []
