"""Files that nobody would send on purpose, or only on purpose: one error or the right answer, never a traceback."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from conftest import Outcome
from higherhrnet.artifacts import info, sources
from higherhrnet.dataset import coco
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader


def annotation_file(folder: Path, text: bytes) -> Path:
    file = folder / "annotations.json"
    file.write_bytes(text)
    return file


def images(**changes: object) -> bytes:
    return json.dumps({"images": [{"id": 1, "file_name": "1.jpg", "width": 5, "height": 5} | changes]}).encode()


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    "text",
    [
        images(file_name="/etc/passwd"),
        images(file_name="../../1.jpg"),
        images(file_name="a\0b.jpg"),
        images(file_name="\ud800.jpg"),
        images(file_name=7),
        images(id=True),
        images(id=10**400),
        images(id=1.0),
        images(width=65_536),
        images(height=10**400),
        images(width=-5),
        images(width=float("nan")),
        images(height=None),
        b"[" * 100_000,
        b"1" * 10_000,
        b'{"images": ' + b"9" * 5000 + b"}",
        b"\xff\xfe{}",
    ],
)
def test_hostile_annotation_files_are_refused(tmp_path: Path, text: bytes):
    with pytest.raises(UserError, match="annotation file"):
        coco.load(annotation_file(tmp_path, text))


def test_annotation_files_beyond_the_limits_are_not_parsed(tmp_path: Path):
    """Ten million annotations would take gigabytes once parsed; a file of holes takes no disk here."""
    file = annotation_file(tmp_path, b'{"images": [], "annotations": [' + b"{}," * 10**7 + b"{}]}")
    with pytest.raises(UserError, match="found 10,000,004 objects and lists, at most 4,000,000 are read"):
        coco.load(file)
    os.truncate(file, coco.LIMIT.bytes + 1)
    with pytest.raises(UserError, match="found 512,000,001 bytes, at most 512,000,000 are read"):
        coco.load(file)


def test_what_is_within_the_limits_is_read(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_text("[[], {}]")
    assert sources.read_json(file, "file", sources.Limit(bytes=8, containers=3)) == [[], {}]
    with pytest.raises(UserError, match="at most 7 are read"):
        sources.read_json(file, "file", sources.Limit(bytes=7, containers=3))
    with pytest.raises(UserError, match="found 3 objects and lists, at most 2 are read"):
        sources.read_json(file, "file", sources.Limit(bytes=8, containers=2))


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


@pytest.mark.tries("input")
@pytest.mark.parametrize("data", [png(100_000, 100_000), png(2**31 - 1, 2**31 - 1), bomb()])
def test_image_bombs_are_refused_by_their_header(tmp_path: Path, data: bytes):
    file = tmp_path / "bomb"
    file.write_bytes(data)
    with pytest.raises(BadImageError, match=r"its header says .* pixels, at most 100,000,000 are decoded"):
        reader.read_image(file)


def test_images_are_whole_or_refused(tmp_path: Path, tried: Callable[[str, int], None]):
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
    tried("input", len(contents))


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


@pytest.mark.tries("input")
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


@pytest.mark.tries("input")
@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_animations_are_their_first_picture_or_refused(tmp_path: Path, kind: str):
    pictures = [PIL.Image.new("RGB", (16, 8), color) for color in ("red", "lime")]
    (tmp_path / "animation").write_bytes(saved(kind, *pictures))
    if kind == "PNG":
        assert (reader.read_image(tmp_path / "animation") == (255, 0, 0)).all()
    else:
        with pytest.raises(BadImageError, match="expected a JPEG or PNG"):
            reader.read_image(tmp_path / "animation")


def test_info_paths_may_hold_all_but_line_breaks(tmp_path: Path):
    file = tmp_path / "all.info"
    paths = [Path("数据/a b.bin"), Path("a\u2028b\x85c\x0bd.bin"), Path(" 1 2 3")]
    info.write(file, [info.Entry(path, 7, 9) for path in paths])
    assert [entry.path for entry in info.read(file)] == paths
    for name, why in (("a\nb", "holds a line break"), (os.fsdecode(b"\xff.bin"), "is not UTF-8")):
        with pytest.raises(UserError, match=why):
            info.write(file, [info.Entry(Path(name), 7, 9)])
    assert len(info.read(file)) == 3, "what stood there still does"


@pytest.mark.tries("input")
@pytest.mark.parametrize("line", ["\u0661 a 5 5", "0 a 5 \u0665", "0 a 5", "-1 a 5 5", "0 a 5 5 ", "0 a 5e0 5", "\0"])
def test_info_numbers_are_plain_digits(tmp_path: Path, line: str):
    file = tmp_path / "all.info"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(UserError, match=f"{file} line 1: found"):
        info.read(file)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_paths_that_the_locale_cannot_print(
    command: Callable[..., Outcome], tmp_path: Path, tiny_inputs: Path, locale: dict[str, str]
):
    """The second is a locale of ASCII alone: names come out escaped, files are made all the same."""
    folder = tmp_path / "数据 集"
    folder.mkdir()
    (folder / "bins").symlink_to(tiny_inputs / "bins")
    done = command("gen_dataset_info.py", "bin", "bins", "./prep_bin", cwd=folder, env=locale)
    assert done.status == 0, done.err
    done = command("gen_dataset_info.py", "bin", folder / "bins", folder / "表", cwd=tmp_path, env=locale)
    assert done.status == 0, done.err
    assert len(info.read(folder / "表.info")) == 7
    done = command("gen_dataset_info.py", "bin", folder / "缺", folder / "表", cwd=tmp_path, env=locale)
    assert done.status == 1
    assert done.err.startswith("error: input tree "), done.err
    assert len(done.err.splitlines()) == 1, done.err
