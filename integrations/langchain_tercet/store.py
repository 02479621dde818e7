"""The vector store for LangChain."""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, NoReturn, Self

from langchain_core import documents, embeddings
from langchain_core.runnables.config import run_in_executor

from langchain_tercet.convert import (
    refuse_unknown,
    restored,
    with_ids,
    zip_documents,
)
from langchain_tercet.embeddings import TercetEmbeddings
from langchain_tercet.retriever import TercetVectorStoreRetriever
from langchain_tercet.searches import Searches, views_of
from tercet.adapting import checked_retriever, refuse_pickling
from tercet.callable_encoder import CallableEncoder
from tercet.embeddings import Embeddings, Representation, TextEncoder
from tercet.errors import check_methods
from tercet.filters import Filter
from tercet.retriever import Retriever
from tercet.sharing import shared

NAMES = ("model", "model_name", "model_id", "deployment")
"""Where LangChain's embeddings say which model they call."""


class TercetVectorStore(Searches):
    """A LangChain store over a `Retriever`: every view of its model, plans and filters.

    Searches by text take `plan=` (None is the model's own) and `filter=`; so do `search_kwargs`.

    Args:
        retriever: The encoder and the index.
        embedding: In place of a retriever: a `TercetEmbeddings` gives its encoder and so all its
            views; any other embeddings give the dense view, compared by cosine.
        path: Folder of the index that goes with `embedding`; None is a temporary one, removed at
            the end.

    Raises:
        TypeError: Both a retriever and embeddings, or neither.
    """

    def __init__(
        self,
        retriever: Retriever | None = None,
        *,
        embedding: embeddings.Embeddings | None = None,
        path: str | PathLike[str] | None = None,
    ) -> None:
        self._embedding = None if isinstance(embedding, TercetEmbeddings) else embedding
        self._retriever = _retriever(retriever, embedding, path)
        index = self._retriever.index
        user = shared(self._retriever.encoder, views=index.representations)
        self._writer = Retriever(user, index)

    @property
    def retriever(self) -> Retriever:
        """The encoder and the index."""
        return self._retriever

    async def _aviews(self, query: str) -> Embeddings | None:
        if self._embedding is None:
            return None
        return views_of(await self._embedding.aembed_query(query))

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: embeddings.Embeddings | None = None,
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        retriever: Retriever | None = None,
        path: str | PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add texts.

        Args:
            texts: What to add.
            embedding: As in the class.
            metadatas: One for each text.
            ids: One for each text; where one is None, or none are given, they are random.
            retriever: As in the class.
            path: As in the class.
            **kwargs: There are no others.
        """
        refuse_unknown("from_texts", kwargs, "embedding, metadatas, ids, retriever and path")
        return cls.from_documents(
            zip_documents(texts, metadatas, ids), embedding, retriever=retriever, path=path
        )

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[documents.Document],
        embedding: embeddings.Embeddings | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        retriever: Retriever | None = None,
        path: str | PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add documents; `from_texts` has the rest."""
        refuse_unknown("from_documents", kwargs, "embedding, ids, retriever and path")
        given = with_ids(documents, ids)
        store = cls(retriever, embedding=embedding, path=path)
        store.retriever.add(given)  # not shared: nothing else is about to embed these texts
        return store

    @classmethod
    async def afrom_documents(
        cls,
        documents: Iterable[documents.Document],
        embedding: embeddings.Embeddings | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_documents`, without blocking the event loop."""
        return await run_in_executor(None, cls.from_documents, documents, embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: embeddings.Embeddings | None = None,
        metadatas: Iterable[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts`, without blocking the event loop."""
        return await run_in_executor(None, cls.from_texts, texts, embedding, metadatas, **kwargs)

    @property
    def embeddings(self) -> embeddings.Embeddings | None:
        """The embeddings given, or the retriever's own; None where it has no dense view."""
        if self._embedding is None and Representation.DENSE in self.retriever.index.representations:
            return TercetEmbeddings(encoder=self.retriever.encoder)
        return self._embedding

    def add_documents(
        self,
        documents: Iterable[documents.Document],
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add documents, replacing those whose ids are there already.

        Args:
            documents: What to add.
            ids: One for each document, in place of its own; None leaves it its own or a random one.
            batch_size: Accepted from LangChain's `index` and not needed.
            **kwargs: There are no others.

        Returns:
            The ids, in the order given.

        Raises:
            TypeError: Metadata that is not JSON.
            ValueError: Not as many ids as documents.
        """
        refuse_unknown("add_documents", kwargs, "documents, ids and batch_size")
        del batch_size
        given = with_ids(documents, ids)
        self._writer.add(given)
        return [document.id for document in given]

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_documents`, of texts with their metadata and ids."""
        refuse_unknown("add_texts", kwargs, "texts, metadatas, ids and batch_size")
        return self.add_documents(zip_documents(texts, metadatas, ids), batch_size=batch_size)

    async def aadd_documents(
        self,
        documents: Iterable[documents.Document],
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_documents`, without blocking the event loop."""
        refuse_unknown("aadd_documents", kwargs, "documents, ids and batch_size")
        del batch_size
        given = with_ids(documents, ids)
        await self._writer.aadd(given)
        return [document.id for document in given]

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts`, without blocking the event loop."""
        refuse_unknown("aadd_texts", kwargs, "texts, metadatas, ids and batch_size")
        documents = zip_documents(texts, metadatas, ids)
        return await self.aadd_documents(documents, batch_size=batch_size)

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | None = None, **kwargs: Any
    ) -> bool:
        """Remove documents by their ids, or all that pass a filter; missing ids are no failure.

        Raises:
            ValueError: Both, or neither: to remove everything, call `clear`.
        """
        refuse_unknown("delete", kwargs, "ids or filter")
        if ids is not None and filter is None:
            self.retriever.delete(ids)
        elif ids is None and filter is not None:
            self.retriever.index.delete_where(filter)
        else:
            raise ValueError(
                "delete takes ids or a filter, one of them; clear() removes every document"
            )
        return True

    def clear(self) -> None:
        """Remove every document."""
        self.retriever.index.clear()

    def get_by_ids(self, ids: Sequence[str], /) -> list[documents.Document]:
        """The documents found, in the order asked; missing ids are left out."""
        return [restored(document) for document in self.retriever.index.get(ids)]

    def as_retriever(self, **kwargs: Any) -> TercetVectorStoreRetriever:
        """A retriever over this store.

        Args:
            **kwargs: `search_type` ("similarity", "similarity_score_threshold" or "mmr"),
                `search_kwargs` (`k`, `plan`, `filter` and what else the search takes), `tags`,
                `metadata` and `name`.

        Raises:
            TypeError: Anything else: `k` belongs into `search_kwargs`.
        """
        known = ("search_type", "search_kwargs", "tags", "metadata", "name")
        unknown = {name: value for name, value in kwargs.items() if name not in known}
        refuse_unknown(
            "as_retriever",
            unknown,
            f"{', '.join(known)} (k=, plan= and filter= go into search_kwargs)",
        )
        tags = kwargs.pop("tags", None) or self._get_retriever_tags()
        return TercetVectorStoreRetriever(vectorstore=self, tags=tags, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._retriever.encoder.spec.family!r})"


def _retriever(
    given: Retriever | None,
    embedding: embeddings.Embeddings | None,
    path: str | PathLike[str] | None,
) -> Retriever:
    if given is not None and embedding is None and path is None:
        checked_retriever(given)
        return given
    if given is not None or embedding is None:
        raise TypeError(
            "a TercetVectorStore is made of retriever=, or of embedding= (and path=, if the index "
            "is to stay)"
        )
    return Retriever.create(path, encoder=_encoder(embedding))


def _encoder(embedding: embeddings.Embeddings) -> TextEncoder:
    """The encoder of our own embeddings; of others, one that calls them."""
    if isinstance(embedding, TercetEmbeddings):
        return embedding.encoder
    if hasattr(embedding, "encode_documents"):
        kind = type(embedding).__name__
        raise TypeError(
            f"embedding is our {kind}, not LangChain's: give TercetEmbeddings(encoder=...)"
        )
    check_methods(embedding, ("embed_documents", "embed_query"), name="embedding")
    said = (getattr(embedding, name, None) for name in NAMES)
    model = next((name for name in said if isinstance(name, str)), None)
    kind = type(embedding).__name__
    return CallableEncoder(
        embedding.embed_documents,
        lambda texts: [embedding.embed_query(text) for text in texts],
        name=kind if model is None else f"{kind} {model}",
    )
