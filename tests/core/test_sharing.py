"""Each text is encoded once for all users of an encoder, and comes out as without them."""

import asyncio
import gc
import threading
import warnings
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.encoder import Encoder
from tercet.encoding import cache
from tercet.encoding.cache import Shelf, User
from tercet.errors import MissingViewError, TruncationWarning
from tercet.indexes.base import Index
from tercet.retriever import Retriever
from tercet.serving import Serving
from tercet.sharing import SharedEncoder, shared
from tercet.testing import HashEncoder
from tercet.testing.checkpoints import write_bge_m3

TEXTS = [f"document number {n}" for n in range(10)]


class Counting(HashEncoder):
    """Counts the texts that it encodes, may hold calls up, and refuses texts that say so."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.queries += texts
        return super().encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.documents += texts
        self.entered.set()
        self.open.wait(10)
        if any("bad" in text for text in texts):
            raise ValueError("a bad text")
        return super().encode_documents(texts)


@pytest.fixture
def encoder() -> Counting:
    return Counting()


def users(encoder: Counting) -> tuple[SharedEncoder, SharedEncoder, SharedEncoder]:
    return shared(encoder, views=["dense"]), shared(encoder, views=["sparse"]), shared(encoder)


def kept(user: SharedEncoder) -> int:
    return sum(shelf.size for shelf in user._cache.shelves.values())


def same(left: Embeddings, right: Embeddings) -> bool:
    views = [view for view in Representation if view in left.representations]
    return all(
        np.array_equal(a, b)
        for view in views
        for a, b in zip(arrays(left, view), arrays(right, view), strict=True)
    )


def arrays(found: Embeddings, view: Representation) -> list[np.ndarray]:
    value = getattr(found, view)
    names = {"sparse": ["indptr", "ids", "weights"], "multi_vector": ["vectors", "offsets"]}
    return [value] if view == "dense" else [getattr(value, name) for name in names[view]]


def test_three_users_cost_one_encoding_and_leave_nothing(encoder: Counting) -> None:
    dense, sparse, store = users(encoder)
    found = [dense.encode_documents(TEXTS), sparse.encode_documents(TEXTS)]
    found += store.encode_documents_iter(TEXTS)
    assert encoder.documents == TEXTS
    assert kept(dense) == 0
    assert [f.representations for f in found] == [("dense",), ("sparse",), tuple(Representation)]
    whole = HashEncoder().encode_documents(TEXTS)
    assert all(same(f, whole) for f in found)
    assert found[2].document_id == encoder.spec.document_id


def test_only_the_views_of_those_to_come_are_kept(encoder: Counting) -> None:
    dense, sparse, store = users(encoder)
    dense.encode_documents(["a b c d e f g"])
    for_all = kept(dense)
    del store
    gc.collect()
    sparse.encode_documents(["a b c d e f g"])
    dense.encode_documents(["a b c d e f h"])
    assert 0 < 2 * kept(dense) < for_all


def test_a_text_is_a_query_or_a_document_never_both(encoder: Counting) -> None:
    dense, sparse, _ = users(encoder)
    dense.encode_documents(["what"])
    dense.encode_queries(["what"])
    assert sparse.encode_queries(["what"]).document_id is None
    assert sparse.encode_documents(["what"]).document_id == encoder.spec.document_id
    assert (encoder.documents, encoder.queries) == (["what"], ["what"])


def test_one_user_keeps_nothing(encoder: Counting) -> None:
    alone = shared(encoder)
    alone.encode_documents(TEXTS)
    assert len(alone.encode_documents(TEXTS)) == len(TEXTS)
    assert kept(alone) == 0
    assert encoder.documents == TEXTS * 2


def test_repeated_texts_are_encoded_once_and_come_back_in_order(encoder: Counting) -> None:
    dense, _, _ = users(encoder)
    texts = ["b", "a", "b", "c", "a"]
    assert same(dense.encode_documents(texts), HashEncoder().encode_documents(texts))
    assert encoder.documents == ["b", "a", "c"]


def test_no_texts_are_no_rows(encoder: Counting) -> None:
    dense, _, _ = users(encoder)
    assert len(dense.encode_documents([])) == 0


def test_a_user_that_is_gone_is_not_waited_for(encoder: Counting) -> None:
    dense, sparse, store = users(encoder)
    dense.encode_documents(TEXTS)
    sparse.encode_documents(TEXTS)
    assert kept(dense) > 0
    del store
    gc.collect()
    dense.encode_documents(["another"])
    sparse.encode_documents(["another"])
    assert kept(dense) == 0


def test_a_user_that_comes_later_is_waited_for_from_then_on(encoder: Counting) -> None:
    dense, sparse = shared(encoder, views=["dense"]), shared(encoder, views=["sparse"])
    dense.encode_documents(["early"])
    store = shared(encoder)
    assert same(store.encode_documents(["early"]), HashEncoder().encode_documents(["early"]))
    assert encoder.documents == ["early", "early"]  # only lexical weights had been kept
    sparse.encode_documents(["early"])
    assert kept(dense) == 0
    dense.encode_documents(["late"])
    store.encode_documents(["late"])
    assert encoder.documents == ["early", "early", "late"]


def test_what_the_caller_gets_is_its_own(encoder: Counting) -> None:
    dense, sparse, other = shared(encoder), shared(encoder), shared(encoder)
    dense.encode_documents(["a"])
    taken = sparse.encode_documents(["a"]).dense
    assert taken is not None
    taken[:] = 0
    assert same(other.encode_documents(["a"]), HashEncoder().encode_documents(["a"]))


def test_bytes_are_bounded_and_what_does_not_fit_is_encoded_again(
    encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cache.LIMITS, cache.TextRole.DOCUMENTS, 4_000)
    first, second = shared(encoder), shared(encoder)
    found = first.encode_documents(TEXTS)
    assert 2_000 < kept(first) <= 4_000
    assert same(second.encode_documents(TEXTS), found)
    assert len(TEXTS) < len(encoder.documents) < 2 * len(TEXTS)
    assert kept(first) <= 4_000
    first.encode_documents(["a text too long to be kept " * 200])
    assert kept(first) <= 4_000


def test_stale_texts_make_room(encoder: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cache.LIMITS, cache.TextRole.DOCUMENTS, 4_000)
    first, second = shared(encoder), shared(encoder)
    for n in range(40):
        first.encode_documents([f"nobody asks for number {n}"])
    encoder.documents.clear()
    for n in range(40, 80):
        first.encode_documents([f"nobody asks for number {n}"])
        second.encode_documents([f"nobody asks for number {n}"])
    assert len(encoder.documents) < 60


def test_an_error_reaches_its_caller_and_leaves_no_trace(encoder: Counting) -> None:
    dense, sparse, _ = users(encoder)
    with pytest.raises(ValueError, match="a bad text"):
        dense.encode_documents(["good", "bad"])
    assert len(sparse.encode_documents(["good"])) == 1
    assert encoder.documents == ["good", "bad", "good"]


def test_concurrent_equal_texts_are_encoded_once(encoder: Counting) -> None:
    several = [shared(encoder, views=["dense"]) for _ in range(8)]
    encoder.open.clear()
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(user.encode_documents, TEXTS) for user in several]
        assert encoder.entered.wait(10)
        encoder.open.set()
        rows = [f.result(timeout=10) for f in found]
    assert encoder.documents == TEXTS
    assert all(same(r, HashEncoder().encode_documents(TEXTS)) for r in rows)
    assert kept(several[0]) == 0


def test_who_waited_for_a_failed_call_encodes_by_itself(encoder: Counting) -> None:
    first, second, _ = users(encoder)
    encoder.open.clear()
    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(first.encode_documents, ["shared", "bad"])
        assert encoder.entered.wait(10)
        waiting = pool.submit(second.encode_documents, ["shared"])
        encoder.open.set()
        assert isinstance(failing.exception(timeout=10), ValueError)
        assert len(waiting.result(timeout=10)) == 1


async def test_event_loops_share_with_each_other_and_with_threads(encoder: Counting) -> None:
    dense, sparse, store = users(encoder)
    found = await asyncio.gather(
        dense.aencode_documents(["a", "b"]),
        sparse.aencode_documents(["b", "c", "b"]),
        asyncio.to_thread(store.encode_documents, ["c", "a"]),
    )
    assert sorted(encoder.documents) == ["a", "b", "c"]
    assert same(found[1], HashEncoder().encode_documents(["b", "c", "b"]))
    query = await dense.aencode_queries(["a"])
    assert same(query, HashEncoder().encode_queries(["a"]))
    await sparse.aencode_queries(["a"])
    assert encoder.queries == ["a"]


async def test_a_blocked_event_loop_holds_up_nobody(encoder: Counting) -> None:
    dense, sparse, _ = users(encoder)
    encoder.open.clear()
    flying = asyncio.create_task(dense.aencode_documents(["a"]))
    await asyncio.sleep(0)
    assert encoder.entered.wait(10)
    threading.Timer(0.01, encoder.open.set).start()
    assert len(sparse.encode_documents(["a"])) == 1  # waits, on the loop, for the task's text
    assert len(await flying) == 1
    assert encoder.documents == ["a"]


async def test_a_cancelled_call_fails_no_other(encoder: Counting) -> None:
    dense, sparse, _ = users(encoder)
    encoder.open.clear()
    first = asyncio.create_task(dense.aencode_documents(["a"]))
    await asyncio.sleep(0)
    second = asyncio.create_task(sparse.aencode_documents(["a"]))
    await asyncio.sleep(0)
    first.cancel()
    encoder.open.set()
    assert len(await second) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_call_that_is_refused_holds_up_no_other(encoder: Counting) -> None:
    closed = Serving(encoder)
    closed.close()
    first, second = shared(closed), shared(closed)
    for user in (first, second):
        with pytest.raises(RuntimeError, match="was closed"):
            await user.aencode_documents(["a"])


def test_a_serving_may_be_shared(encoder: Counting) -> None:
    with Serving(encoder) as serving:
        first, second = shared(serving), shared(serving)
        assert same(first.encode_queries(["a"]), HashEncoder().encode_queries(["a"]))
        assert len(second.encode_queries(["a"])) == 1
    assert encoder.queries == ["a"]


async def test_one_user_alone_is_asynchronous_too(encoder: Counting) -> None:
    alone = shared(encoder, views=["dense"])
    assert (await alone.aencode_documents(["a"])).representations == ("dense",)
    with pytest.raises(ValueError, match="a bad text"):
        await alone.aencode_documents(["bad"])


def test_a_store_and_an_embedding_model_read_each_document_once(
    encoder: Counting, tmp_path: Path
) -> None:
    dense, store = shared(encoder, views=["dense"]), shared(encoder)
    documents = [Document(id=str(n), header="title: ", text=text) for n, text in enumerate(TEXTS)]
    with Index.open(tmp_path, spec=encoder.spec) as index:
        for start in range(0, 10, 4):
            batch = documents[start : start + 4]
            dense.encode_documents([document.content for document in batch])
            Retriever(store, index).add(batch)
        assert len(index) == len(TEXTS)
    assert encoder.documents == [document.content for document in documents]
    assert kept(store) == 0


def test_cut_texts_are_reported_to_each_caller(tmp_path: Path) -> None:
    write_bge_m3(tmp_path, positions=34)
    loaded = Encoder.from_pretrained(tmp_path, dtype="float32", long_documents="plain")
    first, second = shared(loaded), shared(loaded)
    long = "capital " * 60
    for user in (first, second):
        with pytest.warns(TruncationWarning, match="1 of 2 texts were cut"):
            user.encode_documents([long, "short"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(first.encode_documents_iter([long]))


def test_a_view_of_a_view_is_a_view_of_the_encoder(encoder: Counting) -> None:
    first = shared(encoder, views=["dense"])
    second = shared(first)
    assert second.encoder is encoder
    assert second.representations == encoder.representations
    first.encode_documents(["a"])
    second.encode_documents(["a"])
    assert encoder.documents == ["a"]
    assert second.__deepcopy__({}) is second
    assert repr(first).endswith("views='dense')")


def test_a_missing_view_is_refused() -> None:
    with pytest.raises(MissingViewError, match=r"sparse was asked of .*, which makes dense"):
        shared(HashEncoder(representations=["dense"]), views=["sparse"])
    with pytest.raises(TypeError, match="without encode_queries"):
        shared(object())  # type: ignore[arg-type]


def test_an_encoder_without_users_is_let_go() -> None:
    encoder = Counting()
    first, second, gone = shared(encoder), shared(encoder), weakref.ref(encoder)
    first.encode_documents(["a"])
    asyncio.run(second.aencode_documents(["b"]))
    del first, second, encoder
    gc.collect()
    assert gone() is None


def test_a_shelf_of_nobody_keeps_nothing() -> None:
    shelf = Shelf(1_000)
    passing = User([Representation.DENSE])
    claim = shelf.claim(passing, ["a"])
    shelf.settle(claim, HashEncoder().encode_documents(["a"]))
    assert (len(shelf), shelf.size) == (0, 0)
