"""Token vectors on their way into a segment: stored as they come, or merged from others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.indexes.codebooks import distortion
from tercet.indexes.local.columns.cells import cell_columns
from tercet.indexes.local.columns.context import Context
from tercet.indexes.local.columns.mean_residuals import Block, MeanResiduals, mean_residuals
from tercet.indexes.local.columns.multi_vector import (
    BLOCK_ROWS,
    DISTORTION,
    DISTORTION_CODEC,
    OFFSETS,
    OFFSETS_CODEC,
    MultiVectorColumn,
)
from tercet.indexes.local.columns.shortlists import Rows
from tercet.indexes.local.columns.tokens import Residual, TokenCodec, codec_for
from tercet.indexes.local.files.segments import Column
from tercet.indexes.pooling import pooled
from tercet.ragged import ragged_rows


def store_tokens(vectors: MultiVectors, context: Context) -> dict[str, Column]:
    """The arrays of a new segment."""
    vectors = pooled(vectors, context.storage.pooling)
    codebook = context.codebook
    codec = codec_for(context.storage.tokens, codebook)
    cells = None if codebook is None else codebook.cells_of(vectors.vectors)
    offsets = vectors.offsets.astype(np.int64, copy=False)
    columns = {
        name: Column.of(codec.name, array)
        for name, array in codec.encode(vectors.vectors, cells).items()
    }
    columns[OFFSETS] = Column.of(OFFSETS_CODEC, offsets)
    if codebook is not None and cells is not None:
        fit = np.asarray([distortion(vectors.vectors, cells, codebook.centroids)])
        columns[DISTORTION] = Column.of(DISTORTION_CODEC, fit)
        columns |= cell_columns(cells, offsets, codebook)
        left = mean_residuals(_blocks(vectors, cells), codebook.centroids)
        columns |= MeanResiduals.of(left).columns(codebook.key)
    return columns


def _blocks(vectors: MultiVectors, cells: NDArray[np.uint16]) -> Iterator[Block]:
    for first in range(0, len(vectors), BLOCK_ROWS):
        offsets = vectors.offsets[first : first + BLOCK_ROWS + 1]
        own = slice(offsets[0], offsets[-1])
        yield vectors.vectors[own], cells[own], np.diff(offsets)


def merge_tokens(
    parts: Sequence[tuple[MultiVectorColumn, Rows]], context: Context
) -> dict[str, Column]:
    """The arrays of a segment made of rows of others; what is coded alike is copied as it is."""
    codebook = context.codebook
    codec = codec_for(context.storage.tokens, codebook)
    moved = [_Moved(column, rows, codec, context) for column, rows in parts]
    offsets = np.concatenate(([0], np.cumsum(np.concatenate([m.lengths for m in moved]))))
    tokens, dim = int(offsets[-1]), moved[0].dim
    columns = {
        name: Column(
            codec.name,
            dtype,
            (tokens, codec.width(dim)) if name == next(iter(codec.dtypes)) else (tokens,),
            _pieces(moved, name),
        )
        for name, dtype in codec.dtypes.items()
    }
    columns[OFFSETS] = Column.of(OFFSETS_CODEC, offsets.astype(np.int64))
    if codebook is not None:
        total = sum(m.distortion * float(m.lengths.sum()) for m in moved)
        columns[DISTORTION] = Column.of(DISTORTION_CODEC, np.asarray([total / max(tokens, 1)]))
        cells = np.concatenate([m.cells for m in moved])
        columns |= cell_columns(cells, offsets, codebook)
        left = np.concatenate([m.residuals(codebook.centroids) for m in moved])
        columns |= MeanResiduals.of(left).columns(codebook.key)
    return columns


def _pieces(moved: Sequence["_Moved"], name: str) -> Iterator[NDArray[Any]]:
    for part in moved:
        yield from part.pieces(name)


@dataclass(frozen=True, eq=False)
class _Moved:
    """Rows of a segment that become rows of another one."""

    column: MultiVectorColumn
    rows: Rows
    codec: TokenCodec
    context: Context

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        lengths: NDArray[np.int64] = np.diff(self.column.offsets)[self.rows]
        return lengths

    @property
    def dim(self) -> int:
        """E."""
        return int(self.column.decode_tokens(np.empty(0, dtype=np.int64)).shape[1])

    @cached_property
    def cells(self) -> NDArray[np.uint16]:
        """The cell of each token, found anew where it is one of another codebook."""
        if self._keeps_cells and self.column.cells is not None:
            tokens, _ = ragged_rows(self.column.offsets, self.rows)
            kept: NDArray[np.uint16] = self.column.cells.of_tokens[tokens]
            return kept
        found = [np.empty(0, dtype=np.uint16)]
        if self.context.codebook is not None:
            found += [
                self.context.codebook.cells_of(self.column.decode_tokens(tokens))
                for tokens in self.column.blocks(self.rows, size=BLOCK_ROWS)
            ]
        return np.concatenate(found)

    @cached_property
    def distortion(self) -> float:
        """How far token vectors lie from their centroids."""
        if self._keeps_cells or self.context.codebook is None:
            return self.column.distortion
        centroids, start, total = self.context.codebook.centroids, 0, 0.0
        for tokens in self.column.blocks(self.rows, size=BLOCK_ROWS):
            own = self.cells[start : start + len(tokens)]
            total += len(tokens) * distortion(self.column.decode_tokens(tokens), own, centroids)
            start += len(tokens)
        return total / max(start, 1)

    def residuals(self, centroids: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean residual of each row, [R, E]."""
        if self._keeps_cells and self.column.residuals is not None:
            return self.column.residuals.take(self.rows)
        return mean_residuals(self.column.with_cells(self.rows, self.cells), centroids)

    def pieces(self, name: str) -> Iterator[NDArray[Any]]:
        """An array of the new segment."""
        start = 0
        for tokens in self.column.blocks(self.rows, size=BLOCK_ROWS):
            if self.column.codec.name == self.codec.name:
                yield self.column.arrays[name][tokens]
                continue
            own = self.cells[start : start + len(tokens)] if self._needs_cells else None
            yield self.codec.encode(self.column.decode_tokens(tokens), own)[name]
            start += len(tokens)

    @property
    def _keeps_cells(self) -> bool:
        own, wanted = self.column.cells, self.context.codebook
        return own is not None and wanted is not None and own.codebook.key == wanted.key

    @property
    def _needs_cells(self) -> bool:
        return isinstance(self.codec, Residual)
