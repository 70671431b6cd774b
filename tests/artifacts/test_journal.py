"""The journal of people: what is in it is kept, whatever happens to its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.journal import Journal, is_begun, work_of
from higherhrnet.artifacts.pictures import Picture, Stamp
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.errors import UserError

WORK = Record(PeopleWork("data", 9, "1/1", {}, {"model": "model"}, {"order": (0, 1)}, 1))
PICTURES = {index: Picture(Stamp(900 + index, 5, 6, 7), f"{index:064x}") for index in range(0, 9, 2)}  # not of all
PEOPLE = {index: [{"image_id": 100 + index, "score": 0.1 * index}] * (index % 3) for index in range(9)}


def written(path: Path, indices=range(9)) -> Journal:
    path.unlink(missing_ok=True)
    with Journal(path, WORK) as journal:
        for index in indices:
            journal.add(index, PICTURES.get(index), PEOPLE[index])
    return journal


def test_people_come_back_by_image_index_whatever_their_order(tmp_path: Path):
    path = tmp_path / "people.jsonl"
    written(path, [5, 0, 8, 2])
    with Journal(path, WORK) as journal:
        assert [index for index in range(9) if index in journal] == [0, 2, 5, 8]
        journal.add(1, PICTURES.get(1), PEOPLE[1])
        journal.leave_out(3, "bad")
        assert len(journal) == 6
        assert journal.is_resumed
        assert list(journal.entries()) == [*PEOPLE[0], *PEOPLE[1], *PEOPLE[2], *PEOPLE[5], *PEOPLE[8]]
    with Journal(path, WORK) as journal:
        assert journal.left_out == {3: "bad"}
        assert 3 in journal
        assert journal.pictures == {index: PICTURES[index] for index in (0, 2, 8)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(cut=st.integers(0, 2000), junk=st.binary(max_size=20))
def test_cut_anywhere_it_holds_the_images_before_the_cut_and_goes_on(tmp_path: Path, cut: int, junk: bytes):
    """A kill or a full disk ends a journal at any byte; a crash of the system can leave anything behind that."""
    path = tmp_path / "people.jsonl"
    written(path)
    content = path.read_bytes()
    cut = min(cut, len(content))
    whole = max(content[:cut].count(b"\n") - 1, 0)
    if cut < 20:  # a file that does not begin like a journal is another's
        junk = b""
    path.write_bytes(content[:cut] + junk.replace(b"\n", b" "))
    with Journal(path, WORK) as journal:
        assert len(journal) == whole
        for index in range(whole, 9):
            journal.add(index, PICTURES.get(index), PEOPLE[index])
        assert list(journal.entries()) == [entry for index in range(9) for entry in PEOPLE[index]]
    assert path.read_bytes() == content


def test_other_work_is_refused_or_begun_afresh(tmp_path: Path):
    path = tmp_path / "people.jsonl"
    written(path)
    before = path.read_bytes()
    other = Record(replace(WORK.work, network={"model": "another"}, options={"order": [1, 0]}))
    expected = r"of other work: another model \(model, not another\), another order \(.*\); .*--overwrite"
    with pytest.raises(UserError, match=expected):
        Journal(path, other)
    assert path.read_bytes() == before
    with Journal(path, other, afresh=True) as journal:
        assert not journal.is_resumed
        assert len(journal) == 0


def test_a_changed_digit_is_a_damaged_line(tmp_path: Path):
    """Whatever byte of the lines after the first changes: the images before it are kept, and no wrong person."""
    path = tmp_path / "people.jsonl"
    written(path)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    at = range(len(lines[0]), len(content), 3)
    for place in at:
        changed = bytearray(content)
        changed[place] = ord("7") if content[place] != ord("7") else ord("8")
        path.write_bytes(changed)
        sound = content[:place].count(b"\n") - 1
        with Journal(path, WORK) as journal:
            assert len(journal) == sound
            assert list(journal.entries()) == [entry for index in range(sound) for entry in PEOPLE[index]]


@pytest.mark.parametrize("content", [b"my people\n", b"my people", b'{"a": [1, 2, 3]}', b"[1, 2]", b'{"dataset": 1}\n'])
@pytest.mark.parametrize("afresh", [False, True])
def test_a_file_of_others_is_not_touched(tmp_path: Path, content: bytes, afresh: bool):
    path = tmp_path / "people.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"people\.jsonl"):
        Journal(path, WORK, afresh=afresh)
    assert path.read_bytes() == content
    assert not is_begun(path)
    assert work_of(path, PeopleWork) is None


def test_the_beginning_of_a_journal_is_one(tmp_path: Path):
    path = tmp_path / "people.jsonl"
    written(path)
    content = path.read_bytes()
    found = work_of(path, PeopleWork)
    assert found is not None
    assert not found.stale(WORK)
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        assert is_begun(path) or work_of(path, PeopleWork) is not None


def test_two_runs_never_write_one_journal(tmp_path: Path):
    path = tmp_path / "people.jsonl"
    with Journal(path, WORK), pytest.raises(UserError, match="another run is writing"):
        Journal(path, WORK)
    Journal(path, WORK).__exit__()


def test_a_full_disk_loses_nothing_that_was_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import os  # noqa: PLC0415

    path = tmp_path / "people.jsonl"
    written(path, range(3))
    real = os.pwrite

    def half(file: int, data, offset: int) -> int:
        if len(data) > 10:
            return real(file, data[:10], offset)
        raise OSError(28, "No space left on device")

    with Journal(path, WORK) as journal:
        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(UserError, match="No space left on device; free space and run again, what is done is kept"):
            journal.add(3, PICTURES.get(3), PEOPLE[3])
    monkeypatch.undo()
    with Journal(path, WORK) as journal:
        assert len(journal) == 3
