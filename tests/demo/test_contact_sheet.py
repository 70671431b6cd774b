"""The contact sheet of drawn people."""

from __future__ import annotations

import numpy as np
import pytest

from demo import contact_sheet


def test_contact_sheet_has_its_width_and_shows_every_image():
    colors = (40, 90, 140, 190)
    shapes = ((480, 640), (640, 480), (300, 900), (900, 300))
    sheet = contact_sheet.arrange(
        [np.full((*s, 3), c, np.uint8) for s, c in zip(shapes, colors, strict=True)], width=800
    )
    assert sheet.shape[1] == 800
    for color in colors:
        assert (sheet == color).all(axis=2).sum() > 10_000
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet.arrange([])
