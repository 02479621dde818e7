"""Late interaction through cells, on a real server."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_servers import QdrantServer

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation, SparseVectors
from tercet.indexes.base import Index
from tercet.indexes.qdrant import collection as engine
from tercet.indexes.qdrant.cells import Cells
from tercet.plans import Plan

SPEC = EncoderSpec(
    family="own",
    representations=(Representation.MULTI_VECTOR,),
    model_id="m",
    document_id="d",
    multi_vector_dim=16,
)


def embedded(count: int, seed: int = 0) -> Embeddings:
    """Texts of a few token vectors each, near 40 words."""
    rng = np.random.default_rng(seed)
    words = np.random.default_rng(9).standard_normal((40, 16))
    lengths = rng.integers(2, 9, count)
    vectors = words[rng.integers(0, 40, lengths.sum())] + 0.2 * rng.standard_normal(
        (lengths.sum(), 16)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(
        multi_vector=MultiVectors(vectors, np.cumsum([0, *lengths])), model_id="m", document_id="d"
    )


def documents(count: int, name: str = "d") -> list[Document]:
    return [Document(f"{name}{n:03d}", "", {"even": n % 2 == 0}) for n in range(count)]


@pytest.fixture
def address(
    qdrant_address: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], str]:
    monkeypatch.setattr(engine, "LARGE_DOCUMENTS", 300)  # not thousands, for time's sake
    return qdrant_address


@pytest.fixture
def client(qdrant_server: QdrantServer) -> Iterator[QdrantClient]:
    opened = QdrantClient(url=f"http://{qdrant_server.host}", check_compatibility=False)
    yield opened
    opened.close()


def with_cells(client: QdrantClient, address: str) -> int:
    """How many documents name the cells that they have."""
    missing = models.IsEmptyCondition(is_empty=models.PayloadField(key="cells"))
    name = address.rpartition("/")[2]
    return client.count(name, count_filter=models.Filter(must_not=[missing])).count


def recall(index: Index, queries: Embeddings, *, even: bool = False) -> float:
    found, exact = (
        index.search(queries, k=10, exact=exact, filter={"even": True} if even else None)
        for exact in (False, True)
    )
    ids = [
        ({h.document.id for h in f}, {h.document.id for h in e})
        for f, e in zip(found, exact, strict=True)
    ]
    return float(np.mean([len(f & e) / len(e) for f, e in ids]))


def test_cells_come_once_there_are_many_documents_and_bring_the_best(
    address: Callable[[], str], client: QdrantClient
) -> None:
    where, queries = address(), embedded(20, seed=5)
    with Index.open(where, spec=SPEC) as index:
        index.add(documents(200), embedded(200))
        index.compact()
        assert with_cells(client, where) == 0
        index.add(documents(200, "e"), embedded(200, seed=1))
        assert with_cells(client, where) == 400
        index.add(documents(50, "f"), embedded(50, seed=2))
        assert with_cells(client, where) == 450
        assert recall(index, queries) > 0.9
        assert recall(index, queries, even=True) > 0.9
        scores = [hit.score for hit in index.search(queries, k=5)[0]]
    with Index.open(where) as again:
        assert [hit.score for hit in again.search(queries, k=5)[0]] == scores


def test_documents_without_cells_are_found_and_get_theirs_with_compact(
    address: Callable[[], str], client: QdrantClient
) -> None:
    where, views = address(), embedded(310)
    name = where.rpartition("/")[2]
    with Index.open(where, spec=SPEC) as index:
        index.add(documents(310), views)
        client.delete_payload(name, ["cells"], points=models.Filter(), wait=True)
        client.delete_vectors(name, ["cells"], points=models.Filter(), wait=True)
        assert recall(index, embedded(10, seed=5)) == 1
        index.compact()
        assert with_cells(client, where) == 310
        assert recall(index, embedded(10, seed=5)) > 0.9
        assert index.embeddings(["d007"]).multi_vector is not None


def test_cells_of_other_centroids_are_not_trusted(
    address: Callable[[], str], client: QdrantClient
) -> None:
    where = address()
    about = f"{where.rpartition('/')[2]}__tercet"
    with Index.open(where, spec=SPEC) as first:
        first.add(documents(310), embedded(310))
    (point,) = [p for p in client.scroll(about)[0] if "key" in (p.payload or {})]
    client.set_payload(about, {"key": "other"}, points=[point.id], wait=True)
    with Index.open(where) as second:
        assert recall(second, embedded(10, seed=5)) == 1


async def test_a_client_that_was_there_before_the_cells_learns_of_them_from_what_it_finds(
    address: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, queries = address(), embedded(5, seed=5)
    looked_up: list[str] = []
    of_query = Cells.of_query
    monkeypatch.setattr(
        Cells, "of_query", lambda cells, tokens: looked_up.append("") or of_query(cells, tokens)
    )
    with (
        Index.open(where, spec=SPEC) as writer,
        Index.open(where, read_only=True) as reader,
        Index.open(where, read_only=True) as in_loop,
    ):
        assert not reader.search(queries)[0]
        assert not (await in_loop.asearch(queries))[0]
        writer.add(documents(310), embedded(310))
        assert not looked_up
        first = reader.search(queries)  # compares all, and sees that they have cells
        assert first == (await in_loop.asearch(queries))
        assert not looked_up
        assert reader.search(queries) == (await in_loop.asearch(queries))
        assert len(looked_up) == 2 * len(queries)


def mixed(count: int, seed: int) -> Embeddings:
    """The same texts with three views."""
    tokens = embedded(count, seed)
    rng = np.random.default_rng(seed)
    terms = [{int(t): rng.random() for t in rng.integers(0, 30, 4)} for _ in range(count)]
    return replace(
        tokens, dense=rng.standard_normal((count, 4)), sparse=SparseVectors.from_dicts(terms)
    )


@pytest.mark.parametrize("depth", [20, 310])
def test_late_interaction_compares_the_documents_of_its_cells_once_a_query(
    address: Callable[[], str], monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    spec = replace(SPEC, representations=tuple(Representation), dense_dim=4)
    plan = Plan(dict.fromkeys(Representation, depth), dict.fromkeys(Representation, 1.0), "rrf")
    queries = mixed(6, seed=5)
    asked: list[models.QueryRequest] = []
    batches: list[int] = []
    query = QdrantClient.query_batch_points

    def batch(client: QdrantClient, name: str, requests: list[models.QueryRequest]) -> object:
        batches.append(len(requests))
        asked.extend(requests)
        return query(client, name, requests)

    monkeypatch.setattr(QdrantClient, "query_batch_points", batch)
    with Index.open(address(), spec=spec) as index:
        index.add(documents(310), mixed(310, seed=0))
        found = index.search(queries, plan=plan, k=10)
        through_cells = [*asked]
        assert len(batches) == 1
        exact = index.search(queries, plan=plan, k=10, exact=True)
    late = [r for r in through_cells if r.using == "multi_vector" and compares_cells(r)]
    assert len(late) == len(queries)
    for some, all_ in zip(found, exact, strict=True):
        by_id = {hit.document.id: hit.scores for hit in all_}
        same = [hit for hit in some if hit.document.id in by_id]
        assert len(same) >= 9
        for hit in same:
            assert hit.scores == pytest.approx(by_id[hit.document.id], abs=1e-3)


def compares_cells(request: models.QueryRequest) -> bool:
    """Whether documents that cells bring are compared by this request."""
    return any(one.using == "cells" for one in request.prefetch or [])


def test_a_query_looks_up_its_nearest_cells() -> None:
    centroids = np.eye(3, dtype=np.float32)
    cells = Cells("k", centroids)
    looked_up = cells.of_query([[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    weights = dict(zip(looked_up.indices, looked_up.values, strict=True))
    assert weights == {0: 1.0, 1: 0.5, 2: 1.0}
    texts = MultiVectors(np.eye(3, dtype=np.float32)[[0, 0, 2, 1]], [0, 3, 4])
    assert [v.indices for v in cells.of_documents(texts)] == [[0, 2], [1]]
    again = Cells.from_payload(cells.to_payload())
    np.testing.assert_array_equal(again.centroids, centroids)
    assert again.key == "k"
