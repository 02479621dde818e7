"""Cells of a segment: the documents that have a token near a centroid.

An ordinary inverted index, whose terms are centroids: the cells next to a query's tokens bring
candidates.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.codebooks import Codebook, Probes
from tercet.indexes.local.columns.inverted import Entries, invert
from tercet.indexes.local.columns.mean_residuals import MeanResiduals
from tercet.indexes.local.columns.shortlists import Rows, Scores
from tercet.indexes.local.files.segments import Column, Segment
from tercet.kernels.postings import added_gains, can_add_gains

INDPTR, ROWS, OF_TOKENS = (f"multi_vector.{name}" for name in ("cell_indptr", "cell_rows", "cells"))
CELLS_OF = "cells of codebook "
"""How the codec of the cells starts; the codebook's key follows."""

CELL_BITS = 16
"""Bits that a cell fits."""


class CellLists:
    """The cells of a segment, each with the documents that have a token there."""

    def __init__(self, segment: Segment, codebook: Codebook) -> None:
        self.codebook = codebook
        self._count = segment.rows
        codec = f"{CELLS_OF}{codebook.key}"
        self._indptr: Rows = segment.array(INDPTR, codec)
        self._rows: NDArray[np.int32] = segment.array(ROWS, codec)
        self.of_tokens: NDArray[np.uint16] = segment.array(OF_TOKENS, codec)
        self.residuals = MeanResiduals.stored(segment, codebook.key)

    def gains(self, probes: Probes) -> Scores:
        """An estimate of how far each row's score lies above that of a row without any cell, [N].

        For each query token the best gain among its cells that the document has, summed over
        query tokens.
        """
        if can_add_gains():
            return added_gains(
                probes.cells, probes.gains, self._indptr, self._rows, count=self._count
            )
        starts, stops = self._indptr[probes.cells], self._indptr[probes.cells + 1]
        total = np.zeros(self._count, dtype=np.float32)
        best = np.empty_like(total)
        for start, stop, gains in zip(starts, stops, probes.gains, strict=True):
            lists = [self._rows[a:b] for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
            best.fill(0)
            np.maximum.at(best, np.concatenate(lists), np.repeat(gains, stop - start))
            total += best
        return total


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
