"""Names of what belongs to another scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from higherhrnet.artifacts.scales import beside
from tests.support.programs import Outcome

Script = Callable[..., Outcome]


def test_files_of_scale_1_keep_their_names():
    assert beside(Path("a/prep_bin"), 1) == Path("a/prep_bin")
    assert beside(Path("a/prep_bin"), 0.5) == Path("a/prep_bin_scale0.5")
    assert beside(Path("result"), 2) == Path("result_scale2")
