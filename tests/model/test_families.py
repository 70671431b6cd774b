"""Checkpoints as their authors' code saves them: every parameter finds its place, and what does not belong is named.

tests/data/families/ holds the names and shapes that each code gives a W32 network of 17 joints, with its commit.
"""

from __future__ import annotations

import gzip
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from higherhrnet.errors import UserError
from higherhrnet.model import checkpoint, families, network
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.networks import architecture_of, build
from tests.support.programs import Outcome

Script = Callable[..., Outcome]

SAID = {
    "official": "official checkpoint of W32, 17 joints",
    "swahr": "SWAHR checkpoint of W32, 17 joints; 18 parameters that feed nothing at test time dropped: "
    "conv_scale_layers.*",
    "mmpose": "mmpose 0.x checkpoint of W32, 17 joints",
    "paddle": "PaddleDetection checkpoint of W32, 17 joints",
    "paddle_swahr": "PaddleDetection checkpoint of W32, 17 joints; 16 parameters that feed nothing at test time "
    "dropped: hrhrnet_head.scalelayer.*",
}


def table(name: str) -> list[tuple[str, tuple[int, ...], str]]:
    """A family's parameters: name, shape, official name."""
    with gzip.open(ROOT / f"tests/data/families/{name}.txt.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [(row[0], tuple(int(n) for n in row[1].split("x") if n != "scalar"), row[2]) for row in rows]


@pytest.mark.parametrize("name", SAID)
def test_every_parameter_of_a_family_finds_its_place(name: str):
    rows = table(name)
    found = families.recognise({key: torch.empty(shape, device="meta") for key, shape, _ in rows}, "x.pth")
    assert str(found) == SAID[name]
    assert {key: tuple(value.shape) for key, value in found.state.items()} == {
        official: shape for _, shape, official in rows if official != "-"
    }
    assert found.dropped == tuple(key for key, _, official in rows if official == "-")
    with torch.device("meta"):
        expected = network.HigherHRNet(architecture_of()).state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    assert found.state.keys() >= expected.keys() - counters
    assert all(tuple(found.state[key].shape) == tuple(expected[key].shape) for key in expected.keys() - counters)


def saved_as(name: str, state: dict[str, Tensor], path: Path, more: dict[str, Any] | None = None) -> Path:
    """Write official parameters as a family's code does, with what it adds, and ``more`` among them."""
    theirs: dict[str, Any] = {}
    for key, shape, official in table(name):
        if official == "-":
            theirs[key] = torch.full(shape, 0.5)
        elif official in state:
            theirs[key] = state[official]
    theirs |= more or {}
    path = path.with_suffix(".pdparams" if name.startswith("paddle") else ".pth")
    if path.suffix == ".pdparams":
        names = {key: f"conv2d_{i}.w_0" for i, key in enumerate(theirs)}
        arrays = {key: value.numpy() if isinstance(value, Tensor) else value for key, value in theirs.items()}
        path.write_bytes(pickle.dumps({**arrays, "StructuredToParameterName@@": names}, protocol=4))
    elif name == "mmpose":
        torch.save({"meta": {"epoch": 300}, "state_dict": theirs, "optimizer": {"state": {}}}, path)
    else:
        torch.save(theirs, path)
    return path


@pytest.mark.parametrize("name", SAID)
def test_a_file_of_each_family_fills_the_same_network(name: str, tmp_path: Path, tiny: network.HigherHRNet):
    state = tiny.state_dict()
    loaded = build(TINY_CONFIG)
    found = checkpoint.load(saved_as(name, state, tmp_path / "c"), loaded)
    assert found.describe() == "W4, 17 joints"
    for key, value in loaded.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, state[key]), key


@pytest.mark.slow
def test_the_exported_network_gives_the_official_layout_s_outputs(
    tmp_path: Path, tiny_weights: Path, tiny_onnx: Path, script: Script
):
    weights = saved_as("paddle_swahr", torch.load(tiny_weights), tmp_path / "theirs")
    outcome = script(
        "HigherHRNet_pth2onnx", "--weights", weights, "--cfg", TINY_CONFIG, "--output", tmp_path / "theirs.onnx"
    )
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(f"{weights}: PaddleDetection checkpoint of W4, 17 joints; 16 parameters that feed ")
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 96), dtype=np.float32)
    outputs = [
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"input": image})
        for file in (tmp_path / "theirs.onnx", tiny_onnx)
    ]
    for found, expected in zip(*outputs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_wrappers_do_not_matter(tmp_path: Path, tiny: network.HigherHRNet):
    state = tiny.state_dict()
    forms = {
        "model": {"model": state, "epoch": 3},
        "net": {"net": state},
        "model_state_dict": {"model_state_dict": state},
        "compiled": {f"_orig_mod.{k}": v for k, v in state.items()},
        "lightning": {"state_dict": {f"model.{k}": v for k, v in state.items()}, "pytorch-lightning_version": "2"},
        "all": {"state_dict": {f"module.model.net._orig_mod.1.{k}": v for k, v in state.items()}},
    }
    for name, form in forms.items():
        torch.save(form, tmp_path / f"{name}.pth")
        loaded = build(TINY_CONFIG)
        assert str(checkpoint.load(tmp_path / f"{name}.pth", loaded)) == "official checkpoint of W4, 17 joints"
        assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items()), name


@pytest.mark.parametrize("name", SAID)
def test_truncated_and_wrong_files_are_one_line(name: str, tmp_path: Path, tiny: network.HigherHRNet):
    path = saved_as(name, tiny.state_dict(), tmp_path / "c")
    other = build(TINY_CONFIG, "MODEL.TAG_PER_JOINT", "False")
    with pytest.raises(UserError, match="checkpoint of W4, 17 joints; give the matching --cfg or weights") as refused:
        checkpoint.load(path, other)
    assert f"weights {path} do not fit the config's network: " in str(refused.value)
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 3, 40):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="nothing was unpickled") as refused:
            checkpoint.load(path, tiny)
        assert "\n" not in str(refused.value)


def refusal(path: Path, network: network.HigherHRNet) -> str:
    """The one line about a file."""
    with pytest.raises(UserError) as refused:
        checkpoint.load(path, network)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def w32() -> network.HigherHRNet:
    """Shapes alone."""
    with torch.device("meta"):
        return network.HigherHRNet(architecture_of())


@pytest.mark.parametrize("name", SAID)
def test_a_file_of_another_width_is_one_line(
    name: str, tmp_path: Path, tiny: network.HigherHRNet, w32: network.HigherHRNet
):
    said = refusal(saved_as(name, tiny.state_dict(), tmp_path / "c"), w32)
    assert "do not fit the config's network: " in said
    assert "of another shape: " in said
    assert said.endswith("checkpoint of W4, 17 joints; give the matching --cfg or weights")


SIGNS = {
    "official": "conv1.weight",
    "swahr": "conv_scale_layers.0.0.weight",
    "mmpose": "keypoint_head.final_layers.1.weight",
    "paddle": "hrhrnet_head.conv2.weight",
}
"""A parameter of each; SWAHR's are the official ones and more."""
MIXED = [
    (name, other)
    for name in SAID
    for other in SIGNS
    if not name.startswith(other) and {name, other} != {"official", "swahr"}
]


@pytest.mark.parametrize(("name", "other"), MIXED)
def test_parameters_of_two_families_in_a_file_are_one_line(
    name: str, other: str, tmp_path: Path, tiny: network.HigherHRNet
):
    said = refusal(saved_as(name, tiny.state_dict(), tmp_path / "c", {SIGNS[other]: torch.ones(17, 4, 1, 1)}), tiny)
    assert re.search(r"\d+ of \d+ parameters are none of a (mmpose 0.x|PaddleDetection) checkpoint: ", said), said
    assert said.endswith("; save one network's state_dict")


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", SAID)
@pytest.mark.slow
def test_hostile_files_of_each_family_are_one_line_and_run_nothing(
    name: str, tmp_path: Path, tiny: network.HigherHRNet
):
    state, ran = tiny.state_dict(), tmp_path / "ran"
    said = refusal(saved_as(name, state, tmp_path / "c", {"extra": Payload(ran)}), tiny)
    assert "nothing was unpickled" in said or "wants to call posix.mkdir" in said
    assert not ran.exists()
    for value in (torch.ones(()), torch.ones(0, 4, 1, 1), torch.ones(17)):
        strange = {"final_layers.1.weight": value}
        assert "do not fit the config's network" in refusal(saved_as(name, {**state, **strange}, tmp_path / "c"), tiny)
    endless = {"final_layers.1.weight": torch.full((17, 4, 1, 1), torch.inf)}
    assert "hold NaN or infinity" in refusal(saved_as(name, {**state, **endless}, tmp_path / "c"), tiny)


def test_the_config_that_fits_is_named():
    rows = table("mmpose")
    wide = {k: torch.empty([2 * n if i < 2 else n for i, n in enumerate(s)], device="meta") for k, s, _ in rows}
    wide["keypoint_head.final_layers.0.weight"] = torch.empty(34, 48, 1, 1, device="meta")
    wide["keypoint_head.final_layers.1.weight"] = torch.empty(17, 48, 1, 1, device="meta")
    found = families.recognise(wide, "x.pth")
    assert found.brief == "mmpose 0.x checkpoint of W48, 17 joints"
    assert found.remedy == "give --cfg experiments/coco/higher_hrnet/w48_640_adam_lr1e-3.yaml, or other weights"
    assert all((ROOT / config).is_file() for config in families._CONFIGS.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {**s, "conv1.weight": torch.ones(1)}, "1 of 1811 parameters are none of a mmpose 0.x checkpoint"),
        (lambda s: {**s, "keypoint_head.final_layer.weight": torch.ones(1)}, "HRNet with one head"),
        (lambda s: {**s, "head.final_layer.weight": torch.ones(1)}, "mmpose 1.x's AE-HRNet"),
        (lambda s: {**s, "module.backbone.conv1.weight": torch.ones(1)}, "under two names"),
    ],
)
def test_mixtures_and_other_networks_are_named(change: Callable, words: str):
    state = {key: torch.empty(shape, device="meta") for key, shape, _ in table("mmpose")}
    with pytest.raises(UserError, match=words):
        families.recognise(change(state), "x.pth")
