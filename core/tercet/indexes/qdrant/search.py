"""What is asked of a collection, as coroutines: candidates, scores, filters, documents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import methodcaller
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models
from qdrant_client.http.models import QueryResponse

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.filtering import matches
from tercet.filters import Comparison, Expression, fields_of
from tercet.fusion import Candidates
from tercet.indexes.checks import warn_of_unknown
from tercet.indexes.qdrant.conditions import compile_filter, names_filter
from tercet.indexes.qdrant.lines import Line
from tercet.indexes.qdrant.oversized import check_queries
from tercet.indexes.qdrant.points import DOCUMENT, document_of, points_of, vectors_of
from tercet.indexes.qdrant.projection import Projection
from tercet.indexes.qdrant.requests import EXACTLY, Asking, Found, Limits, Lookup, Vectors
from tercet.plans import Plan

QUERIES_AT_ONCE = 16
"""Queries of a request."""

POINTS_AT_ONCE = 1000
"""Points of a request that names them or brings their ids."""

DOCUMENTS_AT_ONCE = 128
"""Points of an answer that brings texts or vectors."""

DEEP = 10_000
"""Lists may be so deep without asking how many documents there are."""

Scores = NDArray[np.float32]
Place = models.ExtendedPointId | None


@dataclass(slots=True)
class Search:
    """A look at a collection; what others write meanwhile may be in it or not.

    Attributes:
        line: To the server.
        name: Of the collection.
        shards: Parts of the collection; 0 where there is none yet.
        known: Fields that some document had, so that nobody need ask again.
        cells: Bring candidates for late interaction.
        projection: Of token vectors; None where they are kept whole.
        seen: Keys of the centroids that found documents name.
    """

    line: Line
    name: str
    shards: int
    known: set[str] = field(default_factory=set)
    cells: Lookup | None = None
    projection: Projection | None = None
    seen: set[str] = field(default_factory=set)

    async def collect(
        self, queries: Embeddings, plan: Plan, *, filter: Expression | None, exact: bool
    ) -> list[Candidates]:
        """The union of the plan's candidate lists for each query, scored in all its views."""
        queries = self._projected(queries)
        check_queries(queries)
        asking = Asking(plan, await self.condition(filter), exact, self.shards, self.cells)
        if not self.shards:
            return [
                Found({}, {v: {} for v in plan.views}).candidates(plan) for _ in range(len(queries))
            ]
        vectors = vectors_of(queries, plan.views)
        deep = max(plan.candidates.values()) > DEEP
        points = await self.count(None) if deep else DEEP
        found: list[Candidates] = []
        for start in range(0, len(vectors), QUERIES_AT_ONCE):
            found += await self._collect(asking, vectors[start : start + QUERIES_AT_ONCE], points)
        return found

    async def score(
        self, queries: Embeddings, views: Sequence[Representation], ids: Sequence[str]
    ) -> dict[Representation, Scores]:
        """Exact scores of given documents, [M, N] a view."""
        points = points_of(ids)
        there = await self.stored([*points]) if points else {}
        missing = [id_ for id_ in ids if id_ not in {points[point] for point in there}]
        if missing:
            raise missing_documents(missing, ids)
        place = {id_: point for point, id_ in points.items()}
        vectors = vectors_of(self._projected(queries), views)
        scores = {view: np.zeros((len(queries), len(ids)), dtype=np.float32) for view in views}
        for n, query in enumerate(vectors):
            found = await self._scores(query, [*points])
            for view, by_point in found.items():
                scores[view][n] = [by_point.get(place[id_], 0.0) for id_ in ids]
        return scores

    async def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents found, by id."""
        points = points_of(ids)
        return {
            points[str(record.id)]: document_of(record.payload or {})
            for record in await self.records([*points], payload=DOCUMENT)
        }

    async def records(
        self, points: Sequence[str], *, payload: Sequence[str] = (), vectors: bool = False
    ) -> list[models.Record]:
        """The points that are there."""
        if not self.shards:
            return []
        found: list[models.Record] = []
        at_once = _at_once(payload, vectors=vectors)
        for start in range(0, len(points), at_once):
            some = [*points[start : start + at_once]]
            found += await self._retrieve(some, [*payload] or False, vectors=vectors)
        return found

    async def stored(self, points: Sequence[str]) -> dict[str, str]:
        """Content hashes of the points that are there, by point."""
        return {
            str(record.id): (record.payload or {}).get("content", "")
            for record in await self.records(points, payload=["content"])
        }

    async def page(
        self,
        condition: models.Filter | None,
        after: Place,
        *,
        payload: Sequence[str],
        vectors: bool = False,
    ) -> tuple[list[models.Record], Place]:
        """Some of the points that pass, and where the next page begins; None is the end."""
        if not self.shards:
            return [], None
        asked = methodcaller(
            "scroll",
            collection_name=self.name,
            scroll_filter=condition,
            limit=_at_once(payload, vectors=vectors),
            offset=after,
            with_payload=[*payload],
            with_vectors=vectors,
        )
        found: tuple[list[models.Record], Place] = await self.line.call(asked)
        return found

    async def count(self, condition: models.Filter | None) -> int:
        """How many points pass."""
        if not self.shards:
            return 0
        found = await self.line.call(
            lambda client: client.count(self.name, count_filter=condition, exact=True)
        )
        return found.count

    async def condition(self, expression: Expression | None) -> models.Filter | None:
        """The filter of a server; warns of fields that no document has."""
        if expression is None:
            return None
        await self._warn_of_unknown_fields(expression)
        return await compile_filter(expression, self._settled)

    def _projected(self, queries: Embeddings) -> Embeddings:
        return queries if self.projection is None else self.projection.shortened(queries)

    async def _settled(self, condition: models.Filter, comparison: Comparison) -> list[str]:
        """Points of a filter whose documents pass a comparison, looked at one by one."""
        found: list[str] = []
        after: Place = None
        while True:
            page, after = await self.page(condition, after, payload=DOCUMENT)
            for record in page:
                document = document_of(record.payload or {})
                if matches(comparison, document.metadata, parent=document.parent):
                    found.append(str(record.id))
            if after is None:
                return found

    async def _warn_of_unknown_fields(self, expression: Expression) -> None:
        for name in fields_of(expression):
            if name not in self.known and await self.count(names_filter(name)):
                self.known.add(name)
        unknown = [name for name in fields_of(expression) if name not in self.known]
        if unknown and await self.count(None):
            warn_of_unknown(unknown)

    async def _collect(
        self, asking: Asking, vectors: Sequence[Vectors], points: int
    ) -> list[Candidates]:
        """Candidates for a few queries; lists that end in a tie are asked for once more, deeper."""
        limits: list[Limits] = [asking.limits(points)] * len(vectors)
        found: dict[int, Found] = {}
        while open_ := [n for n in range(len(vectors)) if n not in found]:
            answers = await self._ask(asking, [(vectors[n], limits[n]) for n in open_])
            for n, answer in zip(open_, answers, strict=True):
                unsettled = answer.unsettled(asking, limits[n])
                if unsettled:
                    doubled = {view: 2 * limits[n][view] for view in unsettled}
                    limits[n] = {**limits[n], **doubled}
                else:
                    found[n] = answer
        self.seen.update(*(answer.cells for answer in found.values()))
        return [found[n].candidates(asking.plan) for n in range(len(vectors))]

    async def _ask(self, asking: Asking, queries: Sequence[tuple[Vectors, Limits]]) -> list[Found]:
        asked = [asking.requests(vectors, limits) for vectors, limits in queries]
        answers = iter(await self._answers([request for some in asked for request in some]))
        return [Found.of(asking, some, [*islice(answers, len(some))]) for some in asked]

    async def _answers(self, requests: Sequence[models.QueryRequest]) -> list[QueryResponse]:
        return await self.line.call(lambda client: client.query_batch_points(self.name, requests))

    async def _retrieve(
        self, points: Sequence[str], payload: Literal[False] | list[str], *, vectors: bool
    ) -> list[models.Record]:
        return await self.line.call(
            lambda client: client.retrieve(
                self.name, [*points], with_payload=payload, with_vectors=vectors
            )
        )

    async def _scores(
        self, query: Vectors, points: Sequence[str]
    ) -> dict[Representation, dict[str, float]]:
        found: dict[Representation, dict[str, float]] = {view: {} for view in query}
        for start in range(0, len(points), POINTS_AT_ONCE):
            some = [*points[start : start + POINTS_AT_ONCE]]
            only = models.Filter(must=[models.HasIdCondition(has_id=[*some])])
            requests = [
                models.QueryRequest(
                    query=vector, using=view.value, filter=only, params=EXACTLY, limit=len(some)
                )
                for view, vector in query.items()
            ]
            for view, answer in zip(query, await self._answers(requests), strict=True):
                found[view].update({str(point.id): point.score for point in answer.points})
        return found


def missing_documents(missing: Sequence[str], asked: Sequence[str]) -> LookupError:
    """What to say where documents are not there."""
    return LookupError(
        f"{len(missing)} of {len(asked)} documents are not in the index; the first is "
        f"{missing[0]!r}"
    )


def _at_once(payload: Sequence[str], *, vectors: bool) -> int:
    """Points of an answer that brings so much of each."""
    return DOCUMENTS_AT_ONCE if vectors or "text" in payload else POINTS_AT_ONCE
