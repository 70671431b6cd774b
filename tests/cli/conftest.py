"""Fixtures of the tests of commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def work(tiny_result: Path, tmp_path: Path) -> Path:
    """A copy of ``tiny_result`` to spoil."""
    shutil.copytree(tiny_result, tmp_path / "work")
    return tmp_path / "work"
