"""Cells of a segment: the documents that have a token near a centroid.

An ordinary inverted index, whose terms are centroids: the cells next to a query's tokens bring
candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.codebooks import Codebook
from tercet.indexes.local.inverted import Entries, invert
from tercet.indexes.local.segments import Column, Segment
from tercet.indexes.local.shortlists import Allowed, Rows, Scores
from tercet.ragged import ragged_rows

INDPTR, ROWS = "multi_vector.cell_indptr", "multi_vector.cell_rows"
CELLS_OF = "cells of codebook "
"""How the codec of the cells starts; the codebook's key follows."""

GAIN_BITS = 16
"""A gain is sorted as a whole number of so many bits."""

HIGHEST_GAIN = (1 << GAIN_BITS) - 1

PROBES = 16
"""Cells that a query token looks up.

With 16, no second look at centroids is needed: measured on tercet/mini and scifact-en, candidates
in the order of their gains find as much as 8 cells and late interaction with centroids do, in half
the time.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """What a query looks up.

    Attributes:
        cells: The nearest centroids of each query token, [Q, probes].
        gains: By how much they beat the best centroid that is not among them, [Q, probes].
    """

    cells: NDArray[np.int64]
    gains: Scores

    @classmethod
    def of(cls, similarity: Scores) -> Self:
        """The cells to look up, by the similarity of query tokens to centroids, [Q, K]."""
        probes = min(PROBES, similarity.shape[1] - 1)
        nearest = np.argpartition(-similarity, probes, axis=1)[:, : probes + 1]
        found = np.take_along_axis(similarity, nearest, axis=1)
        order = np.argsort(-found, axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        found = np.take_along_axis(found, order, axis=1)
        return cls(nearest[:, :-1], found[:, :-1] - found[:, -1:])


class CellLists:
    """The cells of a segment, each with the documents that have a token there."""

    def __init__(self, segment: Segment, codebook: Codebook) -> None:
        self.codebook = codebook
        codec = f"{CELLS_OF}{codebook.key}"
        self._indptr: Rows = segment.array(INDPTR, codec)
        self._rows: NDArray[np.int32] = segment.array(ROWS, codec)

    def candidates(self, probes: Probes, limit: int, allowed: Allowed) -> tuple[Rows, Scores]:
        """The most promising rows, and how promising they are.

        For each query token the best gain among its cells that the document has, summed over
        query tokens: an estimate of how far the score lies above that of a document without any.

        Args:
            probes: What the query looks up.
            limit: How many rows at most.
            allowed: Which rows may be found.
        """
        tokens, width = probes.cells.shape
        entries, offsets = ragged_rows(self._indptr, probes.cells.reshape(-1))
        highest = max(float(probes.gains.max(initial=0.0)), float(np.finfo(np.float32).tiny))
        gains = probes.gains.reshape(-1) / np.float32(highest) * np.float32(HIGHEST_GAIN)
        lookups = np.arange(tokens).repeat(width) << GAIN_BITS | gains.astype(np.int64)
        rows = self._rows[entries].astype(np.int64)
        # One sort of (row, token, gain) brings equal pairs together, the best gain last.
        keys = rows * (tokens << GAIN_BITS) + np.repeat(lookups, np.diff(offsets))
        if allowed is not None:
            keys = keys[allowed[rows]]
        keys.sort()
        best = np.flatnonzero(_last_of_each(keys >> GAIN_BITS))
        owners = (keys[best] >> GAIN_BITS) // tokens
        found = np.flatnonzero(_last_of_each(owners))
        sums = np.diff(np.cumsum(keys[best] & HIGHEST_GAIN)[found], prepend=0)
        scores = (sums * (highest / HIGHEST_GAIN)).astype(np.float32)
        chosen = np.argsort(-scores, kind="stable")[:limit]
        return owners[found][chosen], scores[chosen]

    def pairs(self, rows: Rows, count: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """Place in `rows` and cell of each entry of some rows, of `count` in the segment."""
        places = np.full(count, -1, dtype=np.int64)
        places[rows] = np.arange(len(rows))
        owners = places[self._rows]
        held = owners >= 0
        cells = np.repeat(np.arange(len(self._indptr) - 1, dtype=np.uint16), np.diff(self._indptr))
        return owners[held], cells[held]


def _last_of_each(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the next value is another, [N]; values are sorted."""
    return np.append(values[1:] != values[:-1], [True] * min(1, len(values)))


def codebook_key(codecs: Mapping[str, str]) -> int | None:
    """The codebook that a segment's cells belong to, by the codecs of its arrays."""
    key = codecs.get(INDPTR, "").removeprefix(CELLS_OF)
    return int(key) if key.isdecimal() else None


def pairs_of(
    cells: NDArray[np.uint16], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Row and cell of each entry, from the cells of tokens."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    distinct = np.unique(owners << 16 | cells)  # cells have 16 bits
    return distinct >> 16, (distinct & ((1 << 16) - 1)).astype(np.uint16)


def cell_columns(
    owners: NDArray[np.int64], cells: NDArray[np.uint16], codebook: Codebook
) -> dict[str, Column]:
    """The arrays of a new segment, from the row and the cell of each entry; rows ascend."""
    counts = np.bincount(cells, minlength=len(codebook.centroids))
    entries = Entries(owners.astype(np.int32), cells, np.zeros(len(cells), dtype=np.uint8))
    indptr, rows, _ = invert(lambda: iter([entries]), counts)
    codec = f"{CELLS_OF}{codebook.key}"
    return {INDPTR: Column.of(codec, indptr), ROWS: Column.of(codec, rows)}
