"""What the programs touch: what they are told to write, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from higherhrnet.artifacts import claim
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import PeopleWork
from tests.support.ascend_host import Host
from tests.support.datasets import ROOT, TINY_CONFIG, write_dataset
from tests.support.programs import CPU, Outcome, error

NAME = "a b 'q\" 数据 $HOME;*"
LINE = f"{NAME}\nline"  # not of the trees of inputs: lists hold their paths, a path a line

Tree = dict[str, tuple[str, bytes]]


def tree(root: Path) -> Tree:
    """Everything below a folder: mode, and content or what a link names."""

    def of(path: Path) -> tuple[str, bytes]:
        mode = stat.filemode(path.lstat().st_mode)
        if path.is_symlink():
            return mode, os.fsencode(path.readlink())
        return mode, path.read_bytes() if path.is_file() else b""

    return {str(path.relative_to(root)): of(path) for path in sorted(root.rglob("*"))}


def changed(before: Tree, after: Tree) -> list[str]:
    """What came, went, or is different."""
    return [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]


@dataclass(frozen=True)
class World:
    """A home, a folder for temporary files, a current folder that cannot be written, and others' files."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "in" / LINE

    @property
    def out(self) -> Path:
        return self.root / "out"

    def run(self, *program: object) -> subprocess.CompletedProcess[str]:
        """Run a program with umask 077 and no right to write the current folder, in a locale of ASCII alone."""
        # Root may write everywhere, unless it is given up.
        without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        usable = (
            os.getuid() == 0
            and shutil.which("setpriv")
            and not subprocess.run([*without, "true"], check=False).returncode
        )
        environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        environment |= {"PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        environment |= {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp")}
        return subprocess.run(
            [*(without if usable else []), sys.executable, *map(str, program)],
            cwd=self.root / "here",
            env=environment,
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "world")
    for folder in ("home", "tmp", "here", "out", "others", "in"):
        (made.root / folder).mkdir(parents=True)
    (made.root / "others/file").write_text("precious")
    write_dataset(made.data)
    shutil.copy(TINY_CONFIG, made.data / "tiny.yaml")
    (made.root / "here").chmod(0o500)
    return made


def test_all_programs_write_what_they_are_told_and_nothing_else(world: World, tiny_weights: Path, tiny_results: bytes):
    """Blanks, quotes, Chinese and, where no list has to hold them, line breaks in the names of all flags."""
    out, cfg = world.out, ["--cfg", world.data / "tiny.yaml"]
    overrides = ["DATASET.ROOT", world.data, "OUTPUT_DIR", out / LINE / "output"]
    model = out / LINE / "tiny_bs1_dynamic.onnx"
    trees, lists, result = (
        (out / NAME / "bins", out / NAME / "flip"),
        (out / "表 1", out / "表 2"),
        out / LINE / "result",
    )
    dump_dirs = [result / "dumpOutput_device0_bs1", result / "dumpOutput_device0_bs1_flip"]
    both = ["--info", lists[0], "--info_flip", lists[1]]
    onnx = [*CPU, "--model", model]
    programs: list[Sequence[object]] = [
        [ROOT / "HigherHRNet_preprocess.py", "--output", trees[0], "--output_flip", trees[1], *cfg, *overrides],
        [ROOT / "gen_dataset_info.py", "bin", trees[0], lists[0]],
        [ROOT / "gen_dataset_info.py", "bin", trees[1], lists[1]],
        [ROOT / "HigherHRNet_pth2onnx.py", "--weights", tiny_weights, "--output", model, *cfg],
        [ROOT / "HigherHRNet_benchmark.py", *both, *onnx, "--result", result, *cfg],
        [
            *(ROOT / "HigherHRNet_postprocess.py", "--dump_dir", dump_dirs[0], "--dump_dir_flip", dump_dirs[1]),
            *("--vis_dir", out / LINE / "drawn", "--vis_score", "0", "--vis_count", "2", "--workers", 1),
            *cfg,
            *overrides,
        ],
        [ROOT / "HigherHRNet_performance.py", "--result", result, "--chart", out / LINE / "chart.png"],
        [
            *("-m", "higherhrnet", "run", "--work", out / NAME / "work", "--overwrite", "--workers", 1, *onnx, *cfg),
            *("DATASET.ROOT", world.data, "OUTPUT_DIR", out / LINE / "from run"),
        ],
    ]
    before, project = tree(world.root), tree_of_project()
    for program in programs:
        done = world.run(*program)
        assert done.returncode == 0, (program, done.stderr)
    after = tree(world.root)
    caches = "home/.cache", "home/.cache/matplotlib", "home/.config", "home/.config/matplotlib"  # a list of fonts
    elsewhere = [name for name in changed(before, after) if not name.startswith("out/") and name not in caches]
    assert [name for name in elsewhere if not name.startswith("home/.cache/matplotlib/fontlist-")] == []
    assert tree_of_project() == project
    made = {name: mode for name, (mode, _) in after.items() if name.startswith("out/")}
    assert {name: mode for name, mode in made.items() if mode[4:] != "------"} == {}, "umask 077"
    assert [name for name in made if name.endswith(".part")] == []
    assert not (out / NAME / "work").exists()
    for folder in ("output", "from run"):
        (results,) = (out / LINE / folder).rglob("*results.json")
        assert results.read_bytes() == tiny_results
    assert len(list((out / LINE / "drawn").iterdir())) == 2


def tree_of_project() -> dict[str, int]:
    """Sizes of the project's own files; what Python and tools cache among them is not."""
    ours = (
        path for top in ROOT.iterdir() if top.name not in (".git", ".venv", "build") for path in [top, *top.rglob("*")]
    )
    caches = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    return {str(path): path.lstat().st_size for path in ours if path.is_file() and not caches & set(path.parts)}


@pytest.mark.parametrize(
    "name", ["../../../../others/file", "{root}/others/file", "a/../../../../../others/file", "..", ""]
)
@pytest.mark.parametrize("program", ["preprocess", "postprocess", "run"])
def test_images_named_outside_their_folder_are_refused(
    world: World, tiny_onnx: Path, name: str, program: str, script: Callable[..., Outcome]
):
    file = world.data / "annotations/person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    content["images"][2]["file_name"] = name.format(root=world.root)
    file.write_text(json.dumps(content))
    before = tree(world.root)
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", world.data, "OUTPUT_DIR", world.out]
    outcome = {
        "preprocess": lambda: script(
            "HigherHRNet_preprocess", "--output", world.out / "a", "--output_flip", world.out / "b", *where
        ),
        "postprocess": lambda: script(
            "HigherHRNet_postprocess", "--dump_dir", world.out, "--dump_dir_flip", world.out, *where
        ),
        "run": lambda: script("higherhrnet.__main__", "run", *CPU, "--model", tiny_onnx, *where),
    }[program]()
    error(outcome)
    assert outcome.err.startswith("error: annotation file ")
    assert "images[2]" in outcome.err
    assert changed(before, tree(world.root)) == []


def test_links_in_folders_that_were_copied_are_replaced_not_followed(
    world: World, tiny_weights: Path, tiny_onnx: Path, script: Callable[..., Outcome]
):
    """Whoever unpacks another's folder must not have their own files written through links in it."""
    out = world.out
    result = out / "result"
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", world.data, "OUTPUT_DIR", out]
    dump_dirs = [
        "--dump_dir",
        result / "dumpOutput_device0_bs1",
        "--dump_dir_flip",
        result / "dumpOutput_device0_bs1_flip",
    ]

    def all_programs() -> None:
        for program in (
            ["HigherHRNet_preprocess", "--output", out / "a", "--output_flip", out / "b", "--workers", 1, *where],
            ["gen_dataset_info", "bin", out / "a", out / "prep"],
            ["gen_dataset_info", "bin", out / "b", out / "prep_flip"],
            [
                "HigherHRNet_pth2onnx",
                "--weights",
                tiny_weights,
                "--output",
                out / "x_bs1_dynamic.onnx",
                "--cfg",
                TINY_CONFIG,
            ],
            [
                *("HigherHRNet_benchmark", "--info", out / "prep", "--info_flip", out / "prep_flip"),
                *(*CPU, "--model", tiny_onnx, "--result", result, "--cfg", TINY_CONFIG),
            ],
            ["HigherHRNet_postprocess", *dump_dirs, "--workers", 1, "--vis_dir", out / "vis", "--vis_score", 0, *where],
        ):
            outcome = script(*program)
            assert outcome.status == 0, outcome

    all_programs()
    made = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".log"]
    content = {path: path.read_bytes() for path in made}
    for number, path in enumerate(made):
        precious = world.root / f"others/{number}"
        # Records are read: they must still say what is there for a run to go on. Figures must still be ours.
        is_read = "record.json" in path.name or "perf_vision" in path.name
        precious.write_bytes(content[path] if is_read else b"precious")
        path.unlink()
        path.symlink_to(precious)
    before = tree(world.root / "others")
    all_programs()
    assert changed(before, tree(world.root / "others")) == []
    for path in made:
        assert not path.is_symlink()
        assert "perf_vision" in path.name or "record.json" in path.name or path.read_bytes() == content[path], path


@pytest.mark.parametrize(
    "content", [{"logs/mine": "a"}, {"chunks/mine": "a"}, {"people.jsonl": "my people\n", "logs/mine": "a"}]
)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_work_folder_of_others_files_is_not_touched(
    world: World, tiny_onnx: Path, script: Callable[..., Outcome], content: dict[str, str], overwrite: list[str]
):
    work = world.root / "others"
    for name, text in content.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    before = tree(work)
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", world.data, "OUTPUT_DIR", world.out]
    run = ["run", "--work", work, *CPU, "--model", tiny_onnx, *overwrite, *where]
    said = error(script("higherhrnet.__main__", *run))
    assert "give a new folder" in said or "is no journal of this program" in said
    assert changed(before, tree(work)) == []
    elsewhere = [world.root / "run_work" if argument == work else argument for argument in run]
    assert script("higherhrnet.__main__", *elsewhere).status == 0
    # Done already, with the folder of others' files: nothing of it goes either.
    assert script("higherhrnet.__main__", *[a for a in run if a != "--overwrite"]).status == 0
    assert changed(before, tree(work)) == []


@pytest.fixture
def run(world: World, tiny_onnx: Path, script: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def call(*more: object) -> Outcome:
        model = [*CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG]
        return script("higherhrnet.__main__", "run", "--workers", 1, *model, *more, "DATASET.ROOT", world.data)

    return call


def test_a_run_that_is_done_leaves_the_journal_of_another_in_its_folder(world: World, run: Callable[..., Outcome]):
    work = ["--work", world.out / "work"]
    assert run(*work, "OUTPUT_DIR", world.out / "a").status == 0
    (world.out / "work").mkdir()
    journal = world.out / "work/people.jsonl"
    made = Record(PeopleWork("another data set", 9, "1/1", {}, {"model": "m"}, {}, 1))
    with Journal(journal, made) as other:
        other.add(3, None)
    (world.out / "work/chunks").mkdir()
    before = tree(world.out)
    assert "is up to date" in run(*work, "OUTPUT_DIR", world.out / "a").out
    assert changed(before, tree(world.out)) == []


def test_a_run_killed_before_its_last_step_is_cleared_by_the_next(world: World, run: Callable[..., Outcome]):
    where = ["--work", world.out / "work", "OUTPUT_DIR", world.out / "a"]
    assert run(*where).status == 0
    before = tree(world.out)
    (results,) = (world.out / "a").rglob("*_results.json")
    made = claim.read(results, PeopleWork)
    assert made is not None
    (world.out / "work/chunks/000001").mkdir(parents=True)
    (world.out / "work/.made_by_run").touch()
    Journal(world.out / "work/people.jsonl", Record(made.work)).__exit__()
    assert "is up to date" in run(*where).out
    assert changed(before, tree(world.out)) == []


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_folders_that_are_links_are_refused(world: World, script: Callable[..., Outcome], overwrite: list[str]):
    (world.out / "a").mkdir()
    (world.root / "others/000000000000.bin").write_text("precious")
    (world.out / "a/shape_128x192").symlink_to(world.root / "others")
    before = tree(world.root / "others")
    trees = ["--output", world.out / "a", "--output_flip", world.out / "b", "--workers", 1, *overwrite]
    outcome = script("HigherHRNet_preprocess", *trees, "--cfg", TINY_CONFIG, "DATASET.ROOT", world.data)
    error(outcome)
    assert changed(before, tree(world.root / "others")) == []


def test_a_dry_run_on_a_device_leaves_nothing(host: Host, small_inputs: Path):
    """The vendor's tool leaves logs, but not where the run will work."""
    where = ["--cfg", TINY_CONFIG, "DATASET.INPUT_SIZE", 128]
    where += ["DATASET.ROOT", small_inputs / "data/coco", "OUTPUT_DIR", "output"]
    before = tree(host.directory)
    outcome = host.script("higherhrnet.__main__", "run", "--dry_run", *where)
    assert outcome.status == 0, outcome
    assert host.calls("benchmark")
    assert changed(before, tree(host.directory)) == [host.calls_file.name]
    outcome = host.script("higherhrnet.__main__", "run", *where)
    assert outcome.status == 0, outcome
