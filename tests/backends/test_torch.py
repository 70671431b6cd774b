"""The torch backend: fusion, precisions, batches, and the dumps of every other backend; on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import get_available_providers

from higherhrnet.artifacts import dumps, info, perf
from higherhrnet.backends import torch as backend
from higherhrnet.backends.base import PRECISIONS, Work
from higherhrnet.errors import UserError
from higherhrnet.model import checkpoint, fusion, network
from tests.support.datasets import DEMO_CONFIG, DEMO_WEIGHTS, TINY_CONFIG
from tests.support.networks import architecture_of
from tests.support.programs import CPU, Outcome, error

Script = Callable[..., Outcome]

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def demo() -> network.HigherHRNet:
    """The trained demonstration: outputs that mean something, statistics that are not 0 and 1."""
    net = network.HigherHRNet(architecture_of(DEMO_CONFIG)).eval()
    checkpoint.load(DEMO_WEIGHTS, net)
    return net


def made(precision: str = "float32", batch: int = 1, on: str = "auto") -> backend.Torch:
    return backend.Torch(DEMO_WEIGHTS, architecture_of(DEMO_CONFIG), batch=batch, precision=precision, threads=1, on=on)


def relative(ours: torch.Tensor, reference: torch.Tensor) -> float:
    return float((ours.float() - reference).abs().max() / reference.abs().max())


def images(batch: int, height: int = 128, width: int = 192) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("tuned", "said"), [(False, "--decode_on device is for CUDA GPUs"), (True, "--tune has cuDNN try its kernels")]
)
def test_what_needs_a_gpu_is_refused_where_there_is_none(tuned: bool, said: str):
    with pytest.raises(UserError, match=rf"^{said}, torch computes on CPU \(.*; (give|omit)"):
        backend.Torch(DEMO_WEIGHTS, architecture_of(DEMO_CONFIG), batch=1, keeps_maps=not tuned, tuned=tuned)


def test_the_fused_network_computes_the_same(demo: network.HigherHRNet):
    fused = fusion.fuse(demo)
    with torch.inference_mode():
        for ours, theirs in zip(fused(images(2)), demo(images(2)), strict=True):
            assert relative(ours, theirs) < 1e-5  # folding rounds the weights once more


def test_nothing_is_left_to_fuse(demo: network.HigherHRNet):
    """All ReLUs but those of the exchanges' sums of three and more, and of the transposed convolution."""
    fused = fusion.fuse(demo)
    layers = {n: fused.get_submodule(str(n.target)) for n in fused.graph.nodes if n.op == "call_module"}
    called = list(layers.values())
    assert not any(isinstance(m, (torch.nn.BatchNorm2d, torch.nn.Identity)) for m in called)
    for node, layer in layers.items():
        if isinstance(layer, torch.nn.ReLU):
            assert not isinstance(layers.get(node.args[0]), torch.nn.Conv2d), node
    convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in demo.modules())
    assert sum(isinstance(m, fusion.ConvSumReLU) for m in called) > 0.6 * convolutions
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in demo.modules()), "the network itself was changed"


class OnCuda(torch.Tensor):
    """Memory of the CPU that says it is a GPU's."""

    is_cuda = True


@pytest.mark.parametrize(
    "said",
    ["FIND was unable to find an engine to execute this computation", "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"],
)
@pytest.mark.parametrize("captures", [False, True])
def test_what_cudnn_has_no_kernel_for_takes_several_but_never_in_a_capture(
    said: str, captures: bool, monkeypatch: pytest.MonkeyPatch
):
    conv = torch.nn.Conv2d(3, 4, 3)
    layer, x, tried = fusion.ConvSumReLU(conv), torch.randn(1, 3, 8, 8).as_subclass(OnCuda), []

    def refuses(*_: object) -> None:
        tried.append(1)
        raise RuntimeError(said)

    monkeypatch.setattr(layer, "_in_one_call", refuses)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: captures)
    with torch.inference_mode():
        if captures:
            with pytest.raises(RuntimeError, match=said):
                layer(x)
            return
        for _ in range(2):
            assert torch.equal(layer(x), torch.relu(conv(x)))
    assert len(tried) == 1, "what it has no kernel for is not asked for again"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_prepared_networks_are_channels_last_and_of_their_precision(demo: network.HigherHRNet, precision: str):
    prepared = backend.prepare(demo, precision)
    weights = [p for p in prepared.parameters() if p.ndim == 4]
    assert {str(p.dtype) for p in prepared.parameters()} == {f"torch.{precision}"}
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    x = images(1).to(dtype=getattr(torch, precision), memory_format=torch.channels_last)
    with torch.inference_mode():
        for ours, theirs in zip(prepared(x), demo(images(1)), strict=True):
            assert ours.is_contiguous(memory_format=torch.channels_last)
            assert relative(ours, theirs) < backend.TOLERANCES[precision]


@pytest.mark.slow
def test_both_slots_give_their_own_batch(demo: network.HigherHRNet):
    runner = made(batch=2).open((128, 192))
    batches = images(4).numpy().reshape(2, 2, 3, 128, 192)
    for slot in (0, 1):
        runner.sources[slot][:] = batches[slot]
        runner.launch(slot)
    for slot in (0, 1):
        taken = runner.wait(slot)
        assert 0 < taken.execute <= taken.infer
        with torch.inference_mode():
            expected = demo(torch.from_numpy(batches[slot]))
        for ours, theirs in zip(runner.results[slot], expected, strict=True):
            assert relative(torch.from_numpy(ours), theirs) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_images_fits_batches_of_three(demo: network.HigherHRNet, tmp_path: Path, count: int):
    """One batch that is not full, one short of full, full, and two and a rest: more than there are slots."""
    entries = []
    for index, image in enumerate(images(count, 64, 64).numpy()):
        entries.append(info.Entry(tmp_path / f"{index:012d}.bin", width=64, height=64))
        image.tofile(entries[-1].path)
    (tmp_path / "dumps").mkdir()
    done: list[int] = []
    run = backend.Torch(
        DEMO_WEIGHTS, architecture_of(DEMO_CONFIG), batch=3, precision="float32", threads=1, done=done.append
    )
    text = run.run(Work((64, 64), entries, tmp_path / "dumps"))[64, 64]
    assert perf.parse(text, Path("x")) > 0
    assert done == [min(3, count - i) for i in range(0, count, 3)]
    assert len(list((tmp_path / "dumps").iterdir())) == 2 * count
    with torch.inference_mode():
        expected = demo(images(count, 64, 64))
    for index in range(count):
        pair = dumps.BENCHMARK.paths(tmp_path / "dumps", index)
        for file, output in zip(pair, expected, strict=True):
            shape = output.shape[1:]
            assert relative(torch.from_numpy(np.fromfile(file, np.float32).reshape(shape)), output[index]) < 1e-4


@pytest.mark.slow
def test_the_dumps_are_onnxruntime_s(
    tiny_inputs: Path, tiny_onnx: Path, tiny_weights: Path, script: Script, tmp_path: Path
):
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip", "--threads", 1)
    for name, model, more in (
        ("onnxruntime", tiny_onnx, ()),
        ("torch", tiny_weights, ("--precision", "float32")),  # on a GPU too
    ):
        outcome = script(
            *("HigherHRNet_benchmark", "--backend", name, "--model", model, *lists, "--cfg", TINY_CONFIG),
            *("--result", tmp_path / name, *more),
        )
        assert outcome.status == 0, outcome
    for folder in ("dumpOutput_device0_bs1", "dumpOutput_device0_bs1_flip"):
        files = sorted((tmp_path / "onnxruntime" / folder).glob("*.bin"))
        assert len(files) == 14
        for file in files:
            reference, ours = (np.fromfile(f, np.float32) for f in (file, tmp_path / "torch" / folder / file.name))
            np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-4 * np.abs(reference).max())
    assert len(list((tmp_path / "torch").glob("perf_vision_batchsize_1_device_0_*.txt"))) == 5


@pytest.mark.slow
def test_a_precision_that_is_not_enough_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(backend.TOLERANCES, "bfloat16", 1e-3)
    with pytest.raises(UserError, match=r"torch cpu bfloat16 differs .* expected at most 0\.001; give another"):
        made("bfloat16", on="cpu")


def test_wrong_models_and_flags_are_named(tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip")

    def call(*arguments: object) -> str:
        outcome = script("HigherHRNet_benchmark", *lists, *arguments, "--cfg", TINY_CONFIG)
        return error(outcome)

    assert "models holds no checkpoints; give one with --model" in call("--backend", "torch")
    assert "runs a checkpoint (.pth), but --model is" in call("--backend", "torch", "--model", tiny_onnx)
    assert "--auto_tune is for --backend benchmark or ascend or ais_bench" in call("--backend", "torch", "--auto_tune")
    assert "do not fit the config's network" in call("--backend", "torch", "--model", DEMO_WEIGHTS)
    model = (*CPU, "--model", tiny_onnx)
    assert "--precision is for --backend torch" in call(*model, "--precision", "float16")
    known = ", ".join(sorted(name.removesuffix("ExecutionProvider").lower() for name in get_available_providers()))
    assert f"--providers None: this onnxruntime has {known}" in call(*model, "--providers", "None,CPU")
    torch_ = ("--backend", "torch", "--model", DEMO_WEIGHTS)
    assert "--providers is for --backend onnxruntime" in call(*torch_, "--providers", "CPU")


def test_the_cpu_s_provider_may_be_named(tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path):
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip")
    outcome = script(
        *("HigherHRNet_benchmark", *lists, *CPU, "--model", tiny_onnx, "--providers", "cpu"),
        *("--cfg", TINY_CONFIG),
        *("--threads", 1, "--result", tmp_path),
    )
    assert outcome.status == 0, outcome


# On a GPU


@on_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_captured_graph_gives_the_network_s_outputs(
    demo: network.HigherHRNet, precision: str, batch: int, monkeypatch: pytest.MonkeyPatch
):
    """What a fused call allocates holds NaN, at each replay too: one that reads what nobody wrote shows."""
    real = fusion.ConvSumReLU._in_one_call

    def dirtied(layer: fusion.ConvSumReLU, x: torch.Tensor, z: torch.Tensor | None) -> torch.Tensor:
        like = torch.nn.functional.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation)
        dirty = [torch.full_like(like, torch.nan) for _ in range(2)]
        del dirty, like
        return real(layer, x, z)

    monkeypatch.setattr(fusion.ConvSumReLU, "_in_one_call", dirtied)
    run = made(precision, batch)
    assert run.name == f"torch cuda {precision}"
    for shape in ((256, 320), (512, 512)):
        runner = run.open(shape)
        for slot in (0, 1, 0):  # replays take new input
            source = images(batch, *shape) * (1 + slot)
            runner.sources[slot][:] = source.numpy()
            runner.launch(slot)
            taken = runner.wait(slot)
            assert 0 < taken.execute <= taken.infer
            with torch.inference_mode():
                expected = demo(source)
            for ours, theirs in zip(runner.results[slot], expected, strict=True):
                assert relative(torch.from_numpy(ours), theirs) < backend.TOLERANCES[precision]


@on_gpu
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(UserError, match="GPU 99 is not there"):
        backend.Torch(DEMO_WEIGHTS, architecture_of(DEMO_CONFIG), batch=1, devices=(99,))
