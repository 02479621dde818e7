"""One index, several processes: writers take turns, readers never wait, memory stays bounded."""

import os
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.errors import IndexLocked
from tercet.indexes import ingest
from tercet.indexes.base import Index
from tercet.indexes.local.files.lock import WriterLock
from tercet.indexes.local.index import LocalIndex
from tercet.indexes.local.writing import compaction
from tercet.retriever import Retriever
from tercet.testing import HashEncoder

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
"""Python 3.12 warns of a fork beside threads; the children here take none of their locks."""

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
QUERY = ENCODER.encode_queries(["cat"])


def put(index: Index, *names: str) -> None:
    documents = [Document(name, f"cat {name}", {"n": name}) for name in names]
    index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.open(tmp_path / "index", spec=ENCODER.spec) as index:
        put(index, "a0", "a1", "a2")
    return tmp_path / "index"


def child(work: Callable[[], None]) -> int:
    """Do some work in a process of its own."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001  a child says all that went wrong
            traceback.print_exc()
        finally:
            os._exit(code)
    return number


def ended_well(*children: int) -> bool:
    return all(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0 for number in children)


def opened(path: Path, *, read_only: bool = False) -> LocalIndex:
    index = Index.open(path, read_only=read_only)
    assert isinstance(index, LocalIndex)
    return index


def test_two_writers_take_turns_and_lose_nothing(path: Path) -> None:
    def write(name: str) -> Callable[[], None]:
        def work() -> None:
            with opened(path) as index:
                for n in range(12):
                    put(index, f"{name}{n}", "shared")
                    if n % 4 == 3:
                        index.delete([f"{name}{n - 1}"])
                index.compact()

        return work

    assert ended_well(child(write("x")), child(write("y")))
    kept = {f"{name}{n}" for name in "xy" for n in range(12) if n % 4 != 2}
    with opened(path) as index:
        assert set(index.ids()) == kept | {"shared", "a0", "a1", "a2"}
        assert index.check().damage == ()


def test_a_second_process_gives_up_with_a_clear_error(path: Path) -> None:
    def impatient() -> None:
        with (
            Index.open(path, timeout=0.05) as index,
            pytest.raises(IndexLocked, match=r"another writer holds the index .* longer timeout="),
        ):
            put(index, "b")

    with WriterLock(path, timeout=1).held():
        assert ended_well(child(impatient))
    with opened(path) as index:
        assert len(index) == 3


@pytest.mark.usefixtures("in_files")
def test_two_readers_look_on_while_a_writer_compacts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FANOUT", 2)

    def read() -> None:
        with opened(path, read_only=True) as index:
            while "end" not in index.ids():
                hits = index.search(QUERY, k=100, plan="rrf")[0]
                assert len(hits) % 3 == 0, "commits come whole"
                assert all(hit.document.text == f"cat {hit.document.id}" for hit in hits)
                for documents, views in index.scan():
                    texts = [document.text for document in documents]
                    assert (views.dense == ENCODER.encode_documents(texts).dense).all()

    readers = child(read), child(read)
    with opened(path) as index:
        for n in range(1, 10):
            put(index, *(f"a{3 * n + k}" for k in range(3)))
            index.delete([f"a{3 * n - 3 + k}" for k in range(3)])
            index.compact()
        put(index, "end", "of", "it")
        assert ended_well(*readers)
        put(index, "b")
        index.compact()
        assert index.stats().waiting == 0
        assert len(list((path / "segments").iterdir())) == 1


def test_a_stream_of_any_length_takes_the_same_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "BATCH_DOCUMENTS", 40)
    monkeypatch.setattr(compaction, "MERGED_BYTES", 1 << 16)  # what a merge may hold as well

    def stream(count: int) -> Iterator[Document]:
        for n in range(count):
            yield Document(f"d{n}", f"cat {n} " * 50)

    def peak(count: int) -> int:
        with Retriever.create(tmp_path / str(count), encoder=ENCODER) as retriever:
            retriever.add(stream(10))  # what is loaded late is loaded now
            tracemalloc.start()
            assert retriever.add(stream(count)).committed == count - 10
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    few, many = peak(120), peak(480)
    assert many < 2 * few


def test_merging_after_a_commit_is_bounded_in_work(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as index:
        for n in range(30):
            put(index, f"b{n}")
        segments = index.stats().segments
        assert segments < 2 * compaction.FANOUT
        monkeypatch.setattr(compaction, "MERGED_BYTES", 100)
        for n in range(20):
            put(index, f"c{n}")
        assert index.stats().segments == segments + 20, "there was room for no merge"
        monkeypatch.undo()
        put(index, "d")
        assert index.stats().segments < 3 * compaction.FANOUT
        index.compact()
        assert (index.stats().segments, len(index)) == (1, 54)
