"""The compiled assignment against the package whose choices it reproduces."""

from __future__ import annotations

import itertools

import munkres
import numpy as np
import pytest

from higherhrnet.decode.assignment import assign


def padded(costs: np.ndarray, padding: float = 1e10) -> np.ndarray:
    """Columns added until there are as many as rows, as grouping adds them."""
    missing = max(costs.shape[0] - costs.shape[1], 0)
    return np.concatenate((costs, np.full((len(costs), missing), padding)), axis=1)


def package_columns(costs: np.ndarray) -> list[int]:
    return [column for _, column in munkres.Munkres().compute(costs.tolist())]


def rounded_distances(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Costs as grouping has them: round(distance) * 100 - value, the value constant along a row."""
    distances = np.round(np.abs(rng.normal(0, 4, (rows, 1)) - rng.normal(0, 4, (1, columns))))
    return padded(distances * 100 - rng.uniform(0.1, 1, (rows, 1)).astype(np.float32))


def small_integers(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return padded(rng.integers(0, 4, (rows, columns)).astype(float))


def negative_and_fractional(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return padded(np.round(rng.normal(0, 1, (rows, columns)), 1))


def any_reals(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return padded(rng.normal(0, 10.0 ** rng.integers(-8, 9), (rows, columns)))


def constant(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return padded(np.full((rows, columns), rng.choice([0.0, -0.0, 0.3, 1e10])))


@pytest.mark.parametrize("kind", [rounded_distances, small_integers, negative_and_fractional, any_reals, constant])
@pytest.mark.slow
def test_same_choice_as_the_package_among_equal_costs(kind):
    rng = np.random.default_rng(5)
    for case in range(400):
        largest = 31 if case % 25 == 0 else 10
        rows, columns = rng.integers(1, largest, 2)
        costs = kind(rng, rows, columns)
        assert assign(costs).tolist() == package_columns(costs), f"case {case}: {costs.tolist()}"


def test_least_cost_by_trying_all():
    rng = np.random.default_rng(6)
    for _ in range(200):
        costs = rng.integers(0, 20, (4, 5)).astype(float)
        least = min(sum(costs[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(5), 4))
        assert costs[np.arange(4), assign(costs)].sum() == least


def test_one_row_takes_the_cheapest_column():
    np.testing.assert_array_equal(assign(np.array([[3.0, 1.0, 2.0]])), [1])


def test_costs_beyond_integers_end_where_the_package_would_not():
    # The package steps by at most sys.maxsize, which changes nothing beside 1e300.
    np.testing.assert_array_equal(assign(np.array([[0.0, 1e300], [0.0, 2e300]])), [1, 0])
