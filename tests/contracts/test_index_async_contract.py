"""What every engine of `Index` does in an event loop: the same as without one."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings
from tercet.errors import IndexReadOnlyError, MissingViewError
from tercet.indexes.base import ENGINES, Index
from tercet.indexes.storage import Storage
from tercet.retriever import Retriever
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=24, multi_vector_dim=8)
WORDS = ["cat", "dog", "mat", "sun", "moon", "star", "tree", "river", "stone", "cloud", "rain"]
QUERIES = ["cat mat", "moon star river", "dog"]
PLANS = (None, "dense", "sparse", "rrf", "multi_vector", "dense>multi_vector")


@pytest.fixture(params=["file", "qdrant", "qdrant over gRPC", "edge"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "edge":
        monkeypatch.setitem(ENGINES, "edge", "qdrant_edge_client:EdgeIndex")
        return f"edge://{tmp_path}/index"
    if request.param == "file":
        return str(tmp_path / "index")
    address: str = request.getfixturevalue("qdrant_address")()
    server = request.getfixturevalue("qdrant_server")
    return f"{address}?grpc={server.grpc}" if "gRPC" in request.param else address


@pytest.fixture
def index(where: str) -> Iterator[Index]:
    with Index.open(where, spec=ENCODER.spec, storage=Storage(tokens="float16")) as opened:
        yield opened


def documents(start: int, stop: int) -> list[Document]:
    rng = np.random.default_rng(start)
    return [
        Document(f"d{n:03d}", " ".join(rng.choice(WORDS, rng.integers(1, 9))), {"n": n})
        for n in range(start, stop)
    ]


def encoded(docs: list[Document]) -> Embeddings:
    return ENCODER.encode_documents([document.content for document in docs])


async def test_what_is_added_in_a_loop_is_found_as_without_one(index: Index) -> None:
    docs = documents(0, 60)
    report = await index.aadd([*docs, docs[0]], encoded([*docs, docs[0]]))
    assert report == AddReport(committed=60, duplicate_ids=("d000",))
    assert await index.aadd(docs, encoded(docs)) == AddReport(skipped=60)
    assert await index.aadd([], encoded([])) == AddReport()
    queries = ENCODER.encode_queries(QUERIES)
    for plan in PLANS:
        options: dict[str, Any] = {"k": 7, "plan": plan, "filter": {"n": {"$lt": 40}}}
        found = await index.asearch(queries, **options)
        assert found == index.search(queries, **options)
        assert all(len(ranking) for ranking in found)
    assert (await index.aunchanged(documents(0, 1) + documents(90, 91))).tolist() == [True, False]
    stored = await index.aembeddings(["d003", "d001"])
    np.testing.assert_array_equal(stored.dense, index.embeddings(["d003", "d001"]).dense)
    assert await index.adelete(["d003", "gone"]) == 1
    with pytest.raises(LookupError, match="'d003'"):
        await index.aembeddings(["d003"])


async def test_many_searches_and_writes_share_one_loop(index: Index) -> None:
    parts = [documents(start, start + 10) for start in range(0, 60, 10)]
    reports = await asyncio.gather(*(index.aadd(part, encoded(part)) for part in parts))
    assert sum(report.committed for report in reports) == len(index) == 60
    queries = [ENCODER.encode_queries([text]) for text in QUERIES * 5]
    found = await asyncio.gather(*map(index.asearch, queries))
    assert found == [index.search(query) for query in queries]


async def test_errors_are_those_of_the_methods_without_a_loop(index: Index, where: str) -> None:
    dense = HashEncoder(dense_dim=24, representations=["dense"]).encode_queries(["cat"])
    for wrong, error in (({"k": 0}, ValueError), ({"plan": "fast"}, ValueError)):
        with pytest.raises(error):
            await index.asearch(ENCODER.encode_queries(["cat"]), **wrong)  # type: ignore[arg-type]
    with pytest.raises(MissingViewError):
        await index.asearch(Embeddings(dense=dense.dense), plan="hybrid")
    with pytest.raises(TypeError):
        await index.adelete("d001")
    with (
        Index.open(where, read_only=True) as reader,
        pytest.raises(IndexReadOnlyError),
    ):
        await reader.aadd(documents(0, 1), encoded(documents(0, 1)))


def test_an_index_serves_one_loop_after_another_and_closes_what_it_opened(index: Index) -> None:
    docs = documents(0, 20)
    asyncio.run(index.aadd(docs, encoded(docs)))
    queries = ENCODER.encode_queries(QUERIES)
    for _ in range(3):
        assert asyncio.run(index.asearch(queries)) == index.search(queries)


async def test_a_retriever_in_a_loop_does_what_it_does_without_one(index: Index) -> None:
    retriever = Retriever(ENCODER, index)
    assert (await retriever.aadd(iter(documents(0, 300)))).committed == 300
    again = await retriever.aadd([*documents(0, 300), Document("new", "cat mat sun")])
    assert (again.committed, again.skipped) == (1, 300)
    for plan in PLANS:
        assert await retriever.aretrieve("cat mat", plan=plan) == retriever.retrieve(
            "cat mat", plan=plan
        )
    diverse = await retriever.aretrieve_diverse("cat mat", k=4)
    assert diverse == retriever.retrieve_diverse("cat mat", k=4)
    assert await retriever.adelete(["new"]) == 1
    known = {"d000": [1.0] * 24}
    with pytest.raises(ValueError, match="d000"):
        await retriever.aadd(documents(0, 300), vectors=known)


async def test_a_search_that_is_cancelled_leaves_the_index_as_it_was(index: Index) -> None:
    docs = documents(0, 30)
    await index.aadd(docs, encoded(docs))
    queries = ENCODER.encode_queries(QUERIES)
    for _ in range(3):
        task = asyncio.create_task(index.asearch(queries))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await index.asearch(queries)
    assert await index.asearch(queries) == index.search(queries)


async def test_an_add_that_is_cancelled_can_be_repeated(index: Index) -> None:
    docs = documents(0, 80)
    task = asyncio.create_task(index.aadd(docs, encoded(docs)))
    await asyncio.sleep(0)  # it has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await index.aadd(docs, encoded(docs))
    assert report.committed + report.skipped == 80
    assert index.ids() == [document.id for document in docs]


async def test_over_a_server_no_thread_waits_for_the_network(
    qdrant_address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index.open(qdrant_address(), spec=ENCODER.spec) as index:
        retriever = Retriever(ENCODER, index)
        connection = index._connection  # type: ignore[attr-defined]
        monkeypatch.setattr(connection, "call", lambda _: pytest.fail("a thread waited"))
        await retriever.aadd(documents(0, 30))
        assert len(await retriever.aretrieve("cat mat", filter={"n": {"$gt": 3}}, k=3)) == 3
        assert len(await retriever.aretrieve_diverse("cat mat", k=3)) == 3
        assert await retriever.adelete(["d001"]) == 1
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith("tercet-upsert") for name in names)
