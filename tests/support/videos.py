"""Short videos of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

RATE = 8000
"""Samples a second of their sound."""


def clip(path: Path, frames: int = 6, size: tuple[int, int] = (96, 64), *, turn: int = 0, sound: bool = False) -> Path:
    """A video of noise whose third frame is shown for longer: variable frame rate; 1.1 seconds with 6 frames.

    turn : degrees that it is shown turned by; sound : with a tone of a second
    """
    import av  # noqa: PLC0415  # an extra: who calls has it

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        if sound:
            tone = _tone(output)
        for number in range(frames):
            pixels: Any = cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), size)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number + 5 * (number > 2)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound:
            _play(output, tone)
    return path


def sound_alone(path: Path) -> Path:
    """A file with a second of sound and no pictures."""
    import av  # noqa: PLC0415

    with av.open(str(path), "w") as output:
        _play(output, _tone(output))
    return path


def _tone(output: Any) -> Any:
    stream = output.add_stream("aac", rate=RATE)
    stream.layout = "mono"
    return stream


def _play(output: Any, stream: Any) -> None:
    import av  # noqa: PLC0415

    wave = np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE).astype(np.float32)[None]
    for start in range(0, RATE, 1000):
        frame = av.AudioFrame.from_ndarray(wave[:, start : start + 1000].copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
