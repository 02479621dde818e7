"""One worker serves many threads and event loops, in batches, in order, each call its own fate."""

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tercet.callable_encoder import CallableEncoder
from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding.calls import TextRole
from tercet.encoding.queue import (
    BATCH_CHARACTERS,
    BATCH_TEXTS,
    Queue,
    _after_fork_in_child,
    _after_fork_in_parent,
    _before_fork,
)
from tercet.errors import TextTooLongError, TruncationWarning
from tercet.reranker import Reranker
from tercet.retriever import Retriever
from tercet.serving import Serving
from tercet.sharing import served, shared
from tercet.testing import HashEncoder
from tercet.testing.checkpoints import write_bge_m3

PLAIN = HashEncoder()


class Gated(HashEncoder):
    """Records its calls, and lets none through while it is shut; refuses texts that say so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[str]]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.threads: set[int] = set()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        return self._call("queries", super().encode_queries, texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        return self._call("documents", super().encode_documents, texts)

    def _call(
        self, role: str, encode: Callable[[Sequence[str]], Embeddings], texts: Sequence[str]
    ) -> Embeddings:
        self.calls.append((role, list(texts)))
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.open.wait(20)
        for place, text in enumerate(texts):
            if "bad" in text:
                raise ValueError(f"text {place} is bad")
        return encode(texts)

    def shut(self, serving: Serving) -> Future[Embeddings]:
        """Keep the worker busy until the gate is opened again."""
        self.open.clear()
        self.entered.clear()
        first = serving.submit(TextRole.QUERIES, ["gate"])
        assert self.entered.wait(20)
        self.calls.clear()
        return first


@pytest.fixture
def encoder() -> Gated:
    return Gated()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge_m3(tmp_path_factory.mktemp("served") / "model", positions=34)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Encoder:
    return Encoder.from_pretrained(folder, dtype="float32", long_documents="plain")


def same(left: Embeddings, right: Embeddings) -> bool:
    assert left.dense is not None
    assert right.dense is not None
    assert left.multi_vector is not None
    assert right.multi_vector is not None
    return np.array_equal(left.dense, right.dense) and np.array_equal(
        left.multi_vector.vectors, right.multi_vector.vectors
    )


def test_it_is_an_encoder_that_gives_what_the_encoder_gives(encoder: Gated) -> None:
    serving = Serving(encoder)
    texts = ["b", "a", "c", "a"]
    assert same(serving.encode_documents(texts), PLAIN.encode_documents(texts))
    assert same(serving.encode_queries(texts), PLAIN.encode_queries(texts))
    assert len(serving.encode_queries([])) == 0
    assert serving.spec == encoder.spec
    assert serving.representations == encoder.representations
    assert serving.encoder is encoder
    parts = list(serving.encode_documents_iter(f"text {n}" * 500 for n in range(9)))
    assert sum(map(len, parts)) == 9
    assert len(parts) > 1


def test_what_waits_goes_through_the_encoder_together(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.shut(serving)
    waiting = [serving.submit(TextRole.QUERIES, [f"query {n}", "again"]) for n in range(20)]
    encoder.open.set()
    found = [future.result(20) for future in waiting]
    assert [len(texts) for _, texts in encoder.calls] == [32, 8]  # HashEncoder has no stream
    assert len(encoder.threads) == 1
    for n, rows in enumerate(found):
        assert same(rows, PLAIN.encode_queries([f"query {n}", "again"]))


def test_long_texts_go_in_small_batches(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.shut(serving)
    long = "word " * (BATCH_CHARACTERS // 8)
    whole = serving.submit(TextRole.DOCUMENTS, [f"{n} {long}" for n in range(5)])
    encoder.open.set()
    assert same(whole.result(20), PLAIN.encode_documents([f"{n} {long}" for n in range(5)]))
    assert [len(texts) for _, texts in encoder.calls] == [2, 2, 1]


def test_a_batch_holds_so_many_texts_at_most(encoder: Gated) -> None:
    queue = Queue(encoder, capacity=10_000)
    texts = [str(n % 7) for n in range(2 * BATCH_TEXTS + 1)]
    assert same(queue.put(TextRole.DOCUMENTS, texts).result(20), PLAIN.encode_documents(texts))
    assert max(len(batch) for _, batch in encoder.calls) <= BATCH_TEXTS
    assert queue.waiting == 0


def test_queries_are_not_held_up_by_an_ingest(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.shut(serving)
    long = "word " * (BATCH_CHARACTERS // 4)
    ingest = serving.submit(TextRole.DOCUMENTS, [long] * 4)
    query = serving.submit(TextRole.QUERIES, ["quick"])
    encoder.open.set()
    assert len(query.result(20)) == 1
    assert len(ingest.result(20)) == 4
    roles = [role for role, _ in encoder.calls]
    assert roles == ["documents", "queries", "documents", "documents", "documents"]


def test_many_threads_get_each_their_own(encoder: Gated) -> None:
    serving = Serving(encoder)

    def call(n: int) -> bool:
        texts = [f"text {n} {m}" for m in range(n % 5)]
        return same(serving.encode_documents(texts), PLAIN.encode_documents(texts))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, range(200)))


def test_many_event_loops_share_one_worker(encoder: Gated) -> None:
    serving = Serving(encoder)

    async def several(n: int) -> bool:
        found = await asyncio.gather(*(serving.aencode_queries([f"{n} {m}"]) for m in range(20)))
        return all(same(f, PLAIN.encode_queries([f"{n} {m}"])) for m, f in enumerate(found))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: asyncio.run(several(n)), range(8)))
    assert len(encoder.threads) == 1


async def test_the_event_loop_goes_on_while_the_encoder_works(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.open.clear()
    call = asyncio.create_task(serving.aencode_documents(["a"]))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not call.done()
    encoder.open.set()
    assert len(await call) == 1


def test_a_bad_text_fails_its_own_call_alone(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.shut(serving)
    before = serving.submit(TextRole.QUERIES, ["good"])
    bad = serving.submit(TextRole.QUERIES, ["fine", "bad"])
    after = serving.submit(TextRole.QUERIES, ["good too"])
    encoder.open.set()
    assert same(before.result(20), PLAIN.encode_queries(["good"]))
    with pytest.raises(ValueError, match="text 1 is bad"):  # its place in its own call
        bad.result(20)
    assert same(after.result(20), PLAIN.encode_queries(["good too"]))
    with pytest.raises(ValueError, match="text 0 is bad"):
        serving.encode_queries(["bad"])


def test_a_long_call_fails_as_a_whole_once(encoder: Gated) -> None:
    serving = Serving(encoder)
    long = "word " * (BATCH_CHARACTERS // 4)
    call = serving.submit(TextRole.DOCUMENTS, [long, "bad", *[long] * 9])
    with pytest.raises(ValueError, match="text 1 is bad"):
        call.result(20)
    assert len(serving.encode_documents(["good"])) == 1
    assert serving._queue.waiting == 0
    assert sum(len(texts) for _, texts in encoder.calls) < 2 * 12 + 1


async def test_a_cancelled_call_is_not_encoded(encoder: Gated) -> None:
    serving = Serving(encoder)
    encoder.shut(serving)
    kept = asyncio.create_task(serving.aencode_queries(["kept"]))
    cancelled = asyncio.create_task(serving.aencode_queries(["cancelled"]))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    encoder.open.set()
    assert len(await kept) == 1
    assert encoder.calls == [("queries", ["kept"])]
    assert serving._queue.waiting == 0


def test_a_call_that_is_cancelled_while_it_is_encoded_hurts_nobody(encoder: Gated) -> None:
    serving = Serving(encoder)
    first = encoder.shut(serving)
    assert first.cancel()
    encoder.open.set()
    assert len(serving.encode_queries(["next"])) == 1


def test_the_queue_is_bounded_and_calls_keep_their_order(encoder: Gated) -> None:
    serving = Serving(encoder, capacity=4)
    encoder.shut(serving)
    calls = [serving.submit(TextRole.QUERIES, [f"{n}", "x"]) for n in range(6)]
    assert serving._queue.waiting == 4
    large = serving.submit(TextRole.QUERIES, [f"large {n}" for n in range(9)])
    encoder.open.set()
    assert [len(call.result(20)) for call in calls] == [2] * 6
    assert len(large.result(20)) == 9
    served_texts = [text for _, texts in encoder.calls for text in texts]
    assert served_texts[:12:2] == [str(n) for n in range(6)]
    with pytest.raises(ValueError, match="capacity is 0"):
        Serving(encoder, capacity=0)


def test_a_closed_one_ends_what_was_asked_and_refuses_more(encoder: Gated) -> None:
    with Serving(encoder) as serving:
        call = serving.submit(TextRole.QUERIES, ["a"])
    assert len(call.result(0)) == 1
    with pytest.raises(RuntimeError, match="was closed"):
        serving.encode_queries(["b"])


def test_the_worker_goes_with_the_last_who_holds_it(encoder: Gated) -> None:
    serving = Serving(encoder)
    serving.encode_queries(["a"])
    (worker,) = (t for t in threading.enumerate() if t.ident in encoder.threads)
    del serving
    gc.collect()
    worker.join(20)
    assert not worker.is_alive()


def test_there_is_one_for_an_encoder(encoder: Gated) -> None:
    serving = Serving.of(encoder)
    assert Serving.of(encoder) is serving
    assert Serving.of(serving) is serving
    assert served(encoder) is serving
    view = shared(encoder)
    assert served(view) is view
    assert serving.__deepcopy__({}) is serving
    assert repr(serving) == f"Serving({encoder!r})"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(serving)
    with pytest.raises(TypeError, match="without encode_queries"):
        Serving(object())  # type: ignore[arg-type]


def test_wrong_arguments_are_refused_at_the_door(encoder: Gated) -> None:
    serving = Serving(encoder)
    with pytest.raises(TypeError, match="texts is one string"):
        serving.encode_queries("text")
    with pytest.raises(TypeError, match=r"texts\[1\] is a int"):
        asyncio.run(serving.aencode_documents(["a", 1]))  # type: ignore[list-item]
    assert encoder.calls == []


class TestARealEncoder:
    def test_cut_texts_are_reported_to_their_caller_alone(self, loaded: Encoder) -> None:
        long = "capital " * 60
        serving = Serving(loaded)
        for encode in (serving.encode_documents, serving.encode_queries):
            with pytest.warns(TruncationWarning, match="1 of 2 texts were cut") as said:
                encode([long, "short"])
            assert said[0].filename == __file__
            assert len(encode(["short"])) == 1  # and warnings are errors
        with pytest.warns(TruncationWarning):
            asyncio.run(serving.aencode_documents([long]))

    def test_a_refused_text_fails_its_caller_alone(self, folder: Path) -> None:
        strict = Encoder.from_pretrained(
            folder, dtype="float32", long_documents="plain", on_truncation="error"
        )

        async def both() -> list[Embeddings | BaseException]:
            serving = Serving(strict)
            return await asyncio.gather(
                serving.aencode_documents(["short"]),
                serving.aencode_documents(["short", "capital " * 60]),
                return_exceptions=True,
            )

        good, bad = asyncio.run(both())
        assert len(good) == 1  # type: ignore[arg-type]
        assert isinstance(bad, TextTooLongError)
        assert str(bad).startswith("text 1 (")

    def test_neighbours_leave_a_text_as_it_is(self, loaded: Encoder) -> None:
        texts = [f"the capital number {n} of a country" for n in range(40)]
        alone = loaded.encode_queries(texts)

        async def all_at_once() -> list[Embeddings]:
            serving = Serving(loaded)
            return await asyncio.gather(*(serving.aencode_queries([text]) for text in texts))

        for n, found in enumerate(asyncio.run(all_at_once())):
            assert found.dense is not None
            assert alone.dense is not None
            np.testing.assert_allclose(found.dense[0], alone.dense[n], atol=1e-5)


async def test_retriever_and_reranker_are_asynchronous_through_it(
    encoder: Gated, tmp_path: Path
) -> None:
    documents = [Document(id=str(n), text=f"capital number {n}") for n in range(40)]
    with Retriever.create(tmp_path / "index", encoder=encoder) as retriever:
        assert (await retriever.aadd(documents)).committed == 40
        questions = [f"number {n}?" for n in range(40)]
        found = await asyncio.gather(*map(retriever.aretrieve, questions))
        assert len(encoder.calls) < 40
        assert found == [retriever.retrieve(question) for question in questions]
        diverse = await retriever.aretrieve_diverse("capital", k=3)
        assert diverse == retriever.retrieve_diverse("capital", k=3)
        views = PLAIN.encode_queries(["capital"])
        assert await retriever.aretrieve("x", embeddings=views) == retriever.retrieve("capital")
        with pytest.raises(TypeError, match="a query is one string"):
            await retriever.aretrieve(None)  # type: ignore[arg-type]
        reranker = Reranker(encoder)
        ranked = await reranker.arerank("capital", documents, k=3)
        assert ranked == reranker.rerank("capital", documents, k=3)
        assert await retriever.adelete(["0"]) == 1


def test_an_encoder_that_counts_no_tokens_is_served() -> None:
    def ones(texts: list[str]) -> list[list[float]]:
        return [[1.0]] * len(texts)

    assert len(Serving(CallableEncoder(ones, ones, name="ones")).encode_queries(["a", "b"])) == 2


def test_an_encoder_that_loses_texts_is_told(encoder: Gated) -> None:
    def fewer(texts: Sequence[str]) -> Embeddings:
        return PLAIN.encode_queries(texts[1:])

    encoder.encode_queries = fewer  # type: ignore[method-assign, assignment]
    with pytest.raises(ValueError, match="gave the views of 1 texts for 2"):
        Serving(encoder).encode_queries(["a", "b"])


def test_a_fork_waits_for_the_worker_and_finds_everything_new(encoder: Gated) -> None:
    queue = Queue(encoder, capacity=10)
    queue.put(TextRole.QUERIES, ["a"]).result(20)
    _before_fork()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(queue.busy.acquire, blocking=False).result(20)
    _after_fork_in_parent()
    before = queue.busy
    _after_fork_in_child()
    assert queue.busy is not before
    assert len(queue.put(TextRole.QUERIES, ["a"]).result(20)) == 1


ENDINGS = {
    "a worker that is idle holds up no exit": """
        serving.encode_queries(["a"])
    """,
    "a worker that is busy ends its work first": """
        serving.submit(TextRole.QUERIES, ["a"] * 1000)
    """,
    "an interrupted event loop leaves nothing": """
        async def main():
            tasks = [asyncio.create_task(serving.aencode_queries([str(n)])) for n in range(99)]
            await tasks[0]
        asyncio.run(main())
    """,
    "a forked process has a worker of its own": """
        serving.encode_queries(["a"])
        busy = serving.submit(TextRole.DOCUMENTS, ["a b c"] * 2000)
        child = os.fork()
        if not child:
            found = asyncio.run(serving.aencode_queries(["a", "b"]))
            os._exit(0 if len(found) == 2 else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(busy.result(20)) == 2000
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_processes_end_cleanly(ending: str) -> None:
    head = """
        import asyncio, os
        from tercet.encoding.calls import TextRole
        from tercet.serving import Serving
        from tercet.testing import HashEncoder
        serving = Serving(HashEncoder())
    """
    code = "\n".join(line[8:] for line in (head + ENDINGS[ending]).splitlines())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
