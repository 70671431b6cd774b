"""ais_bench's summary of one call over all shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.artifacts import perf
from higherhrnet.errors import UserError

MADE: dict[str, Any] = {
    "filesinfo": {str(i): {"infiles": [f"{i}.npy"], "outfiles": []} for i in range(3)},
    "npu_compute_time_list": [4.0, 10.0, 6.0],
    "args": ["-m", "--model=x.om", "--device", "2"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, shape in enumerate(((1, 3, 8, 8), (1, 3, 8, 16), (1, 3, 8, 8))):
        np.save(f"{i}.npy", np.zeros(shape, np.float32))
    return tmp_path


def written(**changes: Any) -> Path:
    file = Path("out_summary.json")
    file.write_text(json.dumps(MADE | changes))
    return file


def test_images_per_second_by_shape(folder: Path):
    """4 and 6 ms, and 10 ms."""
    found = perf.find(written())
    assert [(one.shape, one.images_per_second, one.batch, one.device) for one in found] == [
        ((8, 8), 200.0, 1, 2),
        ((8, 16), 100.0, 1, 2),
    ]
    assert perf.find(written(args=["--device=1"]))[0].device == 1
    assert perf.find(written(args=None))[0].device == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"npu_compute_time_list": [1.0, 2.0]}, "found 2 times of 3 inputs, expected one each"),
        ({"npu_compute_time_list": [1.0, 2.0, -1]}, "expected one each"),
        ({"npu_compute_time_list": [[1.0, 2.0]] * 3}, "expected one each"),
        ({"filesinfo": {}}, "has no filesinfo and npu_compute_time_list"),
        ({"filesinfo": {"0": {"infiles": ["a.bin"]}}, "npu_compute_time_list": [1]}, "expected .npy files"),
        ({"filesinfo": {"0": 3}, "npu_compute_time_list": [1]}, "expected .npy files"),
        ({"filesinfo": {"0": {"infiles": ["x.npy"]}}, "npu_compute_time_list": [1]}, "cannot read its input x.npy"),
        (
            {"filesinfo": {"0": {"infiles": ["bad.npy"]}}, "npu_compute_time_list": [1]},
            "is no input of a flat tree (the magic string",
        ),
        ({"filesinfo": {"0": {"infiles": ["flat.npy"]}}, "npu_compute_time_list": [1]}, "expected [1, 3, H, W]"),
    ],
)
def test_what_says_no_figure_is_refused(folder: Path, changes: dict[str, Any], said: str):
    Path("bad.npy").write_bytes(b"no array")
    np.save("flat.npy", np.zeros(3))
    with pytest.raises(UserError) as refused:
        perf.find(written(**changes))
    assert said in str(refused.value)


def test_a_summary_that_is_none(folder: Path):
    file = Path("out_summary.json")
    file.write_text("[1]")
    with pytest.raises(UserError, match="is no summary of ais_bench"):
        perf.find(file)
    with pytest.raises(UserError, match="of batch size 1"):
        perf.find(written(), batch=(8,))
