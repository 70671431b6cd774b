"""Export: the guide's interface, what ATC takes, other batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from higherhrnet.errors import UserError
from higherhrnet.model import export, network
from higherhrnet.model.ort import onnxruntime
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    report = export.export(build(TINY_CONFIG), tmp_path_factory.mktemp("onnx") / "tiny.onnx", batch=1)
    assert report.difference < 1e-5
    return onnx.load(report.path)


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_export_has_the_guide_s_interface(exported: onnx.ModelProto):
    assert [(o.domain, o.version) for o in exported.opset_import] == [("", 11)]
    graph = exported.graph
    assert [v.name for v in graph.input] == ["input"]
    assert dims(graph.input[0]) == [1, 3, "height", "width"]
    assert [v.name for v in graph.output] == ["output1", "output2"]
    assert dims(graph.output[0]) == [1, 34, "height/4", "width/4"]
    assert dims(graph.output[1]) == [1, 17, "height/2", "width/2"]


def test_export_holds_only_what_atc_takes(exported: onnx.ModelProto):
    nodes = exported.graph.node
    assert {n.op_type for n in nodes} <= {"Add", "Concat", "Conv", "ConvTranspose", "Relu", "Resize"}
    names = [n.name for n in nodes]
    assert all(names) and len(set(names)) == len(names)
    assert not any(":" in name for name in names)
    assert not {n.op_type for n in nodes} & {"Identity", "BatchNormalization", "Constant"}
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in exported.graph.initializer}
    for node in (n for n in nodes if n.op_type == "Resize"):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes["mode"] == b"nearest"
        assert attributes["coordinate_transformation_mode"] == b"asymmetric"
        assert len(node.input) == 3, "scales, not sizes"
        assert constants[node.input[2]].tolist() in ([1, 1, s, s] for s in (2.0, 4.0, 8.0))
    for node in (n for n in nodes if n.op_type in {"Conv", "ConvTranspose"}):
        assert len(node.input) == 3, f"{node.name} has no bias: its BatchNorm was not folded"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, -1])
def test_export_of_other_batches(tmp_path: Path, batch: int):
    report = export.export(build(TINY_CONFIG), tmp_path / "batch.onnx", batch=batch)
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == (2 if batch == 2 else "batch")
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    output1, _ = session.run(None, {"input": np.concatenate((image, image))})
    np.testing.assert_allclose(output1[0], output1[1], atol=1e-5 * np.abs(output1).max())


@pytest.mark.slow
def test_a_network_that_overflows_is_not_written(tmp_path: Path, tiny: network.HigherHRNet):
    with torch.no_grad():
        tiny.conv1.weight.fill_(3e38)
    with pytest.raises(UserError, match=r"differs from PyTorch by nan.*nothing was written"):
        export.export(tiny, tmp_path / "bad.onnx", batch=1)
    assert list(tmp_path.iterdir()) == []
