"""What only the stages one by one do is refused elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from higherhrnet.config import loader
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

MULTI = ["TEST.SCALE_FACTOR", "[0.5, 1, 2]"]


Script = Callable[..., Outcome]


@pytest.mark.parametrize(
    "options",
    [MULTI, ["TEST.FLIP_TEST", "False"], ["DATASET.WITH_CENTER", "True"], ["DATASET.TEST", "test-dev2017"]],
    ids=lambda options: options[0],
)
def test_run_refuses_what_only_the_scripts_do(options: list[str]):
    with pytest.raises(UserError, match=f"{options[0]} is .*, this command "):
        loader.load(None, options).require_plain()
    loader.load(None).require_plain()
