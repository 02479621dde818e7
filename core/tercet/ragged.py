"""Ragged arrays: rows of different lengths, stored one after another, with offsets between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ragged_rows(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the items of some rows of a ragged array stand.

    Args:
        offsets: Row n owns items offsets[n] to offsets[n + 1], [N + 1].
        rows: The rows wanted, [M].

    Returns:
        The items' positions, row after row, [items]; their own offsets, [M + 1].
    """
    return ragged_items(offsets[rows], offsets[rows + 1])


def ragged_items(
    starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same of rows that own the items from their start to their stop, [M] each."""
    lengths = stops - starts
    ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    items = np.arange(int(ends[-1]), dtype=np.int64) + np.repeat(starts - ends[:-1], lengths)
    return items, ends


def check_offsets(offsets: NDArray[np.int64], items: int, *, name: str) -> None:
    """Refuse offsets that do not run from 0 to the number of items, without descending.

    Raises:
        ValueError: They do not.
    """
    if offsets.ndim != 1 or len(offsets) < 1 or int(offsets[0]) != 0:
        raise ValueError(f"{name} must start at 0")
    if (np.diff(offsets) < 0).any():
        raise ValueError(f"{name} must not descend")
    if int(offsets[-1]) != items:
        raise ValueError(f"{name} end at {offsets[-1]}, but there are {items} items")


def join_offsets(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The offsets of all rows of several ragged arrays, one array after another."""
    lengths = np.concatenate([np.diff(p) for p in parts])
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def whole_numbers(values: Any, dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """Whole numbers as `dtype`; fractions and numbers out of its reach are refused."""
    given = np.asarray(values)
    array: NDArray[Any] = given.astype(dtype, copy=False)
    if array is not given and not np.array_equal(array, given):
        raise ValueError(f"whole numbers that fit {np.dtype(dtype)} belong here")
    return array
