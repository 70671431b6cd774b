"""A short run of the fuzzer with a fixed seed; ``python3 -m tests.fuzz`` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

from tests import fuzz

EXECUTIONS = 8_000


def test_only_the_project_s_own_error_comes_out(tmp_path: Path):
    done, refused, findings = fuzz.fuzz(EXECUTIONS, 4711, tmp_path, quiet=True)
    assert findings == []
    assert done.total() == EXECUTIONS
    # Some changed files are still sound, and some no longer are: else a parser is not reached, or refuses nothing.
    assert [name for name in done if refused[name] == done[name]] == []
    assert [name for name in done if not refused[name]] == ["atc"], "which finds codes or does not"


def test_equal_seeds_give_equal_files():
    seeds = (b"0 a/b.bin 512 704\n", b"other")
    first, second = ([fuzz.mutate(rng, seeds) for _ in range(200)] for rng in (random.Random(5), random.Random(5)))
    assert first == second
    assert len(set(first)) > 150
