"""The compiled decode against the reference decode, bit by bit, on more than a thousand generated maps."""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

from demo.synthesis import synthesise
from higherhrnet.config.options import Options
from higherhrnet.decode import compilation, decode
from higherhrnet.image import geometry
from tests.support import reference_decode
from tests.support.synthetic_maps import KINDS, Arrays, each, random_options


def assert_same(arrays: Arrays, options: Options, case: str, *, with_flip: bool = True) -> int:
    image, mirror = arrays[0], arrays[1] if with_flip else None
    fast, plain = decode(image, mirror, options), reference_decode.decode(image, mirror, options)
    for field in ("keypoints", "scores", "tags"):
        np.testing.assert_array_equal(
            getattr(fast, field), getattr(plain, field), strict=True, err_msg=f"{field}, {case}, {options}"
        )
    return len(fast)


# A threshold below 0 makes people without a joint above 0: the reference decode takes the mean of no tags, NaN.
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cases", [10, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("with_flip", [True, False], ids=["flip", "no flip"])
def test_small_maps(kind, cases: int, with_flip: bool):
    rng = np.random.default_rng([KINDS.index(kind), cases])
    people = 0
    for case in range(cases):
        joints = int(rng.choice([1, 2, 3, 4, 10]))
        height, width = (4 * rng.integers(2, 25, 2)).tolist()
        arrays = kind(rng, joints, height, width)
        people += assert_same(
            arrays,
            random_options(rng, joints, kind),
            f"{kind.__name__} {case}: {joints} {height}x{width}",
            with_flip=with_flip,
        )
    assert people > 0


def test_results_are_made_without_python():
    """Where Numba calls Python for one, as for a named tuple, a signal that raises there ends in a crash."""
    harmless = (types.Number, types.Boolean, types.Array, types.NoneType, types.Tuple, types.UniTuple)

    def parts(kind: types.Type) -> list[types.Type]:
        return [kind, *(part for one in getattr(kind, "types", ()) for part in parts(one))]

    compilation.compile()
    for entry in (entry for part in compilation._PARTS for entry in part):
        (compiled,) = entry._dispatcher.overloads.values()
        made = parts(compiled.signature.return_type)
        assert all(isinstance(one, harmless) for one in made), made


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 7])  # each size, crowd and noise, with and without flip
def test_full_size_maps(seed):
    """Real shapes, from a few people to a crowd, without noise and with little and much of it."""
    rng = np.random.default_rng(seed)
    size = [(640, 427), (427, 640), (500, 500), (640, 300)][seed % 4]
    clouds = rng.uniform([0, 0], size, ([1, 3, 6, 12][seed // 2], 2))
    persons = [np.column_stack((rng.normal(center, 40, (17, 2)), rng.integers(0, 3, 17))) for center in clouds]
    arrays = synthesise(persons, geometry.fit(size[0], size[1], 512), rng, drop=0.3)
    level = [0, 0.003, 0.03, 0][seed % 4]
    noisy = each(arrays, lambda a: a + rng.normal(0, level, a.shape).astype(np.float32) if level else a)
    assert assert_same(noisy, Options(), f"seed {seed}", with_flip=seed % 3 > 0) > 0
