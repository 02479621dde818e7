"""Dense vectors in a segment; codes bring candidates where there are many."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.columns.dense_codes import DenseCodes, build_codes, open_codes
from tercet.indexes.local.columns.dense_rows import DenseRows, dense_columns
from tercet.indexes.local.columns.shortlists import MARGIN, Allowed, Rows, Shortlist, best_of_all
from tercet.indexes.local.files.segments import Column, Segment
from tercet.scoring.dense import inner_product_stored
from tercet.scoring.devices import DeviceVectors

BLOCK_ROWS = 16_384
"""Rows that a copy handles at once."""

CANDIDATES = 800
"""Rows that codes bring, to be compared exactly.

Of a million made-up rows of 384, 200 hold 0.93 of the best ten and 800 all of them (30 queries);
the codes themselves take most of the time either way.
"""

OVERSAMPLING = 16
"""Rows that codes bring for each that is asked for, where that is more.

Of 100,000 made-up rows whose 200 best hardly differ, 800 hold 0.72 of these and 3,200 hold 0.92.
"""

LEAST_SHARE = 0.05
"""A filter asks for more candidates, but not for more than one over this as many."""

Vectors = NDArray[np.float32]


class DenseColumn:
    """The dense vectors of a segment."""

    gathered: ClassVar[int] = 50_000

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._vectors = DenseRows(segment)

    @classmethod
    def best(
        cls, parts: Sequence[tuple["DenseColumn", Allowed]], queries: Vectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, those of parts with codes by way of them."""
        return [column._best(queries, depth, allowed) for column, allowed in parts]

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["DenseColumn", Allowed]], queries: Vectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, from a comparison with every row."""
        return [column._compare_all(queries, depth, allowed) for column, allowed in parts]

    def score(self, queries: Vectors, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, [M, R]."""
        if self._on_device is not None:
            return self._on_device.products(queries, rows)
        return inner_product_stored(queries, *self._vectors.stored, rows)

    def decode(self, rows: Rows) -> Vectors:
        """The vectors of some rows, [R, E]."""
        return self._vectors.take(rows)

    @staticmethod
    def store(vectors: Vectors, codec: str) -> dict[str, Column]:
        """The arrays of a new segment."""
        plain = vectors.astype(np.float32, copy=False)
        return dense_columns(codec, lambda: iter([plain]), *plain.shape)

    @staticmethod
    def merge(parts: Sequence[tuple["DenseColumn", Rows]], codec: str) -> dict[str, Column]:
        """The arrays of a segment made of rows of others."""
        dim, count = parts[0][0]._vectors.dim, sum(len(rows) for _, rows in parts)

        def blocks() -> Iterator[Vectors]:
            return _pieces(parts)

        return dense_columns(codec, blocks, count, dim) | build_codes(blocks, count, dim)

    @cached_property
    def _codes(self) -> DenseCodes | None:
        return open_codes(self._segment) if self._segment.device is None else None

    @cached_property
    def _on_device(self) -> DeviceVectors | None:
        device = self._segment.device
        return None if device is None else DeviceVectors(*self._vectors.stored, device)

    def _best(self, queries: Vectors, depth: int, allowed: Allowed) -> list[Shortlist]:
        share = 1.0 if allowed is None else float(allowed.mean())
        limit = int(max(CANDIDATES, OVERSAMPLING * depth) / max(share, LEAST_SHARE))
        if self._codes is None or limit >= len(self._vectors):
            return self._compare_all(queries, depth, allowed)
        candidates, _ = self._codes.candidates(queries, limit)
        found = []
        for query, near in zip(queries, candidates, strict=True):
            rows = near[near >= 0]
            rows = np.sort(rows if allowed is None else rows[allowed[rows]])
            if len(rows) < depth:  # the filter lets through what lies elsewhere
                found += self._compare_all(query[None], depth, allowed)
            else:
                found.append(Shortlist(rows, self.score(query[None], rows)[0]).cut(depth))
        return found

    def _compare_all(self, queries: Vectors, depth: int, allowed: Allowed) -> list[Shortlist]:
        if self._on_device is not None:
            found = self._on_device.best(queries, depth, allowed, near=MARGIN)
            return [Shortlist(rows, scores).cut(depth) for rows, scores in found]
        scores = self.score(queries, np.arange(len(self._vectors)))
        return best_of_all(scores, depth, allowed)


def _pieces(parts: Sequence[tuple[DenseColumn, Rows]]) -> Iterator[Vectors]:
    for column, rows in parts:
        for start in range(0, len(rows), BLOCK_ROWS):
            yield column.decode(rows[start : start + BLOCK_ROWS])
