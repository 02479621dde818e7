"""A plan as one batch of requests, and its answers as candidates.

For each query there is one request a view: the plan's candidate lists as prefetches, and the exact
score of their union in that view. On a cluster each shard brings lists of full depth, so the union
holds at least the lists of the whole collection; the cut at the plan's depth is made here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from qdrant_client import models
from qdrant_client.http.models import QueryResponse

from tercet.embeddings import Representation
from tercet.fusion import Candidates
from tercet.indexes.ties import level
from tercet.plans import Plan

MARGIN = 8
"""Candidates beyond the depth of a list, which show whether its last one ties with others."""

OVERSAMPLING = 3.0
"""Quantised vectors bring so many times the candidates, which whole vectors then re-score."""

CELLS = "cells"
"""The sparse field of cells."""

CELL_CANDIDATES = 800
"""Documents at least that cells bring for late interaction."""

CELL_FACTOR = 5
"""Documents that cells bring for each one that a list holds."""

DENSE, SPARSE, MULTI_VECTOR = Representation
Vectors = Mapping[Representation, Any]
Limits = Mapping[Representation, int]

EXACTLY = models.SearchParams(exact=True)

LEAST_EF = 256
EF_FACTOR = 4
"""Candidates that a walk through the graph keeps, for each one that the list holds.

On 12,000 clustered vectors the server's own choice finds 0.88 of the best 18 and 0.83 of the best
208; 256 and 4 a candidate find 0.98 and 0.99.
"""


class Lookup(Protocol):
    """Cells, as a search needs them."""

    @property
    def lacking(self) -> models.Filter:
        """The documents that have none."""
        ...

    def of_query(self, tokens: Sequence[Sequence[float]]) -> models.SparseVector:
        """What a query looks up."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What every request of a search shares.

    Attributes:
        plan: The plan.
        condition: Which points may be found.
        exact: Compare with every vector, also where there is a graph.
        shards: Parts of the collection, each of which answers for itself.
        cells: Bring candidates for late interaction; None compares with every document.
    """

    plan: Plan
    condition: models.Filter | None
    exact: bool
    shards: int
    cells: Lookup | None = None

    @property
    def named(self) -> Representation:
        """The view whose answer names documents: not every candidate has a sparse score."""
        views = self.plan.views
        return next((view for view in views if view is not SPARSE), views[0])

    def limits(self, points: int) -> dict[Representation, int]:
        """How many candidates each list holds at first, of so many points in all."""
        return {view: min(d, points) + MARGIN for view, d in self.plan.candidates.items()}

    def requests(self, vectors: Vectors, limits: Limits) -> list[models.QueryRequest]:
        """The requests for one query, one a view of the plan."""
        if len(self.plan.views) == 1:
            (view,) = self.plan.views
            only = self._list(view, vectors[view], limits[view])
            return [
                models.QueryRequest(
                    prefetch=only.prefetch,
                    query=only.query,
                    using=only.using,
                    filter=only.filter,
                    params=only.params,
                    limit=only.limit,
                    with_payload=["id"],
                )
            ]
        lists = [self._list(view, vectors[view], limit) for view, limit in limits.items()]
        return [
            models.QueryRequest(
                prefetch=lists,
                query=vectors[view],
                using=view.value,
                params=EXACTLY,
                limit=self.shards * sum(limits.values()),
                with_payload=["id"] if view is self.named else False,
            )
            for view in self.plan.views
        ]

    def _list(self, view: Representation, vector: Any, limit: int) -> models.Prefetch:
        """The candidate list of one view."""
        found = models.Prefetch(
            query=vector,
            using=view.value,
            filter=self.condition,
            params=EXACTLY if self.exact else _approximately(limit),
            limit=limit,
        )
        if view is not MULTI_VECTOR or self.exact or self.cells is None:
            return found
        near = models.Prefetch(
            query=self.cells.of_query(vector),
            using=CELLS,
            filter=self.condition,
            limit=max(CELL_CANDIDATES, CELL_FACTOR * limit),
        )
        conditions = [c for c in (self.condition, self.cells.lacking) if c is not None]
        others = found.model_copy(update={"filter": models.Filter(must=[*conditions])})
        return found.model_copy(update={"filter": None, "prefetch": [near, others]})


def _approximately(limit: int) -> models.SearchParams:
    """How a list of so many candidates is found where there is a graph, or quantised vectors."""
    return models.SearchParams(
        hnsw_ef=max(LEAST_EF, EF_FACTOR * limit),
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The answers for one query.

    Attributes:
        ids: Document ids by point.
        scores: Scores of each view by point.
    """

    ids: Mapping[str, str]
    scores: Mapping[Representation, Mapping[str, float]]

    @classmethod
    def of(cls, asking: Asking, answers: Sequence[QueryResponse]) -> "Found":
        """The points of one query's answers, one answer a view."""
        by_view = dict(zip(asking.plan.views, answers, strict=True))
        ids = {str(p.id): (p.payload or {})["id"] for p in by_view[asking.named].points}
        scores = {
            view: {str(point.id): point.score for point in answer.points}
            for view, answer in by_view.items()
        }
        # A point that another client removed between two requests has no score in one of them.
        whole = [ids.keys() & scores[view].keys() for view in scores if view is not SPARSE]
        kept = set(ids).intersection(*whole)
        return cls({point: ids[point] for point in kept}, scores)

    def ranked(self, view: Representation) -> list[tuple[float, str]]:
        """Scores and points of a view, best first, ties by id.

        A document that shares no term with the query is no sparse candidate.
        """
        points = [p for p in self.ids if view is not SPARSE or self.scores[view].get(p, 0.0) > 0]
        scores = level(np.asarray([self.scores[view][p] for p in points], dtype=np.float32))
        pairs = zip(scores.tolist(), points, strict=True)
        return sorted(pairs, key=lambda pair: (-pair[0], self.ids[pair[1]]))

    def unsettled(self, asking: Asking, limits: Limits) -> list[Representation]:
        """The views whose list may have left out a document that ties with its last one."""
        found = []
        for view, depth in asking.plan.candidates.items():
            ranked, limit = self.ranked(view), limits[view]
            if len(ranked) >= limit > depth and ranked[limit - 1][0] == ranked[depth - 1][0]:
                found.append(view)
        return found

    def candidates(self, plan: Plan) -> Candidates:
        """The union of the lists, each cut at its depth, scored in all views of the plan."""
        lists = {
            view: [point for _, point in self.ranked(view)[:depth]]
            for view, depth in plan.candidates.items()
        }
        union = list(dict.fromkeys(point for points in lists.values() for point in points))
        ranks = {
            view: {p: n for n, p in enumerate(found, start=1)} for view, found in lists.items()
        }
        return Candidates(
            [self.ids[point] for point in union],
            {
                view: level(
                    np.asarray([self.scores[view].get(p, 0.0) for p in union], dtype=np.float32)
                )
                for view in plan.views
            },
            {
                view: np.asarray([places.get(p, 0) for p in union], dtype=np.int64)
                for view, places in ranks.items()
            },
        )
