"""The reranker for LangChain."""

from collections.abc import Sequence
from typing import Any, NoReturn, Self

from langchain_core import callbacks, documents
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import LoadedEncoder, refuse_pickling, with_metadata
from tercet.plans import Plan
from tercet.ranking import Ranking
from tercet.reranker import Reranker


class TercetReranker(documents.BaseDocumentCompressor):
    """Orders LangChain's documents with a `Reranker`, by late interaction unless told otherwise.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        plan: Name of a plan or a `Plan`.
        top_n: How many documents to keep; None is all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    plan: str | Plan = "multi_vector"
    top_n: PositiveInt | None = 3

    def compress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """The best documents in order, as copies with their score as `relevance_score`."""
        del callbacks
        ranking = self._reranker.rerank(query, _texts(documents), k=self.top_n)
        return _copies(documents, ranking)

    async def acompress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """`compress_documents`, without blocking the event loop."""
        del callbacks
        ranking = await self._reranker.arerank(query, _texts(documents), k=self.top_n)
        return _copies(documents, ranking)

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
        ranking = self._reranker.rerank(query, _texts(documents), k=k)
        return [{"index": int(hit.document.id), "relevance_score": hit.score} for hit in ranking]

    @property
    def _reranker(self) -> Reranker:
        return Reranker(self.encoder, plan=self.plan)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _texts(given: Sequence[str | documents.Document]) -> Sequence[str]:
    if isinstance(given, str | documents.Document):
        raise TypeError(f"documents is one {type(given).__name__}; a sequence belongs there")
    return [_text(item) for item in given]


def _text(item: str | documents.Document) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, documents.Document):
        raise TypeError(f"{item!r} is neither a text nor a LangChain Document")
    return item.page_content


def _copies(given: Sequence[documents.Document], ranking: Ranking) -> list[documents.Document]:
    """A text's id in the ranking is its place among those given."""
    return [
        with_metadata(given[int(hit.document.id)], relevance_score=hit.score) for hit in ranking
    ]
