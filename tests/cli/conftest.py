"""Fixtures of the tests of commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.datasets import TINY_CONFIG
from tests.support.programs import CPU, main_of


@pytest.fixture(scope="session")
def result(tiny_inputs: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result directory of a whole run; not to be changed."""
    path = tmp_path_factory.mktemp("result")
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    run = main_of("HigherHRNet_benchmark")
    run(
        [
            *lists,
            *CPU,
            "--model",
            str(tiny_onnx),
            "--cfg",
            str(TINY_CONFIG),
            "--result",
            str(path),
        ]
    )
    return path


@pytest.fixture
def work(result: Path, tmp_path: Path) -> Path:
    """A copy of ``result`` to spoil."""
    shutil.copytree(result, tmp_path / "work")
    return tmp_path / "work"
