"""LangChain's `index` with a record manager over a `TercetVectorStore`."""

from collections.abc import Iterable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from langchain_tercet import TercetEmbeddings, TercetVectorStore
from tercet.testing.hash_encoder import HashEncoder

EMBEDDINGS = {
    "three views": lambda: TercetEmbeddings(encoder=HashEncoder()),
    "other embeddings": lambda: DeterministicFakeEmbedding(size=6),
}


@pytest.fixture(params=EMBEDDINGS)
def store(request: pytest.FixtureRequest) -> TercetVectorStore:
    embeddings: Embeddings = EMBEDDINGS[request.param]()
    return TercetVectorStore(embedding=embeddings)


@pytest.fixture
def records() -> InMemoryRecordManager:
    manager = InMemoryRecordManager(namespace="tests")
    manager.create_schema()
    return manager


def documents(*texts: str) -> list[Document]:
    return [Document(page_content=text, metadata={"source": text[0]}) for text in texts]


def counts(added: int, updated: int, skipped: int, deleted: int) -> dict[str, int]:
    return {
        "num_added": added,
        "num_updated": updated,
        "num_skipped": skipped,
        "num_deleted": deleted,
    }


def texts(store: TercetVectorStore) -> list[str]:
    inner = store.retriever.index
    return sorted(document.text for document in inner.get(inner.ids()))


def indexed(
    store: TercetVectorStore,
    records: InMemoryRecordManager,
    given: Iterable[Document],
    **options: Any,
) -> dict[str, int]:
    return dict(
        index(given, records, store, source_id_key="source", key_encoder="sha256", **options)
    )


def test_index_adds_skips_and_cleans_up(
    store: TercetVectorStore, records: InMemoryRecordManager
) -> None:
    first = documents("a one", "b one", "c one")
    assert indexed(store, records, first, cleanup="full", batch_size=2) == counts(3, 0, 0, 0)
    assert indexed(store, records, first, cleanup="full") == counts(0, 0, 3, 0)
    changed = documents("a one", "b two")
    assert indexed(store, records, changed, cleanup="incremental") == counts(1, 0, 1, 1)
    assert texts(store) == ["a one", "b two", "c one"]
    assert indexed(store, records, changed, cleanup="full") == counts(0, 0, 2, 1)
    assert indexed(store, records, changed, force_update=True) == counts(0, 2, 0, 0)
    assert indexed(store, records, [], cleanup="full") == counts(0, 0, 0, 2)
    assert texts(store) == []


async def test_aindex_does_the_same(
    store: TercetVectorStore, records: InMemoryRecordManager
) -> None:
    options: dict[str, Any] = {"source_id_key": "source", "key_encoder": "sha256"}
    first = documents("a one", "b one")
    assert await aindex(first, records, store, cleanup="full", **options) == counts(2, 0, 0, 0)
    assert await aindex(first[:1], records, store, cleanup="full", **options) == counts(0, 0, 1, 1)
    assert texts(store) == ["a one"]


def test_unknown_arguments_of_an_upsert_are_refused(
    store: TercetVectorStore, records: InMemoryRecordManager
) -> None:
    with pytest.raises(TypeError, match="it got vector_field"):
        indexed(store, records, documents("a"), upsert_kwargs={"vector_field": "v"})
