"""What LlamaIndex asks of a store, as a search of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from llama_index.core import vector_stores
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from llama_index_tercet.filters import from_metadata_filters
from tercet.embeddings import Embeddings, Representation
from tercet.filters import PARENT, And, Expression, F
from tercet.plans import DEPTH, Plan
from tercet.ranking import Ranking
from tercet.retriever import Retriever

MODES: Mapping[VectorStoreQueryMode, tuple[str, ...]] = {
    VectorStoreQueryMode.DEFAULT: ("plan",),
    VectorStoreQueryMode.SPARSE: (),
    VectorStoreQueryMode.HYBRID: (),
    VectorStoreQueryMode.MMR: ("plan", "mmr_threshold", "mmr_prefetch_k"),
}
"""The query modes that there are, and the options that each takes beside the query."""

FETCH = 4
"""MMR chooses among so many times the nodes asked for, as in LlamaIndex's other stores."""


@dataclass(frozen=True)
class Search:
    """One search of a `Retriever`.

    Attributes:
        text: The query.
        k: How many hits.
        plan: Name of a plan or a `Plan`; None is the model's own.
        filter: Only documents that pass it.
        embeddings: Views that take the place of encoded ones.
        diversity: That of a diverse search; None ranks by relevance.
        fetch_k: Among how many a diverse search chooses.
    """

    text: str
    k: int
    plan: str | Plan | None
    filter: Expression | None
    embeddings: Embeddings | None
    diversity: float | None = None
    fetch_k: int = 0

    def run(self, retriever: Retriever) -> Ranking:
        """What it finds."""
        if self.diversity is None:
            return retriever.retrieve(self.text, **self._asked())
        return retriever.retrieve_diverse(
            self.text, fetch_k=self.fetch_k, diversity=self.diversity, **self._asked()
        )

    async def arun(self, retriever: Retriever) -> Ranking:
        """`run`, without blocking the event loop."""
        if self.diversity is None:
            return await retriever.aretrieve(self.text, **self._asked())
        return await retriever.aretrieve_diverse(
            self.text, fetch_k=self.fetch_k, diversity=self.diversity, **self._asked()
        )

    def _asked(self) -> "_Asked":
        return {
            "k": self.k,
            "plan": self.plan,
            "filter": self.filter,
            "embeddings": self.embeddings,
        }


class _Asked(TypedDict):
    """What every search of a `Retriever` takes beside the query."""

    k: int
    plan: str | Plan | None
    filter: Expression | None
    embeddings: Embeddings | None


def from_vector_store_query(
    query: vector_stores.VectorStoreQuery,
    options: Mapping[str, Any],
    *,
    plan: str | Plan | None,
    views: tuple[Representation, ...],
) -> Search:
    """LlamaIndex's query as ours.

    `node_ids` is no restriction: a `VectorStoreIndex` fills it by itself, with nothing or with the
    image and index nodes that it was given, and would hide every other node.

    Args:
        query: What is asked.
        options: What came beside it, `vector_store_kwargs`.
        plan: That of the store.
        views: Those that the index stores.

    Raises:
        TypeError: An option that there is not, filters that are no `MetadataFilters`.
        ValueError: A mode that there is not; neither a text nor a vector; an alpha outside 0 to 1.
    """
    mode = _mode(query, options)
    chosen = _plan(mode, query, options.get("plan", plan), views)
    embeddings = None
    if query.query_embedding is not None and Representation.DENSE in views:
        embeddings = Embeddings.from_dense([query.query_embedding])
    mmr = mode is VectorStoreQueryMode.MMR
    return Search(
        text=(query.query_str or "").strip(),  # tools of agents put line breaks around it
        k=_k(mode, query),
        plan=chosen,
        filter=_filter(query),
        embeddings=embeddings,
        diversity=1 - _mmr_threshold(query, options) if mmr else None,
        fetch_k=options.get("mmr_prefetch_k", FETCH * query.similarity_top_k),
    )


def _mode(
    query: vector_stores.VectorStoreQuery, options: Mapping[str, Any]
) -> VectorStoreQueryMode:
    if query.mode not in MODES:
        known = ", ".join(mode.name for mode in MODES)
        raise ValueError(f"no query mode {query.mode!r}; there are: {known}")
    mode = VectorStoreQueryMode(query.mode)
    unknown = sorted(set(options) - set(MODES[mode]))
    if unknown:
        known = ", ".join(MODES[mode]) or "nothing"
        raise TypeError(
            f"vector_store_kwargs has {', '.join(unknown)}; mode {mode.name} takes {known}"
        )
    for name in ("output_fields", "embedding_field"):
        if getattr(query, name):
            raise ValueError(f"{name} is given; nodes come whole, and a plan chooses the views")
    if query.query_str is None and query.query_embedding is None:
        raise ValueError("the query has neither query_str nor query_embedding: give one of them")
    return mode


def _plan(
    mode: VectorStoreQueryMode,
    query: vector_stores.VectorStoreQuery,
    plan: str | Plan | None,
    views: tuple[Representation, ...],
) -> str | Plan | None:
    if mode is VectorStoreQueryMode.SPARSE:
        plan = "sparse"
    elif mode is VectorStoreQueryMode.HYBRID:
        all_three = Representation.MULTI_VECTOR in views
        named = "hybrid" if all_three else "dense+sparse"
        plan = named if query.alpha is None else _weighted(query.alpha, query.sparse_top_k)
    if query.query_str is not None:
        return plan
    if plan not in (None, "dense"):
        raise ValueError(
            f"a query_embedding alone speaks to the dense view, and {plan!r} needs query_str"
        )
    return "dense"


def _weighted(alpha: float, sparse_top_k: int | None) -> Plan:
    """Dense and sparse scores, each from 0 to 1, weighted by alpha and 1 - alpha."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it lies between 0, sparse alone, and 1, dense alone")
    dense, sparse, _ = Representation
    weights = {view: w for view, w in ((dense, alpha), (sparse, 1 - alpha)) if w}
    depths = {dense: DEPTH, sparse: sparse_top_k or DEPTH}
    return Plan({view: depths[view] for view in weights}, weights, normalise="min-max")


def _k(mode: VectorStoreQueryMode, query: vector_stores.VectorStoreQuery) -> int:
    own = {
        VectorStoreQueryMode.SPARSE: query.sparse_top_k,
        VectorStoreQueryMode.HYBRID: query.hybrid_top_k,
    }
    k = own.get(mode)
    return query.similarity_top_k if k is None else k


def _mmr_threshold(query: vector_stores.VectorStoreQuery, options: Mapping[str, Any]) -> float:
    given = options.get("mmr_threshold", query.mmr_threshold)
    return 0.5 if given is None else given  # half, as in LlamaIndex's other stores


def _filter(query: vector_stores.VectorStoreQuery) -> Expression | None:
    parts = [from_metadata_filters(query.filters)]
    if query.doc_ids:
        parts.append(F(PARENT).is_in(query.doc_ids))
    given = tuple(part for part in parts if part is not None)
    return And(given) if given else None
