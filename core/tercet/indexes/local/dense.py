"""Dense vectors in a segment: float32 rows, searched by a product over the mapped file."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.segments import Column, Segment
from tercet.indexes.local.shortlists import Allowed, Rows, Shortlist, best_of_all
from tercet.scoring.dense import inner_product

NAME, CODEC = "dense", "float32"
BLOCK_ROWS = 16_384
"""Rows that a copy handles at once."""

Vectors = NDArray[np.float32]


class DenseColumn:
    """The dense vectors of a segment."""

    gathered: ClassVar[int] = 50_000

    def __init__(self, segment: Segment) -> None:
        self._vectors: Vectors = segment.array(NAME, CODEC)  # [rows, E]

    @classmethod
    def best(
        cls, parts: Sequence[tuple["DenseColumn", Allowed]], queries: Vectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists."""
        return cls.exhaustive(parts, queries, depth)

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["DenseColumn", Allowed]], queries: Vectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, from a comparison with every row."""
        return [
            best_of_all(inner_product(queries, column._vectors), depth, allowed)
            for column, allowed in parts
        ]

    def score(self, queries: Vectors, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, [M, R]."""
        return inner_product(queries, self._vectors[rows])

    def decode(self, rows: Rows) -> Vectors:
        """The vectors of some rows, [R, E]."""
        vectors: Vectors = self._vectors[rows]
        return vectors

    @staticmethod
    def store(vectors: Vectors) -> dict[str, Column]:
        """The arrays of a new segment."""
        return {NAME: Column.of(CODEC, vectors.astype(np.float32, copy=False))}

    @staticmethod
    def merge(parts: Sequence[tuple["DenseColumn", Rows]]) -> dict[str, Column]:
        """The arrays of a segment made of rows of others."""
        dim = parts[0][0]._vectors.shape[1]
        shape = (sum(len(rows) for _, rows in parts), dim)
        return {NAME: Column(CODEC, np.dtype("<f4"), shape, _pieces(parts))}


def _pieces(parts: Sequence[tuple[DenseColumn, Rows]]) -> Iterator[Vectors]:
    for column, rows in parts:
        for start in range(0, len(rows), BLOCK_ROWS):
            yield column.decode(rows[start : start + BLOCK_ROWS])
