"""Reading images: whole, of any kind, damaged, hostile, in archives."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import formats, reader
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


@pytest.mark.slow
def test_images_are_whole_or_refused(tmp_path: Path):
    """Cut at every length of a JPEG and a PNG; of other formats at many; and what only begins like one."""
    grey = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
    whole = cv2.imencode(".png", grey)[1].tobytes()
    cut = [data[:length] for data in (whole, jpeg(9, 13)) for length in range(len(data) - 1)]
    others = [encoded(suffix) for suffix in WRITTEN]
    cut += [data[: len(data) * part // 11] for data in others for part in range(1, 11)]
    contents = (*cut, b"GIF89a" + bytes(30), b"\x89PNG\r\n\x1a\n" + bytes(99), b"BM" + bytes(60), b"II*\0" + bytes(9))
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
    """OpenCV reads animated GIF and WebP from 4.11 on."""
    pictures = [PIL.Image.new("RGB", (16, 8), color) for color in ("red", "lime")]
    (tmp_path / "animation").write_bytes(saved(kind, *pictures))
    try:
        found = reader.read_image(tmp_path / "animation")
    except BadImageError as e:
        assert kind != "PNG"
        assert f"bytes that do not decode as a {kind.replace('EB', 'eb')} with OpenCV" in str(e)
    else:
        np.testing.assert_allclose(found, np.broadcast_to((255, 0, 0), found.shape), atol=3)


WRITTEN = (".bmp", ".webp", ".tiff", ".ppm", ".jp2", ".pfm", ".ras")
"""Formats that OpenCV reads and writes in all builds, besides JPEG and PNG."""


def encoded(suffix: str, height: int = 90, width: int = 130) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, pixels.astype(np.float32) if suffix == ".pfm" else pixels)[1].tobytes()


@pytest.mark.parametrize("suffix", [*WRITTEN, ".gif", ".avif", ".hdr", ".pam"])
def test_all_that_the_official_code_s_call_reads_is_read(tmp_path: Path, suffix: str):
    """The same pixels as cv2.imread's, whatever the file is called, and the size that the header announces."""
    try:
        content = encoded(suffix)
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {suffix}")
    (tmp_path / "picture.jpg").write_bytes(content)
    expected = cv2.imread(str(tmp_path / "picture.jpg"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert expected is not None
    np.testing.assert_array_equal(reader.read_image(tmp_path / "picture.jpg"), expected[:, :, ::-1])
    found = formats.identify(content)
    assert found is not None
    assert formats.announced_size(content, found) == (130, 90)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_a_tiff_that_others_wrote(compression: str):
    content = io.BytesIO()
    PIL.Image.new("RGB", (60, 40), "red").save(content, "TIFF", compression=compression)
    assert reader.decode(content.getvalue(), "a.tif").shape == (40, 60, 3)
    for part in range(1, 20):
        with pytest.raises(BadImageError, match=r"image a\.tif: "):
            reader.decode(content.getvalue()[: len(content.getvalue()) * part // 20], "a.tif")


HUGE = (70_000).to_bytes(4, "little")


@pytest.mark.parametrize(
    "content",
    [
        b"BM" + bytes(12) + (40).to_bytes(4, "little") + HUGE + HUGE + bytes(99),
        b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + HUGE[:3] + HUGE[:3] + bytes(99),
        b"II*\0\x08\0\0\0\2\0" + b"".join(t + b"\1\4\0\1\0\0\0" + HUGE for t in (b"\0", b"\1")) + bytes(99),
        b"P6\n# a comment\n70000 70000\n255\n",
        b"P7\nWIDTH 70000\nHEIGHT 70000\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 70000 +X 70000\n",
        b"GIF89a\xff\xff\xff\xff" + bytes(99),
        b"\x59\xa6\x6a\x95" + HUGE[::-1] * 2 + bytes(99),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20) + b"ihdr" + HUGE[::-1] * 2 + bytes(99),
        b"\0\0\0\x20ftypavif" + bytes(20) + b"ispe" + bytes(4) + HUGE[::-1] * 2 + bytes(99),
    ],
)
def test_bombs_of_all_formats_are_refused_by_their_header(content: bytes):
    with pytest.raises(BadImageError, match=r"its header says (70000x70000|70001x70001|65535x65535) pixels, at most"):
        reader.decode(content, "bomb")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "an MP4 or QuickTime video"),
        (b"\xff\x0a" + bytes(99), "a JPEG XL"),
        (b"%PDF-1.7", "a PDF"),
        (b"\n<!DOCTYPE html><html>Quota exceeded", "a web page"),
        (b"<svg xmlns=''>", "an SVG"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive"),
        (b"8BPS" + bytes(99), "a Photoshop file"),
    ],
)
def test_what_is_not_read_is_named(content: bytes, name: str):
    with pytest.raises(BadImageError, match=f"image x.jpg: {name}.*, which OpenCV does not read; give a JPEG or PNG"):
        reader.decode(content, "x.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_a_picture_only_where_it_is_asked_for(kind: str):
    """Orientation 6: the picture's first row is what is to be seen on the right (EXIF 2.32, 4.6.4)."""
    if kind != "JPEG" and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 12):
        pytest.skip("OpenCV knows the orientation of JPEG alone")
    picture = PIL.Image.new("RGB", (32, 16), "black")
    picture.paste("white", (0, 0, 32, 8))
    orientation = PIL.Image.Exif()
    orientation[0x112] = 6
    content = io.BytesIO()
    picture.save(content, kind, exif=orientation, **({"quality": 95} if kind == "JPEG" else {}))
    plain, turned = (reader.decode(content.getvalue(), "a", exif=exif) for exif in (False, True))
    assert plain.shape == (16, 32, 3)
    assert turned.shape == (32, 16, 3)
    assert plain[:7].min() > 240
    assert turned[:, 9:].min() > 240
    assert turned[:, :7].max() < 15


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
        assert formats.is_whole_jpeg(whole)
    for cut in range(2, len(content) - 1, 7):
        assert not formats.is_whole_jpeg(content[:cut])
        assert not formats.is_whole_jpeg(with_thumbnail[: len(segment) + cut])


def drawing(**options: object) -> bytes:
    """A JPEG in which half the bytes are half the picture, as in photographs: a smooth one with some noise."""
    y, x = np.mgrid[:200, :300]
    noise = np.random.default_rng(0).normal(0, 6, (200, 300, 3))
    pixels = np.stack([128 + 90 * np.sin(x / 17), 128 + 90 * np.cos(y / 23), (x + y) / 2], axis=2) + noise
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


CODINGS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_jpeg_that_libjpeg_would_mend_is_refused(coding: str, capfd: pytest.CaptureFixture[str]):
    """Cut anywhere and given an end; with 512 bytes of it lost. Nothing of it is said but by the error."""
    whole = drawing(**CODINGS[coding])
    begin, end = whole.index(b"\xff\xda") + 14, len(whole) - 2
    assert reader.decode(whole, "a.jpg").shape == (200, 300, 3)
    for at in range(begin, end - 600, (end - begin) // 23):
        for damaged in (whole[:at] + b"\xff\xd9", whole[:at] + whole[at + 512 :]):
            if coding == "progressive" and damaged.endswith(whole[-8:]):
                continue  # what is left may be valid, without one of its scans
            with pytest.raises(BadImageError, match=r"image a\.jpg: .*(data is damaged \(.+\)|do not decode)"):
                reader.decode(damaged, "a.jpg")
    assert capfd.readouterr().err == ""


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    """Cut exactly between two scans it is a valid stream, of less precision. Without chroma it would be complete."""
    whole = drawing(progressive=True)
    scans = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]", whole)]
    after = [at for at in scans if at > whole.index(b"\xff\xda")]
    assert len(after) > 10
    for at in after:
        with pytest.raises(BadImageError, match=r"its data is damaged \((its last scans are missing|Corrupt)"):
            reader.decode(whole[:at] + b"\xff\xd9", "a.jpg")


def test_most_zeroed_blocks_of_a_jpeg_are_found():
    """A block of a disk that was never written; some leave a valid stream, which nobody can tell from a good one."""
    whole = drawing()
    begin, end = whole.index(b"\xff\xda") + 14, len(whole) - 2 - 512
    found = 0
    for at in range(begin, end, (end - begin) // 40):
        try:
            reader.decode(whole[:at] + bytes(512) + whole[at + 512 :], "a.jpg")
        except BadImageError:
            found += 1
    assert found >= 30


def test_what_does_not_concern_a_jpeg_s_pixels_is_read():
    """Bytes between segments of the header, padding before the end, a version and a transform that nobody knows."""
    whole = drawing()
    expected = reader.decode(whole, "a.jpg")
    table = whole.index(b"\xff\xdb")
    version = whole.index(b"JFIF\0") + 5
    variants = {
        "bytes between segments": whole[:table] + b"\0\r\n" + whole[table:],
        "zeros before the end": whole[:-2] + bytes(10) + whole[-2:],
        "ones before the end": whole[:-2] + b"\xff\0\xff\0" + whole[-2:],
        "filling before the end": whole[:-2] + b"\xff\xff" + whole[-2:],
        "a version": whole[:version] + b"\7" + whole[version + 1 :],
        "bytes after the end": whole + b"\r\n--boundary",
    }
    for what, content in variants.items():
        np.testing.assert_array_equal(reader.decode(content, what), expected, what)
    with pytest.raises(BadImageError, match=r"4 extraneous bytes before marker 0xd9"):  # one it has read
        reader.decode(whole[:-2] + b"\x12\x34\x56\x78\x9a" + whole[-2:], "blocks that were lost")


def test_damage_is_of_the_picture_that_has_it(capfd: pytest.CaptureFixture[str]):
    """Good and damaged ones at once, in threads, as `predict` reads them."""
    whole = drawing()
    pictures = [whole, whole[: len(whole) * 2 // 3] + b"\xff\xd9"] * 40

    def is_good(content: bytes) -> bool:
        try:
            return bool(reader.decode(content, "a.jpg").size)
        except BadImageError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(is_good, pictures)) == [True, False] * 40
    assert capfd.readouterr().err == ""


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


@pytest.mark.parametrize("folder", ["", "val2017/", "anything else/"])
def test_archives_hold_images_as_they_are_or_in_a_folder(tmp_path: Path, folder: str):
    """COCO's own val2017.zip has a folder val2017; the official code's reader expects none."""
    file, picture = tmp_path / "val2017.zip", tmp_path / "1.jpg"
    picture.write_bytes(jpeg())
    with zipfile.ZipFile(file, "w") as made:
        made.write(picture, f"{folder}1.jpg")
        made.writestr("__MACOSX/._1.jpg", "of a file manager")
    np.testing.assert_array_equal(reader.read_image(f"{file}@1.jpg"), reader.read_image(picture))
    with pytest.raises(BadImageError, match=r"2\.jpg: it is not in the archive; use the \.zip file that belongs"):
        reader.read_image(f"{file}@2.jpg")


def test_an_image_that_an_archive_holds_twice_is_not_guessed(tmp_path: Path):
    file = tmp_path / "both.zip"
    with zipfile.ZipFile(file, "w") as made:
        for folder in ("a", "b"):
            made.writestr(f"{folder}/1.jpg", jpeg())
    with pytest.raises(BadImageError, match=r"it is there 2 times \(a/1\.jpg, b/1\.jpg\)"):
        reader.read_image(f"{file}@1.jpg")


def test_a_zip_bomb_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "_MOST_BYTES", 1000)
    with pytest.raises(BadImageError, match="more than 1,000 bytes"):
        reader.read_image(f"{archive(tmp_path)}@1.jpg")
