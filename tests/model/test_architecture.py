"""Architectures: what a configuration may ask for."""

from __future__ import annotations

import pytest

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.model import architecture
from tests.support.datasets import TINY_CONFIG


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("NUM_MODULES", "NUM_CHANNELS", "NUM_BLOCKS")
            for value in (0, -1, 10**12, "1", 1.5, True)
        ),
        *(("DECONV", value) for value in (0, 10**12, "32", None)),
    ],
)
def test_a_network_without_bounds_is_refused(key: str, value: object):
    extra = loader.tree(TINY_CONFIG).MODEL.EXTRA.clone()
    extra.defrost()
    if key == "DECONV":
        extra.DECONV.NUM_CHANNELS = [value]
    else:
        extra.STAGE3[key] = value if key == "NUM_MODULES" else [16, value, 64]
    with pytest.raises(UserError, match=r"config: MODEL\.EXTRA has .*, expected whole numbers of 1 to"):
        architecture.Architecture.from_extra(extra, Heads(17, 17))
