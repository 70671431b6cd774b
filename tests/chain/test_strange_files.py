"""Pipes, devices, loops and files of the right kind with the wrong inside, where each is read or written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import atomic, claim
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, coco_results
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import CPU, Outcome, error

Script = Callable[..., Outcome]


def graph(path: Path, *, kind: int = onnx.TensorProto.FLOAT, channels: Any = 3, shapes: Any = None) -> Path:
    """A small model with HigherHRNet's names, which fails in one of many ways."""
    shapes = shapes or (("n", 34, "a", "b"), ("n", 17, "c", "d"))
    nodes, outputs = [], []
    for name, shape in zip(("output1", "output2"), shapes, strict=True):
        nodes.append(onnx.helper.make_node("Relu", ["input"], [name]))
        outputs.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    source = onnx.helper.make_tensor_value_info("input", kind, ["n", channels, "h", "w"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", [source], outputs), opset_imports=[onnx.helper.make_opsetid("", 11)]
    )
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"kind": onnx.TensorProto.DOUBLE},
        {"channels": 4},
        {"channels": "c"},
        {"shapes": (("n",), ("n", 17, "c", "d"))},
        {"shapes": ((), ())},
        {"shapes": (("n", "m", "a", "b"), ("n", 17, "c", "d"))},
        {"shapes": (("n", 17, "a", "b"), ("n", 34, "c", "d"))},
        {},
    ],
    ids=str,
)
def test_models_of_other_kinds(tiny_inputs: Path, tmp_path: Path, script: Script, change: dict[str, Any]):
    """The last one runs, and gives outputs of other sizes than it says."""
    model = graph(tmp_path / "m.onnx", **change)
    lists = ["--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip"]
    run = [*CPU, "--model", model, "--result", tmp_path / "result"]
    error(script("HigherHRNet_benchmark", *lists, *run))
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("perf*"))


def write_complete(file: Path, dataset: coco.Dataset, **changes: Any) -> None:
    """A record of complete work beside a results file."""
    left_out = changes.pop("left_out", [])
    work = replace(PeopleWork(dataset.fingerprint, 7, "1/1", {}, {"model": "m"}, {}, 1), **changes)
    claim.write(file, Record(work, Facts(left_out=left_out, sha256=atomic.sha256(file)), complete=True))


ENTRY = coco_results.entries(1000, np.ones((1, 17, 3)), np.ones(1))[0]


@pytest.mark.parametrize(
    "content",
    [
        *({"a": 1}, 5, None, ["a"], [1]),
        *([{**ENTRY, "image_id": value}] for value in (None, 7, [1], "1000", True)),
        *([{**ENTRY, "keypoints": value}] for value in (None, [1.0] * 50, [float("nan")] * 51, [10**400] * 51)),
        *([{**ENTRY, "score": value}] for value in (None, float("inf"), "1")),
        *([{**ENTRY, "bbox": None}], [{**ENTRY, "category_id": 7}], [{"image_id": 1000}]),
    ],
    ids=range(20),
)
def test_results_of_others_are_checked_before_they_are_merged(
    tiny_data: Path, tmp_path: Path, script: Script, content: object
):
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    write_complete(file, dataset)
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, "OUTPUT_DIR", tmp_path / "out"]
    assert f"results {file}" in error(script("higherhrnet.__main__", "merge", "--results", file, *where))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", [{"images": 0}, {"images": 8}, {"left_out": [999]}])
def test_shards_of_other_numbers_of_images_are_not_merged(
    tiny_data: Path, tmp_path: Path, script: Script, change: dict[str, Any]
):
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    file = tmp_path / "results.json"
    file.write_text("[]")
    write_complete(file, dataset, **change)
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, "OUTPUT_DIR", tmp_path / "out"]
    outcome = script("higherhrnet.__main__", "merge", "--results", file, *where)
    error(outcome)
    assert not (tmp_path / "out").exists()


def test_an_export_does_not_replace_its_checkpoint(tiny_weights: Path, tmp_path: Path, script: Script):
    before = tiny_weights.read_bytes()
    (tmp_path / "link").symlink_to(tiny_weights)
    for output in (tiny_weights, tmp_path / "link"):
        arguments = ["--weights", tiny_weights, "--output", output, "--cfg", TINY_CONFIG]
        assert "is an input" in error(script("HigherHRNet_pth2onnx", *arguments))
    assert tiny_weights.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["HigherHRNet_performance", "--result", "{long}"],
        ["HigherHRNet_performance", "--result", "{loop}"],
        ["HigherHRNet_performance", "--result", "{loop}", "{folder}"],
        ["HigherHRNet_performance", "--compare", ".", "."],
        ["HigherHRNet_performance", "--compare", "/", "/"],
        ["HigherHRNet_postprocess", "--dump_dir", "{long}", "--dump_dir_flip", "{long}"],
        ["HigherHRNet_postprocess", "--dump_dir", "{loop}", "--dump_dir_flip", "{loop}"],
        ["HigherHRNet_preprocess", "--output", "{loop}", "--output_flip", "{folder}"],
        ["HigherHRNet_preprocess", "--output", "{long}", "--output_flip", "{folder}"],
        ["HigherHRNet_preprocess", "--output", "/", "--output_flip", "{folder}", "TEST.SCALE_FACTOR", "[1,2]"],
        ["gen_dataset_info", "bin", "{long}", "{folder}/list"],
        ["gen_dataset_info", "bin", "{loop}", "{folder}/list"],
        ["higherhrnet.__main__", "merge", "--results", "."],
        ["higherhrnet.__main__", "merge", "--results", "{long}"],
        ["HigherHRNet_benchmark", "--info", "{long}", "--backend", "onnxruntime"],
    ],
    ids=" ".join,
)
def test_paths_that_lead_nowhere(tiny_data: Path, tmp_path: Path, script: Script, arguments: list[str]):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    names = {"long": tmp_path / ("x" * 300), "loop": tmp_path / "loop", "folder": tmp_path / "folder"}
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data] if "gen" not in arguments[0] else []
    error(script(*(argument.format(**names) for argument in arguments), *where))
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_listed_path_that_no_file_system_takes(tiny_onnx: Path, tmp_path: Path, script: Script):
    for name in ("prep", "prep_flip"):
        (tmp_path / f"{name}_512x512.info").write_text(f"0 {'a/' * 3000}000000000000.bin 512 512\n")
    names = ["--info", tmp_path / "prep", "--info_flip", tmp_path / "prep_flip", "--result", tmp_path / "result"]
    names += ["--cfg", TINY_CONFIG]
    outcome = script("HigherHRNet_benchmark", *names, *CPU, "--model", tiny_onnx)
    assert error(outcome).startswith("error: cannot read input a/a/")
    assert "File name too long; run preprocessing and gen_dataset_info again" in error(outcome)
    assert not (tmp_path / "result").exists()


def test_a_list_of_a_shape_that_no_network_takes(tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path, script: Script):
    (tmp_path / "prep_63x65.info").write_text("0 a/000000000000.bin 65 63\n")
    names = ["--info", tmp_path / "prep", "--info_flip", tmp_path / "prep"]
    names += ["--cfg", TINY_CONFIG]
    outcome = script("HigherHRNet_benchmark", *names, *CPU, "--model", tiny_onnx)
    assert "multiples of 32" in error(outcome)
