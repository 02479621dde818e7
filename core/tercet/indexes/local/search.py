"""Exact search over a snapshot: candidate lists by view, and scores of their union."""

import heapq
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.filters import Expression
from tercet.fusion import Candidates
from tercet.indexes.local.rows import fetch_documents, ids_of, numbers_of
from tercet.indexes.local.selection import select, warn_of_unknown_fields
from tercet.indexes.local.snapshot import Rows, Snapshot
from tercet.plans import Plan

FEW = 0.1
"""Below this share of all rows, scoring the selected ones costs less than scoring all."""

SCORES_AT_ONCE = 1 << 23
"""Scores of a view that are held at once: 32 MiB."""

NEAR = 1e-6
"""Scores this near, relative to the largest, are equal: a matrix product rounds by place."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """The selected rows for one query: scores of the views that were compared, [R] each."""

    rows: Rows
    scores: dict[Representation, Scores]
    ids: dict[int, str]


class LocalReader:
    """One read transaction, and the snapshot that it sees."""

    def __init__(self, connection: sqlite3.Connection, snapshot: Snapshot) -> None:
        self.connection = connection
        self.snapshot = snapshot

    def collect(
        self, queries: Embeddings, plan: Plan, *, filter: Expression | None, exact: bool
    ) -> list[Candidates]:
        """The union of the plan's candidate lists for each query, scored in all its views."""
        del exact  # every path of this engine is exact
        rows = self.select(filter)
        at_once = max(1, SCORES_AT_ONCE // max(1, len(self.snapshot.live)))
        found: list[Candidates] = []
        for start in range(0, len(queries), at_once):
            stop = min(start + at_once, len(queries))
            found += self._collect(queries.take(range(start, stop)), plan, rows)
        return found

    def score(
        self, queries: Embeddings, views: Sequence[Representation], ids: Sequence[str]
    ) -> dict[Representation, Scores]:
        """Exact scores of given documents, [M, N] a view."""
        rows = numbers_of(self.connection, self.snapshot, ids)
        return {view: self.snapshot.score(view, queries, rows) for view in views}

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents found, by id."""
        return fetch_documents(self.connection, ids)

    def select(self, filter: Expression | None) -> Rows:
        """Numbers of the live rows that pass, ascending."""
        if filter is None:
            return self.snapshot.live
        warn_of_unknown_fields(self.connection, filter)
        return select(self.connection, self.snapshot, filter)

    def _collect(self, queries: Embeddings, plan: Plan, rows: Rows) -> list[Candidates]:
        scores = {view: self._scores(view, queries, rows) for view in plan.candidates}
        shortlists = [
            {view: _shortlist(view, scores[view][n], d) for view, d in plan.candidates.items()}
            for n in range(len(queries))
        ]
        ids = self._ids(rows, [s for of_query in shortlists for s in of_query.values()])
        return [
            self._candidates(
                queries.take([n]),
                plan,
                _Scored(rows, {v: s[n] for v, s in scores.items()}, ids),
                shortlist,
            )
            for n, shortlist in enumerate(shortlists)
        ]

    def _ids(self, rows: Rows, shortlists: Sequence[Rows]) -> dict[int, str]:
        """Ids of all places that some shortlist names."""
        named = np.unique(np.concatenate(shortlists))
        ids = ids_of(self.connection, self.snapshot, rows[named])
        return dict(zip(named.tolist(), ids, strict=True))

    def _candidates(
        self,
        query: Embeddings,
        plan: Plan,
        scored: _Scored,
        shortlists: dict[Representation, Rows],
    ) -> Candidates:
        lists = {
            view: _best(scored.scores[view], shortlist, scored.ids, plan.candidates[view])
            for view, shortlist in shortlists.items()
        }
        union = np.unique(np.concatenate(list(lists.values())))
        ranks = {view: np.zeros(len(union), dtype=np.int64) for view in lists}
        for view, ranked in lists.items():
            ranks[view][np.searchsorted(union, ranked)] = np.arange(1, len(ranked) + 1)
        found = {
            view: scored.scores[view][union]
            if view in scored.scores
            else self.snapshot.score(view, query, scored.rows[union])[0]
            for view in plan.views
        }
        return Candidates(
            [scored.ids[place] for place in union.tolist()],
            {view: level(values) for view, values in found.items()},
            ranks,
        )

    def _scores(self, view: Representation, queries: Embeddings, rows: Rows) -> Scores:
        """Scores of the selected rows, [M, R]: of them alone where they are few."""
        total = int(self.snapshot.bases[-1])
        if len(rows) < FEW * total:
            return self.snapshot.score(view, queries, rows)
        scores = self.snapshot.scan(view, queries)
        return scores if len(rows) == total else scores[:, rows]


def level(scores: Scores) -> Scores:
    """The scores, those that differ by no more than rounding made equal."""
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    step = NEAR * float(np.abs(descending).max(initial=0.0))
    near = descending[:-1] - descending[1:] <= step
    if not near.any():
        return scores
    for place in np.flatnonzero(near).tolist():
        if descending[place] - descending[place + 1] <= step:
            descending[place + 1] = descending[place]
    levelled = np.empty_like(scores)
    levelled[order] = descending
    return levelled


def _shortlist(view: Representation, scores: Scores, depth: int) -> Rows:
    """Places of the best scores, and of all that tie with the last of them, ascending.

    A document that shares no term with the query is no sparse candidate.
    """
    least = np.float32(-np.inf)
    if depth < len(scores):
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        least -= np.float32(2 * NEAR * float(np.abs(scores).max()))
    if view is Representation.SPARSE:
        return np.flatnonzero((scores >= least) & (scores > 0))
    return np.flatnonzero(scores >= least)


def _best(scores: Scores, shortlist: Rows, ids: dict[int, str], depth: int) -> Rows:
    """The best places of a shortlist in order, ties by id."""
    levelled = dict(zip(shortlist.tolist(), level(scores[shortlist]).tolist(), strict=True))
    best = heapq.nsmallest(depth, levelled, key=lambda place: (-levelled[place], ids[place]))
    return np.asarray(best, dtype=np.int64)
