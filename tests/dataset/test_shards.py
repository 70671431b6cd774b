"""Shards: every image in exactly one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.dataset.shards import ALL, Shard


@given(of=st.integers(1, 40), index=st.integers(0, 10**6))
def test_every_image_is_in_exactly_one_shard(of: int, index: int):
    assert sum(Shard(number, of).holds(index) for number in range(1, of + 1)) == 1


def test_shards_take_turns():
    assert [i for i in range(8) if Shard.parse("2/3").holds(i)] == [1, 4, 7]
    assert str(Shard.parse("2/3")) == "2/3"
    assert (Shard.parse("2/3").suffix, ALL.suffix) == ("_2of3", "")


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "-1/3", "1/0", "1/3/5", "a/b", " 1/3", "1.0/3"])
def test_anything_else_is_refused(text: str):
    with pytest.raises(ValueError, match="is no shard, expected I/N"):
        Shard.parse(text)
