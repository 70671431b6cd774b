"""higherhrnet table: rows measured on the same inputs, their AP that of the six scripts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from higherhrnet.cli import program, table
from higherhrnet.model import fingerprint, quantized
from higherhrnet.stages import table as stage
from higherhrnet.stages.table import Variant
from tests.support.datasets import TINY_CONFIG
from tests.support.works import QUANTIZED

pytestmark = pytest.mark.slow


@pytest.fixture
def arguments(tiny_onnx: Path, tiny_inputs: Path, tiny_data: Path) -> list[str]:
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    return ["--model", str(tiny_onnx), *lists, "--cfg", str(TINY_CONFIG), "DATASET.ROOT", str(tiny_data)]


def test_a_row_is_measured_and_its_people_are_the_six_scripts(
    arguments: list[str], tiny_results: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The rows' processes are left out: what one measures is measured here."""
    rows: list[stage.Measured] = []

    def here(job: stage.TableJob, wanted: list[Variant], *, done: object) -> list[stage.Measured]:
        rows.extend(stage._measure(job, variant) for variant in wanted)
        return rows

    monkeypatch.setattr(stage, "measure", here)
    assert program.run(table.main, ["--backends", "onnxruntime", "--format", "json", *arguments]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["name"], row["loss"], row["changed"]) == ("onnxruntime float32", 0, 0)
    assert min(row["end_to_end"], row["memory"], row["size"], *row["rates"].values()) > 0
    assert set(row["rates"]) == {"128x128", "128x192", "128x256", "192x128", "256x128"}

    def told(entries: list[dict]) -> list[str]:
        return [str([entry[name] for name in ("image_id", "score", "keypoints")]) for entry in entries]

    assert told(rows[0].found.people) == told(json.loads(tiny_results))


def test_a_float32_model_is_not_taken_for_the_int8_one(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """Two flags given one thing would be two rows of it."""
    assert program.run(table.main, [*arguments[:2], "--int8", *arguments[1:]]) == 1
    assert (
        f"--int8 {arguments[1]} is not in INT8; make one that is with higherhrnet quantize" in capsys.readouterr().err
    )


@pytest.mark.slow
def test_rows_are_processes_of_their_own(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert program.run(table.main, ["--backends", "onnxruntime", *arguments]) == 0
    said = capsys.readouterr().out
    assert said.startswith("backend")
    assert "note: int8: no quantized model; make one with higherhrnet quantize" in said
    assert "AP over 7 images." in said


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage.factory, "is_installed", lambda name: name == "torch")
    monkeypatch.setattr(stage.hardware, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    model, weights = Path("x.onnx"), Path("x.pth")
    every = ("onnxruntime", "openvino", "torch")
    found, notes = stage.variants(model, None, weights, every)
    assert found == [Variant("torch", weights, "float32"), Variant("torch", weights, "bfloat16")]
    assert notes[:2] == ["onnxruntime: not installed", "openvino: not installed"]
    monkeypatch.setattr(stage.factory, "is_installed", lambda _: True)
    monkeypatch.setattr(stage.hardware, "cpu_flags", frozenset)
    found, notes = stage.variants(model, Path("y.onnx"), None, every)
    assert found == [
        Variant("onnxruntime", model),
        Variant("onnxruntime", Path("y.onnx")),
        Variant("openvino", model),
        Variant("openvino", Path("y.onnx")),
    ]
    assert notes == [
        "openvino bfloat16: this CPU has no AVX512-BF16 or AMX",
        "torch: no checkpoint; give --weights",
    ]


def test_wrong_arguments_are_said_in_a_line(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert program.run(table.main, ["--int8", "nowhere.onnx", *arguments]) == 1
    assert "--int8 nowhere.onnx does not exist" in capsys.readouterr().err
    assert program.run(table.main, ["--backends", "onnxruntime,tpu", *arguments]) == 2
    capsys.readouterr()
    for backends, flag, value in (
        ("onnxruntime", "--weights", "x.pth"),
        ("torch", "--int8", "x.onnx"),
        ("torch,onnxruntime", "--device", "GPU"),
    ):
        assert program.run(table.main, ["--backends", backends, flag, value, *arguments]) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"error: {flag} is for "), err
        assert "which --backends leaves out; omit it" in err


def test_an_int8_model_or_a_checkpoint_of_another_network_is_refused(
    arguments: list[str], tiny_onnx: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As an .onnx that was exported again beside what was made from the old one; each names both digests."""
    model = tmp_path / "tiny.onnx"
    shutil.copy(tiny_onnx, model)
    made = onnx.load(tiny_onnx)
    made.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["a", "b"], ["c"]))
    made.metadata_props.add(key=quantized.KEY, value=quantized.text(replace(QUANTIZED, onnx="0123456789ab" + "0" * 52)))
    onnx.save(made, tmp_path / "tiny_int8.onnx")
    given = [*("--backends", "onnxruntime"), "--model", str(model), *arguments[2:]]
    assert program.run(table.main, given) == 1
    said = capsys.readouterr().err
    assert "tiny_int8.onnx was quantized from a model of digest 0123456789ab, but" in said
    assert f"{model} has {fingerprint.sha256(model)[:12]}: rows would be of two networks" in said
    (tmp_path / "tiny_int8.onnx").unlink()
    other = tmp_path / "other.pth"
    torch.save({name: 2 * value for name, value in torch.load(tiny_weights).items()}, other)
    assert program.run(table.main, ["--weights", str(other), "--backends", "torch", *given[2:]]) == 1
    said = capsys.readouterr().err
    assert f"of digest {fingerprint.sha256(tiny_weights)[:12]}, but --weights {other} has" in said
