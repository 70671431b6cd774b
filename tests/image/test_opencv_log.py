"""OpenCV's log is silent in blocks that overlap, and as it was after them."""

from __future__ import annotations

import cv2
import pytest

from higherhrnet.image.opencv_log import silenced

SILENT, WARNING = cv2.utils.logging.LOG_LEVEL_SILENT, cv2.utils.logging.LOG_LEVEL_WARNING


@pytest.fixture(autouse=True)
def _level():
    before = cv2.utils.logging.setLogLevel(WARNING)
    yield
    cv2.utils.logging.setLogLevel(before)


def test_blocks_that_overlap_leave_the_level_that_was():
    first, second = silenced(), silenced()  # as of two threads
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.utils.logging.getLogLevel() == SILENT
    second.__exit__(None, None, None)
    assert cv2.utils.logging.getLogLevel() == WARNING


def test_an_error_gives_the_level_back():
    with pytest.raises(KeyError), silenced():
        raise KeyError
    assert cv2.utils.logging.getLogLevel() == WARNING
