"""Files from outside: regular ones, of bounded size and depth."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.artifacts import atomic, dumps, info, sources
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.config import loader
from higherhrnet.dataset import coco
from higherhrnet.errors import UserError
from higherhrnet.image import reader
from higherhrnet.model import checkpoint, onnx_graph
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build
from tests.support.programs import Outcome


def test_what_is_within_the_limits_is_read(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_text("[[], {}]")
    assert sources.read_json(file, "file", sources.Limit(bytes=8, containers=3)) == [[], {}]
    with pytest.raises(UserError, match="at most 7 are read"):
        sources.read_json(file, "file", sources.Limit(bytes=7, containers=3))
    with pytest.raises(UserError, match="found 3 objects and lists, at most 2 are read"):
        sources.read_json(file, "file", sources.Limit(bytes=8, containers=2))


def test_a_key_that_an_object_has_twice_is_refused(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text('{"images": [{"id": 1}], "annotations": [], "images": []}')
    with pytest.raises(UserError, match=r"annotation file .*a\.json gives 'images' twice in one object; give it once"):
        coco.AnnotationFile.read(file)


Script = Callable[..., Outcome]
WORK = Record(PeopleWork("d", 7, "1/1", {}, {"model": "m"}, {}, 1))

READERS: dict[str, Callable[[Path], object]] = {
    "annotations": coco.load,
    "configuration": loader.load,
    "image": reader.read_image,
    "list": info.read,
    "onnx": onnx_graph.read,
    "dump": lambda path: dumps.read(path, (1, 2, 3), (1, 2, 3)),
    "npy": lambda path: dumps.read(path.with_suffix(".npy"), (1, 2, 3), (1, 2, 3)),
    "hash": atomic.sha256,
    "journal": lambda path: Journal(path, WORK),
    "checkpoint": lambda path: checkpoint.load(path, build(TINY_CONFIG)),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "long name"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, reader: str, kind: str):
    """A pipe without a writer would be waited for, and a device may never end."""
    path = tmp_path / "file"
    if kind == "long name":
        path = tmp_path / ("x" * 300)
    for file in (path, path.with_suffix(".npy")):
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "folder":
            file.mkdir()
        elif kind == "loop":
            file.symlink_to(file.name)
    with pytest.raises(UserError, match=str(path)):
        READERS[reader](path)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path):
    (tmp_path / "file").write_bytes(bytes(9))
    assert sources.read(tmp_path / "file", 9) == bytes(9)
    with pytest.raises(OSError, match="more than 8 bytes"):
        sources.read(tmp_path / "file", 8)
