"""The benchmark tool as a backend, against its stand-in."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from higherhrnet.artifacts import claim, dumps, perf
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.backends.ascend import cann_benchmark
from tests.support.ascend_host import SHAPES, SIZE, STAND_INS, Host, dump_bytes
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.programs import FLIP, PLAIN, error

pytestmark = pytest.mark.slow

WIDE = "128x192"  # three images


def test_the_guide_s_command_converts_and_runs_everything(bare_host: Host, expected: Path):
    bare_host.install_benchmark().chmod(0o644)  # as it arrives
    outcome = bare_host.benchmark("--bs", 1)
    assert outcome.status == 0, outcome.err
    assert "backend benchmark (npu-smi is here, and benchmark." in outcome.out
    atc = bare_host.calls("atc")
    assert atc == [
        [
            "atc",
            "--framework=5",
            "--model=models/tiny_bs1_dynamic.onnx",
            "--output=models/tiny_bs1_dynamic",
            "--input_format=NCHW",
            "--input_shape=input:1,3,-1,-1",
            "--dynamic_image_size=256,128;192,128;128,128;128,192;128,256",
            "--out_nodes=Conv_1818:0;Conv_1851:0",
            "--soc_version=Ascend310P3",
        ]
    ]
    runs = bare_host.calls("benchmark.")
    assert len(runs) == 2 * len(SHAPES)  # one per shape and pass
    om = bare_host.directory / "models/tiny_bs1_dynamic.om"
    assert runs[0][1:] == [
        "-model_type=vision",
        "-device_id=0",
        "-batch_size=1",
        f"-om_path={om}",
        "-input_width=128",
        "-input_height=128",
        "-input_text_path=inputs.info",
        "-output_binary=True",
        "-useDvpp=False",
    ]
    bare_host.same_as(expected)
    assert len(dump_bytes(bare_host.result / PLAIN)) == len(dump_bytes(expected / PLAIN))
    figures = perf.find(bare_host.result)
    assert [f"{f.shape[0]}x{f.shape[1]}" for f in figures] == SHAPES
    assert {path.name for path in bare_host.result.iterdir()} == {
        PLAIN,
        FLIP,
        "logs",
        "figures.record.json",
        *(f"perf_vision_batchsize_1_device_0_{shape}.txt" for shape in SHAPES),
    }
    assert not (bare_host.result / PLAIN / ".work").exists()

    bare_host.forget_calls()  # again: nothing is left to do
    outcome = bare_host.benchmark("--bs", 1)
    assert outcome.status == 0
    assert "16 of 16 dumps were there" in outcome.out
    assert bare_host.calls() == []


def test_what_lies_in_result_neither_leaks_in_nor_is_touched(host: Host, expected: Path):
    host.only(WIDE)
    theirs = [
        host.result / "dumpOutput_device0/000000000000_1.bin",
        host.result / "perf_vision_batchsize_1_device_0.txt",
        host.result / PLAIN / "notes.txt",
    ]
    for file in theirs:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("theirs")
    assert host.benchmark().status == 0
    host.same_as(expected)
    assert [file.read_text() for file in theirs] == ["theirs"] * 3


def test_paths_with_blanks_and_chinese_characters(host: Host, expected: Path, tmp_path: Path):
    """The tool splits its lists at blanks; ours hold none, wherever inputs, model, tool and results lie."""
    host.only(WIDE)
    folder = tmp_path / "数据 和 more"
    folder.mkdir()
    first = Path((host.directory / f"prep_bin_{WIDE}.info").read_text().split()[1])
    for name, tree in (("prep_bin", "bins"), ("prep_bin_flip", "bins_flip")):
        source = first.parents[2] / tree
        shutil.copytree(source, folder / tree)
        lines = (host.directory / f"{name}_{WIDE}.info").read_text().replace(str(source), str(folder / tree))
        (folder / f"{name}_{WIDE}.info").write_text(lines)
        (host.directory / f"{name}_{WIDE}.info").unlink()
    shutil.move(host.directory / cann_benchmark.file_name(), folder)
    shutil.move(host.directory / "models/tiny_bs1_dynamic.om", folder)
    outcome = host.benchmark(
        *("--model", folder / "tiny_bs1_dynamic.om", "--benchmark_path", folder, "--result", folder / "结 果"),
        *("--info", folder / "prep_bin", "--info_flip", folder / "prep_bin_flip"),
    )
    assert outcome.status == 0, outcome.err
    shutil.move(folder / "结 果", host.result)
    host.same_as(expected)


def test_batches_with_a_partial_last_one(bare_host: Host, expected: Path):
    bare_host.install_benchmark()
    bare_host.only(WIDE)
    models = bare_host.directory / "models"
    model = onnx.load(str(models / "tiny_bs1_dynamic.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # as --bs -1 exports it
    (models / "tiny_bs1_dynamic.onnx").unlink()
    onnx.save(model, str(models / "tiny_bs-1_dynamic.onnx"))
    outcome = bare_host.benchmark("--bs", 2, "--soc_version", "Ascend310")
    assert outcome.status == 0, outcome.err
    assert (models / "tiny_bs2_dynamic.om").exists()  # another batch size does not replace it
    assert "--input_shape=input:2,3,-1,-1" in bare_host.calls("atc")[0]
    assert bare_host.calls("npu-smi") == []
    for name in (PLAIN, FLIP):
        made = dump_bytes(bare_host.result / name.replace("bs1", "bs2"))
        assert len(made) == 6
        for file, content in made.items():
            assert len(content) == (expected / name / file).stat().st_size


def test_printed_commands_run_nothing_and_do_the_same_by_hand(host: Host, expected: Path):
    host.only(WIDE)
    outcome = host.benchmark("--print_commands")
    assert outcome.status == 0, outcome.err
    assert host.calls() == []
    assert not list((host.result / PLAIN).glob("*.bin"))
    lines = [line for line in outcome.out.splitlines() if not line.startswith("#")]
    assert len(lines) == 2
    for line in lines:
        assert subprocess.run(["bash", "-c", line], check=False).returncode == 0
    by_hand = host.calls()
    host.forget_calls()
    again = host.benchmark("--print_commands")  # takes over what the lines left
    assert [line for line in again.out.splitlines() if not line.startswith("#")] == []
    outcome = host.benchmark()
    assert outcome.status == 0, outcome.err
    assert host.calls() == []
    host.same_as(expected)
    assert len(perf.find(host.result)) == 1
    assert host.benchmark("--overwrite").status == 0
    assert host.calls() == by_hand  # what is printed is what is run


def test_printed_commands_hold_the_conversion_too(bare_host: Host):
    bare_host.install_benchmark()
    bare_host.only(WIDE)
    outcome = bare_host.benchmark("--print_commands", "--backend", "benchmark", "--auto_tune")
    assert outcome.status == 0, outcome.err
    commands = [shlex.split(line, comments=True) for line in outcome.out.splitlines()]
    programs = [command[0] for command in commands if command]
    assert programs == ["npu-smi", "atc", "atc", "aoe", "aoe", "atc", "(cd", "(cd"]
    assert any("--auto_tune_mode=RL,GA" in command for command in commands)
    assert bare_host.calls() == []
    assert not list(bare_host.directory.glob("models/*.om*"))


def test_a_changed_model_or_input_starts_afresh_and_says_so(host: Host, small_inputs: Path, expected: Path):
    host.only(WIDE)
    assert host.benchmark().status == 0
    stale = host.result / PLAIN / "000000000099_1.bin"

    om = host.directory / "models/tiny_bs1_dynamic.om"
    claim.record_of(om).unlink()  # converted by hand
    with om.open("ab") as file:
        file.write(b"\0")  # zip readers do not mind
    stale.write_bytes(b"of the other model")
    outcome = host.benchmark()
    assert f"result/{PLAIN}: dumps of other work were removed first: another model (" in outcome.out
    assert not stale.exists()

    entry = Path((host.directory / f"prep_bin_{WIDE}.info").read_text().split()[1])
    before = entry.stat()
    try:
        os.utime(entry, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        outcome = host.benchmark()
    finally:
        os.utime(entry, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (
        f"result/{PLAIN}: dumps of other work were removed first: another state of the files it is made from ("
        in outcome.out
    )
    assert f"{FLIP}: dumps" not in outcome.out
    host.same_as(expected)

    onnx = host.directory / "models/tiny_bs1_dynamic.onnx"
    os.utime(onnx, (onnx.stat().st_atime, om.stat().st_mtime + 10))
    host.forget_calls()
    outcome = host.benchmark("--soc_version", "310P3")
    assert "is older than models/tiny_bs1_dynamic.onnx" in outcome.out
    assert len(host.calls("atc")) == 1


def test_what_was_removed_is_said_by_a_run_that_fails_too(host: Host, monkeypatch: pytest.MonkeyPatch):
    host.only(WIDE)
    assert host.benchmark().status == 0
    monkeypatch.setenv("STAND_IN_FAULT", "crash:0")
    outcome = host.benchmark("--overwrite")
    error(outcome)
    assert f"result/{PLAIN}: dumps were removed first: --overwrite\n" in outcome.out


def test_overwrite_makes_all_again(host: Host):
    host.only(WIDE)
    assert host.benchmark().status == 0
    host.forget_calls()
    assert host.benchmark("--overwrite").status == 0
    assert len(host.calls("benchmark")) == 2


def test_a_missing_or_foreign_tool_is_explained(host: Host):
    tool = host.directory / cann_benchmark.file_name()
    tool.rename(host.directory / "benchmark.riscv")
    outcome = host.benchmark("--backend", "benchmark")
    assert "found benchmark.riscv, which is for another machine" in error(outcome)
    (host.directory / "other").mkdir()
    outcome = host.benchmark("--backend", "benchmark", "--benchmark_path", "other/b")
    assert "benchmark tool other/b is not there" in outcome.err
    assert not host.result.exists() or not list(host.result.glob("dump*/*.bin"))


@pytest.mark.parametrize("content", ["", "#!/none\n"])
def test_a_tool_that_does_not_start_is_explained(host: Host, content: str):
    host.only(WIDE)
    (host.directory / cann_benchmark.file_name()).write_text(content)
    outcome = host.benchmark()
    assert f"cannot start {host.directory / cann_benchmark.file_name()}: " in error(outcome)


def test_dumps_of_exact_size_are_taken_too(host: Host, expected: Path):
    """Not every build need dump the largest gear's buffer."""
    host.only(WIDE)
    tool = host.directory / cann_benchmark.file_name()
    tool.write_text((STAND_INS / "benchmark").read_text().replace("content += garbage[: whole - len(content)]", "pass"))
    outcome = host.benchmark()
    assert outcome.status == 0, outcome.err
    host.same_as(expected)
    assert dumps.find(host.result / PLAIN)[1] == dumps.BENCHMARK
    made = claim.read(host.result / PLAIN, DumpsWork)
    assert made is not None
    assert made.complete


def test_a_perf_file_that_is_missing_fails_once(host: Host, expected: Path):
    host.only(WIDE)
    tool = host.directory / cann_benchmark.file_name()
    tool.write_text((STAND_INS / "benchmark").read_text().replace('Path("result", f"perf', 'Path("result", f"lost'))
    outcome = host.benchmark()
    assert "made all 3 images, which are kept, but no performance figure" in outcome.err
    assert host.benchmark().status == 0
    host.same_as(expected)


def test_inputs_and_model_must_fit(host: Host):
    assert "inputs in ./prep_bin_HxW.info are float32" in host.benchmark("--backend", "benchmark", "--aipp").err
    larger = ("--cfg", TINY_CONFIG, "DATASET.INPUT_SIZE", 512)
    outcome = host.script("HigherHRNet_benchmark", "--backend", "benchmark", *larger)
    assert "shape 128x128 is none of the 17 of DATASET.INPUT_SIZE 512" in outcome.err
    outcome = host.benchmark("--backend", "benchmark", "--bs", 2, "--model", "models/tiny_bs1_dynamic.onnx")
    assert "takes batches of 1, not 2" in outcome.err
    assert "takes AIPP with" not in outcome.err
    outcome = host.benchmark("--backend", "onnxruntime", "--model", "models/tiny_bs1_dynamic.om")
    assert "does not run models/tiny_bs1_dynamic.om" in outcome.err
    outcome = host.benchmark("--backend", "onnxruntime", "--device_ids", "0,1")
    assert "--device_ids names 2 devices, onnxruntime runs on one" in outcome.err


def test_an_ascend_host_needs_neither_torch_nor_onnx_nor_onnxruntime(bare_host: Host, expected: Path):
    bare_host.install_benchmark()
    bare_host.only("128x128")
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'pycocotools', 'matplotlib'): sys.modules[name] = None\n"
        "from higherhrnet.cli import benchmark, program\n"
        "sys.exit(program.run(benchmark.main))\n"
    )
    # The stand-ins are programs of their own and find onnxruntime.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    command = [sys.executable, "-c", code, "--bs", "1", "--cfg", str(TINY_CONFIG), *SIZE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "backend benchmark" in done.stdout
    bare_host.same_as(expected)


def test_commands_can_be_printed_without_the_tools(bare_host: Host):
    bare_host.only("128x128")
    outcome = bare_host.benchmark("--print_commands", "--backend", "benchmark", "--soc_version", "310P3")
    assert outcome.status == 0, outcome.err
    assert f"{bare_host.directory}/{cann_benchmark.file_name()} -model_type=vision" in outcome.out
    outcome = bare_host.benchmark("--print_commands", "--backend", "ais_bench", "--soc_version", "310P3")
    assert f"-m ais_bench --model {bare_host.directory}/models/tiny_bs1_dynamic.om --input in" in outcome.out
    assert bare_host.calls() == []


@pytest.mark.parametrize("mode", [0o644, 0o744])
def test_an_execute_bit_that_cannot_be_set_is_explained(
    host: Host,
    mode: int,
    monkeypatch: pytest.MonkeyPatch,
):
    """Another user's tool may have the bit for that user alone."""
    (host.directory / cann_benchmark.file_name()).chmod(mode)
    monkeypatch.setattr(cann_benchmark.os, "access", lambda *_: False)

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    outcome = host.benchmark()
    assert f"cannot be made so (Operation not permitted); run: chmod u+x {cann_benchmark.file_name()}" in error(outcome)
