"""The reranker: a query and candidates in, the same candidates re-ordered out."""

import asyncio
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import TextEncoder
from tercet.errors import check_k, check_query
from tercet.fusion import Candidates, best_first, fuse
from tercet.given import given_embeddings
from tercet.indexes.base import Index
from tercet.indexes.checks import check_encoder
from tercet.plans import Plan, resolve_plan
from tercet.ranking import Hit, Ranking
from tercet.scoring.views import view_scores
from tercet.serving import Serving
from tercet.sharing import SharedEncoder, served
from tercet.tracing import traced


class Reranker:
    """Scores given documents against a query with any plan, late interaction by default.

    Args:
        encoder: Turns the query, and documents that no index holds, into views.
        plan: Name of a plan or a `Plan`; its candidate depths play no part here.
        index: Where it holds the same text under a document's id, its vectors are used.

    Raises:
        MissingViewError: The model lacks a view of the plan.
        ModelMismatchError: The index holds the vectors of another model.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        plan: str | Plan = "multi_vector",
        index: Index | None = None,
    ) -> None:
        if index is not None:
            check_encoder(encoder.spec, index.spec)
        self.encoder = encoder
        self.index = index
        self.plan = resolve_plan(plan, encoder.spec)

    @traced("tercet.rerank")
    def rerank(
        self, query: str, documents: Sequence[Document | str], *, k: int | None = None
    ) -> Ranking:
        """Order documents by their scores for a query.

        Args:
            query: The question.
            documents: Documents, or texts, whose ids are then their places "0", "1", ...
            k: How many hits to return; None is all.

        Raises:
            TypeError: The query is no string, or the documents are no sequence.
            ValueError: k below 1.
        """
        check_query(query)
        given = _documents(documents)
        if k is not None:
            check_k(k)
        if not given:
            return Ranking(())
        embeddings = given_embeddings(given, self.encoder, views=self.plan.views, index=self.index)
        queries = self.encoder.encode_queries([query])
        reduction = self.plan.reduction(self.encoder.spec.reduction)
        scores = {
            view: view_scores(view, queries, embeddings, reduction=reduction)
            for view in self.plan.views
        }
        keys = [f"{place:09d}" for place in range(len(given))]  # ties keep the order given
        ranks = {view: _ranks(values, keys) for view, values in scores.items()}
        candidates = Candidates(keys, scores, ranks)
        total = fuse(candidates, self.plan)
        hits = (
            Hit(given[n], float(total[n]), {v.value: float(s[n]) for v, s in scores.items()}, rank)
            for rank, n in enumerate(best_first(total, keys)[:k].tolist(), start=1)
        )
        return Ranking(tuple(hits))

    async def arerank(
        self, query: str, documents: Sequence[Document | str], *, k: int | None = None
    ) -> Ranking:
        """`rerank`, without blocking the event loop."""
        twin = Reranker(self._served, plan=self.plan, index=self.index)
        return await asyncio.to_thread(twin.rerank, query, documents, k=k)

    @cached_property
    def _served(self) -> Serving | SharedEncoder:
        """The encoder with asynchronous methods."""
        return served(self.encoder)


def _documents(given: Sequence[Document | str]) -> list[Document]:
    if isinstance(given, str | Document) or not isinstance(given, Sequence):
        raise TypeError(
            f"documents is a {type(given).__name__}; a sequence of documents or texts belongs there"
        )
    return [
        item if isinstance(item, Document) else Document(id=str(place), text=item)
        for place, item in enumerate(given)
    ]


def _ranks(scores: NDArray[np.float32], keys: list[str]) -> NDArray[np.int64]:
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[best_first(scores, keys)] = np.arange(1, len(scores) + 1)
    return ranks
