"""network and onnx_export: the reference's parameters and outputs, through PyTorch and through ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from conftest import TINY_CONFIG, Outcome
from golden_weights import image, parameter
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.model import architecture, checkpoint, export, network
from higherhrnet.model.ort import onnxruntime


def build(cfg_file: Path | None = None, *opts: str) -> network.HigherHRNet:
    config = loader.load(cfg_file, opts)
    torch.manual_seed(0)
    return network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads)).eval()


@pytest.fixture
def tiny() -> network.HigherHRNet:
    """TINY_CONFIG's network with running statistics that are not the trivial 0 and 1."""
    net = build(TINY_CONFIG)
    for name, buffer in net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.add_(torch.rand_like(buffer))
    return net


@pytest.fixture(scope="module")
def golden_network() -> network.HigherHRNet:
    net = build()
    net.load_state_dict({k: torch.from_numpy(parameter(k, tuple(v.shape))) for k, v in net.state_dict().items()})
    return net


def relative(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def test_w32_parameters_are_the_reference_s(shared: Path):
    expected = json.loads((shared / "golden/w32_512_parameters.json").read_text())
    found = [{"name": k, "shape": list(v.shape), "dtype": str(v.dtype)} for k, v in build().state_dict().items()]
    assert found == expected


def test_golden_forward_pass_through_pytorch(shared: Path, golden_network: network.HigherHRNet):
    golden = np.load(shared / "golden/network_w32_forward.npz")
    with torch.inference_mode():
        outputs = golden_network(torch.from_numpy(image()))
    for name, output in zip(("output1", "output2"), outputs, strict=True):
        assert relative(output.numpy(), golden[name]) < 1e-4, name


def test_golden_forward_pass_through_onnx(shared: Path, golden_network: network.HigherHRNet, tmp_path: Path):
    golden = np.load(shared / "golden/network_w32_forward.npz")
    report = export.export(golden_network, tmp_path / "golden.onnx", batch=1)
    assert report.difference < 1e-5
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    for name, output in zip(("output1", "output2"), session.run(None, {"input": image()}), strict=True):
        assert relative(output, golden[name]) < 1e-4, name


def test_output_shapes_of_a_batch():
    with torch.inference_mode():
        output1, output2 = build(TINY_CONFIG)(torch.zeros(2, 3, 64, 128))
    assert output1.shape == (2, 34, 16, 32)
    assert output2.shape == (2, 17, 32, 64)


def test_folding_keeps_the_outputs_and_leaves_no_batch_norm(tiny: network.HigherHRNet):
    folded = network.fold_batch_norm(tiny)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in tiny.modules()), "the network itself was changed"
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for ours, theirs in zip(folded(x), tiny(x), strict=True):
            assert relative(ours.numpy(), theirs.numpy()) < 1e-5


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


@pytest.mark.parametrize("batch", [2, -1])
def test_export_of_other_batches(tmp_path: Path, batch: int):
    report = export.export(build(TINY_CONFIG), tmp_path / "batch.onnx", batch=batch)
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == (2 if batch == 2 else "batch")
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    output1, _ = session.run(None, {"input": np.concatenate((image, image))})
    np.testing.assert_allclose(output1[0], output1[1], atol=1e-5 * np.abs(output1).max())


def test_a_network_that_overflows_is_not_written(tmp_path: Path, tiny: network.HigherHRNet):
    with torch.no_grad():
        tiny.conv1.weight.fill_(3e38)
    with pytest.raises(UserError, match=r"differs from PyTorch by nan.*nothing was written"):
        export.export(tiny, tmp_path / "bad.onnx", batch=1)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_forms(tmp_path: Path, tiny: network.HigherHRNet):
    state = tiny.state_dict()
    forms = {
        "plain": state,
        "wrapped": {"epoch": 3, "state_dict": state},
        "parallel": {f"module.{k}": v for k, v in state.items()},
        "old": {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    }
    for name, form in forms.items():
        torch.save(form, tmp_path / f"{name}.pth")
        loaded = build(TINY_CONFIG)
        checkpoint.load(tmp_path / f"{name}.pth", loaded)
        assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items()), name


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("NUM_MODULES", "NUM_CHANNELS", "NUM_BLOCKS")
            for value in (0, -1, 10**12, "1", 1.5, True)
        ),
        *(("DECONV", value) for value in (0, 10**12, "32", None)),
    ],
)
def test_a_network_without_bounds_is_refused(key: str, value: object):
    extra = loader.tree(TINY_CONFIG).MODEL.EXTRA.clone()
    extra.defrost()
    if key == "DECONV":
        extra.DECONV.NUM_CHANNELS = [value]
    else:
        extra.STAGE3[key] = value if key == "NUM_MODULES" else [16, value, 64]
    with pytest.raises(UserError, match=r"config: MODEL\.EXTRA has .*, expected whole numbers of 1 to"):
        architecture.Architecture.from_extra(extra, Heads(17, 17))


def test_export_refuses_what_does_not_fit(tmp_path: Path, tiny_weights: Path, script: Callable[..., Outcome]):
    outcome = script("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--output", tmp_path / "x.onnx")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"error: weights {tiny_weights} do not fit the config's network:")
    assert " missing: " in outcome.err
    assert "of another shape: " in outcome.err
    assert "[4, 256, 3, 3] for [32, 256, 3, 3]" in outcome.err
    assert "give the matching --cfg or weights" in outcome.err
    assert list(tmp_path.iterdir()) == []


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.tries("input")
def test_no_code_in_a_checkpoint_runs(tmp_path: Path, script: Callable[..., Outcome]):
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    outcome = script("HigherHRNet_pth2onnx", "--weights", tmp_path / "evil.pth")
    assert outcome.status == 1
    assert "nothing was unpickled" in outcome.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read weights"), (b"", "not a checkpoint"), (b"PK\x03\x04broken", "not a checkpoint")],
)
def test_broken_checkpoints_are_named(tmp_path: Path, script: Callable[..., Outcome], content, message):
    path = tmp_path / "broken.pth"
    if content is not None:
        path.write_bytes(content)
    outcome = script("HigherHRNet_pth2onnx", "--weights", path)
    assert outcome.status == 1
    assert message in outcome.err
    assert str(path) in outcome.err
    assert outcome.err.count("\n") == 1


def test_tensors_that_are_no_checkpoint(tmp_path: Path, tiny: network.HigherHRNet):
    weight = tiny.state_dict()["conv1.weight"]
    for content in ([1, 2], {"conv1.weight": weight.to_sparse()}, {"conv1.weight": weight.to(torch.complex64)}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(UserError, match="holds no state_dict"):
            checkpoint.load(tmp_path / "other.pth", tiny)
    state = tiny.state_dict()
    state["conv1.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match="NaN"):
        checkpoint.load(tmp_path / "nan.pth", tiny)
