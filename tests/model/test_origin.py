"""model/origin: an .onnx of another network, or of a checkpoint that has changed, is named."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import onnx
import pytest

from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph, origin
from higherhrnet.model.architecture import Architecture
from tests.support.datasets import TINY_CONFIG

CONFIG = loader.load(TINY_CONFIG)
TINY = Architecture.from_extra(CONFIG.extra, CONFIG.heads)


def with_metadata(source: Path, target: Path, **changes: str | None) -> Path:
    """A copy of an .onnx with other metadata; None removes an entry."""
    model = onnx.load(source)
    kept = {entry.key: entry.value for entry in model.metadata_props} | changes
    del model.metadata_props[:]
    for key, value in kept.items():
        if value is not None:
            model.metadata_props.add(key=key, value=value)
    onnx.save(model, target)
    return target


def test_the_file_says_what_it_is_of(tiny_onnx: Path, tiny_weights: Path):
    graph = onnx_graph.read(tiny_onnx)
    assert json.loads(graph.metadata["architecture"]) == json.loads(json.dumps(asdict(TINY)))
    width, deconv = TINY.stages[-1].channels[0], TINY.deconv_channels
    assert graph.weights == {"output1": (34, width, 1, 1), "output2": (17, deconv, 1, 1)}
    origin.check(tiny_onnx, TINY, TINY_CONFIG)
    assert origin.is_ours(tiny_onnx)
    assert not origin.is_ours(tiny_weights)


@pytest.mark.parametrize(("key", "int8"), [("quantization", True), (origin.FLOAT16_OF, False)])
def test_what_is_made_of_an_export_is_no_export(tiny_onnx: Path, tmp_path: Path, key: str, int8: bool):
    """It keeps its metadata; the one command does not write over the other's file."""
    made = with_metadata(tiny_onnx, tmp_path / "made.onnx", **{key: "..."})
    assert not origin.is_ours(made)
    assert origin.is_ours(made, int8=True) == int8
    assert not origin.is_ours(tiny_onnx, int8=True)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (True, "another deconv_channels ({found}, not {wanted})"),
        (False, "{found} channels instead of {wanted} in the deconvolution"),
    ],
)
def test_another_network_is_refused_by_what_differs(tiny_onnx: Path, tmp_path: Path, told: bool, said: str):
    model = tiny_onnx if told else with_metadata(tiny_onnx, tmp_path / "foreign.onnx", architecture=None, made_by=None)
    other = replace(TINY, deconv_channels=TINY.deconv_channels + 8)
    said = said.format(found=TINY.deconv_channels, wanted=other.deconv_channels)
    with pytest.raises(UserError, match=f"is of another network than config .*: {re.escape(said)}; give the --cfg or"):
        origin.check(model, other, TINY_CONFIG)
    origin.check(model, TINY, TINY_CONFIG)


def test_damaged_metadata_are_named(tiny_onnx: Path, tmp_path: Path):
    model = with_metadata(tiny_onnx, tmp_path / "damaged.onnx", architecture="{")
    with pytest.raises(UserError, match="its metadata are damaged"):
        origin.check(model, TINY, TINY_CONFIG)


def test_a_changed_checkpoint_makes_its_export_stale(tiny_onnx: Path, tiny_weights: Path, tmp_path: Path):
    model = tmp_path / "tiny_bs1_dynamic.onnx"
    model.write_bytes(tiny_onnx.read_bytes())
    assert origin.stale(model) == "", "no checkpoint beside it"
    beside = tmp_path / "tiny.pth"
    beside.write_bytes(tiny_weights.read_bytes())
    assert origin.stale(model) == ""
    beside.write_bytes(b"another")
    assert "tiny.pth has changed since" in origin.stale(model)
