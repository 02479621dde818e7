"""Turning rows into lists: for each term, the rows that hold it, ascending."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 8192
"""Rows that are turned at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What some consecutive rows hold.

    Attributes:
        owners: Row of each entry, ascending, [entries].
        terms: Ordinal of its term, none twice in a row, [entries].
        weights: Its impact, in 0 to 255, [entries].
    """

    owners: NDArray[np.int32]
    terms: NDArray[np.integer]
    weights: NDArray[np.uint8]


Passes = Callable[[], Iterator[Entries]]
"""Goes over all entries, block by block; each call begins anew."""


def invert(
    passes: Passes, counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
    """The lists of all terms, one after another.

    Each block is sorted by term and put behind what its terms had before, so that memory beside
    the lists is that of one block.

    Args:
        passes: The entries.
        counts: How many of them each term has; 0 leaves a term out, [terms].

    Returns:
        Term t owns entries indptr[t] to indptr[t + 1], [terms + 1]; their rows; their weights.
    """
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    rows = np.empty(int(indptr[-1]), dtype=np.int32)
    weights = np.empty(int(indptr[-1]), dtype=np.uint8)
    following = indptr[:-1].copy()
    wanted = counts > 0
    for block in passes():
        kept = np.flatnonzero(wanted[block.terms])
        order = kept[np.argsort(block.terms[kept], kind="stable")]
        found = np.bincount(block.terms[kept], minlength=len(counts))
        starts = np.cumsum(found) - found  # of each term among the sorted
        shift = np.repeat(following - starts, found)
        places = np.arange(len(order)) + shift
        rows[places] = block.owners[order]
        weights[places] = block.weights[order]
        following += found
    return indptr, rows, weights
