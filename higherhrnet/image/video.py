"""Video files by PyAV, frame by frame with their own time stamps, and cameras by OpenCV.

Nothing rests on what a header says of rate or length: times are those of the frames.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from higherhrnet.artifacts import sources
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image.opencv_log import silenced
from higherhrnet.image.reader import MOST_PIXELS

_RATE = 25  # frames a second of a drawn video whose source says nothing
_MOST_RATE = 1000  # .webm headers say so of anything
_TICKS = Fraction(1, 90_000)  # seconds, of time stamps in drawn videos: MPEG's


@dataclass(frozen=True)
class Frame:
    """A frame as it is shown; ``number`` counts from 0."""

    number: int
    time: float | None
    """Seconds from the first frame's; None where the file has no time stamps."""
    pixels: np.ndarray
    """RGB uint8 [h, w, 3], turned as the file's display matrix says."""


def require() -> None:
    """Raise UserError where PyAV is not installed."""
    _av()


def _av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as e:
        raise UserError(
            f"videos need the package av ({e}); pip install 'higherhrnet[video]' or -r requirements/video.txt"
        ) from e


def frames(file: Path) -> Iterator[Frame]:
    """The frames of a video file, one after another.

    Raises
    ------
    BadImageError : PyAV is not installed; a file that is no video, or one that breaks off, after the frames before
    """
    try:
        av = _av()
    except UserError as e:  # pictures need none
        raise BadImageError(f"video {file}: {e}") from e
    number, first = 0, None
    try:
        with _open(file) as container:
            if not container.streams.video:
                raise BadImageError(f"video {file}: it has no pictures; give a file with a video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise _cut(file, number)
                for frame in packet.decode():
                    if frame.width * frame.height > MOST_PIXELS:
                        raise BadImageError(
                            f"video {file}: frames of {frame.width}x{frame.height} pixels, at most {MOST_PIXELS:,} are "
                            f"decoded; make it smaller"
                        )
                    first = frame.time if first is None else first
                    time = None if frame.time is None or first is None else float(frame.time - first)
                    yield Frame(number, time, _upright(frame))
                    number += 1
    except (av.FFmpegError, OSError, ValueError, EOFError) as e:
        if number:
            raise _cut(file, number, e) from e
        why = " ".join(str(getattr(e, "strerror", None) or e).split())[:160]
        remedy = (
            "check that it is a video file" if isinstance(e, av.FFmpegError) else "put it there or correct its path"
        )
        raise BadImageError(f"cannot read video {file}: {why}; {remedy}") from e
    if not number:
        raise BadImageError(f"video {file}: it has no frames; get the file again")


def _open(file: Path) -> Any:
    """An open video file. Raises OSError, and whatever PyAV does."""
    sources.open_file(file).close()  # a pipe would be waited for
    return _av().open(_address(file), metadata_errors="replace")


def _address(file: Path) -> str:
    """A path as FFmpeg takes it, to which 'a:b' alone is something of a protocol a."""
    return f"file:{file}"


def _cut(file: Path, number: int, error: Exception | None = None) -> BadImageError:
    why = f" ({' '.join(str(getattr(error, 'strerror', None) or error).split())[:120]})" if error else ""
    return BadImageError(f"video {file} breaks off after {number} frames{why}; get the file again")


def _upright(frame: Any) -> np.ndarray:
    """Pixels of a frame: phones store portrait clips lying."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def camera(number: int) -> Iterator[np.ndarray]:
    """Pictures of a camera, RGB uint8 [h, w, 3], until it gives none. Raises BadImageError where there is no camera."""
    with silenced():  # what it says is said below in one line
        capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise BadImageError(f"camera:{number} does not open; check that it is there (/dev/video{number}), and free")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old pictures are of no use
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


class Writer:
    """An H.264 file of frames at the times of those that they are drawn on, with the audio of a source."""

    def __init__(self, file: Path, source: Path | None) -> None:
        """``file`` is written as it goes; it is whole after ``close``. ``source``: whose rate and audio are taken."""
        self._av = _av()
        self._output = self._av.open(_address(file), "w", format="mp4")
        self._source = _open(source) if source is not None else None
        self._video: Any = None
        self._last = -1
        self._offset = Fraction(0)
        self._audio: Any = None
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        self.has_lost_audio = False
        """Whether the source has audio that the file does not; known once a frame was written."""

    def write(self, pixels: np.ndarray, time: float) -> None:
        """Add a frame, RGB uint8 [h, w, 3], of the first one's size, shown from ``time`` seconds on."""
        if self._video is None:
            self._begin(*pixels.shape[:2])
        height, width = self._video.height, self._video.width
        if pixels.shape[:2] != (height, width):
            # H.264 takes even sides; and a stream whose size changes midway is drawn at its first one.
            pixels = _even(pixels, height, width)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.time_base = _TICKS
        frame.pts = self._last = max(round(time / _TICKS), self._last + 1)  # of equal times the order decides
        self._mux_audio(time)
        self._output.mux(self._video.encode(frame))

    def close(self) -> None:
        """Write the rest."""
        if self._video is not None:
            self._output.mux(self._video.encode(None))
            self._mux_audio(None)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the files."""
        self._output.close()
        if self._source is not None:
            self._source.close()

    def _begin(self, height: int, width: int) -> None:
        rate = self._source.streams.video[0].average_rate if self._source is not None else None
        rate = rate if rate is not None and 0 < rate <= _MOST_RATE else Fraction(_RATE)
        self._video = self._output.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = _TICKS
        if self._source is not None and self._source.streams.audio:
            stream = self._source.streams.audio[0]
            try:
                self._audio = self._output.add_stream_from_template(stream)
            except (ValueError, self._av.FFmpegError):  # a codec that .mp4 cannot hold: named by the caller
                self.has_lost_audio = True
                return
            first = self._source.streams.video[0].start_time
            base = self._source.streams.video[0].time_base
            self._offset = Fraction(0) if first is None or base is None else first * base
            self._packets = self._source.demux(stream)
            self._next = next(self._packets, None)

    def _mux_audio(self, until: float | None) -> None:
        """Audio packets up to a time, all for None: files are read from their beginning while they play."""
        while self._next is not None:
            packet = self._next
            if packet.dts is not None:
                at = packet.dts * packet.time_base - self._offset
                if until is not None and at > until:
                    return
                if at >= 0:
                    shift = round(self._offset / packet.time_base)
                    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                    packet.stream = self._audio
                    self._output.mux(packet)
            self._next = next(self._packets, None)


def _even(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """``pixels`` at the size of a video: with a repeated last row or column, or resized where they are of another."""
    if pixels.shape[0] in {height, height - 1} and pixels.shape[1] in {width, width - 1}:
        rows, columns = height - pixels.shape[0], width - pixels.shape[1]
        return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
