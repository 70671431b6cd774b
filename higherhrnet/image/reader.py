"""Reading an image file to pixels, or refusing it by name."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import zipfile
from collections.abc import Iterator

import cv2
import numpy as np

from higherhrnet.artifacts import sources
from higherhrnet.artifacts.pictures import Picture, Stamp
from higherhrnet.errors import BadImageError


def read_image(path: str | os.PathLike[str], *, exif: bool = False) -> np.ndarray:
    """Decode an image file to RGB uint8 [H, W, 3], ignoring EXIF orientation unless ``exif``.

    ``A.zip@B`` is the file B in A.zip, as the official code writes it. Raises BadImageError as ``read`` and ``decode``.
    """
    return decode(read(path), path, exif=exif)


def read(path: str | os.PathLike[str]) -> bytes:
    """An image file's content. Raises BadImageError where it cannot be read."""
    try:
        return _read(str(path))
    except OSError as e:
        raise BadImageError(
            f"cannot read image {path}: {e.strerror or e}; put it there or correct the data set's path"
        ) from e
    except Exception as e:  # whatever the damage of a .zip file leads its reader and the decompressors to
        raise BadImageError(f"cannot read image {path}: {' '.join(map(str, e.args))}; get the .zip file again") from e


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """Size and time of an image file, of a zipped one those of its archive; None where it is not there."""
    archive, found, _ = str(path).partition(".zip@")
    try:
        status = os.stat(f"{archive}.zip" if found else path)
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def picture(path: str | os.PathLike[str], known: Picture | None = None) -> Picture:
    """Hash an image file; not read where its stamp is ``known``'s. Raises BadImageError where it cannot be read."""
    return known if known is not None and stamp(path) == known.stamp else read_picture(path)[1]


def read_picture(path: str | os.PathLike[str]) -> tuple[bytes, Picture]:
    """An image file's content, and its hash. Raises BadImageError where it cannot be read."""
    before = stamp(path) or Stamp(0, 0, 0, 0)  # a change while it is read is then seen later
    content = read(path)
    return content, Picture(before, hashlib.sha256(content).hexdigest())


def is_still(path: str | os.PathLike[str], known: Picture) -> bool:
    """Whether an image file has the content that was read before. It is read again only where its stamp differs."""
    try:
        return picture(path, known).sha256 == known.sha256
    except BadImageError:
        return False


def decode(data: bytes, path: str | os.PathLike[str], *, exif: bool = False) -> np.ndarray:
    """Pixels of an image file's content: RGB uint8 [H, W, 3]; ``path`` names it in errors.

    ``exif``: turned as EXIF's orientation says and viewers show it.

    Raises
    ------
    BadImageError : neither JPEG nor PNG, of more than ``MOST_PIXELS``, or without its end, which OpenCV would fill
        with grey
    """
    size = _announced_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise BadImageError(
            f"image {path}: its header says {size[0]}x{size[1]} pixels, at most {MOST_PIXELS:,} are decoded; check it, "
            f"and make it smaller"
        )
    try:
        flags = cv2.IMREAD_COLOR | (0 if exif else cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if size else None
    except cv2.error:
        image = None
    if image is None:
        raise BadImageError(
            f"image {path}: {len(data)} bytes that do not decode, expected a JPEG or PNG; get the file again"
        )
    if not (_is_whole_jpeg(data) if data.startswith(_JPEG_START) else _PNG_END in data):
        raise BadImageError(f"image {path}: its {len(data)} bytes break off before its end; get the file again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read(path: str) -> bytes:
    archive, found, member = path.partition(".zip@")
    if not found:
        return sources.read(path, _MOST_BYTES)
    with _archive(f"{archive}.zip", os.getpid()).open(member) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise sources.too_large(path, _MOST_BYTES)
    return content


@functools.lru_cache(maxsize=2)
def _archive(path: str, _process: int) -> zipfile.ZipFile:
    """An open archive: reading the list of 5,000 names for every image would cost more than the image."""
    return zipfile.ZipFile(sources.open_file(path))


MOST_PIXELS = 100_000_000
"""Of an image: 300 MB decoded. A file of a few kilobytes can announce any number."""
_MOST_BYTES = 400_000_000  # of an image file: a raw one of so many pixels would be smaller

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG_START = b"\xff\xd8"
# No escaped 0xff of pixel data, and no TEM or restart: they have no length.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd7])")
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 (T.81, table B.1)


def _announced_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in the header of a JPEG or PNG; None for anything else."""
    if data.startswith(_PNG_START):  # its first chunk is IHDR (PNG, 11.2.1)
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(_JPEG_START):
        for marker, at in _jpeg_segments(data):
            if marker in _JPEG_FRAMES:  # length, precision, height, width
                return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big")
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """A JPEG's markers and where what follows each begins."""
    position = len(_JPEG_START)
    while match := _JPEG_MARKER.search(data, position):
        yield match[1][0], match.end()
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the marker that ends a JPEG follows its segments (ITU-T T.81, annex B); a thumbnail's does not count."""
    return any(marker == _JPEG_END for marker, _ in _jpeg_segments(data))
