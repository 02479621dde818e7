"""Lexical weights in a segment: row by row as they came, and impact lists that find rows of many.

What is exact stands in the rows: they score candidates, and come back decoded.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import SparseVectors
from tercet.indexes.local.columns.impacts import ImpactLists
from tercet.indexes.local.columns.shortlists import Allowed, Rows, Scores, Shortlist
from tercet.indexes.local.columns.sparse_rows import CODECS, SparsePart, SparseRows
from tercet.indexes.local.files.segments import Column, Segment
from tercet.ragged import ragged_rows

BLOCK_ROWS = 4096
"""Rows that are scored at once."""


class SparseColumn:
    """The lexical weights of a segment."""

    gathered: ClassVar[int] = 4000

    def __init__(self, segment: Segment) -> None:
        self._terms, self._offsets, self._ordinals, self._weights = (
            segment.array(name, codec) for name, codec in CODECS.items()
        )
        self._lists = ImpactLists.stored(segment)

    @classmethod
    def best(
        cls, parts: Sequence[tuple["SparseColumn", Allowed]], queries: SparseVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists; a row that shares no term with a query is in none."""
        return [column._best(queries, depth, allowed) for column, allowed in parts]

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["SparseColumn", Allowed]], queries: SparseVectors, depth: int
    ) -> list[list[Shortlist]]:
        """The same: the rows that were passed over are known to score less."""
        return cls.best(parts, queries, depth)

    def _best(self, queries: SparseVectors, depth: int, allowed: Allowed) -> list[Shortlist]:
        found = []
        for n in range(len(queries)):
            query = queries.take(np.asarray([n]))
            rows = self._candidates(query, depth, allowed)
            found.append(Shortlist(rows, self.score(query, rows)[0]).positive().cut(depth))
        return found

    def _candidates(self, query: SparseVectors, depth: int, allowed: Allowed) -> Rows:
        """All rows that may be among the best for one query."""
        if self._lists is None:
            every = len(self._offsets) - 1
            return np.arange(every) if allowed is None else np.flatnonzero(allowed)
        ordinals, weights = self._known(query)
        return self._lists.candidates(
            ordinals,
            weights,
            depth=depth,
            allowed=allowed,
            exact=lambda rows: self.score(query, rows)[0],
        )

    def score(self, queries: SparseVectors, rows: Rows) -> Scores:
        """Scores of some rows, [M, R]; 0 where no term is shared."""
        scores = np.empty((len(queries), len(rows)), dtype=np.float32)
        tables = np.zeros((len(queries), len(self._terms)), dtype=np.float32)
        for n, table in enumerate(tables):
            ordinals, weights = self._known(queries.take(np.asarray([n])))
            table[ordinals] = weights
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            entries, offsets = ragged_rows(self._offsets, rows[block])
            ordinals, weights = self._ordinals[entries], self._weights[entries]
            owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            for table, found in zip(tables, scores, strict=True):
                products = table[ordinals] * weights
                found[block] = np.bincount(owners, products, len(offsets) - 1)
        return scores

    def decode(self, rows: Rows) -> SparseVectors:
        """The lexical weights of some rows."""
        entries, offsets = ragged_rows(self._offsets, rows)
        terms = self._terms[self._ordinals[entries]]
        return SparseVectors(offsets, terms.astype(np.int32), self._weights[entries])

    @staticmethod
    def store(weights: SparseVectors) -> dict[str, Column]:
        """The arrays of a new segment."""
        terms = np.unique(weights.ids)
        ordinals = np.searchsorted(terms, weights.ids)
        rows = np.arange(len(weights))
        part = SparsePart(weights.indptr, ordinals, terms, weights.weights, rows)
        return SparseRows([part]).columns()

    @staticmethod
    def merge(parts: Sequence[tuple["SparseColumn", Rows]]) -> dict[str, Column]:
        """The arrays of a segment made of rows of others."""
        return SparseRows(
            [SparsePart(c._offsets, c._ordinals, c._terms, c._weights, rows) for c, rows in parts]
        ).columns()

    def _known(self, query: SparseVectors) -> tuple[Rows, NDArray[np.float32]]:
        """Ordinals and weights of the query's terms that the segment holds."""
        places = np.searchsorted(self._terms, query.ids).clip(max=max(len(self._terms) - 1, 0))
        if not len(self._terms):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        held = self._terms[places] == query.ids
        return places[held], query.weights[held]
