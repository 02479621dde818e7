"""A plan as one batch of requests, and its answers as candidates.

For each query there is one request a view: the plan's candidate lists as prefetches, and the exact
score of their union in that view; where cells bring candidates for late interaction, these are
compared in one request only. On a cluster each shard brings lists of full depth, so the union holds
at least the lists of the whole collection; the cut at the plan's depth is made here.
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

NAMES = ["id", CELLS]
"""What an answer says of documents: whose they are, and of which centroids their cells."""

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
        """The view whose answers name documents: not every candidate has a sparse score.

        Late interaction where there is one, since it is asked for no more than is needed.
        """
        return next(view for view in (MULTI_VECTOR, DENSE, SPARSE) if view in self.plan.views)

    def limits(self, points: int) -> dict[Representation, int]:
        """How many candidates each list holds at first, of so many points in all."""
        return {view: min(d, points) + MARGIN for view, d in self.plan.candidates.items()}

    def requests(self, vectors: Vectors, limits: Limits) -> list[models.QueryRequest]:
        """The requests for one query, at least one a view of the plan; `using` names the view."""
        lists = {view: self._list(view, vectors[view], limit) for view, limit in limits.items()}
        if len(self.plan.views) == 1:
            return [_alone(found) for found in lists.values()]
        if MULTI_VECTOR in lists and self._near_by(limits):
            return self._through_cells(lists, vectors, limits)
        return [self._scored(view, [*lists.values()], vectors, limits) for view in self.plan.views]

    def _through_cells(
        self, lists: Mapping[Representation, models.Prefetch], vectors: Vectors, limits: Limits
    ) -> list[models.QueryRequest]:
        """The requests where cells bring candidates for late interaction.

        Comparing these is what costs, so it is done once, for that view's own list. The other views
        score all of them, as nothing else tells which will be in the list.
        """
        late = lists[MULTI_VECTOR]
        brought = late.prefetch if isinstance(late.prefetch, list) else []
        rest = [found for view, found in lists.items() if view is not MULTI_VECTOR]
        more = {**limits, MULTI_VECTOR: self._near_by(limits) + limits[MULTI_VECTOR]}
        requests = [_alone(late)]
        for view in self.plan.views:
            if view is not MULTI_VECTOR:
                requests.append(self._scored(view, [*rest, *brought], vectors, more))
            elif rest:
                requests.append(self._scored(view, rest, vectors, limits))
        return requests

    def _scored(
        self,
        view: Representation,
        lists: Sequence[models.Prefetch],
        vectors: Vectors,
        limits: Limits,
    ) -> models.QueryRequest:
        """The exact scores in a view of all that some lists bring."""
        return models.QueryRequest(
            prefetch=[*lists],
            query=vectors[view],
            using=view.value,
            params=EXACTLY,
            limit=self.shards * sum(limits.values()),
            with_payload=NAMES if view is self.named else False,
        )

    def _near_by(self, limits: Limits) -> int:
        """How many documents cells bring; 0 where all are compared."""
        if self.exact or self.cells is None:
            return 0
        return max(CELL_CANDIDATES, CELL_FACTOR * limits[MULTI_VECTOR])

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
            limit=self._near_by({view: limit}),
        )
        conditions = [c for c in (self.condition, self.cells.lacking) if c is not None]
        others = found.model_copy(update={"filter": models.Filter(must=[*conditions])})
        return found.model_copy(update={"filter": None, "prefetch": [near, others]})


def _alone(found: models.Prefetch) -> models.QueryRequest:
    """A list as a request of its own."""
    return models.QueryRequest(
        prefetch=found.prefetch,
        query=found.query,
        using=found.using,
        filter=found.filter,
        params=found.params,
        limit=found.limit,
        with_payload=NAMES,
    )


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
        cells: Keys of the centroids that the documents name.
    """

    ids: Mapping[str, str]
    scores: Mapping[Representation, Mapping[str, float]]
    cells: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        asking: Asking,
        requests: Sequence[models.QueryRequest],
        answers: Sequence[QueryResponse],
    ) -> "Found":
        """The points of one query's answers."""
        ids: dict[str, str] = {}
        cells: set[str] = set()
        scores: dict[Representation, dict[str, float]] = {view: {} for view in asking.plan.views}
        for request, answer in zip(requests, answers, strict=True):
            view = Representation(str(request.using))
            scores[view] |= {str(point.id): point.score for point in answer.points}
            if request.with_payload:
                named = {str(point.id): point.payload or {} for point in answer.points}
                ids |= {point: payload["id"] for point, payload in named.items()}
                cells.update(payload[CELLS] for payload in named.values() if CELLS in payload)
        # A point that another client removed between two requests has no score in one of them.
        whole = [ids.keys() & scores[view].keys() for view in scores if view is not SPARSE]
        kept = set(ids).intersection(*whole)
        return cls({point: ids[point] for point in kept}, scores, frozenset(cells))

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
