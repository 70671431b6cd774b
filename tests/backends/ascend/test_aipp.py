"""uint8 inputs that the device normalises."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import claim, inputs
from higherhrnet.artifacts.work import InputsWork
from higherhrnet.image import transform
from tests.support.ascend_host import Host, dump_bytes, prepare
from tests.support.programs import CPU, FLIP, PLAIN

pytestmark = pytest.mark.slow

WIDE = "128x192"


@pytest.fixture(scope="module")
def pixel_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_inputs`` with --aipp; not to be changed."""
    work = tmp_path_factory.mktemp("pixels")
    prepare(work, "--aipp")
    return work


@pytest.fixture
def pixels(bare_host: Host, pixel_inputs: Path) -> Host:
    """A host whose lists name uint8 inputs."""
    for file in pixel_inputs.glob("*.info"):
        shutil.copy(file, bare_host.directory)
    bare_host.only(WIDE)
    return bare_host


def test_inputs_are_a_quarter_of_the_bytes_and_the_same_pixels(small_inputs: Path, pixel_inputs: Path):
    for tree in ("bins", "bins_flip"):
        made = claim.read(pixel_inputs / tree, InputsWork)
        assert made is not None
        assert made.work.dtype == inputs.UINT8
        small = inputs.find(pixel_inputs / tree, inputs.UINT8)
        for one, other in zip(small, inputs.find(small_inputs / tree), strict=True):
            assert 4 * one.path.stat().st_size == other.path.stat().st_size
            image = np.fromfile(one.path, np.uint8).reshape(*one.shape, 3)
            tensor = np.fromfile(other.path, np.float32).reshape(3, *other.shape)
            np.testing.assert_array_equal(transform.normalise(image), tensor)


def test_onnxruntime_normalises_them_to_the_same_bytes(pixels: Host, expected: Path):
    outcome = pixels.benchmark(*CPU)
    assert outcome.status == 0, outcome.err
    pixels.same_as(expected)


@pytest.mark.parametrize("backend", ["benchmark", "ais_bench"])
def test_the_device_normalises_them(pixels: Host, expected: Path, backend: str):
    pixels.install_benchmark()
    outcome = pixels.benchmark("--backend", backend, "--aipp")
    assert outcome.status == 0, outcome.err
    (atc,) = pixels.calls("atc")
    assert "--insert_op_conf=models/tiny_bs1_dynamic_aipp.cfg" in atc
    assert "--output=models/tiny_bs1_dynamic_aipp" in atc
    for name in (PLAIN, FLIP):
        for file, content in dump_bytes(pixels.result / name).items():
            reference = np.frombuffer((expected / name / file).read_bytes(), np.float32)
            found = np.frombuffer(content, np.float32)
            # The stand-in normalises in another order than the table: roundings of float32 inputs.
            np.testing.assert_allclose(found, reference, rtol=0, atol=1e-4 * np.abs(reference).max())


def test_changed_normalisation_converts_again(pixels: Host, monkeypatch: pytest.MonkeyPatch):
    pixels.install_benchmark()
    assert pixels.benchmark("--aipp", "--convert_only").status == 0
    assert "atc " not in pixels.benchmark("--aipp", "--print_commands").out
    monkeypatch.setattr("higherhrnet.backends.ascend.aipp.MEAN", (0.5, 0.5, 0.5))
    assert "atc " in pixels.benchmark("--aipp", "--print_commands").out


def test_inputs_and_om_must_agree(pixels: Host):
    pixels.install_benchmark()
    outcome = pixels.benchmark("--backend", "benchmark")
    assert "inputs in ./prep_bin_HxW.info are uint8, an .om without --aipp takes float32" in outcome.err


def test_the_trees_do_not_mix(small_inputs: Path, pixel_inputs: Path, bare_host: Host):
    shutil.copy(small_inputs / f"prep_bin_flip_{WIDE}.info", bare_host.directory)
    shutil.copy(pixel_inputs / f"prep_bin_{WIDE}.info", bare_host.directory)
    bare_host.only(WIDE)
    outcome = bare_host.benchmark(*CPU)
    assert "the plain inputs are uint8, the flipped ones float32" in outcome.err
    data = small_inputs / "data/coco"
    trees = ("--output", pixel_inputs / "bins", "--output_flip", pixel_inputs / "bins_flip")
    outcome = bare_host.script("HigherHRNet_preprocess", *trees, "DATASET.ROOT", data, "DATASET.INPUT_SIZE", 128)
    assert "dtype" in outcome.err
