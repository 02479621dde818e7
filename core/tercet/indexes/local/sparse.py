"""Lexical weights in a segment: impact lists by term (CSC), of which a query reads its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import SparseVectors
from tercet.indexes.local.segments import Column, Segment

TERMS, INDPTR, ROWS, IMPACTS = "sparse.terms", "sparse.indptr", "sparse.rows", "sparse.impacts"
CODECS = {TERMS: "int32", INDPTR: "int64", ROWS: "int32", IMPACTS: "float32"}

Rows = NDArray[np.int64]


class SparseColumn:
    """The lexical weights of a segment: for each of its terms, the rows that hold it."""

    def __init__(self, segment: Segment) -> None:
        self._rows = segment.rows
        self._terms, self._indptr, self._owners, self._impacts = (
            segment.array(name, codec) for name, codec in CODECS.items()
        )

    def scan(self, queries: SparseVectors) -> NDArray[np.float32]:
        """Scores of all rows, [M, rows]; 0 where no term is shared."""
        scores = np.zeros((len(queries), self._rows), dtype=np.float32)
        for query, row in zip(queries.to_dicts(), scores, strict=True):
            self._add_lists(query, row)
        return scores

    def score(self, queries: SparseVectors, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, [M, R]; the lists of the query's terms are all that is read."""
        return self.scan(queries)[:, rows]

    def decode(self, rows: Rows) -> SparseVectors:
        """The lexical weights of some rows."""
        place = np.full(self._rows, -1, dtype=np.int64)
        distinct, inverse = np.unique(rows, return_inverse=True)
        place[distinct] = np.arange(len(distinct))
        owners = place[self._owners]  # [entries]
        entries = np.flatnonzero(owners >= 0)
        entries = entries[np.argsort(owners[entries], kind="stable")]  # terms keep ascending
        columns = np.searchsorted(self._indptr, entries, side="right") - 1
        counts = np.bincount(owners[entries], minlength=len(distinct))
        found = SparseVectors(
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            self._terms[columns].astype(np.int32),
            self._impacts[entries].astype(np.float32),
        )
        return found.take(inverse.astype(np.int64))

    @staticmethod
    def store(weights: SparseVectors) -> dict[str, Column]:
        """The arrays of a new segment."""
        owners = np.repeat(np.arange(len(weights), dtype=np.int32), np.diff(weights.indptr))
        order = np.argsort(weights.ids, kind="stable")  # rows keep ascending within a term
        terms, counts = np.unique(weights.ids, return_counts=True)
        arrays: dict[str, NDArray[Any]] = {
            TERMS: terms.astype(np.int32),
            INDPTR: np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            ROWS: owners[order],
            IMPACTS: weights.weights[order].astype(np.float32, copy=False),
        }
        return {name: Column.of(CODECS[name], values) for name, values in arrays.items()}

    @staticmethod
    def merge(parts: Sequence[tuple["SparseColumn", Rows]]) -> dict[str, Column]:
        """The arrays of a segment made of rows of others."""
        decoded = [column.decode(rows) for column, rows in parts]
        lengths = np.concatenate([np.diff(part.indptr) for part in decoded])
        together = SparseVectors(
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            np.concatenate([part.ids for part in decoded]),
            np.concatenate([part.weights for part in decoded]),
        )
        return SparseColumn.store(together)

    def _add_lists(self, query: dict[int, float], scores: NDArray[np.float32]) -> None:
        wanted = np.fromiter(query, dtype=np.int32, count=len(query))
        columns = np.searchsorted(self._terms, wanted).clip(max=max(len(self._terms) - 1, 0))
        for term, column in zip(wanted.tolist(), columns.tolist(), strict=True):
            if len(self._terms) and self._terms[column] == term:
                part = slice(self._indptr[column], self._indptr[column + 1])
                scores[self._owners[part]] += np.float32(query[term]) * self._impacts[part]
