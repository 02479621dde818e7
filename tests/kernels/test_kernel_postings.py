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
    found = added_gains(cells, gains, ends, rows, count=50)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_lists_that_lead_nowhere_are_refused() -> None:
    gains = np.ones((1, 1), np.float32)
    rows = np.asarray([0, 7, -1], dtype=np.int32)
    for ends in ([0, 4], [-1, 3], [0, -2], [0, 1 << 62]):
        with pytest.raises(IndexError, match="1 lists are not among the 1 or reach beyond the 3"):
            added_gains(np.asarray([[0]]), gains, np.asarray(ends), rows, count=9)
    for missing in (1, -1):
        with pytest.raises(IndexError, match="1 lists are not among the 1 or"):
            added_gains(np.asarray([[missing]]), gains, np.asarray([0, 2]), rows, count=9)
    with pytest.raises(IndexError, match="hold 1 rows that are not among the 9"):
        added_gains(np.asarray([[0]]), gains, np.asarray([0, 3]), rows, count=9)


def test_no_query_token_and_no_row_gain_nothing() -> None:
    none, ends = np.empty((0, 4), dtype=np.int64), np.zeros(5, dtype=np.int64)
    rows = np.empty(0, dtype=np.int32)
    assert added_gains(none, np.empty((0, 4), np.float32), ends, rows, count=3).tolist() == [0] * 3
