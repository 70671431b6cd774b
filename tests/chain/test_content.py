"""What a result rests on is known by content: pictures, models with their external data, precision, algorithms."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from higherhrnet import decode
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.artifacts.journal import Journal
from higherhrnet.backends.ascend import convert
from higherhrnet.image import geometry, reader, transform
from higherhrnet.pipeline.steps import Steps
from tests.support.ascend_host import search_path
from tests.support.datasets import ROOT, TINY_CONFIG, TINY_RESULTS, write_dataset
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, error, through_files

Script = Callable[..., Outcome]
SIZES = ((640, 480), (500, 500), (320, 240), (480, 640))
RESULTS = Path(TINY_RESULTS)
PICTURES = Path("images/val2017")
PICTURES_HERE = "coco" / PICTURES
LEAST = ("--disk_budget", "3MB")  # one picture at a time


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two data sets of the same names, sizes in pixels and sizes in bytes; not to be changed."""
    roots = {name: tmp_path_factory.mktemp(name) / "coco" for name in ("a", "b")}
    for seed, root in enumerate(roots.values()):
        write_dataset(root, SIZES, seed)
    for one in sorted((roots["a"] / PICTURES).iterdir()):
        other = roots["b"] / PICTURES / one.name
        contents = one.read_bytes(), other.read_bytes()
        length = max(map(len, contents))
        for file, content in zip((one, other), contents, strict=True):
            file.write_bytes(content.ljust(length, b"\0"))  # decoders stop at a JPEG's end marker
    return roots


class Chain:
    """The programs in the current directory; ``coco`` there is a copy of data set a, to be changed."""

    def __init__(self, script: Script, model: Path) -> None:
        self.script, self.model = script, model

    def done(self, name: str, *arguments: object) -> str:
        """Call a program that must succeed; return what it said."""
        outcome = self.script(name, *arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def network(self) -> tuple[object, ...]:
        return (*CPU, "--model", self.model, "--cfg", TINY_CONFIG)

    def preprocess(self, *more: object, data: Path = Path("coco")) -> str:
        trees = ("--output", "bins", "--output_flip", "flip", "--workers", 1)
        return self.done("HigherHRNet_preprocess", *trees, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)

    def lists(self) -> None:
        for tree in ("bins", "flip"):
            self.done("gen_dataset_info", "bin", tree, tree)

    def benchmark(self, *more: object) -> str:
        return self.done("HigherHRNet_benchmark", "--info", "bins", "--info_flip", "flip", *self.network(), *more)

    def postprocess(self, *more: object, data: Path = Path("coco")) -> str:
        dumps = ("--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}", "--workers", 1)
        return self.done("HigherHRNet_postprocess", *dumps, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)

    def scripts(self, data: Path = Path("coco")) -> tuple[str, str, str]:
        """All of them; what preprocessing, the benchmark and postprocessing said."""
        preprocess = self.preprocess(data=data)
        self.lists()
        return preprocess, self.benchmark(), self.postprocess(data=data)

    def run(self, *more: object, data: Path = Path("coco")) -> Outcome:
        return self.script(
            "higherhrnet.__main__", "run", "--workers", 1, *self.network(), "DATASET.ROOT", data, *LEAST, *more
        )


@pytest.fixture
def chain(
    script: Script, tiny_onnx: Path, pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Chain:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pictures["a"], "coco")
    return Chain(script, tiny_onnx)


@pytest.fixture
def afresh(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """The results of a run in an empty folder."""

    def results(data: Path, *more: object, model: Path | None = None) -> bytes:
        folder = tmp_path / "afresh"
        folder.mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            assert Chain(chain.script, (model or chain.model).absolute()).run(*more, data=data).status == 0
            found = RESULTS.read_bytes()
        shutil.rmtree(folder)
        return found

    return results


def change(data: Path, other: Path, count: int, how: str) -> None:
    """Give a data set's first pictures another's content; sizes stay, and times are restored."""
    for file in sorted((data / PICTURES).iterdir())[:count]:
        status = file.stat()
        content = (other / PICTURES / file.name).read_bytes()
        if how == "replaced":
            file.unlink()
            file.with_suffix(".new").write_bytes(content)
            file.with_suffix(".new").rename(file)
        else:
            file.write_bytes(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        now = file.stat()
        assert (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


# Pictures


@pytest.mark.parametrize(("count", "how"), [(1, "written"), (4, "replaced")])
def test_pictures_changed_in_place_are_done_again_by_the_scripts(
    chain: Chain, afresh: Callable[..., bytes], pictures: dict[str, Path], count: int, how: str
):
    chain.scripts()
    before = RESULTS.read_bytes()
    times = {file: file.stat().st_mtime_ns for file in Path("bins").rglob("*.bin")}
    change(Path("coco"), pictures["b"], count, how)
    preprocess, benchmark, postprocess = chain.scripts()
    assert f"{count} pictures have changed since their inputs were made; these were made again" in preprocess
    assert sum(file.stat().st_mtime_ns == time for file, time in times.items()) == 4 - count
    assert re.search(
        r"result/\S+: dumps of other work were removed first: other pictures \(\w{8}, not \w{8}\)", benchmark
    )
    assert re.search(r"people of other work were replaced: other pictures \(\w{8}, not \w{8}\)", postprocess)
    assert RESULTS.read_bytes() != before
    assert RESULTS.read_bytes() == afresh(Path("coco").absolute())


@pytest.mark.parametrize(("count", "how"), [(1, "replaced"), (4, "written")])
def test_pictures_changed_in_place_are_done_again_by_a_run(
    chain: Chain, afresh: Callable[..., bytes], pictures: dict[str, Path], count: int, how: str
):
    assert chain.run().status == 0
    before = RESULTS.read_bytes()
    change(Path("coco"), pictures["b"], count, how)
    outcome = chain.run()
    assert re.search(r"holds people of other work \(other pictures \(\w{8}, not \w{8}\)\); it is replaced", outcome.out)
    assert RESULTS.read_bytes() != before
    assert RESULTS.read_bytes() == afresh(Path("coco").absolute())
    assert "is up to date" in chain.run().out


def stopped(chain: Chain, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """A run that is stopped when so many pictures are done."""
    real, calls = Journal.add, itertools.count()

    def stopping(self, *arguments):
        if next(calls) == done:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", stopping)
        assert chain.run().status == 130


def stopped_in_chunks(chain: Chain, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """The same through files, from here on; the dumps of the next picture are there."""
    through_files(monkeypatch)
    real, seen = Steps.decode, []

    def stopping(self, chunk, folder, left_out):
        seen.append(chunk)
        if len(seen) > done:
            raise KeyboardInterrupt
        return real(self, chunk, folder, left_out)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "decode", stopping)
        assert chain.run().status == 130
    assert list(Path("run_work/chunks").rglob("*_1.bin")), "dumps of a chunk that was not decoded"


@pytest.mark.parametrize("stop", [stopped, stopped_in_chunks])
@pytest.mark.parametrize("where", ["in place", "another root"])
def test_a_stopped_run_goes_on_with_other_pictures_without_mixing_any(
    chain: Chain,
    pictures: dict[str, Path],
    afresh: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    stop: Callable[..., None],
):
    stop(chain, monkeypatch, 2)
    data = Path("coco")
    if where == "in place":
        change(data, pictures["b"], 4, "replaced")
    else:
        data = pictures["b"]
    outcome = chain.run(data=data)
    assert outcome.status == 0, outcome.err
    assert "2 pictures have changed since; their people are found again" in outcome.out
    assert RESULTS.read_bytes() == afresh(pictures["b"])


@pytest.mark.parametrize("stop", [stopped, stopped_in_chunks])
def test_a_stopped_run_goes_on_with_a_copy_of_the_data_set(
    chain: Chain,
    pictures: dict[str, Path],
    afresh: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    stop: Callable[..., None],
):
    stop(chain, monkeypatch, 2)
    outcome = chain.run(data=pictures["a"])
    assert "resuming: 2 of 4 images are done" in outcome.out
    assert RESULTS.read_bytes() == afresh(pictures["a"])


def test_inputs_of_other_pictures_with_equal_names_sizes_and_times(
    chain: Chain, pictures: dict[str, Path], afresh: Callable[..., bytes]
):
    """As layers of container images and archives keep them: nothing but the content differs."""
    chain.scripts()
    times = {file: file.stat().st_mtime_ns for folder in ("bins", "flip") for file in Path(folder).rglob("*.bin")}
    dumps = {file: file.stat().st_mtime_ns for file in Path("result").rglob("*.bin")}
    for tree in ("bins", "flip"):
        shutil.rmtree(tree)
    chain.preprocess(data=pictures["b"])
    for file, time in times.items():
        os.utime(file, ns=(time, time))
    assert "dumps of other work were removed first: other pictures" in chain.benchmark()
    for file, time in dumps.items():
        os.utime(file, ns=(time, time))
    assert "people of other work were replaced: other pictures" in chain.postprocess(data=pictures["b"])
    assert RESULTS.read_bytes() == afresh(pictures["b"])


def test_an_unchanged_picture_is_read_once_wherever_it_lies(
    chain: Chain, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    chain.scripts()
    read: list[str] = []
    real = reader.read

    def noting(path: object) -> bytes:
        read.append(str(path))
        return real(str(path))

    monkeypatch.setattr(reader, "read", noting)
    assert "4 were there" in chain.preprocess()
    assert read == []
    assert "4 were there" in chain.preprocess(data=pictures["a"]), "a copy: read, and known from then on"
    assert len(read) == 4
    assert "4 were there" in chain.preprocess(data=pictures["a"])
    assert "is up to date" in chain.run(data=pictures["a"]).out
    assert len(read) == 8, "the results have a table of their own"
    assert "is up to date" in chain.run(data=pictures["a"]).out
    assert len(read) == 8


def test_a_bad_picture_that_was_mended_is_no_longer_left_out(chain: Chain, afresh: Callable[..., bytes]):
    image = sorted(Path("coco", PICTURES).iterdir())[1]
    content = image.read_bytes()
    image.write_bytes(content[:100])
    outcome = chain.run("--skip_bad")
    assert "1 bad images were left out" in outcome.out
    assert "is up to date" in chain.run("--skip_bad").out
    image.write_bytes(content)
    assert "holds people of other work (other images left out ([1], not []))" in chain.run().out
    assert RESULTS.read_bytes() == afresh(Path("coco").absolute())


# Whoever does it


def fail(*_: object, **__: object) -> None:
    raise AssertionError("computed again")


def test_a_run_after_the_scripts_finds_its_work_done(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    chain.scripts()
    before = RESULTS.stat().st_mtime_ns
    monkeypatch.setattr(Journal, "add", fail)
    assert "is up to date" in chain.run().out
    assert RESULTS.stat().st_mtime_ns == before


def test_the_scripts_after_a_run_find_its_people(chain: Chain):
    assert chain.run().status == 0
    before = RESULTS.stat().st_mtime_ns
    assert "4 of these images had been decoded before" in chain.scripts()[2]
    assert RESULTS.stat().st_mtime_ns == before


def test_a_run_s_shard_and_the_scripts_one_are_one_whole(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    """The second shard is taken from inputs of all images."""
    assert chain.run("--shard", "1/2").status == 0
    chain.preprocess()
    chain.lists()
    chain.benchmark("--shard", "2/2")
    chain.postprocess()
    assert "is up to date" in chain.run("--shard", "2/2").out, "the scripts' shard is the run's"
    chain.done("higherhrnet.__main__", "merge", "--cfg", TINY_CONFIG, "DATASET.ROOT", "coco")
    merged = RESULTS.read_bytes()
    assert "is up to date" in chain.run().out
    assert chain.run("--overwrite").status == 0
    assert RESULTS.read_bytes() == merged


def test_shards_of_two_data_sets_of_equal_names_are_not_merged(chain: Chain, pictures: dict[str, Path]):
    """Each knows its own pictures alone; those that are here tell whose they are."""
    assert chain.run("--no_eval", "--shard", "1/2").status == 0
    assert chain.run("--no_eval", "--shard", "2/2", data=pictures["b"]).status == 0
    merge = ("higherhrnet.__main__", "merge", "--cfg", TINY_CONFIG, "DATASET.ROOT", "coco")
    assert "_2of2.json is of other pictures than those in coco/images/val2017 now (" in error(chain.script(*merge))
    assert not RESULTS.exists()
    PICTURES_HERE.rename("elsewhere")
    said = chain.done(*merge)
    assert said.count("note: ") == 1
    assert "_1of2.json is of the pictures in coco/images/val2017 cannot be told: cannot read image" in said


def test_results_of_some_shapes_do_not_pass_for_all(chain: Chain, afresh: Callable[..., bytes]):
    """Lists were removed, for the performance of one shape alone."""
    chain.preprocess()
    chain.lists()
    for file in Path().glob("*_[0-9]*x[0-9]*.info"):
        if "128x192" not in file.name:
            file.unlink()
    chain.benchmark()
    assert "=> the figures are over the 2 of 4 images that have dumps" in chain.postprocess()
    outcome = chain.run()
    assert "holds people of other work (other pictures (" in outcome.out
    assert RESULTS.read_bytes() == afresh(Path("coco").absolute())


# Models, precision and algorithms


_EXTERNAL = 256  # bytes, from which a tensor is kept apart: smaller ones decide shapes


def with_external_data(model: Path, to: Path, name: str, factor: float = 1) -> Path:
    """Keep a model's weights, times ``factor``, in a file of their own beside it."""
    loaded = onnx.load(model)
    for tensor in loaded.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.nbytes >= _EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array((values * factor).astype(np.float32), tensor.name))
    (to.parent / name).parent.mkdir(parents=True, exist_ok=True)
    (to.parent / name).unlink(missing_ok=True)  # onnx appends
    onnx.save_model(loaded, to, save_as_external_data=True, location=name, size_threshold=_EXTERNAL)
    return to


@pytest.mark.parametrize("name", ["tiny_bs1_dynamic.onnx.data", "weights of all/w"])
def test_external_data_that_is_replaced_alone_makes_another_model(
    chain: Chain, afresh: Callable[..., bytes], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    onnx_file = chain.model
    chain.model = with_external_data(onnx_file, Path("models/tiny_bs1_dynamic.onnx"), name)
    data = chain.model.parent / name
    graph, size, times = chain.model.read_bytes(), data.stat().st_size, chain.model.stat()
    chain.scripts()
    before = RESULTS.read_bytes()
    monkeypatch.setenv("PATH", search_path())
    request = convert.Request(chain.model, 1, tuple(geometry.shape_grid(128)), Heads(17, 17), soc_version="310P3")
    convert.run(request, why="a test")
    assert convert.find(request).why == ""

    other = with_external_data(onnx_file, tmp_path / "other/tiny_bs1_dynamic.onnx", name, factor=1.5)
    shutil.copy(other.parent / name, data)
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (chain.model.read_bytes(), data.stat().st_size) == (graph, size), "the file of weights alone is another"
    assert re.search(r"is of another \.onnx \(\w{8}, not \w{8}\)", convert.find(request).why)
    assert re.search(r"holds people of other work \(another model \(\w{8}, not \w{8}\)\)", chain.run().out)
    from_run = RESULTS.read_bytes()
    preprocess, benchmark, _ = chain.scripts()
    assert "4 were there" in preprocess
    assert re.search(r"dumps of other work were removed first: another model \(\w{8}, not \w{8}\)", benchmark)
    assert from_run != before
    assert from_run == RESULTS.read_bytes() == afresh(Path("coco").absolute(), model=other)

    data.unlink()
    message = error(chain.run())
    assert str(data) in message or data.name in message


def test_float32_and_float16_are_never_mixed(
    chain: Chain, afresh: Callable[..., bytes], tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    half = ("--dtype", "float16")
    stopped(chain, monkeypatch, 2)
    message = error(chain.run(*half))
    assert (
        "people of other work: another dtype of inputs (float32, not float16), another dtype (float32, not" in message
    )
    torch = ("--backend", "torch", "--model", tiny_weights)
    message = error(chain.run(*torch))
    assert "another backend (onnxruntime, not torch" in message
    assert "another model (" in message
    assert chain.run().status == 0
    whole = RESULTS.read_bytes()
    outcome = chain.run(*half)
    assert "holds people of other work (another dtype of inputs (float32, not float16), another dtype" in outcome.out
    assert RESULTS.read_bytes() == afresh(Path("coco").absolute(), *half) != whole


def grown(module: object, monkeypatch: pytest.MonkeyPatch) -> str:
    now = module.VERSION  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "VERSION", now + 1)
    return f"({now}, not {now + 1})"


def test_a_grown_version_of_preprocessing_is_other_work(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    chain.scripts()
    with monkeypatch.context() as patch:
        versions = grown(transform, patch)
        trees = ("--output", "bins", "--output_flip", "flip", "--cfg", TINY_CONFIG, "DATASET.ROOT", "coco")
        outcome = chain.script("HigherHRNet_preprocess", *trees)
        assert f"inputs of other work: another version of the algorithm {versions}" in error(outcome)
        chain.preprocess("--overwrite")
        assert f"removed first: another version of preprocessing {versions}" in chain.benchmark()
        assert f"were replaced: another version of preprocessing {versions}" in chain.postprocess()


def test_a_grown_version_of_the_decode_is_other_people_of_the_same_dumps(chain: Chain, monkeypatch: pytest.MonkeyPatch):
    chain.scripts()
    with monkeypatch.context() as patch:
        versions = grown(decode, patch)
        preprocess, benchmark, postprocess = chain.scripts()
        assert "4 were there" in preprocess
        assert "8 of 8 dumps were there" in benchmark
        assert f"people of other work were replaced: another version of the algorithm {versions}" in postprocess
    assert f"holds people of other work (another version of the algorithm {versions[:1]}" in chain.run().out


DRIVER = """
import json, sys
import higherhrnet.decode
assert higherhrnet.__file__.startswith(sys.argv[1]), higherhrnet.__file__
from higherhrnet.cli import program
from tests.support.programs import main_of

def compile(_):  # a changed source of it is compiled again, for a minute; nothing here is to be decoded
    raise AssertionError("decodes again")

higherhrnet.decode.is_compiled = lambda: True
for name, *arguments in json.loads(sys.argv[2]):
    assert program.run(main_of(name), arguments) == 0
"""


def test_changed_words_in_all_sources_change_no_work(chain: Chain, tmp_path: Path):
    import json  # noqa: PLC0415

    chain.scripts()
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "higherhrnet", copy / "higherhrnet", ignore=shutil.ignore_patterns("__pycache__"))
    changed = 0
    for source in (copy / "higherhrnet").rglob("*.py"):
        text = source.read_text()
        changed += text.startswith('"""')
        source.write_text(text.replace('"""', '"""Other words. ', 1) + "\n# And a remark.\n")
    assert changed > 50
    calls: list[Sequence[object]] = []

    def noting(*call: object) -> Outcome:
        calls.append(call)
        return Outcome(0, "", "")

    again = Chain(noting, chain.model)
    again.scripts()
    again.run()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(copy), json.dumps([list(map(str, call)) for call in calls])],
        env={**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in ("4 were there", "8 of 8 dumps were there", "4 of these images had been", "is up to date"):
        assert words in done.stdout
    assert "other work" not in done.stdout
