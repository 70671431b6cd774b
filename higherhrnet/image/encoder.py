"""Pictures that this program writes, with its mark in them, so that it replaces no picture of others."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from higherhrnet.artifacts import outputs

_AFTER_IHDR = 33  # bytes of a PNG's signature and first chunk (PNG, 11.2.1)


def jpeg(image: np.ndarray, kind: str, *, quality: int = 95) -> bytes:
    """A JPEG of BGR uint8 [H, W, 3], the mark of its kind as its comment (ITU-T T.81, B.2.4.5); ``quality`` to 100."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    mark = outputs.mark(kind).encode()
    return data[:2] + b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark + data[2:]


def png(image: np.ndarray, kind: str) -> bytes:
    """A PNG of BGR uint8 [H, W, 3], the mark of its kind as its Software text (PNG, 11.3.3.2)."""
    data = cv2.imencode(".png", image)[1].tobytes()
    text = b"tEXtSoftware\0" + outputs.mark(kind).encode()
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return data[:_AFTER_IHDR] + chunk + data[_AFTER_IHDR:]
