"""A cluster of three nodes with two copies of each shard, one of which dies."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_servers import QdrantServer, qdrant_cluster

from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.indexes.base import Index
from tercet.indexes.storage import Storage
from tercet.ranking import Ranking
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=16, multi_vector_dim=8)
WORDS = ["cat", "dog", "mat", "sun", "moon", "star", "tree", "river", "stone", "cloud", "rain"]
PLANS = ("hybrid", "rrf", "multi_vector", "dense")
QUERIES = ENCODER.encode_queries(["cat mat", "moon star river", "dog"])


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[QdrantServer]]:
    with qdrant_cluster(tmp_path / "cluster", 3) as servers:
        yield servers


def documents(start: int, stop: int) -> list[Document]:
    rng = np.random.default_rng(start)
    return [
        Document(f"d{n:04d}", " ".join(rng.choice(WORDS, rng.integers(2, 9))))
        for n in range(start, stop)
    ]


def encoded(docs: list[Document]) -> Embeddings:
    return ENCODER.encode_documents([document.text for document in docs])


def scores(rankings: list[Ranking]) -> list[float]:
    return [hit.score for ranking in rankings for hit in ranking]


def write(index: Index, acknowledged: list[str]) -> None:
    for start in range(1000, 1200, 20):
        docs = documents(start, start + 20)
        index.add(docs, encoded(docs))
        acknowledged.extend(document.id for document in docs)


def search(index: Index, writing: Future[None]) -> None:
    while not writing.done():
        for plan in PLANS:
            assert all(index.search(QUERIES, plan=plan))


def wait_for_all_copies(node: QdrantServer) -> None:
    """Until every copy of every shard is whole again."""
    client = QdrantClient(url=f"http://{node.host}", check_compatibility=False)
    for _ in range(300):
        info = client.collection_cluster_info("books")
        states = {shard.state.value for shard in [*info.local_shards, *info.remote_shards]}
        if states == {"Active"}:
            break
        time.sleep(0.1)
    client.close()
    assert states == {"Active"}


def test_a_cluster_answers_and_keeps_every_acknowledged_write_while_a_node_dies(
    nodes: list[QdrantServer], tmp_path: Path
) -> None:
    address = f"qdrant://{','.join(node.host for node in nodes)}/books?shards=3&replicas=2"
    docs = documents(0, 200)
    local = Index.open(tmp_path / "local", spec=ENCODER.spec, storage=Storage(tokens="float16"))
    with local, Index.open(address, spec=ENCODER.spec) as index, ThreadPoolExecutor() as threads:
        for each in (local, index):
            each.add(docs, encoded(docs))
        for plan in PLANS:
            found = index.search(QUERIES, plan=plan, exact=True)
            expected = local.search(QUERIES, plan=plan, exact=True)
            assert scores(found) == pytest.approx(scores(expected), abs=1e-3)

        acknowledged: list[str] = []
        writing = threads.submit(write, index, acknowledged)
        searching = threads.submit(search, index, writing)
        while len(acknowledged) < 60 and not writing.done():
            time.sleep(0.01)
        nodes[0].kill()  # the one that the client has spoken to
        writing.result()
        searching.result()
        assert {*acknowledged, *(d.id for d in docs)} == set(index.ids())
        assert len(acknowledged) == 200

        nodes[0].start()
        wait_for_all_copies(nodes[1])
        nodes[1].kill()
        assert len(index.ids()) == 400
        assert len(index.search(QUERIES, k=400, plan="dense", exact=True)[0]) == 400
