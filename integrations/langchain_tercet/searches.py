"""What a LangChain store finds: by query or by vector, with scores, relevance or diversity."""

from abc import abstractmethod
from typing import Any

from langchain_core import documents, vectorstores

from langchain_tercet.convert import refuse_unknown, to_langchain, unit
from tercet.embeddings import Embeddings
from tercet.filters import Filter
from tercet.plans import Plan
from tercet.ranking import Ranking
from tercet.retriever import Retriever

Scored = list[tuple[documents.Document, float]]

SEARCH = "query, k, plan and filter"
DIVERSE = "query, k, fetch_k, lambda_mult, plan and filter"
BY_VECTOR = "embedding, k and filter: a vector speaks to the dense view alone, without a plan"


class Searches(vectorstores.VectorStore):
    """The searches of a store over a `Retriever`."""

    @property
    @abstractmethod
    def retriever(self) -> Retriever:
        """The encoder and the index."""

    @abstractmethod
    async def _aviews(self, query: str) -> Embeddings | None:
        """What embeddings that are not ours make of a query; None where the retriever encodes."""

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[documents.Document]:
        """The k best documents for a query."""
        refuse_unknown("similarity_search", kwargs, SEARCH)
        return _documents(self.retriever.retrieve(query, k=k, plan=plan, filter=filter))

    async def asimilarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[documents.Document]:
        """`similarity_search`, without blocking the event loop."""
        refuse_unknown("asimilarity_search", kwargs, SEARCH)
        return _documents(await self._afound(query, k, plan, filter))

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> Scored:
        """The k best documents with the plan's scores: the higher, the better."""
        refuse_unknown("similarity_search_with_score", kwargs, SEARCH)
        return _scored(self.retriever.retrieve(query, k=k, plan=plan, filter=filter))

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> Scored:
        """`similarity_search_with_score`, without blocking the event loop."""
        refuse_unknown("asimilarity_search_with_score", kwargs, SEARCH)
        return _scored(await self._afound(query, k, plan, filter))

    def _similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> Scored:
        """Scores moved into 0 to 1, for plans whose scores have bounds."""
        refuse_unknown("similarity_search_with_relevance_scores", kwargs, SEARCH)
        hits = self.retriever.retrieve(query, k=k, plan=plan, filter=filter)
        return _with_relevance(hits, self.retriever.relevance(hits, plan=plan))

    async def _asimilarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> Scored:
        refuse_unknown("asimilarity_search_with_relevance_scores", kwargs, SEARCH)
        hits = await self._afound(query, k, plan, filter)
        return _with_relevance(hits, self.retriever.relevance(hits, plan=plan))

    async def _afound(
        self, query: str, k: int, plan: str | Plan | None, filter: Filter | None
    ) -> Ranking:
        views = await self._aviews(query)
        return await self.retriever.aretrieve(
            query, k=k, plan=plan, filter=filter, embeddings=views
        )

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter | None = None, **kwargs: Any
    ) -> list[documents.Document]:
        """The k best documents for a dense vector, by cosine."""
        refuse_unknown("similarity_search_by_vector", kwargs, BY_VECTOR)
        return _documents(
            self.retriever.retrieve(
                "", k=k, plan="dense", filter=filter, embeddings=views_of(embedding)
            )
        )

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[documents.Document]:
        """Documents that are near the query and unlike each other.

        Args:
            query: The question.
            k: How many.
            fetch_k: Among how many of the plan's best they are chosen.
            lambda_mult: From 0, difference alone, to 1, relevance alone.
            plan: Name of a plan or a `Plan`; None is the model's default.
            filter: Only documents that pass it.
            **kwargs: There are no others.
        """
        refuse_unknown("max_marginal_relevance_search", kwargs, DIVERSE)
        return _documents(
            self.retriever.retrieve_diverse(
                query, k=k, fetch_k=fetch_k, diversity=1 - lambda_mult, plan=plan, filter=filter
            )
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[documents.Document]:
        """`max_marginal_relevance_search`, without blocking the event loop."""
        refuse_unknown("amax_marginal_relevance_search", kwargs, DIVERSE)
        return _documents(
            await self.retriever.aretrieve_diverse(
                query,
                k=k,
                fetch_k=fetch_k,
                diversity=1 - lambda_mult,
                plan=plan,
                filter=filter,
                embeddings=await self._aviews(query),
            )
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[documents.Document]:
        """`max_marginal_relevance_search`, for a dense vector."""
        refuse_unknown("max_marginal_relevance_search_by_vector", kwargs, BY_VECTOR)
        return _documents(
            self.retriever.retrieve_diverse(
                "",
                k=k,
                fetch_k=fetch_k,
                diversity=1 - lambda_mult,
                plan="dense",
                filter=filter,
                embeddings=views_of(embedding),
            )
        )


def views_of(vector: list[float]) -> Embeddings:
    """A dense vector of any length as the dense view of one query."""
    return Embeddings.from_dense([unit(vector)])


def _documents(hits: Ranking) -> list[documents.Document]:
    return [to_langchain(hit) for hit in hits]


def _scored(hits: Ranking) -> Scored:
    return [(to_langchain(hit), hit.score) for hit in hits]


def _with_relevance(hits: Ranking, relevance: list[float]) -> Scored:
    return [(to_langchain(hit), value) for hit, value in zip(hits, relevance, strict=True)]
