"""The retrievers for LangChain: over a `Retriever`, and behind a store's `as_retriever`."""

from collections.abc import Iterable, Mapping
from enum import Enum
from os import PathLike
from typing import Any, Literal, Self

from langchain_core import callbacks, documents, retrievers, vectorstores
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import (
    OpenRetriever,
    from_langchain,
    model_of,
    to_langchain,
    zip_documents,
)
from langchain_tercet.searches import Searches
from tercet.embeddings import TextEncoder
from tercet.filters import Expression, Filter
from tercet.plans import Plan
from tercet.ranking import Ranking
from tercet.retriever import DEFAULT_MODEL, Retriever


class _Given(Enum):
    UNSET = "unset"


UNSET = _Given.UNSET
Unset = Literal[_Given.UNSET]
"""What an argument is that was not given, where None has a meaning of its own."""


class TercetRetriever(retrievers.BaseRetriever):
    """Hands LangChain the documents that a `Retriever` finds.

    `invoke(query, k=3, plan="sparse", filter=None)` overrides the fields for one call; None
    stands for the model's own plan, and for no filter.

    Attributes:
        retriever: The encoder and the index.
        k: How many documents.
        plan: Name of a plan or a `Plan`; None is the model's own.
        filter: Only documents that pass it.
        score_key: The score goes into the metadata under this key; None leaves it out.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: OpenRetriever = Field(exclude=True, repr=False)
    k: PositiveInt = 4
    plan: str | Plan | None = None
    filter: Mapping[str, Any] | Expression | None = None
    score_key: str | None = None

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        model: str = DEFAULT_MODEL,
        encoder: TextEncoder | None = None,
        path: str | PathLike[str] | None = None,
        **fields: Any,
    ) -> Self:
        """Index texts, and retrieve from them.

        Args:
            texts: What to index.
            metadatas: One for each text.
            ids: One for each text; where one is None, or none are given, they are random.
            model: Hub id, local folder or `tercet/mini`.
            encoder: A loaded encoder, in place of `model`.
            path: Folder of the index; None is a temporary one, removed at the end.
            **fields: `k`, `plan`, `filter`, `score_key`, `tags` and `metadata` of the retriever.
        """
        return cls.from_documents(
            zip_documents(texts, metadatas, ids), model=model, encoder=encoder, path=path, **fields
        )

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[documents.Document],
        *,
        model: str = DEFAULT_MODEL,
        encoder: TextEncoder | None = None,
        path: str | PathLike[str] | None = None,
        **fields: Any,
    ) -> Self:
        """Index documents, read as a stream, and retrieve from them; `from_texts` has the rest."""
        created = cls(
            retriever=Retriever.create(path, model=model, encoder=encoder),
            **fields,
        )
        created.retriever.add(map(from_langchain, documents))
        return created

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: callbacks.CallbackManagerForRetrieverRun,
        k: int | Unset = UNSET,
        plan: str | Plan | Unset | None = UNSET,
        filter: Filter | Unset | None = UNSET,
        verbose: bool = False,  # `invoke` reads it and hands it on
    ) -> list[documents.Document]:
        del run_manager, verbose
        hits = self.retriever.retrieve(
            query,
            k=self.k if k is UNSET else k,
            plan=self.plan if plan is UNSET else plan,
            filter=self.filter if filter is UNSET else filter,
        )
        return self._documents(hits)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: callbacks.AsyncCallbackManagerForRetrieverRun,
        k: int | Unset = UNSET,
        plan: str | Plan | Unset | None = UNSET,
        filter: Filter | Unset | None = UNSET,
        verbose: bool = False,
    ) -> list[documents.Document]:
        del run_manager, verbose
        hits = await self.retriever.aretrieve(
            query,
            k=self.k if k is UNSET else k,
            plan=self.plan if plan is UNSET else plan,
            filter=self.filter if filter is UNSET else filter,
        )
        return self._documents(hits)

    def _documents(self, hits: Ranking) -> list[documents.Document]:
        return [to_langchain(hit, score_key=self.score_key) for hit in hits]

    def _get_ls_params(self, **kwargs: Any) -> retrievers.LangSmithRetrieverParams:
        return retrievers.LangSmithRetrieverParams(
            **super()._get_ls_params(**kwargs),
            ls_vector_store_provider="tercet",
            ls_embedding_provider="tercet",
            ls_embedding_model=model_of(self.retriever),
        )


class TercetVectorStoreRetriever(vectorstores.VectorStoreRetriever):
    """What `TercetVectorStore.as_retriever` gives: LangChain's own, deaf to no argument."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    vectorstore: Searches = Field(exclude=True, repr=False)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: callbacks.CallbackManagerForRetrieverRun,
        verbose: bool = False,  # `invoke` reads it and hands it on
        **kwargs: Any,
    ) -> list[documents.Document]:
        del verbose
        return super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: callbacks.AsyncCallbackManagerForRetrieverRun,
        verbose: bool = False,
        **kwargs: Any,
    ) -> list[documents.Document]:
        del verbose
        return await super()._aget_relevant_documents(query, run_manager=run_manager, **kwargs)

    def _get_ls_params(self, **kwargs: Any) -> retrievers.LangSmithRetrieverParams:
        return retrievers.LangSmithRetrieverParams(
            **super()._get_ls_params(**kwargs),
            ls_embedding_model=model_of(self.vectorstore.retriever),
        )
