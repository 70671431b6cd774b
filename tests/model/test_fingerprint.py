"""A model's hash: of what it computes, not of the batch size that it was exported for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import main_of


@pytest.mark.slow
def test_batch_sizes_of_one_checkpoint_are_one_model(tiny_weights: Path, tiny_onnx: Path, tmp_path: Path):
    other = tmp_path / "other.onnx"
    export = main_of("HigherHRNet_pth2onnx")
    export(["--weights", str(tiny_weights), "--bs", "8", "--cfg", str(TINY_CONFIG), "--output", str(other)])
    assert other.read_bytes() != tiny_onnx.read_bytes()
    assert fingerprint.sha256(other) == fingerprint.sha256(tiny_onnx)


def weight(model: onnx.ModelProto) -> None:
    raw = bytearray(model.graph.initializer[0].raw_data)
    raw[0] ^= 1
    model.graph.initializer[0].raw_data = bytes(raw)


def operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"


def opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version += 1


def said(model: onnx.ModelProto) -> None:
    model.producer_name = "somebody"
    model.metadata_props.add(key="made_by", value="somebody")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8


@pytest.mark.parametrize(("change", "is_same"), [(weight, False), (operator, False), (opset, False), (said, True)])
def test_what_a_model_computes_decides(
    tiny_onnx: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], None], is_same: bool
):
    model = onnx.load(tiny_onnx)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    assert (fingerprint.sha256(tmp_path / "changed.onnx") == fingerprint.sha256(tiny_onnx)) is is_same


@pytest.mark.parametrize("changed", ["model.onnx", "weights.bin"])
def test_a_model_that_is_replaced_after_it_was_seen_is_named(tiny_onnx: Path, tmp_path: Path, changed: str):
    """Its external data too; another name of a file, as a tool is given one, changes nothing."""
    model = tmp_path / "model.onnx"
    onnx.save(onnx.load(tiny_onnx), model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    seen = fingerprint.see(model)
    (tmp_path / "link.onnx").hardlink_to(model)
    seen.check()
    (tmp_path / "other").write_bytes((tmp_path / changed).read_bytes())
    (tmp_path / "other").replace(tmp_path / changed)
    with pytest.raises(UserError, match=f"model {tmp_path / changed}.* was replaced or written to while it was loaded"):
        seen.check()
