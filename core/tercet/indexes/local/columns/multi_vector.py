"""Token vectors in a segment: searched by their cells where there are many, else one by one."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.errors import IndexCorruptError, IndexFormatError
from tercet.indexes.local.columns.cells import CellLists
from tercet.indexes.local.columns.late_interaction import MOST, STEP, CodedPart, search_cells
from tercet.indexes.local.columns.mean_residuals import Block, MeanResiduals, mean_residuals
from tercet.indexes.local.columns.shortlists import Allowed, Rows, Scores, Shortlist, best_of_all
from tercet.indexes.local.columns.tokens import CELLS, SCALES, TOKENS, Arrays, Residual, codec_named
from tercet.indexes.local.files.segments import Segment
from tercet.ragged import ragged_rows
from tercet.scoring.devices import DeviceTokens, Residuals
from tercet.scoring.multi_vector import Comparison

BLOCK_ROWS = 256
"""Documents that are read at once where all are."""

OFFSETS, OFFSETS_CODEC = "multi_vector.offsets", "int64"
DISTORTION, DISTORTION_CODEC = "multi_vector.distortion", "float64"


class MultiVectorColumn:
    """The token vectors of a segment."""

    gathered: ClassVar[int] = 2000

    def __init__(self, segment: Segment) -> None:
        name = segment.codecs.get(TOKENS, "nothing")
        codec = codec_named(name, segment.codebook)
        if codec is None:
            raise IndexFormatError(
                f"segment {segment.path} stores token vectors as {name!r}, which this version "
                "does not read: upgrade tercet"
            )
        self.codec = codec
        self.device = segment.device
        self.offsets: NDArray[np.int64] = segment.array(OFFSETS, OFFSETS_CODEC)
        self.arrays: Arrays = {array: segment.array(array, name) for array in codec.dtypes}
        if any(len(array) != self.offsets[-1] for array in self.arrays.values()):
            sizes = {name: len(array) for name, array in self.arrays.items()}
            raise IndexCorruptError(
                f"segment {segment.path} has {self.offsets[-1]} tokens by its offsets, and arrays "
                f"of {sizes}: `tercet check` tells what is damaged"
            )
        self.cells: CellLists | None = None
        self.distortion = 0.0
        if segment.codebook is not None:
            self.cells = CellLists(segment, segment.codebook)
            if isinstance(codec, Residual):
                self.arrays[CELLS] = self.cells.of_tokens
            self.distortion = float(segment.array(DISTORTION, DISTORTION_CODEC)[0])

    @cached_property
    def residuals(self) -> MeanResiduals | None:
        """Those of documents with cells; made here where an earlier version left none."""
        cells = self.cells
        if cells is None or cells.residuals is not None:
            return None if cells is None else cells.residuals
        blocks = self.with_cells(np.arange(len(self.offsets) - 1), cells.of_tokens)
        return MeanResiduals.of(mean_residuals(blocks, cells.codebook.centroids))

    def with_cells(self, rows: Rows, cells: NDArray[np.uint16]) -> Iterator[Block]:
        """Token vectors of some rows, some rows at once, with their cells in the same order."""
        start = 0
        for first in range(0, len(rows), BLOCK_ROWS):
            tokens, offsets = ragged_rows(self.offsets, rows[first : first + BLOCK_ROWS])
            own = cells[start : start + len(tokens)]
            yield self.decode_tokens(tokens), own, np.diff(offsets)
            start += len(tokens)

    @classmethod
    def best(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, those of parts with cells by way of their cells."""
        found: dict[int, list[Shortlist]] = {}
        groups: dict[int, list[int]] = {}
        for place, (column, allowed) in enumerate(parts):
            if column.cells is None:
                found[place] = column._compare_all(queries, depth, allowed)
            else:
                groups.setdefault(column.cells.codebook.key, []).append(place)
                found[place] = []
        for places in groups.values():
            for n in range(len(queries)):
                query = queries if len(queries) == 1 else queries.take(np.asarray([n]))
                shortlists = _search_group([parts[place] for place in places], query, depth)
                for place, shortlist in zip(places, shortlists, strict=True):
                    found[place].append(shortlist)
        return [found[place] for place in range(len(parts))]

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, from a comparison with every row."""
        return [column._compare_all(queries, depth, allowed) for column, allowed in parts]

    def score(self, queries: MultiVectors, rows: Rows) -> Scores:
        """Scores of some rows, summed over query tokens, [M, R]."""
        return self.compared(Comparison(queries), rows)

    def compared(self, queries: Comparison, rows: Rows) -> Scores:
        """The same of queries that are laid out."""
        if self._on_device is not None:
            tokens, offsets = ragged_rows(self.offsets, rows)
            return self._on_device.maxsim(queries.queries, offsets, tokens)
        if isinstance(self.codec, Residual):
            tokens, offsets = ragged_rows(self.offsets, rows)

            def load(start: int, stop: int) -> NDArray[np.float32]:
                return self.decode_tokens(tokens[start:stop])

            return queries.loaded(load, offsets)
        numbers, scales = self.arrays[TOKENS], self.arrays.get(SCALES)
        return queries.stored(numbers, scales, self.offsets[rows], self.offsets[rows + 1])

    def decode(self, rows: Rows) -> MultiVectors:
        """The token vectors of some rows."""
        tokens, offsets = ragged_rows(self.offsets, rows)
        return MultiVectors(self.decode_tokens(tokens), offsets)

    def decode_tokens(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some token vectors, [tokens, E]."""
        arrays = {name: array[tokens] for name, array in self.arrays.items()}
        return self.codec.decode(arrays)

    def blocks(self, rows: Rows, *, size: int) -> Iterator[NDArray[np.int64]]:
        """Tokens of some rows, so many rows at once."""
        for start in range(0, len(rows), size):
            yield ragged_rows(self.offsets, rows[start : start + size])[0]

    @cached_property
    def _on_device(self) -> DeviceTokens | None:
        if self.device is None:
            return None
        residuals = None
        if isinstance(self.codec, Residual):
            book = self.codec.codebook
            cells = self.arrays[CELLS]
            residuals = Residuals(self.codec.table(), book.spread, book.centroids, cells)
        return DeviceTokens(self.arrays[TOKENS], self.arrays.get(SCALES), self.device, residuals)

    def _compare_all(self, queries: MultiVectors, depth: int, allowed: Allowed) -> list[Shortlist]:
        if self._on_device is not None:
            scores = self._on_device.maxsim(queries, self.offsets)
        else:
            scores = self.score(queries, np.arange(len(self.offsets) - 1))
        return best_of_all(scores, depth, allowed)


def _search_group(
    parts: Sequence[tuple[MultiVectorColumn, Allowed]], query: MultiVectors, depth: int
) -> list[Shortlist]:
    """Shortlists of parts with one codebook for one query."""
    laid_out = Comparison(query)

    def score(owners: Rows, rows: Rows) -> Scores:
        if len(parts) == 1:
            alone: Scores = parts[0][0].compared(laid_out, rows)[0]
            return alone
        scores = np.empty(len(rows), dtype=np.float32)
        for owner in np.unique(owners).tolist():
            places = np.flatnonzero(owners == owner)
            scores[places] = parts[owner][0].compared(laid_out, rows[places])[0]
        return scores

    coded = [
        CodedPart(column.cells, column.residuals, allowed)
        for column, allowed in parts
        if column.cells is not None and column.residuals is not None
    ]
    # a device takes as long for all candidates as for a few
    step = STEP if parts[0][0].device is None else MOST
    return search_cells(coded, query.vectors, depth, score, step=step)
