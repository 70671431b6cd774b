"""Frames as they are shown: turned the way that the display matrix says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from higherhrnet.image import video
from tests.support.videos import clip

pytest.importorskip("av")


@pytest.mark.parametrize(("turn", "quarters"), [(90, 1), (180, 2), (270, 3)])
def test_frames_are_turned_counterclockwise(tmp_path: Path, turn: int, quarters: int):
    lying = next(video.frames(clip(tmp_path / "lying.mp4", frames=1)))
    shown = next(video.frames(clip(tmp_path / "shown.mp4", frames=1, turn=turn)))
    assert np.array_equal(shown.pixels, np.rot90(lying.pixels, quarters))
