"""Lists of inputs: any path, any line end, one error per wrong line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.artifacts import info
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

SHAPES = st.sampled_from([(512, 512), (1024, 512), (512, 704)])


def test_info_paths_may_hold_all_but_line_breaks(tmp_path: Path):
    file = tmp_path / "all.info"
    paths = [Path("数据/a b.bin"), Path("a\u2028b\x85c\x0bd.bin"), Path(" 1 2 3")]
    info.write(file, [info.Entry(path, 7, 9) for path in paths])
    assert [entry.path for entry in info.read(file)] == paths
    for name, why in (("a\nb", "holds a line break"), (os.fsdecode(b"\xff.bin"), "is not UTF-8")):
        with pytest.raises(UserError, match=why):
            info.write(file, [info.Entry(Path(name), 7, 9)])
    assert len(info.read(file)) == 3, "what stood there still does"


@pytest.mark.parametrize("line", ["\u0661 a 5 5", "0 a 5 \u0665", "0 a 5", "-1 a 5 5", "0 a 5 5 ", "0 a 5e0 5", "\0"])
def test_info_numbers_are_plain_digits(tmp_path: Path, line: str):
    file = tmp_path / "all.info"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(UserError, match=f"{file} line 1: found"):
        info.read(file)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
@pytest.mark.slow
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


@given(
    st.lists(
        st.tuples(st.from_regex(r"[^\s/\0][^\r\n/\0]{0,20}[^\s/\0]", fullmatch=True), SHAPES), min_size=1, max_size=9
    )
)
@pytest.mark.slow
def test_info_round_trip(tmp_path_factory: pytest.TempPathFactory, rows):
    file = tmp_path_factory.mktemp("info") / "list.info"
    entries = [info.Entry(Path("a b") / name, width=w, height=h) for name, (h, w) in rows]
    if any(len(str(e.path).splitlines()) > 1 for e in entries):  # other line breaks than \r and \n, which Python knows
        return
    info.write(file, entries)
    assert info.read(file) == entries


def test_info_lines_put_width_before_height(tmp_path: Path):
    info.write(tmp_path / "a.info", [info.Entry(Path("p/1.bin"), width=704, height=512)])
    assert (tmp_path / "a.info").read_text() == "0 p/1.bin 704 512\n"


def test_lists_by_shape_replace_stale_ones_only(tmp_path: Path):
    name = str(tmp_path / "prep")
    for stale in ("prep_576x512.info", "prep_flip_576x512.info"):
        (tmp_path / stale).write_text("0 x 512 576\n")
    written = info.write_all(name, [info.Entry(Path("x"), 512, 512), info.Entry(Path("y"), 704, 512)], by_shape=True)
    assert [p.name for p in written] == ["prep.info", "prep_512x512.info", "prep_512x704.info"]
    assert info.of_shapes(name) == {(512, 512): written[1], (512, 704): written[2]}
    assert (tmp_path / "prep_flip_576x512.info").exists(), "another list's file was removed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"0 a.bin 512\n", r"line 1: found '0 a.bin 512', expected 'index path width height'"),
        (b"0 a.bin 512 512\n1 b.bin x 512\n", "line 2: found '1 b.bin x 512'"),
        (b"0 a.bin 512 512\n0 b.bin 512 512\n", "line 2: found index 0, expected 1"),
        (b"0 \xff.bin 512 512\n", "is not UTF-8"),
    ],
)
def test_wrong_lists_are_refused_by_line(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.info").write_bytes(content)
    with pytest.raises(UserError, match=message):
        info.read(tmp_path / "a.info")


def test_windows_line_ends_are_read(tmp_path: Path):
    (tmp_path / "a.info").write_bytes(b"0 a.bin 704 512\r\n")
    assert info.read(tmp_path / "a.info") == [info.Entry(Path("a.bin"), width=704, height=512)]


@pytest.mark.parametrize("line", ["0 a\0b 512 512", "0 a 0 0", "0 a 512 70000", "0 a 70000 512"])
def test_paths_and_sides_of_no_file_are_refused_by_line(tmp_path: Path, line: str):
    file = tmp_path / "a.info"
    file.write_text(f"0 sound.bin 512 512\n{line.replace('0', '1', 1)}\n")
    expected = "expected a path without the character 0, and sides of 1 to 65535"
    with pytest.raises(UserError, match=rf"a\.info line 2: found .*, {expected}; run gen_dataset_info"):
        info.read(file)
