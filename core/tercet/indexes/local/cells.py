"""Cells of a segment: the documents that have a token near a centroid.

An ordinary inverted index, whose terms are centroids: the cells next to a query's tokens bring
candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.codebooks import Codebook
from tercet.indexes.local.inverted import Entries, invert
from tercet.indexes.local.segments import Column, Segment
from tercet.indexes.local.shortlists import Allowed, Rows, Scores
from tercet.ragged import ragged_rows

INDPTR, ROWS, OF_TOKENS = (f"multi_vector.{name}" for name in ("cell_indptr", "cell_rows", "cells"))
CELLS_OF = "cells of codebook "
"""How the codec of the cells starts; the codebook's key follows."""

CELL_BITS = 16
"""Bits that a cell fits."""

GAIN_BITS = 16
"""A gain is sorted as a whole number of so many bits."""

HIGHEST_GAIN = (1 << GAIN_BITS) - 1

PROBES = 48
"""Cells that a query token looks up.

So many that the order of gains needs no second look at centroids. On tercet/mini's tokens of
scifact-en (100 training queries) 16 cells find one in a hundred of the ten best less than 48, and
64 take more time and find no more.
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
        self.of_tokens: NDArray[np.uint16] = segment.array(OF_TOKENS, codec)

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


def _last_of_each(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the next value is another, [N]; values are sorted."""
    return np.append(values[1:] != values[:-1], [True] * min(1, len(values)))


def codebook_key(codecs: Mapping[str, str]) -> int | None:
    """The codebook that a segment's cells belong to, by the codecs of its arrays."""
    key = codecs.get(INDPTR, "").removeprefix(CELLS_OF)
    return int(key) if key.isdecimal() else None


def cell_columns(
    cells: NDArray[np.uint16], offsets: NDArray[np.int64], codebook: Codebook
) -> dict[str, Column]:
    """The arrays of a new segment.

    Args:
        cells: Of each token, [tokens].
        offsets: Document n owns tokens offsets[n] to offsets[n + 1], [N + 1].
        codebook: Whose cells they are.
    """
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    distinct = np.unique(owners << CELL_BITS | cells)
    terms = (distinct & ((1 << CELL_BITS) - 1)).astype(np.uint16)
    nothing = np.zeros(len(terms), dtype=np.uint8)
    entries = Entries((distinct >> CELL_BITS).astype(np.int32), terms, nothing)
    counts = np.bincount(terms, minlength=len(codebook.centroids))
    indptr, rows, _ = invert(lambda: iter([entries]), counts)
    codec = f"{CELLS_OF}{codebook.key}"
    return {
        INDPTR: Column.of(codec, indptr),
        ROWS: Column.of(codec, rows),
        OF_TOKENS: Column.of(codec, cells),
    }
