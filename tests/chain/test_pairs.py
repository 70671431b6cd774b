"""Two runs in the same folders that differ in one thing.

What rests on it is done again or refused by name, what does not is kept, and the people are those of empty folders;
also where the first run was stopped midway.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from higherhrnet import decode
from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.journal import Journal
from higherhrnet.backends import onnxruntime
from higherhrnet.image import transform
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS, write_dataset
from tests.support.programs import CPU, PLAIN, Outcome, error, files

Script = Callable[..., Outcome]
Change = Callable[[pytest.MonkeyPatch], Any]

SIZES = ((160, 128), (128, 160), (160, 128))
PICTURE = Path("data/images/val2017/000000001000.jpg")
ANNOTATIONS = Path("data/annotations/person_keypoints_val2017.json")
MODEL = Path("models/tiny_bs-1_dynamic.onnx")
ONNXRUNTIME = (*CPU, "--model", MODEL)


@dataclass(frozen=True)
class Pair:
    """What differs between two runs, and what becomes of the first one's work."""

    redone: str
    """The first of inputs, dumps and people that is not what it was; '' where all are kept."""
    field: str = ""
    """How a refusal, or what is said of a replacement, names it: a pattern."""
    change: Change = lambda _: None
    """Of files, or of what is installed."""
    preprocess: tuple[object, ...] = ()
    network: tuple[object, ...] = ONNXRUNTIME
    config: tuple[object, ...] = ()
    run: tuple[object, ...] = ()
    """Of ``run``, beside ``network`` and ``config``."""
    first: tuple[object, ...] = ONNXRUNTIME
    """The network of the first run."""
    batch: int = 1


def other_picture(_: pytest.MonkeyPatch) -> None:
    """Of the same name, size and time."""
    status = PICTURE.stat()
    pixels = cv2.imread(str(PICTURE))
    assert pixels is not None
    cv2.imwrite(str(PICTURE), np.subtract(np.uint8(255), pixels))
    os.utime(PICTURE, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed_annotations(change: Callable[[dict[str, Any]], Any]) -> Change:
    def make(_: pytest.MonkeyPatch) -> None:
        content = json.loads(ANNOTATIONS.read_text())
        change(content)
        ANNOTATIONS.write_text(json.dumps(content))

    return make


def other_category(content: dict[str, Any]) -> None:
    """Own data may number it so."""
    content["categories"][0]["id"] = 7
    for person in content["annotations"]:
        person["category_id"] = 7


def other_model(_: pytest.MonkeyPatch) -> None:
    """As of another checkpoint: the second heatmaps of other weights."""
    model = onnx.load(MODEL)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(1.1) * values, tensor.name))
    onnx.save(model, MODEL)


def provider(patched: pytest.MonkeyPatch) -> None:
    """The CPU's under the name of a GPU's, which is not here."""
    real = onnxruntime.OnnxRuntime.__init__

    def make(self: Any, *args: Any, **named: Any) -> None:
        real(self, *args, **named)
        self.name = "onnxruntime CUDA"

    patched.setattr(onnxruntime.OnnxRuntime, "__init__", make)


TORCH = ("--backend", "torch", "--model", "models/tiny.pth")
PAIRS = {
    "nothing": Pair(""),
    "a picture": Pair("inputs", change=other_picture),
    "the pictures listed": Pair(
        "inputs", "another data set", changed_annotations(lambda content: content["images"].reverse())
    ),
    "annotated people": Pair(
        "", change=changed_annotations(lambda content: content["annotations"][0].update(area=9.5))
    ),
    "the category of people": Pair(
        "people", r"another category of people \(none, not 7\)", changed_annotations(other_category)
    ),
    "the checkpoint": Pair("dumps", "another model", other_model),
    "a threshold": Pair("people", "another detection_threshold", config=("TEST.DETECTION_THRESHOLD", 0.01)),
    "the input size": Pair(
        "inputs", r"another DATASET.INPUT_SIZE \(128, not 192\)", config=("DATASET.INPUT_SIZE", 192)
    ),
    "the precision": Pair(
        "dumps", "another backend .*bfloat16", network=(*TORCH, "--precision", "bfloat16"), first=TORCH
    ),
    "the backend": Pair("dumps", "another backend", network=TORCH),
    "the provider": Pair("dumps", "another backend", provider),
    "the batch size": Pair("dumps", "another batch", network=(*ONNXRUNTIME, "--bs", 2), batch=2),
    "threads": Pair("", network=("--backend", "onnxruntime", "--model", MODEL, "--threads", 2)),
    "the type on disk": Pair(
        *("inputs", "another dtype"), preprocess=("--dtype", "float16"), network=(*ONNXRUNTIME, "--dtype", "float16")
    ),
    "the inputs' layout": Pair("inputs", "another dtype", preprocess=("--aipp",), run=("--aipp",)),
    "the version of preprocessing": Pair(
        "inputs", "another version", lambda patched: patched.setattr(transform, "VERSION", 99)
    ),
    "the version of decoding": Pair(
        "people", "another version", lambda patched: patched.setattr(decode, "VERSION", 99)
    ),
    "the runtime's version": Pair(
        "dumps",
        "another version of the backend",
        lambda patched: patched.setattr(onnxruntime.onnxruntime, "__version__", "9.9"),
    ),
    "OpenCV's version": Pair("inputs", "another OpenCV", lambda patched: patched.setattr(cv2, "__version__", "4.99.0")),
}
SLOW = {"the precision", "the backend"}
"""PyTorch's, which take seconds: by ``run`` alone, and not stopped."""
AS_OTHERS = {
    *("OpenCV's version", "the inputs' layout", "the version of preprocessing", "the version of decoding"),
    *("the runtime's version", "the provider", "the category of people"),
}
"""Fields as others are to the scripts: by ``run`` alone."""
STOPPED = {
    "nothing",
    "a picture",
    "the pictures listed",
    "the checkpoint",
    "a threshold",
    "the batch size",
    "the provider",
}
EACH = {"a picture", "the checkpoint", "the batch size"}
"""Of each stage one: stopped in the scripts too."""


def scripts(pair: Pair, *, first: bool = False) -> list[tuple[object, ...]]:
    """The scripts' commands, of the pair's first or second run."""
    config = ("--cfg", TINY_CONFIG, "DATASET.ROOT", "data", *(() if first else pair.config))
    result = f"result/{PLAIN}".replace("bs1", "bs1" if first else f"bs{pair.batch}")
    return [
        (
            *("HigherHRNet_preprocess", "--output", "bins", "--output_flip", "flip", "--workers", 1),
            *(() if first else pair.preprocess),
            *config,
        ),
        ("gen_dataset_info", "bin", "bins", "./prep_bin", "--overwrite"),
        ("gen_dataset_info", "bin", "flip", "./prep_bin_flip", "--overwrite"),
        ("HigherHRNet_benchmark", *(pair.first if first else pair.network), *config),
        (
            *("HigherHRNet_postprocess", "--dump_dir", result, "--dump_dir_flip", f"{result}_flip"),
            *("--workers", 1, "--no_eval", *config),
        ),
    ]


def run(pair: Pair, *, first: bool = False) -> tuple[object, ...]:
    """The one command; of PyTorch's pairs one picture, because bfloat16 is slow on most CPUs."""
    limit = ("--limit", 1) if "torch" in (*pair.first, *pair.network) else ()
    return (
        *(
            "higherhrnet.__main__",
            "run",
            "--workers",
            1,
            "--no_eval",
            *limit,
            *(pair.first if first else (*pair.network, *pair.run)),
        ),
        *("--cfg", TINY_CONFIG, "DATASET.ROOT", "data", *(() if first else pair.config)),
    )


@pytest.fixture(scope="module")
def shop(tiny_weights: Path, tiny_onnx_of_any_batch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a checkpoint and its export of any batch size; not to be changed."""
    root = tmp_path_factory.mktemp("pairs")
    write_dataset(root / "data", SIZES)
    (root / "models").mkdir()
    shutil.copy(tiny_weights, root / "models/tiny.pth")
    shutil.copy(tiny_onnx_of_any_batch, root / MODEL)
    return root


@pytest.fixture
def at_work(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    shutil.copytree(shop, folder)
    monkeypatch.chdir(folder)
    return folder


def done(script: Script, *command: object) -> Outcome:
    outcome = script(*command)
    assert outcome.status == 0, (command, outcome)
    return outcome


def people() -> bytes:
    return Path(TINY_RESULTS).read_bytes()


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    """The people of empty folders, by pair."""
    return {}


def in_empty_folders(script: Script, name: str, folder: Path, known: dict[str, bytes]) -> bytes:
    """The people of the second run alone, of the data and models that are here now."""
    if name not in known:
        folder.mkdir()
        for tree in ("data", "models"):
            shutil.copytree(tree, folder / tree)
        before = Path.cwd()
        os.chdir(folder)
        try:
            done(script, *run(PAIRS[name]))
            known[name] = people()
        finally:
            os.chdir(before)
    return known[name]


@pytest.mark.parametrize(
    ("name", "stopped"),
    [
        (name, stopped)
        for name in PAIRS
        if name not in {*SLOW, *AS_OTHERS}
        for stopped in (False, True)
        if not stopped or name in EACH
    ],
)
def test_the_scripts(
    name: str,
    stopped: bool,
    at_work: Path,
    tmp_path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, bytes],
):
    pair = PAIRS[name]
    for command in scripts(pair, first=True):
        if stopped and command[0] == "HigherHRNet_benchmark":
            with stopping(atomic, "write_bytes", lambda path, *_: path.name.startswith("000000000001_")):
                assert script(*command).status == 130
            break
        done(script, *command)
    before = files(at_work)
    pair.change(monkeypatch)
    said = []
    for command in scripts(pair):
        outcome = script(*command)
        if outcome.status != 0:
            assert re.search(pair.field, error(outcome)), outcome
            assert pair.field, outcome
            said.append(outcome.err)
            outcome = done(script, *command, "--overwrite")
        said.append(outcome.out)
    if pair.redone and pair.field and pair.batch == 1 and not (stopped and pair.redone == "people"):
        assert re.search(pair.field, " ".join(said)), said
    assert people() == in_empty_folders(script, name, tmp_path / "empty", known)
    kept = {"": ["bins", "flip", "result"], "people": ["bins", "flip", "result"], "dumps": ["bins", "flip"]}
    after = files(at_work)
    for tree in kept.get(pair.redone, ()):
        made = {file for file in before if file.startswith(f"{tree}/") and file.endswith(".bin") and "/." not in file}
        assert made
        assert {file: after.get(file) for file in made} == {file: before[file] for file in made}


@pytest.mark.parametrize(
    ("name", "stopped"),
    [(name, stopped) for name in PAIRS for stopped in (False, True) if not stopped or name in STOPPED],
)
def test_run(
    name: str,
    stopped: bool,
    at_work: Path,
    tmp_path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, bytes],
):
    pair = PAIRS[name]
    if stopped:
        calls = itertools.count()
        with stopping(Journal, "add", lambda *_: next(calls) == 1):
            assert script(*run(pair, first=True)).status == 130
        assert not Path(TINY_RESULTS).exists()
    else:
        done(script, *run(pair, first=True))
    pair.change(monkeypatch)
    outcome = script(*run(pair))
    if stopped and pair.redone and name != "a picture":
        assert re.search(f"{pair.field}.*--overwrite to start afresh", error(outcome)), outcome
        outcome = done(script, *run(pair), "--overwrite")
    assert outcome.status == 0, outcome
    assert people() == in_empty_folders(script, name, tmp_path / "empty", known)
    if stopped:
        assert ("resuming: 1 of 3" in outcome.out) == (not pair.redone), outcome.out
    elif not pair.redone:
        assert "is up to date" in outcome.out
    else:
        assert re.search(f"holds people of other work .*{pair.field or 'other pictures'}", outcome.out), outcome.out


@contextlib.contextmanager
def stopping(owner: Any, name: str, when: Callable[..., bool]):
    """Ctrl-C at a call of which ``when`` is true."""
    real = getattr(owner, name)

    def call(*args: Any, **named: Any) -> Any:
        if when(*args):
            raise KeyboardInterrupt
        return real(*args, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, call)
        yield
