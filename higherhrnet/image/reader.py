"""Reading an image file to pixels, or refusing it by name."""

from __future__ import annotations

import functools
import hashlib
import os
import zipfile
from dataclasses import dataclass

import cv2
import numpy as np

from higherhrnet.artifacts import seen, sources
from higherhrnet.artifacts.pictures import Picture
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.errors import BadImageError
from higherhrnet.image import formats
from higherhrnet.image.opencv_log import silenced
from higherhrnet.system import c_stderr


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
        raise BadImageError(f"cannot read image {path}: {e.strerror or e}; put it there or correct its path") from e
    except KeyError as e:
        remedy = "use the .zip file that belongs to the annotations"
        raise BadImageError(f"cannot read image {path}: {e.args[0]}; {remedy}") from e
    except Exception as e:  # whatever the damage of a .zip file leads its reader and the decompressors to
        remedy = "get the .zip file again" if ".zip@" in str(path) else "correct its name"
        raise BadImageError(f"cannot read image {path}: {' '.join(map(str, e.args))}; {remedy}") from e


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """Size and time of an image file, of a zipped one those of its archive; None where it is not there."""
    text = os.fspath(path)
    archive, found, _ = text.partition(".zip@")
    try:
        status = os.stat(sources.system_name(f"{archive}.zip" if found else text))
    except (OSError, ValueError):
        return None
    return seen.stamp(status)


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

    Of animations the first picture. ``exif`` turns it as its EXIF orientation says, where OpenCV knows that of its
    kind (JPEG, PNG, WebP); the official code does not, except for TIFF, which OpenCV turns in any case.

    Raises
    ------
    BadImageError : no picture of a kind that OpenCV reads, of more than ``MOST_PIXELS``, without its end, or a JPEG
        in which libjpeg finds damage: OpenCV would give grey or shifted pixels for what is missing
    """
    found = formats.identify(data)
    size = None if found is None else formats.announced_size(data, found)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise BadImageError(
            f"image {path}: its header says {size[0]}x{size[1]} pixels, at most {MOST_PIXELS:,} are decoded; check it, "
            f"and make it smaller"
        )
    if found is not None and found.size is None:
        raise BadImageError(f"image {path}: {found.name}, which OpenCV does not read; give a JPEG or PNG in its place")
    flags = cv2.IMREAD_COLOR if exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    said = ""
    try:
        with silenced():  # what is wrong with a picture is said below, with its name
            image, said = c_stderr.overhear(
                lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags) if size else None
            )
    except cv2.error:
        image = None
    if found is None or image is None:
        kind = "a picture" if found is None else f"{found.name} with OpenCV {cv2.__version__}"
        remedy = "get the file again" if found in {None, formats.JPEG, formats.PNG} else "get it again, or as a PNG"
        raise BadImageError(f"image {path}: {len(data)} bytes that do not decode as {kind}; {remedy}")
    if not formats.is_whole(data, found):
        raise BadImageError(f"image {path}: its {len(data)} bytes break off before its end; get the file again")
    damage = formats.damage(data, said) if found is formats.JPEG else None
    if damage is not None:
        raise BadImageError(
            f"image {path}: its data is damaged ({damage}), and pixels would be made up; get the file again, or give a "
            f"PNG of it where it looks as it should"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read(path: str) -> bytes:
    archive, found, member = path.partition(".zip@")
    if not found:
        return sources.read(path, _MOST_BYTES)
    opened = _archive(f"{archive}.zip", os.getpid())
    with opened.file.open(opened.find(member)) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise sources.too_large(path, _MOST_BYTES)
    return content


@dataclass(frozen=True)
class _Archive:
    """A .zip file, with images in it as they are or in a folder, as COCO's own downloads have them."""

    file: zipfile.ZipFile
    folders: tuple[str, ...]
    """Those of its first level."""

    def find(self, image: str) -> str:
        """What an image is called in it. Raises KeyError where that is nothing, or more than one."""
        names = self.file.NameToInfo
        if image in names:
            return image
        found = [name for folder in self.folders if (name := f"{folder}/{image}") in names]
        if len(found) != 1:
            what = f"it is there {len(found)} times ({', '.join(found[:2])})" if found else "it is not in the archive"
            raise KeyError(what)
        return found[0]


@functools.lru_cache(maxsize=2)
def _archive(path: str, _process: int) -> _Archive:
    """An open archive: reading the list of 5,000 names for every image would cost more than the image."""
    file = zipfile.ZipFile(sources.open_file(path))
    return _Archive(file, tuple({name.partition("/")[0]: None for name in file.namelist() if "/" in name}))


MOST_PIXELS = 100_000_000
"""Of an image: 300 MB decoded. A file of a few kilobytes can announce any number."""
_MOST_BYTES = 400_000_000  # of an image file: a raw one of so many pixels would be smaller
