"""What people name as source: pictures, folders, patterns, lists, videos, cameras; as a lazy sequence of pictures."""

from __future__ import annotations

import glob
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import sources as files
from higherhrnet.artifacts.pictures import Picture as Known
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import formats, reader, video
from higherhrnet.pipeline.stream import Picture

PICTURE, VIDEO, CAMERA = "picture", "video", "camera"
LIST = "-"
"""Names the list on standard input."""
_CAMERA = re.compile(r"camera:([0-9]{1,3})")
_PICTURES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".jp2", ".pgm", ".ppm"}
    | {".heic", ".heif"}  # which are refused by name: in a folder they are not passed over
)
_VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".gif"}
)
_ANY_FOLDERS = re.compile(r"(?:^|(?<=/))\*\*(?:/(?=.)|$)")
_BEGINNING = 4096  # bytes that tell what a file is
_MARK = b"\xef\xbb\xbf"  # with which Windows' editors begin a list
_LONGEST_NAME = 1 << 16  # bytes of a line of a list
_LONGEST_STEM = 200  # bytes of a file's name, of which file systems take 255

FRAMES = 1 << 24
"""Frames of a source at most; a picture's index is its source's number times this, and its frame's number plus 1."""


@dataclass(frozen=True)
class Source:
    """One picture file, video file or camera. ``number`` is its place among all that were named, from 0."""

    number: int
    name: str
    """As it was named or found: a path or camera:N."""
    kind: str
    """PICTURE, VIDEO or CAMERA."""
    stem: str = ""
    """What files that are made of it are called: its own name without suffix, with a number where that is taken."""

    @property
    def path(self) -> Path | None:
        """None of a camera."""
        return None if self.kind == CAMERA else Path(self.name)

    @property
    def index(self) -> int:
        """Of the source itself: no picture has it."""
        return self.number * FRAMES


@dataclass(frozen=True)
class Place:
    """Where a picture is from."""

    source: Source
    frame: int = 0
    """In its video or of its camera, from 0."""
    time: float | None = None
    """Seconds from the beginning of the video."""
    is_last: bool = False
    """Nothing more comes of the source: an end of a video or camera has no picture."""

    @property
    def index(self) -> int:
        """Of the picture among all."""
        return self.source.index + self.frame + 1

    @property
    def stem(self) -> str:
        """What files that are made of the picture are called."""
        return self.source.stem if self.source.kind == PICTURE else f"{self.source.stem}_{self.frame:012d}"


def find(names: Iterable[str], standard_input: int = 0) -> Iterator[Source | BadImageError]:
    """The files and cameras that ``names`` mean, in order; an error in the place of what means nothing.

    A folder means the pictures and videos in it, by name; a pattern (``*``, ``?``, ``[``; ``**`` is any folders) what
    it matches; '-' the names that come on ``standard_input``, a line each. A name that is there is taken as it is.

    Raises UserError for a list whose lines do not end.
    """
    number = 0
    taken: set[str] = set()
    for name in names:
        for found in _list(standard_input) if name == LIST else [name]:
            for one in _expand(found):
                yield one if isinstance(one, BadImageError) else Source(number, *one, _stem(one[0], taken))
                number += 1


def kinds(names: Sequence[str]) -> frozenset[str]:
    """Of which kinds the sources are that ``names`` mean; none where a list on standard input will name some."""
    if LIST in names:
        return frozenset()
    return frozenset(found.kind for found in find(names) if isinstance(found, Source))


def _stem(name: str, taken: set[str]) -> str:
    """A name for files that none of ``taken`` has, where it is added."""
    own = os.fsdecode(os.fsencode(Path(name).stem)[:_LONGEST_STEM]).replace(":", "")
    stem, copies = own, 1
    while stem in taken:
        copies += 1
        stem = f"{own}_{copies}"
    taken.add(stem)
    return stem


def _list(descriptor: int) -> Iterator[str]:
    # Unbuffered: a thread that waits for the next line must not hold a lock when the program ends.
    with io.FileIO(descriptor, closefd=False) as stream:
        rest = b""
        while block := stream.read(1 << 12):
            *lines, rest = (rest + block).split(b"\n")
            yield from _names(lines)
            if len(rest) > _LONGEST_NAME:
                raise UserError(
                    f"the list on standard input has a line of more than {_LONGEST_NAME:,} bytes; give a name a line"
                )
        yield from _names([rest])


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    """What the lines of a list name: blank ones nothing."""
    for line in lines:
        if line.strip(_MARK + b" \t\r"):
            yield os.fsdecode(line.removeprefix(_MARK).removesuffix(b"\r"))


def _expand(name: str) -> Iterator[tuple[str, str] | BadImageError]:
    if _CAMERA.fullmatch(name):
        yield name, CAMERA
        return
    if not name or "\0" in name:
        yield BadImageError(f"source {name!r}: no file has such a name; correct it")
        return
    if name.startswith("camera:") and not os.path.lexists(name):
        yield BadImageError(
            f"source {name}: a camera has a number of at most three digits, such as camera:0; correct it"
        )
        return
    path = Path(name)
    if os.path.isdir(name):
        try:
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in _PICTURES | _VIDEOS and not os.path.isdir(p)
            )
        except OSError as e:
            yield BadImageError(f"cannot read folder {name}: {e.strerror}; check its permissions")
            return
        if not found:
            yield BadImageError(f"folder {name} holds no pictures or videos; give one that does, or a pattern")
        yield from ((str(p), _kind(p)) for p in found)
    elif os.path.lexists(name) or not glob.has_magic(name):
        yield name, _kind(path)
    else:
        matched = sorted({p for p in _matched(name) if not os.path.isdir(p)})
        if not matched:
            yield BadImageError(f"pattern {name} matches no file; correct it")
        yield from ((p, _kind(Path(p))) for p in matched)


def _matched(pattern: str) -> Iterator[str]:
    """What a pattern matches. Unlike glob's, ``**`` does not enter folders that are links: they may lead in circles."""
    before, *after = _ANY_FOLDERS.split(pattern, maxsplit=1)
    if not after:
        yield from glob.iglob(pattern)
        return
    for base in glob.iglob(before) if before else [""]:
        for folder, below, _ in os.walk(base or "."):
            below[:] = [name for name in below if not name.startswith(".")]
            within = folder if base else folder[2:]  # of '.' nothing, of './a' a
            yield from _matched(os.path.join(glob.escape(within), after[0] or "*"))


def _kind(path: Path) -> str:
    """By suffix; of another suffix by how the file begins."""
    suffix = path.suffix.lower()
    if suffix in _PICTURES | _VIDEOS:
        return PICTURE if suffix in _PICTURES else VIDEO
    try:
        with files.open_file(path) as file:
            found = formats.identify(file.read(_BEGINNING))
    except OSError:  # said when it is read
        return PICTURE
    return VIDEO if found in {None, formats.GIF, formats.MP4} else PICTURE


@dataclass(frozen=True)
class Reading:
    """How sources are read."""

    exif: bool = True
    """Pictures are turned as EXIF says."""
    stride: int = 1
    """Of videos and cameras every so many frames."""


def pictures(
    source: Source, reading: Reading, wanted: Callable[[Place], bool] = lambda _: True
) -> Iterator[Picture[Place]]:
    """The pictures of a source; of a video or camera after them its end, without pixels.

    ``wanted``: others are left out, and not decoded further than getting past them needs.
    """
    if source.kind == PICTURE:
        place = Place(source)
        if wanted(place):
            yield Picture(place, f"image {source.name}", partial(_read, source.name, reading.exif))
        return
    last = Place(source)
    try:
        for last, pixels in _frames(source, reading):
            if wanted(last):
                yield Picture(last, f"{source.name}, frame {last.frame}", partial(given, pixels))
    except BadImageError as e:
        yield Picture(last, source.name, partial(refuse, e))
    else:
        yield Picture(Place(source, last.frame, is_last=True), source.name, _end)


def _end() -> tuple[np.ndarray, None]:
    raise BadImageError("the end")


def _frames(source: Source, reading: Reading) -> Iterator[tuple[Place, np.ndarray]]:
    if source.kind == CAMERA:
        for number, pixels in enumerate(video.camera(int(source.name.partition(":")[2]))):
            if number % reading.stride == 0:
                yield Place(source, number), pixels
        return
    for frame in video.frames(Path(source.name)):
        if frame.number % reading.stride == 0:
            yield Place(source, frame.number, frame.time), frame.pixels


def _read(name: str, exif: bool) -> tuple[np.ndarray, Known]:
    content, known = reader.read_picture(name)
    return reader.decode(content, name, exif=exif), known


def given(pixels: np.ndarray) -> tuple[np.ndarray, None]:
    """How a Picture is read whose pixels are there already."""
    return pixels, None


def refuse(error: BadImageError) -> tuple[np.ndarray, None]:
    """How a Picture is read that is known not to be one."""
    raise error
