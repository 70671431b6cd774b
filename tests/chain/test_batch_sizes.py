"""Batch sizes other than 1: through export, ATC's arguments, the tools and the performance files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import perf
from tests.support.ascend_host import Host
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import CPU, Outcome, error

Script = Callable[..., Outcome]


def test_export_makes_a_file_a_batch_size(
    tiny_weights: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    export = ("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--cfg", TINY_CONFIG)
    assert script(*export, "--bs", "1,2").out.count("nodes, opset 11") == 2
    assert sorted(f.name for f in Path("models").iterdir()) == ["tiny_bs1_dynamic.onnx", "tiny_bs2_dynamic.onnx"]
    outcome = script(*export, "--bs", "1,2", "--output", "x.onnx")
    assert "--output names one file, --bs 2 batch sizes" in error(outcome)


@pytest.mark.parametrize("backend", ["benchmark", "ais_bench"])
def test_the_ascend_tools_run_every_size(
    bare_host: Host,
    tiny_onnx_of_any_batch: Path,
    backend: str,
):
    """From one .onnx of a dynamic batch; of three images a shape, the second batch of two is partial."""
    for file in (bare_host.directory / "models").iterdir():
        file.unlink()
    shutil.copy(tiny_onnx_of_any_batch, bare_host.directory / "models")
    bare_host.install_benchmark()
    bare_host.only("128x128", "128x192")
    outcome = bare_host.benchmark("--bs", "1,2", "--backend", backend, "--soc_version", "310P3")
    assert outcome.status == 0, outcome
    shapes = [a for call in bare_host.calls("atc") for a in call if a.startswith("--input_shape=")]
    assert shapes == ["--input_shape=input:1,3,-1,-1", "--input_shape=input:2,3,-1,-1"]
    found = {(p.batch, p.shape) for p in perf.find(bare_host.result)}
    assert found == {(batch, shape) for batch in (1, 2) for shape in ((128, 128), (128, 192))}
    for suffix in ("", "_flip"):
        ones = sorted((bare_host.result / f"dumpOutput_device0_bs1{suffix}").glob("*.bin"))
        assert len(ones) > 6
        for file in ones:
            one, two = (
                np.fromfile(f, np.float32)
                for f in (file, bare_host.result / f"dumpOutput_device0_bs2{suffix}" / file.name)
            )
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-5 * np.abs(one).max())
    out = bare_host.script("HigherHRNet_performance", "--bs", "1,2").out
    assert "bs1 device 0" in out
    assert "bs2 device 0" in out


def test_a_size_without_a_model_is_refused_before_the_others_run(bare_host: Host):
    outcome = bare_host.benchmark("--bs", "1,8", *CPU)
    assert "models holds no *_bs8_dynamic.onnx" in error(outcome)
    assert not bare_host.result.exists()


def test_the_originals_flags(tiny_data: Path, tiny_weights: Path, script: Script, tmp_path: Path, monkeypatch):
    """Preprocessing without directories, --onnx_path with ModelZoo's nodes, --benchmark True, and lists left empty."""
    monkeypatch.chdir(tmp_path)
    tiny = ("--cfg", TINY_CONFIG)
    assert script("HigherHRNet_preprocess", "--workers", 1, *tiny, "DATASET.ROOT", tiny_data).status == 0
    for tree, name in (("prep_data", "prep_bin"), ("prep_data_flip", "prep_bin_flip")):
        assert script("gen_dataset_info", "bin", tree, name).status == 0
    assert "cannot read weights model_best.pth.tar" in error(script("HigherHRNet_pth2onnx", *tiny))
    Path("models").mkdir()
    onnx_path = "models/a_bs1_dynamic.onnx"
    assert script("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--onnx_path", onnx_path, *tiny).status == 0
    assert {"Conv_770", "Conv_795"} < {node.name for node in onnx.load(onnx_path).graph.node}
    Path("prep_bin_128x9984.info").touch()  # as the original lists a shape without images
    outcome = script("HigherHRNet_performance", "--benchmark", "True", *tiny)
    assert outcome.status == 0, outcome.err
    assert "backend onnxruntime" in outcome.out
    assert "avg" in outcome.out
    assert [path.name for path in Path("result").glob("dump*")] == ["dumpOutput_device0_bs1"]
