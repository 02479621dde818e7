"""Adapters on one encoder: each text is encoded once, whoever asks for it and in which order."""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import MetadataMode, TextNode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from llama_index_tercet import (
    TercetEmbedding,
    TercetRetriever,
    TercetSparseEmbedding,
    TercetVectorStore,
)
from tercet.embeddings import Embeddings
from tercet.testing.hash_encoder import HashEncoder

MANY = 600
"""More than an insert batch of `as_index` and than a batch of the embedding."""


class Counting(HashEncoder):
    """Knows how often each text was encoded, and on which threads."""

    def __init__(self) -> None:
        super().__init__(dense_dim=8, multi_vector_dim=8)
        self.documents: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()
        self.threads: set[int] = set()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        self.queries.update(texts)
        return super().encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        self.documents.update(texts)
        return super().encode_documents(texts)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def store(counting: Counting) -> TercetVectorStore:
    return TercetVectorStore.from_defaults(encoder=counting)


@pytest.fixture(scope="module")
def nodes() -> list[TextNode]:
    return [TextNode(id_=str(n), text=f"text {n}", metadata={"n": n}) for n in range(MANY)]


def once(nodes: Sequence[TextNode]) -> Counter[str]:
    return Counter(node.get_content(MetadataMode.EMBED) for node in nodes)


async def test_an_index_and_its_store_encode_each_node_once(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    index = store.as_index()
    index.insert_nodes(nodes[:400])
    await index.ainsert_nodes(nodes[400:])
    assert counting.documents == once(nodes)
    assert len(store.retriever.index) == MANY


def test_it_is_so_in_batches_as_large_as_llama_index_s_own(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=TercetEmbedding(encoder=counting),
    )
    assert counting.documents == once(nodes)


def test_a_hybrid_ingest_through_the_framework_s_interfaces_encodes_each_text_once(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    dense = TercetEmbedding(encoder=counting)
    sparse = TercetSparseEmbedding(encoder=counting)
    texts = [node.get_content(MetadataMode.EMBED) for node in nodes]
    vectors = dense.get_text_embedding_batch(texts)
    weights = sparse.get_text_embedding_batch(texts)
    store.add([n.model_copy(update={"embedding": v}) for n, v in zip(nodes, vectors, strict=True)])
    assert counting.documents == once(nodes)
    stored = store.retriever.index.embeddings(["7"])
    assert stored.sparse is not None
    assert stored.sparse.to_dicts()[0] == pytest.approx(weights[7], abs=1e-3)


async def test_it_is_so_when_it_is_awaited(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    dense = TercetEmbedding(encoder=counting)
    sparse = TercetSparseEmbedding(encoder=counting)
    texts = [node.get_content(MetadataMode.EMBED) for node in nodes]
    await dense.aget_text_embedding_batch(texts)
    await sparse.aget_text_embedding_batch(texts)
    await store.async_add(nodes)
    assert counting.documents == once(nodes)
    assert threading.get_ident() not in counting.threads


async def test_a_query_is_encoded_once(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    store.add(nodes[:9])
    index = store.as_index()
    index.as_retriever().retrieve("text 1")
    await index.as_retriever(vector_store_query_mode="hybrid").aretrieve("text 2")
    assert counting.queries == Counter({"text 1": 1, "text 2": 1})


async def test_the_event_loop_encodes_nothing(
    store: TercetVectorStore, counting: Counting, nodes: list[TextNode]
) -> None:
    index = store.as_index()
    await index.ainsert_nodes(nodes[:9])
    await index.as_retriever(vector_store_query_mode="mmr").aretrieve("text 1")
    sparse = TercetSparseEmbedding(encoder=counting)
    await sparse.aget_query_embedding("text 3")
    await sparse.aget_text_embedding("text 4")
    await TercetRetriever(store.retriever).aretrieve("text 5")
    await store.aget_nodes()
    await store.adelete_nodes(["1"])
    await store.aclear()
    assert counting.threads
    assert threading.get_ident() not in counting.threads


def run(pipeline: IngestionPipeline, documents: list[Document]) -> None:
    pipeline.run(documents=documents)


def pipeline(store: TercetVectorStore, *more: TransformComponent) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[SentenceSplitter(), *more],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )


def texts(store: TercetVectorStore) -> list[str]:
    return sorted(node.get_content() for node in store.get_nodes())


async def test_a_pipeline_with_a_docstore_upserts_and_encodes_once(
    store: TercetVectorStore, counting: Counting
) -> None:
    ingest = pipeline(store, TercetEmbedding(encoder=counting))
    first = [Document(id_="a", text="red"), Document(id_="b", text="blue")]
    run(ingest, first)
    run(ingest, first)
    assert texts(store) == ["blue", "red"]
    assert counting.documents == Counter({"blue": 1, "red": 1})
    await ingest.arun(documents=[Document(id_="a", text="green")])
    assert texts(store) == ["green"]
    assert counting.documents == Counter({"blue": 1, "red": 1, "green": 1})


def test_a_pipeline_drops_nodes_that_no_transformation_embedded(
    store: TercetVectorStore, counting: Counting
) -> None:
    """LlamaIndex hands a store only nodes with vectors, so an embedding belongs in the list."""
    run(pipeline(store), [Document(id_="a", text="red")])
    assert texts(store) == []
    run(pipeline(store, TercetEmbedding(encoder=counting)), [Document(id_="a", text="red")])
    assert texts(store) == ["red"]


def test_nothing_but_the_vector_travels_on_a_node(counting: Counting) -> None:
    class Vector(list[float]):
        more: Any = None

    node = TextNode(text="a")
    node.embedding = Vector([1.0])
    assert type(node.embedding) is list
