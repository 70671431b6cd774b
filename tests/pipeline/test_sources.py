"""What names mean: lists, folders and patterns, links in circles, files of other suffixes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from higherhrnet.errors import BadImageError, UserError
from higherhrnet.pipeline import sources
from higherhrnet.pipeline.sources import PICTURE, VIDEO, Reading, Source


def found(*names: str) -> list[str]:
    """What sources are called; an error's text in the place of what means nothing."""
    return [one.name if isinstance(one, Source) else str(one) for one in sources.find(names)]


def of_list(content: bytes) -> list[str]:
    """What a list of this content on standard input names."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(content)
    try:
        return [one.name for one in sources.find(["-"], reading) if isinstance(one, Source)]
    finally:
        os.close(reading)


def test_a_list_may_be_of_windows_and_have_blank_lines():
    assert of_list(b"\xef\xbb\xbfa b.jpg\r\n\r\n  \nc .jpg\n\xff.jpg") == ["a b.jpg", "c .jpg", "\udcff.jpg"]
    assert of_list(b"") == of_list(b"\r\n") == []


def test_what_is_no_list_is_refused():
    with subprocess.Popen(["head", "-c", "100000", "/dev/zero"], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        with pytest.raises(UserError, match="a line of more than 65,536 bytes"):
            list(sources.find(["-"], program.stdout.fileno()))


def test_names_that_no_file_has():
    """An empty one, of a variable that is not set, does not mean the current folder."""
    for name in ("", "a\0b"):
        (error,) = sources.find([name])
        assert isinstance(error, BadImageError)
        assert "no file has such a name" in str(error)
    assert all("a camera has a number" in said for said in found("camera:", "camera:x", "camera:-1", "camera:1000"))
    assert found("x" * 5000) == ["x" * 5000], "said when it is read"


def test_links_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "p.jpg").touch()
    (tmp_path / "sub/q.jpg").touch()
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "sub/up").symlink_to(tmp_path)
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "gone.jpg").symlink_to("nothing")
    (tmp_path / "folder.jpg").mkdir()
    wanted = [str(tmp_path / name) for name in ("circle.jpg", "gone.jpg", "p.jpg")]
    assert found(str(tmp_path)) == wanted, "links to nothing are not passed over"
    assert found(f"{tmp_path}/**/*.jpg") == [*wanted, str(tmp_path / "sub/q.jpg")]
    monkeypatch.chdir(tmp_path)
    assert found("**/*.jpg", "**/q*", "sub/**", "s*/**/**/q.jpg") == [
        *("circle.jpg", "gone.jpg", "p.jpg", "sub/q.jpg"),
        *("sub/q.jpg", "sub/q.jpg", "self/sub/q.jpg", "sub/q.jpg"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.heic", b"", PICTURE),  # and refused as what it is
        ("a.GIF", b"", VIDEO),
        ("webp", b"RIFF\0\0\0\0WEBPVP8 ", PICTURE),
        ("jpeg 2000", b"\0\0\0\x0cjP  \r\n\x87\n", PICTURE),
        ("heic", b"\0\0\0\x18ftypheic", PICTURE),
        ("a.pdf", b"%PDF-1.7", PICTURE),
        ("gif", b"GIF89a", VIDEO),
        ("mp4", b"\0\0\0\x18ftypisom", VIDEO),
        ("avi", b"RIFF\0\0\0\0AVI LIST", VIDEO),
    ],
)
def test_kinds_by_suffix_or_first_bytes(tmp_path: Path, name: str, content: bytes, kind: str):
    (tmp_path / name).write_bytes(content)
    (source,) = sources.find([str(tmp_path / name)])
    assert isinstance(source, Source)
    assert source.kind == kind


def test_a_video_without_pyav_is_bad_and_pictures_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (picture,) = sources.pictures(Source(0, "a.gif", VIDEO), Reading())
    with pytest.raises(BadImageError, match=r"^video a\.gif: videos need the package av"):
        picture.read()
