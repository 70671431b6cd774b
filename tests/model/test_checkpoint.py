"""Checkpoints: forms that load, and files that are refused without running anything in them."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from higherhrnet.errors import UserError
from higherhrnet.model import checkpoint, network
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build
from tests.support.programs import Outcome, error


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


def test_export_refuses_what_does_not_fit(tmp_path: Path, tiny_weights: Path, script: Callable[..., Outcome]):
    outcome = script("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--output", tmp_path / "x.onnx")
    error(outcome)
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


def test_no_code_in_a_checkpoint_runs(tmp_path: Path, script: Callable[..., Outcome]):
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    outcome = script("HigherHRNet_pth2onnx", "--weights", tmp_path / "evil.pth")
    assert "nothing was unpickled" in error(outcome)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read weights"),
        (b"", "not a checkpoint that loads as plain tensors: it is empty; give the .pth file itself"),
        (b"PK\x03\x04broken", "not a checkpoint that loads as plain tensors: 10 bytes or more that PyTorch"),
        (b"<!DOCTYPE html><title>Google Drive - Virus scan warning", "it is a web page, as of a download that asks"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "it is a Git LFS pointer, whose file was not"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"a": {"dtype": "F32"}}', "it is a safetensors file"),
        (b"\x1f\x8b\x08\0\0", "it is an archive, to be unpacked first"),
        (b"\x89HDF\r\n", "it is an HDF5 file"),
        (b'{"model": 1}', "it is a JSON file"),
        (b"\x08\x07\x12\x07pytorch", "it is an ONNX model"),
    ],
)
def test_broken_checkpoints_are_named(tmp_path: Path, script: Callable[..., Outcome], content, message):
    path = tmp_path / "broken.pth"
    if content is not None:
        path.write_bytes(content)
    outcome = script("HigherHRNet_pth2onnx", "--weights", path)
    assert message in error(outcome)
    assert str(path) in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_zip_with_a_checkpoint_in_it_is_to_be_unpacked(tmp_path: Path, tiny: network.HigherHRNet):
    torch.save(tiny.state_dict(), tmp_path / "own.pth")
    with zipfile.ZipFile(tmp_path / "packed.pth", "w") as archive:
        archive.write(tmp_path / "own.pth", "own.pth")
    with pytest.raises(UserError, match="it is an archive, to be unpacked first"):
        checkpoint.load(tmp_path / "packed.pth", tiny)


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


Script = Callable[..., Outcome]


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


def test_a_parameter_under_two_names_is_refused(tmp_path: Path):
    net = build(TINY_CONFIG)
    state = net.state_dict()
    torch.save({**state, "module.bn1.weight": state["bn1.weight"] + 1}, tmp_path / "c.pth")
    with pytest.raises(UserError, match="under two names"):
        checkpoint.load(tmp_path / "c.pth", net)


def test_numbers_of_numpy_are_no_obstacle(tmp_path: Path, tiny: network.HigherHRNet):
    """What training leaves beside the weights: the best AP so far, for example."""
    numbers = {"best_perf": np.float64(0.67), "lr": np.float32(1e-3), "epoch": np.int64(3), "done": np.bool_(True)}
    torch.save({"state_dict": tiny.state_dict(), **numbers}, tmp_path / "c.pth")
    loaded = build(TINY_CONFIG)
    checkpoint.load(tmp_path / "c.pth", loaded)
    assert checkpoint.joints(tmp_path / "c.pth") == 17
    # As NumPy 1 names them.
    torch.save({"state_dict": tiny.state_dict(), **numbers}, tmp_path / "o.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "o.pth").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "o.pth").write_bytes(old)
    checkpoint.load(tmp_path / "o.pth", loaded)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            torch.nn.Linear(1, 1),
            "it holds a torch.nn.modules.linear.Linear, which is no tensor, and nothing was unpickled",
        ),
        ({"args": argparse.Namespace(lr=1)}, r"it holds a argparse.Namespace, .* torch.save\(model.state_dict\(\)"),
        ({"conv1.weight": np.zeros(3)}, "it holds arrays of NumPy, as PaddlePaddle's .pdparams do"),
    ],
)
def test_what_a_file_holds_beside_tensors_is_named(tmp_path: Path, tiny: network.HigherHRNet, content, message: str):
    torch.save(content, tmp_path / "whole.pth")
    with pytest.raises(UserError, match=message) as caught:
        checkpoint.load(tmp_path / "whole.pth", tiny)
    assert "\x1b" not in str(caught.value)
