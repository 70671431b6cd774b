"""Models found by their batch size."""

from __future__ import annotations

from pathlib import Path

import pytest

from higherhrnet.artifacts import models
from higherhrnet.errors import UserError


def test_the_one_model_of_a_batch_is_found(tmp_path: Path):
    for name in ("a_bs1_dynamic.onnx", "b_bs4_dynamic.onnx", "c_bs4_dynamic.onnx", "d_bs-1_dynamic.onnx"):
        (tmp_path / name).touch()
    assert models.find_onnx(tmp_path, 1).name == "a_bs1_dynamic.onnx"
    assert models.find_onnx(tmp_path, 2).name == "d_bs-1_dynamic.onnx", "a dynamic batch serves any size"
    with pytest.raises(UserError, match="2 models of batch size 4"):
        models.find_onnx(tmp_path, 4)
    with pytest.raises(UserError, match=r"holds no \*_bs1_dynamic.onnx"):
        models.find_onnx(tmp_path / "none", 1)
