"""The assignment of least total cost by the classical algorithm of Munkres (1957), with the choices of munkres 1.1.4.

Among assignments of equal cost, which are frequent here because a peak's value is constant along its row, the one
found depends on the order in which zeros are visited. The golden data and the published figures come from the Python
package munkres 1.1.4; its order of visits and its float64 arithmetic are reproduced.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from higherhrnet.decode.cache import inner


@njit
def assign(costs):
    """The column of each row in an assignment of least total cost.

    costs : float64 [rows, columns], rows <= columns, finite
    """
    rows, size = costs.shape
    cost = np.zeros((size, size))  # rows added to make it square cost nothing
    for i in range(rows):
        least = costs[i, 0]
        for j in range(size):
            least = min(least, costs[i, j])
        for j in range(size):
            cost[i, j] = costs[i, j] - least
    row_covered, column_covered = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    star_in_row, star_in_column = np.full(size, -1), np.full(size, -1)
    prime_in_row = np.full(size, -1)
    stars = 0
    for i in range(size):
        for j in range(size):
            if cost[i, j] == 0 and star_in_column[j] < 0:
                star_in_row[i], star_in_column[j] = j, i
                stars += 1
                break
    while stars < size:
        for j in range(size):
            column_covered[j] = star_in_column[j] >= 0
            row_covered[j] = False
            prime_in_row[j] = -1
        row, column = np.int64(0), np.int64(0)
        while True:
            row, column = _uncovered_zero(cost, row_covered, column_covered, row, column)
            if row < 0:
                _make_zero(cost, row_covered, column_covered)
                row, column = np.int64(0), np.int64(0)
                continue
            prime_in_row[row] = column  # once a row: it is covered now, or the search ends here
            if star_in_row[row] < 0:
                break
            row_covered[row] = True
            column = star_in_row[row]
            column_covered[column] = False
        _augment(row, column, star_in_row, star_in_column, prime_in_row)
        stars += 1
    return star_in_row[:rows]


@inner
def _uncovered_zero(cost, row_covered, column_covered, first_row, first_column):
    """The zero that the package takes next, or -1, -1.

    Rows are visited from ``first_row`` on and around, each from ``first_column`` on and around; in the first row with
    uncovered zeros the last one visited is taken.
    """
    size = len(cost)
    for i in range(size):
        row = first_row + i
        if row >= size:
            row -= size
        if row_covered[row]:
            continue
        for j in range(1, size + 1):
            column = first_column - j
            if column < 0:
                column += size
            if cost[row, column] == 0 and not column_covered[column]:
                return row, column
    return -1, -1


@inner
def _make_zero(cost, row_covered, column_covered):
    """Take the smallest uncovered cost from uncovered columns and add it to covered rows."""
    size = len(cost)
    smallest = np.inf
    for i in range(size):
        if not row_covered[i]:
            for j in range(size):
                if not column_covered[j] and cost[i, j] < smallest:
                    smallest = cost[i, j]
    for i in range(size):
        for j in range(size):
            if row_covered[i]:
                cost[i, j] += smallest
            if not column_covered[j]:
                cost[i, j] -= smallest  # of a covered row too: adding and taking away again may round


@inner
def _augment(row, column, star_in_row, star_in_column, prime_in_row):
    """Star the primes and unstar the stars along the path that starts at the prime at (row, column)."""
    while True:
        starred = star_in_column[column]
        star_in_row[row], star_in_column[column] = column, row
        if starred < 0:
            return
        row, column = starred, prime_in_row[starred]
