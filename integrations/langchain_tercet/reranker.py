"""The reranker for LangChain."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core import documents
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import LoadedEncoder, OpenIndex, with_metadata
from langchain_tercet.events import ReportedCompressor
from tercet.documents import Document
from tercet.indexes.base import Index
from tercet.plans import Plan
from tercet.ranking import Hit, Ranking
from tercet.reranker import Reranker

PLACE = "place"
"""Under this key of `Document.private` stands a document's place among those given."""


class TercetReranker(ReportedCompressor):
    """Orders LangChain's documents with a `Reranker`, by late interaction unless told otherwise.

    `compress_documents` gives the best in order, with their score as `relevance_score`.

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
