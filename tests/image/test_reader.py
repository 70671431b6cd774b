"""Reading images: whole, of any kind, damaged, hostile, in archives."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from tests.support.programs import Outcome


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A grey PNG of that size, whatever its rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(height: int = 40, width: int = 60) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def bomb() -> bytes:
    """A small JPEG whose header is changed to announce 65,535 x 65,535 pixels; TEM markers before it have no length."""
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[:at] + b"\xff\x01" * 3 + data[at : at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :]


@pytest.mark.parametrize("data", [png(100_000, 100_000), png(2**31 - 1, 2**31 - 1), bomb()])
def test_image_bombs_are_refused_by_their_header(tmp_path: Path, data: bytes):
    file = tmp_path / "bomb"
    file.write_bytes(data)
    with pytest.raises(BadImageError, match=r"its header says .* pixels, at most 100,000,000 are decoded"):
        reader.read_image(file)


def test_images_are_whole_or_refused(tmp_path: Path):
    """Cut at every length of a JPEG and a PNG; other formats, and what only begins like one."""
    grey = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
    whole = cv2.imencode(".png", grey)[1].tobytes()
    cut = [data[:length] for data in (whole, jpeg(9, 13)) for length in range(len(data) - 1)]
    others = [cv2.imencode(suffix, grey)[1].tobytes() for suffix in (".bmp", ".webp", ".tiff", ".pgm")]
    contents = (*cut, *others, b"GIF89a" + bytes(30), b"\x89PNG\r\n\x1a\n" + bytes(99))
    for content in contents:
        file = tmp_path / "image"
        file.write_bytes(content)
        with pytest.raises(BadImageError, match=f"image {file}: "):
            reader.read_image(file)


def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path):
    """16 bits, grey, alpha, one pixel, one row and one column, by hand: the value is kept, alpha is not."""
    value = np.full((1, 5000), 200, np.uint8)
    kinds = {
        "grey": value,
        "column": value.T,
        "one": value[:1, :1],
        "16 bits": value.astype(np.uint16) * 257,
        "alpha": np.dstack([value] * 3 + [np.zeros_like(value)]),
    }
    for name, pixels in kinds.items():
        file = tmp_path / f"{name}.png"
        cv2.imwrite(str(file), pixels)
        found = reader.read_image(file)
        assert found.shape == (*pixels.shape[:2], 3), name
        assert found.dtype == np.uint8, name
        assert (found == 200).all(), name


def saved(kind: str, *pictures: PIL.Image.Image) -> bytes:
    file = io.BytesIO()
    pictures[0].save(file, kind, **({"save_all": True, "append_images": pictures[1:]} if pictures[1:] else {}))
    return file.getvalue()


@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (0, 255, 255)), ((60, 100, 20, 40), (165, 132, 199))],
)
def test_printers_colors_become_rgb(tmp_path: Path, ink: tuple[int, ...], expected: tuple[int, ...]):
    """(255 - ink) (255 - black) / 255 by hand; JPEG and integer arithmetic take a level or two."""
    (tmp_path / "cmyk.jpg").write_bytes(saved("JPEG", PIL.Image.new("CMYK", (16, 8), ink)))
    found = reader.read_image(tmp_path / "cmyk.jpg")
    assert found.shape == (8, 16, 3)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=2)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_animations_are_their_first_picture_or_refused(tmp_path: Path, kind: str):
    pictures = [PIL.Image.new("RGB", (16, 8), color) for color in ("red", "lime")]
    (tmp_path / "animation").write_bytes(saved(kind, *pictures))
    if kind == "PNG":
        assert (reader.read_image(tmp_path / "animation") == (255, 0, 0)).all()
    else:
        with pytest.raises(BadImageError, match="expected a JPEG or PNG"):
            reader.read_image(tmp_path / "animation")


def test_read_image_ignores_exif_orientation_and_gives_rgb(tmp_path: Path):
    red = np.zeros((4, 8, 3), np.uint8)
    red[:, :, 2] = 255  # BGR
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), red)
    pixels = reader.read_image(path)
    assert pixels.shape == (4, 8, 3)
    assert pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 truncated"])
def test_unreadable_images_are_named(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"broken.jpg: {len(content)} bytes that do not decode"):
        reader.read_image(path)


def test_a_jpeg_s_end_is_found_wherever_the_file_is_cut():
    """Some OpenCV releases fill a cut JPEG with grey, others refuse it: the end is looked for here."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    content = cv2.imencode(".jpg", pixels)[1].tobytes()
    # A thumbnail in an APP1 segment has an end of its own, which is not the image's.
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    with_thumbnail = content[:2] + segment + content[2:]
    for whole in (content, with_thumbnail, content + b"trailing"):
        assert reader._is_whole_jpeg(whole)
    for cut in range(2, len(content) - 1, 7):
        assert not reader._is_whole_jpeg(content[:cut])
        assert not reader._is_whole_jpeg(with_thumbnail[: len(segment) + cut])


Script = Callable[..., Outcome]


def archive(folder: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    file = folder / "val2017.zip"
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("1.jpg", os.urandom(50) * 40)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_are_bad_images(tmp_path: Path, method: int):
    """One byte after the other: encrypted, of unknown methods and versions, broken streams, names of no encoding."""
    content = archive(tmp_path, method).read_bytes()
    at = range(0, len(content), 1 if len(content) < 500 else 7)
    for place in at:
        file = tmp_path / f"{place}.zip"
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with pytest.raises(BadImageError, match=str(file)):
            reader.read_image(f"{file}@1.jpg")


def test_a_zip_bomb_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "_MOST_BYTES", 1000)
    with pytest.raises(BadImageError, match="more than 1,000 bytes"):
        reader.read_image(f"{archive(tmp_path)}@1.jpg")
