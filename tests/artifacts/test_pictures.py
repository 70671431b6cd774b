"""Pictures by content: digests that add up, and rows that come back."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.artifacts import pictures
from higherhrnet.artifacts.pictures import Picture
from higherhrnet.artifacts.seen import Stamp

HASHES = st.binary(max_size=4).map(lambda content: hashlib.sha256(content).hexdigest())
CONTENTS = st.dictionaries(st.integers(0, 10**6), HASHES, max_size=12).map(lambda found: list(found.items()))


@given(contents=CONTENTS, parts=st.integers(1, 4), data=st.data())
def test_digests_of_parts_add_up_to_that_of_the_whole_in_any_order(contents, parts: int, data: st.DataObject):
    shuffled = data.draw(st.permutations(contents))
    cut = [shuffled[number::parts] for number in range(parts)]
    assert pictures.combine(pictures.digest(part) for part in cut) == pictures.digest(contents)


@given(contents=CONTENTS, data=st.data())
def test_a_digest_changes_with_every_picture_and_its_place(contents, data: st.DataObject):
    whole = pictures.digest(contents)
    index = data.draw(st.integers(0, 10**6).filter(lambda i: i not in dict(contents)))
    more = [*contents, (index, "0" * 64)]
    assert pictures.digest(more) != whole
    assert pictures.digest([*contents, (index, "1" * 64)]) != pictures.digest(more)
    assert pictures.digest([*contents, (index + 10**7, "0" * 64)]) != pictures.digest(more)


def test_two_pictures_that_changed_places_are_not_the_same():
    """A sum of hashes of content alone would be."""
    a, b = "a" * 64, "b" * 64
    assert pictures.digest([(0, a), (1, b)]) != pictures.digest([(0, b), (1, a)])


def test_the_sum_is_taken_by_hand():
    parts = [hashlib.sha256(text).digest() for text in (b"3 " + b"a" * 64, b"7 " + b"b" * 64)]
    total = sum(int.from_bytes(part, "big") for part in parts) % 2**256
    assert pictures.digest([(3, "a" * 64), (7, "b" * 64)]) == f"{total:064x}"
    assert pictures.combine(["f" * 64, f"{1:064x}"]) == "0" * 64, "modulo 2^256"
    assert pictures.digest([]) == "0" * 64


def test_an_unknown_part_makes_the_whole_unknown():
    assert pictures.combine(["0" * 64, ""]) == ""


@given(stamp=st.tuples(*[st.integers(0, 2**62)] * 4), sha256=HASHES)
def test_a_row_comes_back_from_json(stamp: tuple[int, int, int, int], sha256: str):
    picture = Picture(Stamp(*stamp), sha256)
    row = json.loads(json.dumps(picture.row()))
    assert Picture.is_row(row)
    assert Picture.of_row(row) == picture


@pytest.mark.parametrize(
    "row", [None, 5, [], [1, 2, 3, 4], [1, 2, 3, "4", "a"], [1, 2, 3, True, "a"], [1] * 5, "12345"]
)
def test_anything_else_is_no_row(row: object):
    assert not Picture.is_row(row)


@pytest.mark.parametrize("text", ["0", "g" * 64, "A" * 64, "0" * 65, "0" * 63 + "\n"])
def test_anything_else_is_no_digest(text: str):
    pictures.check_digest("")
    pictures.check_digest("0" * 64)
    with pytest.raises(ValueError, match="pictures"):
        pictures.check_digest(text)
