"""One pass for all: adapters on one encoder have each text encoded once."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest
from langchain_core.documents import Document

from langchain_tercet import TercetEmbeddings, TercetSparseEmbeddings, TercetVectorStore
from tercet.embeddings import Embeddings
from tercet.testing.hash_encoder import HashEncoder

INSERT_BATCH = 64
"""What langchain-qdrant embeds at once."""

TEXTS = [f"document {n} of many" for n in range(3 * INSERT_BATCH + 5)]


class Counting(HashEncoder):
    """Knows how often each text was encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.documents.update(texts)
        return super().encode_documents(texts)

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.queries.update(texts)
        return super().encode_queries(texts)


def batches(texts: list[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(islice(stream, INSERT_BATCH)):
        yield batch


def test_a_hybrid_ingest_encodes_each_text_once() -> None:
    encoder = Counting()
    dense, sparse = TercetEmbeddings(encoder=encoder), TercetSparseEmbeddings(encoder=encoder)
    for batch in batches(TEXTS):  # as QdrantVectorStore.add_texts does
        assert len(dense.embed_documents(batch)) == len(sparse.embed_documents(batch))
    assert encoder.documents == Counter(TEXTS)
    dense.embed_query("a question")
    sparse.embed_query("a question")
    assert encoder.queries == {"a question": 1}


async def test_an_async_hybrid_ingest_encodes_each_text_once() -> None:
    encoder = Counting()
    dense, sparse = TercetEmbeddings(encoder=encoder), TercetSparseEmbeddings(encoder=encoder)
    for batch in batches(TEXTS):
        await asyncio.gather(dense.aembed_documents(batch), sparse.aembed_documents(batch))
    assert encoder.documents == Counter(TEXTS)


def test_a_store_takes_part() -> None:
    encoder = Counting()
    dense, sparse = TercetEmbeddings(encoder=encoder), TercetSparseEmbeddings(encoder=encoder)
    store = TercetVectorStore(embedding=dense)
    for batch in batches(TEXTS):
        store.add_documents([Document(id=text, page_content=text) for text in batch])
        dense.embed_documents(batch)
        sparse.embed_documents(batch)
    assert encoder.documents == Counter(TEXTS)
    assert len(store.retriever.index) == len(TEXTS)
    fresh = HashEncoder().encode_documents([TEXTS[7]]).dense
    assert fresh is not None
    assert dense.embed_documents([TEXTS[7]]) == fresh.tolist()


@pytest.mark.parametrize("written", ["from_texts", "add_texts"])
def test_a_store_alone_keeps_nothing_for_others(written: str) -> None:
    encoder = Counting()
    if written == "from_texts":
        embeddings = TercetEmbeddings(encoder=encoder)
        TercetVectorStore.from_texts(TEXTS, embeddings)
    else:
        store = TercetVectorStore(embedding=TercetEmbeddings(encoder=encoder))
        store.add_texts(TEXTS)
        embeddings = TercetEmbeddings(encoder=encoder)
    embeddings.embed_documents(TEXTS[:3])
    assert encoder.documents == Counter(TEXTS + TEXTS[:3])
