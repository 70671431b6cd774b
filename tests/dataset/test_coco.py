"""Annotation files: images in order, what is refused, hostile ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from tests.support.programs import Outcome


def test_images_come_in_the_file_s_order(tiny_data: Path):
    dataset = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    assert [i.index for i in dataset.images] == list(range(7))
    assert dataset.images[1] == coco.Image(1, 1007, "000000001007.jpg", width=480, height=640)
    assert coco.Location(str(tiny_data), "val2017").picture(dataset.images[1]).is_file()


def test_the_fingerprint_follows_order_and_sizes_but_not_the_place(tiny_data: Path, tmp_path: Path):
    original = coco.load(coco.Location(str(tiny_data), "val2017").annotations)
    content = json.loads(original.annotations.read_text())

    def fingerprint(images: list[dict]) -> str:
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"images": images}))
        return coco.load(path).fingerprint

    assert fingerprint(content["images"]) == original.fingerprint
    assert fingerprint(content["images"][::-1]) != original.fingerprint
    assert fingerprint([{**content["images"][0], "width": 641}, *content["images"][1:]]) != original.fingerprint


GOOD = {"id": 1, "file_name": "1.jpg", "width": 4, "height": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "lists no images"),
        ({"images": []}, "lists no images"),
        ({"images": [{**GOOD, "width": 0}]}, r"images\[0\].*positive width"),
        ({"images": [{**GOOD, "id": "1"}]}, "an integer id"),
        ({"images": [{**GOOD, "height": 3.5}]}, "positive width and height"),
        ({"images": [GOOD, {"id": 2}]}, r"images\[1\] lacks 'file_name'"),
        ({"images": [GOOD, GOOD]}, "2 images share 1 ids"),
        ({"images": [{**GOOD, "file_name": "../1.jpg"}]}, "inside the image folder"),
        ({"images": [{**GOOD, "file_name": "/etc/passwd"}]}, "inside the image folder"),
        ({"images": [7]}, "malformed"),
    ],
)
def test_wrong_annotation_files_are_refused(tmp_path: Path, content, message: str):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        coco.load(path)


def annotation_file(folder: Path, text: bytes) -> Path:
    file = folder / "annotations.json"
    file.write_bytes(text)
    return file


def images(**changes: object) -> bytes:
    return json.dumps({"images": [{"id": 1, "file_name": "1.jpg", "width": 5, "height": 5} | changes]}).encode()


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


Script = Callable[..., Outcome]


def test_test_splits_have_no_annotations():
    image = coco.Image(0, 1, "a.jpg", 1, 1)
    test_dev = coco.Location("r", "test-dev2017")
    assert test_dev.annotations == Path("r/annotations/image_info_test-dev2017.json")
    assert test_dev.picture(image) == Path("r/images/test2017/a.jpg")
    assert not test_dev.has_annotations
    crowd = coco.Location("r", "test", coco.CROWD_POSE)
    assert crowd.annotations == Path("r/json/crowdpose_test.json")
    assert crowd.picture(image) == Path("r/images/a.jpg")
    assert replace(crowd, zipped=True).picture(image) == Path("r/images.zip@a.jpg")
    assert crowd.has_annotations
