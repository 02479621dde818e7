"""The reranker for LangChain."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

from langchain_core import callbacks, documents
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import LoadedEncoder, OpenIndex, refuse_pickling, with_metadata
from tercet.documents import Document
from tercet.indexes.base import Index
from tercet.plans import Plan
from tercet.ranking import Hit, Ranking
from tercet.reranker import Reranker

PLACE = "place"
"""Under this key of `Document.private` stands a document's place among those given."""


class TercetReranker(documents.BaseDocumentCompressor):
    """Orders LangChain's documents with a `Reranker`, by late interaction unless told otherwise.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        plan: Name of a plan or a `Plan`.
        top_n: How many documents to keep; None is all.
        index: Where it holds a document's text under its id, the stored vectors are used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    plan: str | Plan = "multi_vector"
    top_n: PositiveInt | None = 3
    index: OpenIndex = Field(default=None, exclude=True, repr=False)

    def compress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """The best documents in order, as copies with their score as `relevance_score`.

        Args:
            documents: What to order.
            query: The question.
            callbacks: Whom to tell of it: a run that starts, and ends or fails.

        Raises:
            TypeError: No sequence of documents, or no string as the query.
        """
        given = {"documents": _documents(documents), "query": query}
        return self._run.invoke(given, _config(self, callbacks))

    async def acompress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """`compress_documents`, without blocking the event loop."""
        given = {"documents": _documents(documents), "query": query}
        return await self._run.ainvoke(given, _config(self, callbacks))

    def rerank(
        self,
        documents: Sequence[str | documents.Document],
        query: str,
        *,
        top_n: int | None = None,
    ) -> list[dict[str, Any]]:
        """Order documents or texts.

        Args:
            documents: What to order.
            query: The question.
            top_n: How many to return; None is the reranker's own `top_n`.

        Returns:
            For each, best first, its place among those given and its score:
            {"index": 3, "relevance_score": 0.8}.
        """
        k = self.top_n if top_n is None else top_n
        ranking = self._reranker.rerank(query, self._placed(documents), k=k)
        return [{"index": _place(hit), "relevance_score": hit.score} for hit in ranking]

    @property
    def _reranker(self) -> Reranker:
        return Reranker(self.encoder, plan=self.plan, index=self.index)

    @property
    def _run(self) -> RunnableLambda[Mapping[str, Any], list[documents.Document]]:
        """What tracers see as a run of its own."""
        return RunnableLambda(self._compress, self._acompress)

    def _compress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        placed = self._placed(given["documents"])
        ranking = self._reranker.rerank(given["query"], placed, k=self.top_n)
        return _copies(given["documents"], ranking)

    async def _acompress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        placed = self._placed(given["documents"])
        ranking = await self._reranker.arerank(given["query"], placed, k=self.top_n)
        return _copies(given["documents"], ranking)

    def _placed(self, given: Sequence[str | documents.Document]) -> list[Document]:
        """Documents of ours that know their place; ids are kept for an index to look up."""
        return [
            Document(id=_id(item, place, self.index), text=_text(item), private={PLACE: place})
            for place, item in enumerate(_sequence(given))
        ]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _config(adapter: object, given: callbacks.Callbacks | None) -> RunnableConfig:
    config = RunnableConfig(run_name=type(adapter).__name__)
    return config if given is None else RunnableConfig(**config, callbacks=given)


def _documents(given: Sequence[documents.Document]) -> Sequence[documents.Document]:
    for place, item in enumerate(_sequence(given)):
        if not isinstance(item, documents.Document):
            raise TypeError(
                f"documents[{place}] is a {type(item).__name__}, not a LangChain Document; "
                "rerank() takes texts as well"
            )
    return given


def _sequence(given: Sequence[str | documents.Document]) -> Sequence[str | documents.Document]:
    if isinstance(given, str | documents.Document) or not isinstance(given, Sequence):
        raise TypeError(f"documents is one {type(given).__name__}; a sequence belongs there")
    return given


def _id(item: str | documents.Document, place: int, index: Index | None) -> str:
    if index is None or isinstance(item, str) or item.id is None:
        return str(place)
    return item.id


def _text(item: str | documents.Document) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, documents.Document):
        raise TypeError(f"{item!r} is neither a text nor a LangChain Document")
    return item.page_content


def _place(hit: Hit) -> int:
    place: int = hit.document.private[PLACE]
    return place


def _copies(given: Sequence[documents.Document], ranking: Ranking) -> list[documents.Document]:
    return [with_metadata(given[_place(hit)], relevance_score=hit.score) for hit in ranking]
