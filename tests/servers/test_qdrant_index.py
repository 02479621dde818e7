"""What the Qdrant engine does beyond the contract, on a real server."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_servers import QdrantServer, free_ports

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, MultiVectors, Representation
from tercet.errors import (
    IndexFormatError,
    IndexNotFoundError,
    IndexReadOnlyError,
    IndexUnreachableError,
    MissingExtraError,
    TercetIndexError,
)
from tercet.indexes.base import Index
from tercet.indexes.qdrant.address import CollectionOptions
from tercet.indexes.qdrant.index import QdrantIndex
from tercet.indexes.storage import Storage
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=24, multi_vector_dim=8)
WORDS = ["cat", "dog", "mat", "sun", "moon", "star", "tree", "river", "stone", "cloud"]
Address = Callable[[], str]


def documents(count: int) -> list[Document]:
    rng = np.random.default_rng(0)
    return [
        Document(f"d{n:03d}", " ".join(rng.choice(WORDS, rng.integers(1, 9))), {"n": n})
        for n in range(count)
    ]


def encoded(docs: list[Document]) -> Embeddings:
    return ENCODER.encode_documents([document.content for document in docs])


@pytest.fixture
def client(qdrant_server: QdrantServer) -> Iterator[QdrantClient]:
    opened = QdrantClient(url=f"http://{qdrant_server.host}", check_compatibility=False)
    yield opened
    opened.close()


def collection_of(address: str) -> str:
    return address.partition("?")[0].rpartition("/")[2]


@pytest.mark.parametrize("options", ["", "?grpc={grpc}", "?quantisation=int8&dense=float16"])
def test_a_server_ranks_as_the_embedded_index_does(
    qdrant_address: Address, qdrant_server: QdrantServer, tmp_path: Path, options: str
) -> None:
    address = qdrant_address() + options.format(grpc=qdrant_server.grpc)
    docs, queries = documents(60), ENCODER.encode_queries(["cat mat", "moon star river", "dog"])
    local = Index.open(tmp_path / "i", spec=ENCODER.spec, storage=Storage(tokens="float16"))
    with local, Index.open(address, spec=ENCODER.spec) as remote:
        for index in (local, remote):
            assert index.add(docs, encoded(docs)) == AddReport(committed=60)
        for plan in ("hybrid", "rrf", "multi_vector"):
            for left, right in zip(
                local.search(queries, plan=plan, k=8),
                remote.search(queries, plan=plan, k=8),
                strict=True,
            ):
                near = 5e-3 if "float16" in options else 1e-3
                assert [h.score for h in right] == pytest.approx([h.score for h in left], abs=near)
                if not options:
                    assert [h.document for h in right] == [h.document for h in left]
        assert remote.ids({"n": {"$lt": 3}}) == ["d000", "d001", "d002"]
        assert remote.embeddings(["d007"]).multi_vector is not None
        with pytest.raises(IndexNotFoundError if "grpc" in options else TercetIndexError):
            Index.open(qdrant_address() + options.format(grpc=qdrant_server.grpc))


def test_a_client_of_ones_own_is_used_and_stays_open(
    client: QdrantClient, qdrant_address: Address
) -> None:
    name = collection_of(qdrant_address())
    layout = CollectionOptions(shards=2, hnsw_m=0, on_disk=True, fields=("n",))
    with QdrantIndex.on(client, name, spec=ENCODER.spec, layout=layout) as index:
        index.add(documents(5), encoded(documents(5)))
        assert len(index.search(ENCODER.encode_queries(["cat"]), plan="rrf")[0]) == 5
        assert name in index.address
    info = client.get_collection(name)
    assert info.config.params.shard_number == 2
    assert {"names", "values.n", "numbers.n"} <= set(info.payload_schema)
    dense = QdrantIndex.on(client, name, representations=tuple(Representation))
    assert len(dense) == 5
    assert not dense.read_only


async def test_an_asynchronous_client_of_ones_own_is_used_in_the_loop(
    client: QdrantClient, qdrant_address: Address, qdrant_server: QdrantServer
) -> None:
    name = collection_of(qdrant_address())
    own = AsyncQdrantClient(url=f"http://{qdrant_server.host}", check_compatibility=False)
    docs, queries = documents(20), ENCODER.encode_queries(["cat"])
    with (
        QdrantIndex.on(client, name, async_client=own, spec=ENCODER.spec) as both,
        QdrantIndex.on(client, name) as one,
    ):
        assert (await both.aadd(docs, encoded(docs))).committed == 20
        assert await both.asearch(queries) == both.search(queries)
        assert await one.asearch(queries) == both.search(queries)
    assert await own.collection_exists(name)
    await own.close()


def test_token_vectors_have_no_graph(client: QdrantClient, qdrant_address: Address) -> None:
    address = qdrant_address()
    with Index.open(address + "?quantisation=binary&hnsw_m=8", spec=ENCODER.spec):
        vectors: Any = client.get_collection(collection_of(address)).config.params.vectors
        assert vectors["multi_vector"].hnsw_config.m == 0
        assert vectors["multi_vector"].datatype is models.Datatype.FLOAT16
        assert vectors["dense"].hnsw_config.m == 8
        assert vectors["dense"].quantization_config is not None


def test_what_stands_there_and_is_not_ours_is_refused(
    client: QdrantClient, qdrant_address: Address
) -> None:
    address = qdrant_address()
    name = collection_of(address)
    wrong = models.VectorParams(size=24, distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config={"dense": wrong})
    with pytest.raises(IndexFormatError, match="was not made by tercet"):
        Index.open(address, spec=ENCODER.spec)
    client.delete_collection(name)
    Index.open(address, spec=ENCODER.spec).close()
    for kept in ({"dense": wrong}, {}):
        client.delete_collection(name)
        client.create_collection(name, vectors_config=kept)
        with pytest.raises(IndexFormatError, match="'dense' of the collection"):
            Index.open(address)
    client.delete_collection(name)
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=24, distance=models.Distance.DOT)},
        sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    with pytest.raises(IndexFormatError, match="without a modifier"):
        Index.open(address)


def test_another_format_is_refused(client: QdrantClient, qdrant_address: Address) -> None:
    address = qdrant_address()
    Index.open(address, spec=ENCODER.spec).close()
    about = f"{collection_of(address)}__tercet"
    for payload, said in (({"format": 2}, "has format 2"), ({"spec": 7}, "cannot be read")):
        client.set_payload(about, payload, points=models.Filter(), wait=True)
        with pytest.raises(IndexFormatError, match=said):
            Index.open(address)
        client.set_payload(about, {"format": 1}, points=models.Filter(), wait=True)


def test_a_creation_that_was_interrupted_is_finished(
    client: QdrantClient, qdrant_address: Address
) -> None:
    address = qdrant_address()
    name = collection_of(address)
    client.create_collection(f"{name}__tercet", vectors_config={})
    with pytest.raises(IndexNotFoundError):
        Index.open(address)
    Index.open(address, spec=ENCODER.spec).close()
    client.delete_collection(name)
    with Index.open(address, read_only=True) as reader:
        assert not reader.search(ENCODER.encode_queries(["cat"]))[0]
        assert reader.get(["a"]) == []
        assert reader.stats().documents == len(reader) == 0
        with pytest.raises(IndexReadOnlyError, match="opened for reading"):
            reader.add(documents(1), encoded(documents(1)))
    with Index.open(address) as index:
        assert index.add(documents(2), encoded(documents(2))).committed == 2
    with pytest.raises(IndexNotFoundError):
        Index.open(qdrant_address(), spec=ENCODER.spec, read_only=True)


def test_token_storage_is_float16_and_may_be_pooled(qdrant_address: Address) -> None:
    address = qdrant_address()
    with pytest.raises(ValueError, match="float16, not as int8"):
        Index.open(address, spec=ENCODER.spec, storage=Storage())
    with pytest.raises(ValueError, match=r"dense vectors as int8; .*\?quantisation=int8"):
        Index.open(address, spec=ENCODER.spec, storage=Storage(tokens="float16", dense="int8"))
    pooled = Storage(tokens="float16", pooling=2)
    with Index.open(address, spec=ENCODER.spec, storage=pooled) as index:
        index.add([Document("a", "cat dog sun moon")], encoded([Document("a", "cat dog sun moon")]))
        tokens = index.embeddings(["a"]).multi_vector
        assert tokens is not None
        assert len(tokens.vectors) <= 2
        assert index.stats().bytes["multi_vector"] == 2 * tokens.vectors.size
    with pytest.raises(ValueError, match="created with pooling=2"):
        Index.open(address, storage=Storage(tokens="float16"))


def test_more_token_vectors_than_a_server_takes_are_pooled_or_refused(
    qdrant_address: Address,
) -> None:
    encoder = HashEncoder(multi_vector_dim=1024, representations=["multi_vector"])
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((1100, 1024)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    long = Embeddings(multi_vector=MultiVectors(vectors, [0, 1100]))
    address = qdrant_address()
    with Index.open(address, spec=encoder.spec) as index:
        with pytest.warns(UserWarning, match="more token vectors than the 1023"):
            assert index.add([Document("a", "")], long).committed == 1
        assert index.search(Embeddings(multi_vector=MultiVectors(vectors[:4], [0, 4])))[0]
        with pytest.raises(ValueError, match="a query has 1100 token vectors"):
            index.search(long)
    with (
        Index.open(address + "?oversized=refuse") as strict,
        pytest.raises(ValueError, match="cut it"),
    ):
        strict.add([Document("b", "")], long)


def test_projected_token_vectors_rank_alike_and_come_back_at_full_length(
    qdrant_address: Address, tmp_path: Path
) -> None:
    spec = replace(
        ENCODER.spec, representations=(Representation.MULTI_VECTOR,), multi_vector_dim=1024
    )
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.standard_normal((1024, 6)))[0].T
    lengths = [*rng.integers(2, 9, 40), 1100]  # the last has more than a server takes
    tokens = rng.standard_normal((sum(lengths), 6)) @ plane
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    tokens += 1e-5 * rng.standard_normal(tokens.shape)
    views = Embeddings(multi_vector=MultiVectors(tokens, np.cumsum([0, *lengths])))
    docs = [Document(f"d{n:02d}", "") for n in range(41)]
    queries = views.take([3, 17, 30])
    with (
        Index.open(tmp_path / "i", spec=spec, storage=Storage(tokens="float16")) as local,
        Index.open(qdrant_address() + "?project=8", spec=spec) as remote,
        Index.open(remote.address, read_only=True) as reader,
    ):
        assert not remote.search(queries)[0]
        assert reader.unchanged(docs[:1]).tolist() == [False]
        for index in (local, remote):
            assert index.add(docs, views).committed == 41
        for asked in (remote, reader):
            for left, right in zip(local.search(queries), asked.search(queries), strict=True):
                assert [h.document.id for h in right] == [h.document.id for h in left]
                assert [h.score for h in right] == pytest.approx([h.score for h in left], abs=2e-2)
        scores = reader.score(queries, ["d03", "d40"])[Representation.MULTI_VECTOR]
        expected = local.score(queries, ["d03", "d40"])[Representation.MULTI_VECTOR]
        np.testing.assert_allclose(scores, expected, atol=2e-2)
        stored = reader.embeddings(["d40"]).multi_vector
        assert stored is not None
        np.testing.assert_allclose(stored.vectors, tokens[-1100:], atol=2e-3)
        assert remote.stats().bytes["multi_vector"] < 2 * 9 * sum(lengths)
        assert remote.add(docs[:2], views.take([0, 1])).committed == 2  # its model has no id


def test_a_wrong_key_is_said_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with QdrantServer(tmp_path, api_key="sesame") as server:
        address = f"qdrant://{server.host}/locked"
        for key in ("", "wrong-secret"):
            monkeypatch.setenv("QDRANT_API_KEY", key)
            with pytest.raises(TercetIndexError, match="refuses the API key") as refused:
                Index.open(address, spec=ENCODER.spec)
            assert "secret" not in str(refused.value)
        monkeypatch.setenv("QDRANT_API_KEY", "sesame")
        with Index.open(address, spec=ENCODER.spec) as index:
            assert "sesame" not in repr(index) + index.address


def test_a_server_that_is_not_there_is_said() -> None:
    (port,) = free_ports(1)
    with pytest.raises(IndexUnreachableError, match=f"no Qdrant server answers at .*{port}"):
        Index.open(f"qdrant://127.0.0.1:{port}/books", timeout=0.2)
    with pytest.raises(IndexUnreachableError, match="no Qdrant server answers"):
        Index.open(f"qdrant://127.0.0.1:{port}/books?grpc={port}", timeout=0.2)


@pytest.mark.parametrize("options", ["", "?grpc={grpc}"])
async def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(
    qdrant_server: QdrantServer, qdrant_address: Address, options: str
) -> None:
    address = qdrant_address() + options.format(grpc=qdrant_server.grpc)
    queries, docs = ENCODER.encode_queries(["cat"]), documents(3)
    with Index.open(address, spec=ENCODER.spec, timeout=1) as index:
        index.add(docs, encoded(docs))
        with qdrant_server.paused():
            with pytest.raises(IndexUnreachableError, match="no Qdrant server answers"):
                index.search(queries)
            with pytest.raises(IndexUnreachableError, match="no Qdrant server answers"):
                await index.asearch(queries)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await index.asearch(queries)
        assert len((await index.asearch(queries))[0]) == 3


async def test_another_host_is_asked_where_one_does_not_answer(
    qdrant_server: QdrantServer, qdrant_address: Address
) -> None:
    (port,) = free_ports(1)
    address = qdrant_address().replace("://", f"://127.0.0.1:{port},")
    with Index.open(address, spec=ENCODER.spec) as index:
        assert index.add(documents(3), encoded(documents(3))).committed == 3
        index._connection.first = 0  # type: ignore[attr-defined]
        assert len((await index.asearch(ENCODER.encode_queries(["cat"])))[0]) == 3
        assert index._connection.first == 1  # type: ignore[attr-defined]


class Faulty(BaseHTTPRequestHandler):
    """Answers like an old server, or like one that is overloaded."""

    version_told = "1.15.9"
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        body = f'{{"title": "qdrant", "version": "{self.version_told}"}}'.encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # type: ignore[override]
        """Nothing."""


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, "version 1.15.9; 1.16 is the oldest"), (503, r"\(503\)"), (429, r"\(429\)")],
)
def test_an_old_or_overloaded_server_is_said(status: int, said: str) -> None:
    handler = type("Handler", (Faulty,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(TercetIndexError, match=said):
            Index.open(f"qdrant://127.0.0.1:{server.server_port}/books", timeout=0.5)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def added(
    index: Index, docs: list[Document], views: Embeddings, *, in_loop: bool
) -> AddReport:
    return await index.aadd(docs, views) if in_loop else index.add(docs, views)


@pytest.mark.parametrize("in_loop", [False, True])
async def test_an_add_that_fails_half_way_says_what_is_written_and_goes_on(
    qdrant_address: Address, *, in_loop: bool
) -> None:
    docs = documents(600)
    views = encoded(docs)
    with Index.open(qdrant_address() + "?parallel=1", spec=ENCODER.spec) as index:
        docs[599] = replace(docs[599], text="x" * (33 << 20))  # more than a request may have
        with pytest.raises(TercetIndexError, match="599 of 600 documents of this call are written"):
            await added(index, docs, views, in_loop=in_loop)
        docs[599] = replace(docs[599], text="x")
        report = await added(index, docs, views, in_loop=in_loop)
        assert report == AddReport(committed=1, skipped=599)


def test_two_clients_may_create_one_index(qdrant_address: Address) -> None:
    address, opened, errors = qdrant_address(), [], []

    def open_() -> None:
        try:
            opened.append(Index.open(address, spec=ENCODER.spec))
        except TercetIndexError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), errors) == (4, [])
    for index in opened:
        index.close()


def test_an_index_whose_collection_was_removed_says_so(
    client: QdrantClient, qdrant_address: Address
) -> None:
    address = qdrant_address()
    with Index.open(address, spec=ENCODER.spec) as index:
        client.delete_collection(collection_of(address))
        with pytest.raises(IndexNotFoundError, match="doesn't exist"):
            len(index)


def test_the_extra_is_named_where_the_library_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    for name in [n for n in sys.modules if n.startswith("tercet.indexes.qdrant")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(MissingExtraError, match=r"tercet\[qdrant\]"):
        Index.open("qdrant://127.0.0.1/books")


def test_dimensions_that_another_client_taught_are_known(qdrant_address: Address) -> None:
    spec = replace(ENCODER.spec, representations=(Representation.DENSE,), dense_dim=None)
    address = qdrant_address()
    with Index.open(address, spec=spec) as first, Index.open(address) as second:
        ours = Embeddings(dense=np.ones((1, 3)))
        first.add([Document("a", "")], ours)
        assert second.dimensions == {Representation.DENSE: 3}
        assert second.search(ours)[0][0].document.id == "a"
