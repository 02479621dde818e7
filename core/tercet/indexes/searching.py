"""A search, step by step: what every engine does before it collects, and with what it collected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Reduction, Representation
from tercet.errors import MissingViewError, check_k
from tercet.filters import Expression, Filter, parse_filter
from tercet.fusion import Candidates, cut, query_tokens, reduced
from tercet.indexes.checks import (
    Dimensions,
    check_dimensions,
    check_embeddings,
    check_query_model,
    check_views,
)
from tercet.plans import Plan, deepened, resolve_plan
from tercet.ranking import Hit, Ranking

Best = list[list[tuple[str, float, dict[str, float]]]]
"""Id, score and views' scores of the best of each query, best first."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a search asks for.

    Attributes:
        queries: Views of M queries.
        plan: With lists at least k deep.
        k: How many hits a query at most.
        filter: Which documents may be found.
        exact: Compare with every stored vector.
        reduction: Of late interaction, in this plan.
    """

    queries: Embeddings
    plan: Plan
    k: int
    filter: Expression | None
    exact: bool
    reduction: Reduction

    def best(self, collected: Iterable[Candidates]) -> Best:
        """The candidates of each query fused, and cut at k."""
        return [
            cut(reduced(found, count, self.reduction), self.plan, self.k)
            for found, count in zip(collected, query_tokens(self.queries), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Stored:
    """What an index stores, as a search checks it.

    Attributes:
        spec: The model.
        representations: The views.
        dimensions: Of each view, as far as they are known.
    """

    spec: EncoderSpec
    representations: tuple[Representation, ...]
    dimensions: Dimensions

    def asked(
        self,
        queries: Embeddings,
        *,
        k: int,
        plan: str | Plan | None,
        filter: Filter | None,
        exact: bool,
    ) -> Asked:
        """A search, checked.

        Raises:
            MissingViewError: The plan uses a view that the index or the queries lack.
            ModelMismatchError: The queries come from another model.
        """
        check_k(k)
        check_embeddings(queries, name="queries")
        chosen = deepened(self._plan(plan, queries), k)
        self.check(queries, chosen.views)
        reduction = chosen.reduction(self.spec.reduction)
        return Asked(queries, chosen, k, parse_filter(filter), exact, reduction)

    def check(self, queries: Embeddings, views: Sequence[Representation]) -> None:
        """Refuse queries of another model, of other sizes, or without these views."""
        check_query_model(queries, self.spec)
        check_views(views, queries, name="queries", what="the plan uses")
        check_dimensions(queries, self.dimensions, name="queries")

    def shared(self, queries: Embeddings) -> tuple[Representation, ...]:
        """The views that both sides have."""
        views = tuple(view for view in self.representations if view in queries.representations)
        if not views:
            raise MissingViewError(
                f"this index stores {', '.join(self.representations)}, the queries have "
                f"{', '.join(queries.representations)} only"
            )
        return views

    def _plan(self, plan: str | Plan | None, queries: Embeddings) -> Plan:
        """The plan for the views that are stored; a default looks at the queries' too."""
        views = self.representations if plan is not None else self.shared(queries)
        return resolve_plan(plan, replace(self.spec, representations=views), holder="this index")


def ids_of(best: Best) -> list[str]:
    """The documents of some rankings, each once."""
    return [*dict.fromkeys(id_ for hits in best for id_, _, _ in hits)]


def rankings(best: Best, documents: dict[str, Document]) -> list[Ranking]:
    """Hits with their documents; where reading is not one consistent look, some may have gone."""
    there = [[hit for hit in hits if hit[0] in documents] for hits in best]
    return [
        Ranking(
            tuple(
                Hit(documents[id_], score, scores, rank)
                for rank, (id_, score, scores) in enumerate(hits, start=1)
            )
        )
        for hits in there
    ]
