"""Search over a snapshot: candidate lists by view, and exact scores of their union."""

import heapq
import sqlite3
from collections.abc import Sequence

import numpy as np

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.filters import Expression
from tercet.fusion import Candidates
from tercet.indexes.local.columns.shortlists import Rows, Scores, Shortlist
from tercet.indexes.local.reading.rows import (
    documents_of,
    fetch_documents,
    ids_of,
    numbers_of,
)
from tercet.indexes.local.reading.selection import select, warn_of_unknown_fields
from tercet.indexes.local.reading.snapshot import Snapshot
from tercet.indexes.ties import level
from tercet.plans import Plan

SCORES_AT_ONCE = 1 << 23
"""Scores of a view that are held at once: 32 MiB."""

WITH_TEXTS = 32
"""So few candidates are looked up with their texts, which spares a second look."""


class LocalReader:
    """One read transaction, and the snapshot that it sees."""

    def __init__(self, connection: sqlite3.Connection, snapshot: Snapshot) -> None:
        self.connection = connection
        self.snapshot = snapshot
        self._known: dict[str, Document] = {}

    def collect(
        self, queries: Embeddings, plan: Plan, *, filter: Expression | None, exact: bool
    ) -> list[Candidates]:
        """The union of the plan's candidate lists for each query, scored in all its views."""
        rows = self.select(filter)
        at_once = max(1, SCORES_AT_ONCE // max(1, len(self.snapshot.live)))
        found: list[Candidates] = []
        for start in range(0, len(queries), at_once):
            some = range(start, min(start + at_once, len(queries)))
            found += self._collect(_taken(queries, some), plan, rows, exact=exact)
        return found

    def score(
        self, queries: Embeddings, views: Sequence[Representation], ids: Sequence[str]
    ) -> dict[Representation, Scores]:
        """Exact scores of given documents, [M, N] a view."""
        rows = numbers_of(self.connection, self.snapshot, ids)
        return {view: self.snapshot.score(view, queries, rows) for view in views}

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents found, by id."""
        others = [id_ for id_ in ids if id_ not in self._known]
        found = fetch_documents(self.connection, others) if others else {}
        return {id_: self._known[id_] for id_ in ids if id_ in self._known} | found

    def select(self, filter: Expression | None) -> Rows:
        """Numbers of the live rows that pass, ascending."""
        if filter is None:
            return self.snapshot.live
        warn_of_unknown_fields(self.connection, filter)
        return select(self.connection, self.snapshot, filter)

    def _collect(
        self, queries: Embeddings, plan: Plan, rows: Rows, *, exact: bool
    ) -> list[Candidates]:
        found = {
            view: self.snapshot.best(view, queries, depth, rows, exact=exact)
            for view, depth in plan.candidates.items()
        }
        ids = self._ids([shortlist for of_view in found.values() for shortlist in of_view])
        return [
            self._candidates(queries, n, plan, {v: s[n] for v, s in found.items()}, ids)
            for n in range(len(queries))
        ]

    def _ids(self, shortlists: Sequence[Shortlist]) -> dict[int, str]:
        """Ids of all rows that some shortlist names."""
        named = np.unique(np.concatenate([shortlist.rows for shortlist in shortlists]))
        if len(named) <= WITH_TEXTS:
            documents = documents_of(self.connection, self.snapshot, named)
            self._known |= {document.id: document for document in documents}
            ids = [document.id for document in documents]
        else:
            ids = ids_of(self.connection, self.snapshot, named)
        return dict(zip(named.tolist(), ids, strict=True))

    def _candidates(
        self,
        queries: Embeddings,
        n: int,
        plan: Plan,
        shortlists: dict[Representation, Shortlist],
        ids: dict[int, str],
    ) -> Candidates:
        lists = {
            view: _best(shortlist, ids, plan.candidates[view])
            for view, shortlist in shortlists.items()
        }
        named = sorted({row for ranked in lists.values() for row in ranked.tolist()})
        union = np.asarray(named, dtype=np.int64)
        ranks = {view: np.zeros(len(union), dtype=np.int64) for view in lists}
        for view, ranked in lists.items():
            ranks[view][np.searchsorted(union, ranked)] = np.arange(1, len(ranked) + 1)
        scores = {
            view: self._scores(view, queries, n, union, shortlists.get(view)) for view in plan.views
        }
        return Candidates(
            [ids[row] for row in named],
            {view: level(values) for view, values in scores.items()},
            ranks,
        )

    def _scores(
        self,
        view: Representation,
        queries: Embeddings,
        n: int,
        rows: Rows,
        known: Shortlist | None,
    ) -> Scores:
        """Scores of some rows for query n, [R]; what a shortlist knows is not computed again."""
        scores = np.full(len(rows), np.nan, dtype=np.float32)
        if known is not None:
            of_rows = dict(zip(known.rows.tolist(), known.scores.tolist(), strict=True))
            scores[:] = [of_rows.get(row, np.nan) for row in rows.tolist()]
        missing = np.isnan(scores)
        if missing.any():
            query = _taken(queries, range(n, n + 1))
            scores[missing] = self.snapshot.score(view, query, rows[missing])[0]
        return scores


def _taken(queries: Embeddings, rows: range) -> Embeddings:
    """The queries of the given rows; all of them are not copied."""
    return queries if len(rows) == len(queries) else queries.take(rows)


def _best(shortlist: Shortlist, ids: dict[int, str], depth: int) -> Rows:
    """The best rows of a shortlist in order, ties by id."""
    levelled = dict(zip(shortlist.rows.tolist(), level(shortlist.scores).tolist(), strict=True))
    best = heapq.nsmallest(depth, levelled, key=lambda row: (-levelled[row], ids[row]))
    return np.asarray(best, dtype=np.int64)
