"""Quantization on a network of two layers whose answers are known by hand."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from higherhrnet.errors import UserError
from higherhrnet.model import quantization
from higherhrnet.model.ort import onnxruntime
from higherhrnet.model.quantization import Scheme


def network(path: Path, *, weight: float = 1.0) -> Path:
    """Input -> conv a (3 to 2 channels, 1x1) -> ReLU -> conv b -> output1, and conv c -> output2: b and c are heads."""
    values = {
        "wa": np.full((2, 3, 1, 1), weight) * [[[[1.0]]], [[[-2.0]]]],
        "ba": np.array([0.5, 0.0]),
        "wb": np.ones((2, 2, 1, 1)),
        "bb": np.zeros(2),
    }
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in values.items()]
    nodes = [
        helper.make_node("Conv", ["input", "wa", "ba"], ["x"], "/block1/block1.0/conv", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["x"], ["y"], "relu"),
        helper.make_node("Conv", ["y", "wb", "bb"], ["output1"], "b", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["y", "wb", "bb"], ["output2"], "c", kernel_shape=[1, 1]),
    ]
    shape = ("batch", 3, "height", "width")
    graph = helper.make_graph(
        nodes,
        "two layers",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"output{k}", TensorProto.FLOAT, ("batch", 2, "h", "w")) for k in (1, 2)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    model.metadata_props.add(key="architecture", value="two layers")
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return quantization.load(network(tmp_path / "x.onnx"))


BATCHES = [np.full((1, 3, 2, 2), 1, np.float32), np.full((1, 3, 4, 2), -3, np.float32)]


def test_loading_raises_the_opset_and_keeps_the_metadata(model: onnx.ModelProto):
    assert [entry.version for entry in model.opset_import] == [13]
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("architecture", "two layers")]


def test_layers_heads_and_names(model: onnx.ModelProto):
    assert quantization.layers(model) == ["/block1/block1.0/conv", "b", "c"]
    assert quantization.heads(model) == ["b", "c"]
    assert quantization.named(model, ["block1"]) == ["/block1/block1.0/conv"]
    assert quantization.named(model, ["/block1/block1.0", "heads"]) == ["/block1/block1.0/conv"]
    with pytest.raises(UserError, match="--keep_float block: no layer is called so"):
        quantization.named(model, ["block"])


def test_ranges_are_over_all_shapes(model: onnx.ModelProto):
    """Before the ReLU they are 3.5 and -6 for 1, -8.5 and 18 for -3; the smaller batch has 4 pixels, the larger 8."""
    found = quantization.calibrate(model, BATCHES, threads=1)
    assert found["input"] == (-3, 1)
    assert "x" not in found  # only a ReLU reads it
    assert found["y"] == (0, 18)
    assert found["output1"] == (3.5, 18)


def test_values_that_are_not_finite_are_refused(tmp_path: Path):
    broken = quantization.load(network(tmp_path / "x.onnx", weight=np.nan))
    with pytest.raises(UserError, match="tensor y has values nan to nan, expected finite"):
        quantization.calibrate(broken, BATCHES, threads=1)


def quantized(model: onnx.ModelProto, **scheme: object) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    made = quantization.quantize(
        model,
        quantization.calibrate(model, BATCHES, threads=1),
        Scheme(**scheme),  # type: ignore[arg-type]
    )
    return made, {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}


@pytest.mark.parametrize(("bits", "largest"), [(7, 64), (8, 127)])
def test_weights_have_a_scale_per_channel_and_their_bits(model: onnx.ModelProto, bits: int, largest: int):
    """Channels are 1 and -2: each at the end of its own range."""
    made, values = quantized(model, weight_bits=bits)
    levels, scales = values["wa_quantized"], values["wa_scale"]
    assert levels.dtype == np.int8
    assert scales.shape == (2,)
    assert np.abs(levels).max() <= largest
    assert np.allclose(levels[:, 0, 0, 0] * scales, [1, -2], rtol=1 / 64)
    assert "wb_quantized" not in values  # the heads'
    outputs = {name for node in made.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    assert not outputs & {"output1", "output2"}


def test_activations_are_unsigned_for_cpus_and_symmetric_for_tensorrt(model: onnx.ModelProto):
    _, values = quantized(model)
    assert values["input_zero_point"] == 191  # -3 to 1 in 255 steps
    assert values["input_zero_point"].dtype == np.uint8
    made, values = quantized(model, target="tensorrt", weight_bits=8)
    zero_points = {name: value for name, value in values.items() if name.endswith("_zero_point")}
    assert all(value.dtype == np.int8 and not value.any() for value in zero_points.values())
    assert not any(t.data_type == TensorProto.INT32 for t in made.graph.initializer)  # which TensorRT does not take


def test_it_computes_what_float32_does(model: onnx.ModelProto):
    made, _ = quantized(model)
    sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (model, made)]
    expected, found = (np.array(session.run(None, {"input": BATCHES[1]})) for session in sessions)
    assert np.abs(found - expected).max() < 18 / 255  # a step of y


def test_equal_arguments_give_equal_bytes_and_no_logger_changes(model: onnx.ModelProto):
    level = logging.getLogger().level
    ranges = quantization.calibrate(model, BATCHES, threads=1)
    first, second = (quantization.quantize(model, ranges, Scheme()).SerializeToString() for _ in range(2))
    assert first == second
    assert logging.getLogger().level == level


def test_other_networks_are_refused(tmp_path: Path, model: onnx.ModelProto):
    made, _ = quantized(model)
    onnx.save(made, tmp_path / "int8.onnx")
    with pytest.raises(UserError, match="is quantized already"):
        quantization.load(tmp_path / "int8.onnx")
    other = onnx.load(tmp_path / "x.onnx")
    other.graph.node[1].op_type = "Sigmoid"
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(UserError, match="found nodes of Sigmoid, expected only Add"):
        quantization.load(tmp_path / "other.onnx")
    with pytest.raises(UserError, match="cannot read model"):
        quantization.load(tmp_path / "missing.onnx")
