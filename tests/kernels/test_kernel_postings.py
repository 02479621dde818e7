"""Gains of posting lists, added up by a kernel."""

import numpy as np
import pytest

from tercet.kernels.postings import added_gains, can_add_gains


def test_rows_gain_the_best_of_each_query_token() -> None:
    assert can_add_gains()
    rng = np.random.default_rng(0)
    lists = [np.sort(rng.choice(50, rng.integers(0, 20), replace=False)) for _ in range(30)]
    ends = np.cumsum([0, *map(len, lists)])
    rows = np.concatenate(lists).astype(np.int32)
    cells = np.asarray([rng.choice(30, 6, replace=False) for _ in range(9)])
    gains = -np.sort(-rng.random((9, 6), dtype=np.float32), axis=1)
    expected = np.zeros(50, dtype=np.float32)
    for token in range(9):
        best = np.zeros(50, dtype=np.float32)
        for cell, gain in zip(cells[token], gains[token], strict=True):
            best[lists[cell]] = np.maximum(best[lists[cell]], gain)
        expected += best
    found = added_gains(ends[cells], ends[cells + 1], gains, rows, count=50)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_lists_that_lead_nowhere_are_refused() -> None:
    one, gains = np.asarray([[0]]), np.ones((1, 1), np.float32)
    rows = np.asarray([0, 7, -1], dtype=np.int32)
    with pytest.raises(IndexError, match="beyond the 3 entries"):
        added_gains(one, one + 4, gains, rows, count=9)
    with pytest.raises(IndexError, match="hold 1 rows that are not among the 9"):
        added_gains(one, one + 3, gains, rows, count=9)


def test_no_query_token_and_no_row_gain_nothing() -> None:
    none = np.empty((0, 4), dtype=np.int64)
    rows = np.empty(0, dtype=np.int32)
    assert added_gains(none, none, np.empty((0, 4), np.float32), rows, count=3).tolist() == [0] * 3
