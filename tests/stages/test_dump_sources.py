"""Dumps that are decoded together are of one work, by their records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.artifacts import dumps
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.errors import UserError
from higherhrnet.stages import dump_sources
from higherhrnet.stages.dump_sources import Source
from tests.support.works import DUMPS


def of_inputs(**changed: Any) -> DumpsWork:
    """DUMPS of inputs made otherwise."""
    assert DUMPS.inputs is not None
    return replace(DUMPS, inputs=replace(DUMPS.inputs, work=replace(DUMPS.inputs.work, **changed)))


def check(other: DumpsWork) -> None:
    first, second = (Source(Path(name), dumps.BENCHMARK, work) for name, work in (("a", DUMPS), ("b", other)))
    dump_sources._check_equal(first, second, "the scales are of several works")


def test_pass_scale_and_layout_may_differ():
    check(replace(of_inputs(flip=True, factor=2.0, layout="flat"), flip=True))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exif": True}, r"another --exif \(True, not False\)"),
        ({"opencv": "5.0.0"}, "another OpenCV"),
        ({"version": 2}, "another version of preprocessing"),
        ({"dtype": "float16"}, "another dtype of inputs"),
    ],
)
def test_inputs_of_a_scale_that_were_made_otherwise_are_refused(changed: dict[str, Any], said: str):
    """As those of one scale alone, made again, beside the other's from before."""
    with pytest.raises(UserError, match=f"a and b: the scales are of several works: {said}"):
        check(of_inputs(factor=2.0, **changed))


def test_other_pictures_of_a_scale_are_refused():
    assert DUMPS.inputs is not None
    with pytest.raises(UserError, match="the scales are of several works: other pictures"):
        check(replace(DUMPS, inputs=replace(DUMPS.inputs, pictures="b" * 64)))
