"""The vector store for LlamaIndex."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn, Self

from llama_index.core import StorageContext, VectorStoreIndex, callbacks, schema
from llama_index.core import vector_stores as stores
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.vector_stores.types import DEFAULT_PERSIST_DIR
from pydantic import PrivateAttr, model_validator

from llama_index_tercet.convert import (
    from_node,
    to_node,
    without_class_name,
)
from llama_index_tercet.embeddings import TercetEmbedding
from llama_index_tercet.holdings import Holdings, refuse_unknown
from llama_index_tercet.persisting import PERSISTED, read_place, write_place
from llama_index_tercet.searches import from_vector_store_query
from tercet.adapting import refuse_pickling
from tercet.documents import Document
from tercet.embeddings import Representation, TextEncoder
from tercet.plans import Plan
from tercet.ranking import Ranking
from tercet.retriever import DEFAULT_MODEL, Retriever
from tercet.sharing import shared


class TercetVectorStore(Holdings):
    """A LlamaIndex store over a `Retriever`: texts, metadata and every view of its model.

    Nodes are encoded by the store itself, with their embedded metadata before the text. A vector
    that a node carries must be that of the same model, and so costs no second encoding.

    The modes are DEFAULT (the plan of the store), SPARSE, HYBRID and MMR. HYBRID without an alpha
    is the plan `hybrid`, or `dense+sparse` where there are no token vectors; with an alpha it is
    the sum of dense and sparse scores, each moved into 0 to 1. `vector_store_kwargs` of a retriever
    take `plan`, `mmr_threshold` and `mmr_prefetch_k`. Where a query brings a vector beside its
    text, as in HyDE, the vector is the dense view and the text makes the others. `doc_ids`
    restricts a query to those sources; `node_ids` does not, since an index fills it by itself.

    Attributes:
        retriever: The encoder and the index.
        plan: Name of a plan or a `Plan`, for the modes DEFAULT and MMR; None is the model's own.
    """

    plan: str | Plan | None = None
    stores_text: bool = True
    is_embedding_query: bool = True

    _shared: Retriever = PrivateAttr()
    _drop = model_validator(mode="before")(without_class_name)

    def model_post_init(self, context: Any, /) -> None:
        """Take part in what the adapters on this encoder share."""
        super().model_post_init(context)
        index = self.retriever.index
        encoder = shared(self.retriever.encoder, views=index.representations)
        self._shared = Retriever(encoder, index)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetVectorStore"

    @classmethod
    def from_defaults(
        cls,
        nodes: Iterable[schema.BaseNode] = (),
        *,
        model: str = DEFAULT_MODEL,
        encoder: TextEncoder | None = None,
        path: str | PathLike[str] | None = None,
        plan: str | Plan | None = None,
    ) -> Self:
        """Make a store, and index nodes.

        Args:
            nodes: Nodes or documents; documents are not split.
            model: Hub id, local folder or `tercet/mini`.
            encoder: A loaded encoder, in place of `model`.
            path: Folder of the index; None is a temporary one, removed at the end.
            plan: Name of a plan or a `Plan`; None is the model's own.
        """
        store = cls(retriever=Retriever.create(path, model=model, encoder=encoder), plan=plan)
        store.add(nodes)
        return store

    def as_index(
        self,
        *,
        embed_model: BaseEmbedding | None = None,
        insert_batch_size: int | None = None,
        storage_context: StorageContext | None = None,
        transformations: list[schema.TransformComponent] | None = None,
        callback_manager: callbacks.CallbackManager | None = None,
        use_async: bool = False,
        show_progress: bool = False,
    ) -> VectorStoreIndex:
        """A `VectorStoreIndex` over this store, whose embeddings and ours are one encoding.

        Args:
            embed_model: None is a `TercetEmbedding` on the store's encoder. Where that makes no
                dense view, it is a stand-in, whose vectors nobody compares.
            insert_batch_size: Nodes that are embedded before the store gets them; None is as many
                as the embedding takes at once, so that all that it made of them is still there.
            storage_context: One made for this store; None is a new one.
            transformations: As in every index of LlamaIndex.
            callback_manager: As in every index of LlamaIndex.
            use_async: As in every index of LlamaIndex.
            show_progress: As in every index of LlamaIndex.

        Raises:
            ValueError: The storage context has another vector store.
        """
        model = embed_model or self._embedding()
        context = storage_context or StorageContext.from_defaults(vector_store=self)
        if context.vector_store is not self:
            raise ValueError(
                f"storage_context has a {type(context.vector_store).__name__} of its own: make it "
                "with StorageContext.from_defaults(vector_store=store, ...)"
            )
        return VectorStoreIndex(
            nodes=[],
            embed_model=model,
            insert_batch_size=insert_batch_size or model.embed_batch_size,
            storage_context=context,
            transformations=transformations,
            callback_manager=callback_manager,
            use_async=use_async,
            show_progress=show_progress,
        )

    def _embedding(self) -> BaseEmbedding:
        encoder = self.retriever.encoder
        if Representation.DENSE in encoder.representations:
            return TercetEmbedding(encoder=encoder)
        return MockEmbedding(embed_dim=1)

    def add(self, nodes: Iterable[schema.BaseNode], **kwargs: Any) -> list[str]:
        """Index nodes, replacing those whose ids are there already; their ids.

        Args:
            nodes: The nodes, with or without vectors.
            **kwargs: There are none.

        Raises:
            ModelMismatchError: A node carries the vector of another model.
        """
        refuse_unknown("add", kwargs)
        documents, vectors = _taken(nodes)
        self._shared.add(documents, vectors=vectors)
        return [document.id for document in documents]

    async def async_add(self, nodes: Iterable[schema.BaseNode], **kwargs: Any) -> list[str]:
        """`add`, without blocking the event loop."""
        refuse_unknown("async_add", kwargs)
        documents, vectors = _taken(nodes)
        await self._shared.aadd(documents, vectors=vectors)
        return [document.id for document in documents]

    def query(self, query: stores.VectorStoreQuery, **kwargs: Any) -> stores.VectorStoreQueryResult:
        """Find nodes; the class tells how a query is read.

        Args:
            query: What is asked.
            **kwargs: The `vector_store_kwargs` of a retriever.

        Raises:
            MissingViewError: The model or the index lacks a view of the mode or the plan.
            ValueError: A mode that there is not.
        """
        views = self.retriever.index.representations
        search = from_vector_store_query(query, kwargs, plan=self.plan, views=views)
        return _result(search.run(self._shared))

    async def aquery(
        self, query: stores.VectorStoreQuery, **kwargs: Any
    ) -> stores.VectorStoreQueryResult:
        """`query`, without blocking the event loop."""
        views = self.retriever.index.representations
        search = from_vector_store_query(query, kwargs, plan=self.plan, views=views)
        return _result(await search.arun(self._shared))

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Write where the index is; `from_persist_dir` opens it again.

        An index has a folder of its own, in which it stands already. A temporary one is copied
        into a folder beside `persist_path`.

        Args:
            persist_path: The file to write.
            fs: There is the local file system alone.

        Raises:
            ValueError: Another file system.
        """
        if fs is not None and "file" not in fs.protocol:
            raise ValueError(f"fs is {fs!r}; an index stands on a local disk: leave fs out")
        write_place(Path(persist_path), self.retriever)

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str | PathLike[str] = DEFAULT_PERSIST_DIR,
        *,
        encoder: TextEncoder | None = None,
        plan: str | Plan | None = None,
    ) -> Self:
        """Open what a `StorageContext` persisted.

        Args:
            persist_dir: Its folder.
            encoder: A loaded encoder, in place of the one that the index remembers.
            plan: Name of a plan or a `Plan`; None is the model's own.

        Raises:
            FileNotFoundError: Nothing was persisted there.
            ValueError: Another store was.
        """
        place = read_place(Path(persist_dir) / PERSISTED)
        return cls(retriever=Retriever.open(place, encoder=encoder), plan=plan)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _taken(nodes: Iterable[schema.BaseNode]) -> tuple[list[Document], dict[str, list[float]]]:
    """Nodes as documents, and the vectors that they carry."""
    given = list(nodes)
    documents = [from_node(node) for node in given]
    vectors = {node.node_id: node.embedding for node in given if node.embedding is not None}
    return documents, vectors


def _result(hits: Ranking) -> stores.VectorStoreQueryResult:
    return stores.VectorStoreQueryResult(
        nodes=[to_node(hit.document) for hit in hits],
        similarities=[hit.score for hit in hits],
        ids=[hit.document.id for hit in hits],
    )
