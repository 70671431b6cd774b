"""Pipes, devices, loops and files of the right kind with the wrong inside, where each is read or written."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from conftest import TINY_CONFIG, Outcome
from higherhrnet.artifacts import atomic, claim, dumps, info, perf, sources
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import DumpsWork, Inputs, InputsWork, PeopleWork
from higherhrnet.config import loader
from higherhrnet.dataset import coco, coco_results
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from higherhrnet.model import checkpoint, onnx_graph
from test_network import build
from test_scripts import error

Script = Callable[..., Outcome]
WORK = Record(PeopleWork("d", 7, "1/1", {}, {"model": "m"}, {}, 1))

READERS: dict[str, Callable[[Path], object]] = {
    "annotations": coco.load,
    "configuration": loader.load,
    "image": reader.read_image,
    "list": info.read,
    "onnx": onnx_graph.read,
    "dump": lambda path: dumps.read(path, (1, 2, 3), (1, 2, 3)),
    "npy": lambda path: dumps.read(path.with_suffix(".npy"), (1, 2, 3), (1, 2, 3)),
    "hash": atomic.sha256,
    "journal": lambda path: Journal(path, WORK),
    "checkpoint": lambda path: checkpoint.load(path, build(TINY_CONFIG)),
}


@pytest.mark.tries("input")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "long name"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, reader: str, kind: str):
    """A pipe without a writer would be waited for, and a device may never end."""
    path = tmp_path / "file"
    if kind == "long name":
        path = tmp_path / ("x" * 300)
    for file in (path, path.with_suffix(".npy")):
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "folder":
            file.mkdir()
        elif kind == "loop":
            file.symlink_to(file.name)
    with pytest.raises(UserError, match=str(path)):
        READERS[reader](path)


@pytest.mark.tries("input")
def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path):
    (tmp_path / "file").write_bytes(bytes(9))
    assert sources.read(tmp_path / "file", 9) == bytes(9)
    with pytest.raises(OSError, match="more than 8 bytes"):
        sources.read(tmp_path / "file", 8)


@pytest.mark.tries("input")
@pytest.mark.parametrize("kind", ["pipe", "folder", "root", "nothing"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str):
    path = {"root": Path("/"), "nothing": Path()}.get(kind, tmp_path / "file")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    before = path.stat().st_ino
    with pytest.raises(UserError, match="cannot write"):
        atomic.write_text(path, "text")
    assert path.stat().st_ino == before


def archive(folder: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    file = folder / "val2017.zip"
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("1.jpg", os.urandom(50) * 40)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_are_bad_images(tmp_path: Path, method: int, tried: Callable[[str, int], None]):
    """One byte after the other: encrypted, of unknown methods and versions, broken streams, names of no encoding."""
    content = archive(tmp_path, method).read_bytes()
    at = range(0, len(content), 1 if len(content) < 500 else 7)
    for place in at:
        file = tmp_path / f"{place}.zip"
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with pytest.raises(BadImageError, match=str(file)):
            reader.read_image(f"{file}@1.jpg")
    tried("input", len(at))


@pytest.mark.tries("input")
def test_a_zip_bomb_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "_MOST_BYTES", 1000)
    with pytest.raises(BadImageError, match="more than 1,000 bytes"):
        reader.read_image(f"{archive(tmp_path)}@1.jpg")


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, dtype=torch.bool),
        torch.ones(2, dtype=torch.int8),
        torch.ones(2, dtype=torch.int64),
        torch.ones(2).to(torch.float8_e4m3fn),
        torch.empty(2, device="meta"),
    ],
    ids=str,
)
def test_tensors_of_other_kinds_are_no_parameters(tmp_path: Path, tensor: torch.Tensor):
    net = build(TINY_CONFIG)
    shape = net.state_dict()["bn1.weight"].shape
    torch.save({**net.state_dict(), "bn1.weight": tensor[:1].expand(shape)}, tmp_path / "c.pth")
    with pytest.raises(UserError, match=str(tmp_path / "c.pth")):
        checkpoint.load(tmp_path / "c.pth", net)


@pytest.mark.tries("input")
def test_a_parameter_under_two_names_is_refused(tmp_path: Path):
    net = build(TINY_CONFIG)
    state = net.state_dict()
    torch.save({**state, "module.bn1.weight": state["bn1.weight"] + 1}, tmp_path / "c.pth")
    with pytest.raises(UserError, match="under two names"):
        checkpoint.load(tmp_path / "c.pth", net)


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


@pytest.mark.tries("input")
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
    run = ["--backend", "onnxruntime", "--model", model, "--result", tmp_path / "result"]
    error(script("HigherHRNet_benchmark", *lists, *run))
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("perf*"))


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    "inputs",
    [
        {"left_out": 5},
        {"left_out": ["a"]},
        {"left_out": [-1]},
        {"images": "x"},
        {"images": 10**15},
        {"images": -5},
        {"x": 1},
        {"factor": 10**400},
        {"opencv": "\ud800"},
    ],
)
def test_records_that_ask_for_the_impossible(tmp_path: Path, inputs: dict[str, object]):
    work = InputsWork(
        *("d", 7, "1/1", 128), flip=False, dtype="float32", factor=1, smallest=1, limited=True, version=1, opencv="4"
    )
    of = DumpsWork(
        Inputs(work, ""), [0], flip=False, shard="1/1", model="m", backend="b", runtime="", batch=1, dtype="float32"
    )
    made = Record(of).as_json()
    place = claim.record_of(tmp_path)
    changed = made["work"]["inputs"] | (
        inputs if "left_out" in inputs else {"work": made["work"]["inputs"]["work"] | inputs}
    )
    place.write_text(json.dumps(made))
    assert claim.read(tmp_path, DumpsWork) == Record(of)
    place.write_text(json.dumps({**made, "work": {**made["work"], "inputs": changed}}))
    with pytest.raises(UserError, match="found other fields than DumpsWork's"):
        claim.read(tmp_path, DumpsWork)
    made = Record(work).as_json()
    part = "facts" if "left_out" in inputs else "work"
    place.write_text(json.dumps(made))
    assert claim.read(tmp_path, InputsWork) == Record(work)
    place.write_text(json.dumps({**made, part: made[part] | inputs}))
    with pytest.raises(UserError, match="found other fields than"):
        claim.read(tmp_path, InputsWork)


def write_complete(file: Path, dataset: coco.Dataset, **changes: Any) -> None:
    """A record of complete work beside a results file."""
    left_out = changes.pop("left_out", [])
    work = replace(WORK.work, dataset=dataset.fingerprint, **changes)
    claim.write(file, Record(work, Facts(left_out=left_out, sha256=atomic.sha256(file)), complete=True))


ENTRY = coco_results.entries(1000, np.ones((1, 17, 3)), np.ones(1))[0]


@pytest.mark.tries("input")
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


@pytest.mark.tries("input")
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


@pytest.mark.tries("input")
def test_an_export_does_not_replace_its_checkpoint(tiny_weights: Path, tmp_path: Path, script: Script):
    before = tiny_weights.read_bytes()
    (tmp_path / "link").symlink_to(tiny_weights)
    for output in (tiny_weights, tmp_path / "link"):
        arguments = ["--weights", tiny_weights, "--output", output, "--cfg", TINY_CONFIG]
        assert "is the checkpoint itself" in error(script("HigherHRNet_pth2onnx", *arguments))
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
@pytest.mark.tries("input")
def test_paths_that_lead_nowhere(tiny_data: Path, tmp_path: Path, script: Script, arguments: list[str]):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    names = {"long": tmp_path / ("x" * 300), "loop": tmp_path / "loop", "folder": tmp_path / "folder"}
    where = ["--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data] if "gen" not in arguments[0] else []
    error(script(*(argument.format(**names) for argument in arguments), *where))
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.tries("input")
@pytest.mark.parametrize("value", ["1e999", "-5", "0"])
def test_times_that_are_none_are_refused(tmp_path: Path, value: str):
    log = f"GPU Compute Time: mean = 2 ms, median = {value} ms, percentile(99%) = 3 ms\n&&&& PASSED"
    (tmp_path / "trtexec_batchsize_1_device_0_512x512.log").write_text(log)
    with pytest.raises(UserError, match=r"512x512\.log"):
        perf.find(tmp_path)


@pytest.mark.tries("input")
@pytest.mark.parametrize("line", ["0 a\0b 512 512", "0 a 0 0", "0 a 512 70000", f"0 {'a/' * 3000} 5 5"])
def test_lists_of_the_impossible(tmp_path: Path, script: Script, line: str):
    for name in ("prep", "prep_flip"):
        (tmp_path / f"{name}_512x512.info").write_text(f"{line}\n")
    names = ["--info", tmp_path / "prep", "--info_flip", tmp_path / "prep_flip"]
    error(script("HigherHRNet_benchmark", *names, "--backend", "onnxruntime", "--model", tmp_path / "none.onnx"))


@pytest.mark.tries("input")
def test_a_list_of_a_shape_that_no_network_takes(tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path, script: Script):
    (tmp_path / "prep_63x65.info").write_text("0 a/000000000000.bin 65 63\n")
    names = ["--info", tmp_path / "prep", "--info_flip", tmp_path / "prep"]
    outcome = script("HigherHRNet_benchmark", *names, "--backend", "onnxruntime", "--model", tiny_onnx)
    assert "multiples of 32" in error(outcome)
