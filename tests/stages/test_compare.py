"""compare: two runs' dumps, by hand; and HigherHRNet_performance.py --compare on other batch sizes and on INT8."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import scenes
from higherhrnet.artifacts import claim, dumps
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.dataset import coco, joints
from higherhrnet.errors import UserError
from higherhrnet.stages import compare
from tests.support.datasets import DEMO_CONFIG, DEMO_WEIGHTS, write_dataset
from tests.support.programs import CPU, Outcome, error, main_of
from tests.support.works import DUMPS

pytestmark = pytest.mark.slow

Script = Callable[..., Outcome]
DEMO = ("--cfg", DEMO_CONFIG, "DATASET.INPUT_SIZE", 128)
BS1, BS3, BS8 = (f"result/dumpOutput_device0_bs{n}" for n in (1, 3, 8))


def sums(*pairs: tuple[list[float], list[float]]) -> compare.Difference:
    made = compare.Sums()
    for reference, other in pairs:
        made.add(np.array(reference, np.float32), np.array(other, np.float32))
    return made.difference("output1")


def test_differences_by_hand():
    """Over two images: |differences| 0, 1, 0, 3; largest value of the reference 4."""
    found = sums(([3.0, -4.0], [3.0, -3.0]), ([0.0, 0.0], [0.0, 3.0]))
    assert (found.largest, found.mean, found.relative) == (3.0, 1.0, 0.75)
    assert found.cosine == pytest.approx((9 + 12) / (5 * math.sqrt(9 + 9 + 9)))


def test_sums_are_float64():
    """In float32, 2**24 + 1 is 2**24: a mean over many small differences beside a large value would be lost."""
    found = sums(([4096.0] + [1.0] * 4096, [4096.0] + [1.0] * 4096))
    assert found.cosine == pytest.approx(1, abs=1e-15)
    assert sums(([0.0] * 3, [0.0] * 3)).cosine == 1
    assert sums(([0.0] * 3, [1.0] * 3)).cosine == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_nan_and_infinity_always_fail(value: float, where: int):
    pair = ([1.0, value], [1.0, 1.0])
    found = sums(pair if where == 0 else (pair[1], pair[0]), ([1.0, 1.0], [1.0, 1.0]))
    comparison = compare.Comparison(2, (found,), None, None)
    assert compare.problems(comparison, tolerance=1e9, ap_tolerance=1)
    assert "not compared" in compare.text(comparison, distance=1)


SIGMAS = joints.COCO.sigmas


def person(image_id: int, x: float, shift: float = 0.0) -> dict:
    points = np.array([[x + 5.0 * joint, 10.0 + 3.0 * joint, 1.0] for joint in range(17)])
    points[3, 0] += shift
    return {"image_id": image_id, "keypoints": points.ravel().tolist(), "score": 1.0}


def test_people_by_hand():
    """Image 1: one the same in another order, one moved by 2; 2: one gone; 3: one new; 4: one the same."""
    reference = [person(1, 0), person(1, 300), person(2, 50), person(4, 5)]
    other = [person(1, 300, 2.0), person(1, 0, 0.05), person(3, 50), person(4, 5)]
    found = compare.compare_people(reference, other, SIGMAS, distance=0.1)
    assert found == compare.People(reference=4, other=4, same=2, moved=1, images=3, shift=2.0)
    assert found.changed == 3
    assert compare.compare_people(reference, other, SIGMAS, distance=2).moved == 0
    twice = [person(1, 0), person(1, 0)]  # found twice at one place: the same people as themselves
    assert compare.compare_people(twice, twice, SIGMAS, distance=0.1) == compare.People(2, 2, 2, 0, 0, 0.0)
    assert compare.compare_people([], [], SIGMAS, distance=1) == compare.People(0, 0, 0, 0, 0, 0.0)


def test_ap_beyond_its_tolerance_is_said():
    figures = {"AP": 0.5}, {"AP": 0.52}
    found = compare.Comparison(1, (), compare.People(0, 0, 0, 0, 0, 0.0), figures)
    assert compare.problems(found, tolerance=1, ap_tolerance=0.05) == []
    assert "AP is 0.520 instead of 0.500" in compare.problems(found, tolerance=1, ap_tolerance=0.01)[0]


@pytest.fixture(scope="module")
def runs(demo_onnx_of_any_batch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches of 1, 3 and 8 of the trained demonstration on 8 scenes: several a shape, most last batches partial."""
    work = tmp_path_factory.mktemp("batches")
    scenes.write(work / "data/coco", images=8, seed=7, obstacles=0.0)
    (work / "models").mkdir()
    shutil.copy(demo_onnx_of_any_batch, work / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name, *arguments in (
            ("HigherHRNet_preprocess", "--output", "bins", "--output_flip", "flip", "--workers", 1, *DEMO),
            ("gen_dataset_info", "bin", "bins", "./prep_bin"),
            ("gen_dataset_info", "bin", "flip", "./prep_bin_flip"),
            ("HigherHRNet_benchmark", "--bs", "1,3,8", *CPU, *DEMO),
        ):
            main_of(str(name))([str(a) for a in arguments])
    return work


@pytest.fixture(scope="module")
def int8(runs: Path) -> Path:
    """Dumps of the same scenes from the network in INT8, calibrated on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(runs)
        trees = ("--inputs", "bins", "--inputs_flip", "flip", "--allow_evaluation_images")
        model, file = "models/w16_512_bs-1_dynamic.onnx", "models/int8.onnx"
        for name, *arguments in (
            ("higherhrnet.__main__", "quantize", "--model", model, *trees, "--output", file, "--count", 16, *DEMO),
            ("HigherHRNet_benchmark", *CPU, "--model", file, "--result", "int8", *DEMO),
        ):
            main_of(str(name))([str(a) for a in arguments])
    return runs / "int8/dumpOutput_device0_bs1"


NAMED = re.compile(r"^\d+\.jpg  (moved|gone|new)  A (-|#\d+ [\d.]+)  B (-|#\d+ [\d.]+)  \S+  (?:.+  )?(.+)$", re.M)


def test_int8_names_who_changed_and_why(runs: Path, int8: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    """The totals, the causes and the list are of the same people."""
    monkeypatch.chdir(runs)
    call = ("HigherHRNet_performance", "--compare", BS1, int8, "--workers", 1, "--tolerance", 9, "--ap_tolerance", 1)
    outcome = script(*call, "--changed", 1000, *DEMO)
    assert outcome.status == 0, outcome
    totals = re.search(r"(\d+) moved, (\d+) gone, (\d+) new, in ", outcome.out)
    assert totals is not None
    kinds = [int(count) for count in totals.groups()]
    named = NAMED.findall(outcome.out)
    assert [sum(one[0] == kind for one in named) for kind in ("moved", "gone", "new")] == kinds
    assert len(named) == sum(kinds) > 3
    for kind, ours, theirs, _ in named:
        assert {"moved": "", "gone": "B", "new": "A"}[kind] == "A" * (ours == "-") + "B" * (theirs == "-")
    by_cause = {cause: int(n) for cause, n in re.findall(r"(?:cause|;):? ([a-z ]+) (\d+) \(", outcome.out)}
    assert by_cause == {cause: sum(one[3] == cause for one in named) for cause in {one[3] for one in named}}
    assert "more people changed" not in outcome.out

    few = script(*call, "--changed", 2, *DEMO).out
    assert [match.group() for match in NAMED.finditer(few)] == [m.group() for m in NAMED.finditer(outcome.out)][:2]
    assert few.splitlines()[-1] == f"and {len(named) - 2} more people changed; --changed {len(named)} names all"
    assert few.splitlines()[:8] == outcome.out.splitlines()[:8]
    assert script(*call, "--changed", 0, *DEMO).out.splitlines()[-1].startswith("AP: ")


@pytest.mark.parametrize("other", [BS3, BS8])
def test_larger_batches_give_the_same_people_and_ap(
    runs: Path, other: str, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(runs)
    outcome = script("HigherHRNet_performance", "--compare", BS1, other, "--tolerance", 1e-4, "--workers", 1, *DEMO)
    assert (outcome.status, outcome.err) == (0, ""), outcome
    assert " 0 moved, 0 gone, 0 new, in 0 images" in outcome.out
    assert "people changed" not in outcome.out
    first, second = outcome.out.splitlines()[-1].removeprefix("AP: ").split(" and ")
    assert first == second
    assert int(outcome.out.partition("people: ")[2].partition(" ")[0]) > 5


def test_every_batch_size_has_its_column(runs: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(runs)
    header = script("HigherHRNet_performance").out.splitlines()[0]
    assert re.findall(r"bs\d+ device 0", header) == ["bs1 device 0", "bs3 device 0", "bs8 device 0"]
    assert "bs1" not in script("HigherHRNet_performance", "--bs", "3,8").out


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_the_demo_network_is_measured_and_drawn(
    runs: Path, backend: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(runs)
    (runs / "models/w16_512.pth").write_bytes(DEMO_WEIGHTS.read_bytes())
    measure = ("HigherHRNet_performance", "--backend", backend, "--rounds", 2, "--warm_up", 0, "--threads", 1, *DEMO)
    outcome = script(*measure, "--info", "prep_bin", "--bs", "1,3", "--chart", tmp_path / "chart.png")
    assert outcome.status == 0, outcome
    shapes = len(list(runs.glob("prep_bin_[0-9]*.info")))
    assert outcome.out.count("\n(") == 2 * shapes, "a row a shape in the table, another in the latencies'"
    assert (tmp_path / "chart.png").stat().st_size > 10_000
    outcome = script(*measure, "--published", "T4", "--shapes", "128x128")
    assert "--published T4: the guide has none of the shapes measured" in error(outcome)


def test_differences_are_found_and_end_with_status_1(
    runs: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(runs)
    for suffix in ("", "_flip"):
        shutil.copytree(runs / (BS1 + suffix), tmp_path / f"other{suffix}")
    file = dumps.BENCHMARK.paths(tmp_path / "other", 0)[1]
    values = np.fromfile(file, np.float32)
    changed = values.copy()
    changed[0] += np.abs(values).max()
    changed.tofile(file)
    call = ("HigherHRNet_performance", "--compare", BS1, tmp_path / "other", "--workers", 1, *DEMO)
    outcome = script(*call)
    assert "output2 differs by" in error(outcome)
    assert outcome.err.count("\n") == 1
    assert script(*call, "--tolerance", 1.5, "--ap_tolerance", 1).status == 0
    changed[0] = np.nan
    changed.tofile(file)
    outcome = script(*call, "--tolerance", 1.5)
    assert "output2 differs by nan" in error(outcome)
    assert "people: not compared, there are values that are NaN or infinite" in outcome.out
    for left in dumps.BENCHMARK.paths(tmp_path / "other", 0):
        left.unlink()
    assert "are of different images: 1 are in one of them only, the first is 000000000000" in script(*call).err
    for name in (BS1, f"{runs}/./{BS1}"):
        one = ("HigherHRNet_performance", "--compare", BS1, name, *DEMO)
        assert "are one directory; give the dumps of two runs" in error(script(*one))
    shutil.rmtree(tmp_path / "other_flip")
    (tmp_path / "other_flip").symlink_to(runs / f"{BS1}_flip")
    assert f"{BS1}_flip and {tmp_path}/other_flip are one directory" in error(script(*call))
    (tmp_path / "other_flip").unlink()
    assert "has no other_flip beside it" in script(*call).err


@pytest.mark.parametrize(
    ("changed", "said"), [({"pictures": "b" * 64}, "other pictures"), ({"exif": True}, "another --exif")]
)
def test_runs_over_other_pictures_are_not_compared(tmp_path: Path, changed: dict[str, Any], said: str):
    """What those differ in would be taken for the network's doing."""
    assert DUMPS.inputs is not None
    made = DUMPS.inputs
    turned = replace(made.work, dtype="float16", opencv="4.9.0", **{k: v for k, v in changed.items() if k == "exif"})
    other = replace(made, work=turned, pictures=changed.get("pictures", made.pictures))
    for name, inputs in (("a", made), ("same", replace(made, work=replace(turned, exif=False))), ("other", other)):
        (tmp_path / name).mkdir()
        claim.write(tmp_path / name, Record(replace(DUMPS, inputs=inputs), complete=True))
    compare._check_pictures(tmp_path / "a", tmp_path / "same")
    compare._check_pictures(tmp_path / "a", tmp_path / "no record")
    with pytest.raises(UserError, match=f"other is not of what .*a is: {said} .*compare runs of equal inputs"):
        compare._check_pictures(tmp_path / "a", tmp_path / "other")


def test_float16_dumps_are_read_as_their_record_says(tmp_path: Path):
    """2049 is no float16: the nearest is 2048."""
    dataset = coco.load(coco.Location(str(write_dataset(tmp_path / "coco", ((128, 128),))), "val2017").annotations)
    heads = dumps.Heads(17, 17)
    shapes = dumps.output_shapes((128, 128), heads)
    for name, dtype in (("a", "float32"), ("b", "float16")):
        (tmp_path / name).mkdir()
        work = DumpsWork(None, [0], flip=False, shard="1/1", model="", backend="", runtime="", batch=1, dtype=dtype)
        claim.write(tmp_path / name, Record(work, complete=True))
        for file, shape in zip(dumps.BENCHMARK.paths(tmp_path / name, 0), shapes, strict=True):
            np.full(shape, 2049, dtype).tofile(file)
    names = ("output1 heat", "output1 tags", "output2")
    found, count = compare._outputs(dataset, tmp_path / "a", tmp_path / "b", names, 128, heads)
    assert count == 1
    assert [d.largest for d in found] == [1.0, 1.0, 1.0]
    assert [d.output for d in found] == list(names)
