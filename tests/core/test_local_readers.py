"""Readers of the embedded index: snapshots, threads, processes and folders nobody may write."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tercet.documents import Document
from tercet.errors import IndexNotFoundError, IndexReadOnlyError
from tercet.indexes.base import Index
from tercet.indexes.local import index as local_index
from tercet.indexes.local.files.readers import ReaderMark, oldest_read
from tercet.testing import HashEncoder

pytestmark = pytest.mark.usefixtures("in_files")

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
QUERY = ENCODER.encode_queries(["cat"])


def put(index: Index, *names: str, text: str = "cat") -> None:
    documents = [Document(name, f"{text} {name}") for name in names]
    index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path, spec=ENCODER.spec) as opened:
        yield opened


def segment_files(path: Path) -> int:
    return len(list((path / "segments").iterdir()))


def test_a_reader_sees_what_was_committed_meanwhile(index: Index, path: Path) -> None:
    with Index.open(path, read_only=True) as reader:
        assert not reader.search(QUERY)[0]
        put(index, "a", "b")
        assert len(reader.search(QUERY)[0]) == 2
        index.delete(["a"])
        assert [hit.document.id for hit in reader.search(QUERY)[0]] == ["b"]


def test_a_scan_reads_one_generation_while_the_index_changes(
    index: Index, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_index, "SCAN_DOCUMENTS", 2)
    put(index, *"abcdef")
    scan = index.scan()
    seen = [d.id for d in next(scan)[0]]
    index.delete(["c", "d"])
    put(index, "e", text="new")
    put(index, "z")
    index.compact()
    assert index.ids() == ["a", "b", "e", "f", "z"]
    assert segment_files(path) == 4, "the scan still reads the oldest segment"
    for documents, views in scan:
        seen += [d.id for d in documents]
        assert len(views) == 2
    assert seen == list("abcdef")
    put(index, "y")
    assert segment_files(path) == 2


def test_files_of_an_old_snapshot_stay_while_another_process_reads(
    index: Index, path: Path
) -> None:
    put(index, "a", "b")
    code = (
        "import sys; from tercet.indexes.base import Index\n"
        "index = Index.open(sys.argv[1], read_only=True); scan = index.scan(); next(scan)\n"
        "print(len(index), flush=True); sys.stdin.readline(); index.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "2\n"
        put(index, "c")
        index.compact()
        index.compact()
        assert segment_files(path) >= 2
        assert len(index.search(QUERY)[0]) == 3
        reader.kill()
    put(index, "d")
    assert segment_files(path) == 2, "a dead reader keeps nothing"


def test_a_snapshot_taken_too_late_is_taken_again(
    index: Index, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a")
    put(index, "b")
    with Index.open(path) as reader:
        opened, swept = reader._snapshots._open, []

        def late(*args: Any) -> Any:
            if not swept:
                swept.append(index.compact())
            return opened(*args)

        monkeypatch.setattr(reader._snapshots, "_open", late)
        # The mark protects the files from now on; take it away to play a sweep that came before.
        monkeypatch.setattr(reader._snapshots, "_marked", False)
        assert len(reader.search(QUERY)[0]) == 2
        assert swept


def test_marks_say_which_generations_are_read(tmp_path: Path) -> None:
    assert oldest_read(tmp_path) is None
    old, new = ReaderMark(tmp_path, 3), ReaderMark(tmp_path, 11)
    (tmp_path / ".hidden").touch()
    assert oldest_read(tmp_path) == 3
    old.release()
    assert oldest_read(tmp_path) == 11
    new.release()
    assert oldest_read(tmp_path) is None


def test_the_mark_of_a_dead_reader_is_removed(tmp_path: Path) -> None:
    (tmp_path / "5-dead").touch()
    assert oldest_read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_eight_readers_and_a_writer_share_an_index(index: Index) -> None:
    put(index, *(f"d{n}" for n in range(5)))
    stop, failures = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                for plan in ("hybrid", "multi_vector"):
                    hits = index.search(QUERY, k=100, plan=plan)[0]
                    assert len(hits) % 5 == 0, "commits come whole"
                    assert all(hit.document.text for hit in hits)
        except BaseException as error:
            failures.append(error)
            raise

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for batch in range(1, 9):
        put(index, *(f"d{5 * batch + n}" for n in range(5)))
        if batch % 3 == 0:
            index.delete([f"d{5 * batch + n}" for n in range(5)])
            index.compact()
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert len(index) == 35


def test_an_old_transaction_is_answered_from_its_own_generation(index: Index) -> None:
    put(index, "a")
    with index._connections.reading() as connection:
        connection.execute("SELECT * FROM meta").fetchall()
        put(index, "b")
        assert len(index) == 2
        with index._snapshots.lease(connection) as old:
            assert len(old.live) == 1
    assert len(index) == 2


def test_an_index_that_closes_while_it_is_read_finishes_the_read(index: Index, path: Path) -> None:
    put(index, "a")
    scan = index.scan()
    batch = next(scan)
    index.close()
    assert batch[0][0].id == "a"
    assert list(scan) == []
    assert list((path / "readers").iterdir()) == []


def test_an_index_opened_for_reading_refuses_to_change(index: Index, path: Path) -> None:
    put(index, "a")
    with Index.open(path, read_only=True) as reader:
        assert reader.read_only
        for change in (
            lambda: put(reader, "b"),
            lambda: reader.delete(["a"]),
            lambda: reader.delete_where({"x": 1}),
            reader.clear,
            reader.compact,
        ):
            with pytest.raises(IndexReadOnlyError, match="opened for reading"):
                change()
        assert len(reader.search(QUERY)[0]) == 1


def test_reading_creates_nothing(path: Path) -> None:
    with pytest.raises(IndexNotFoundError):
        Index.open(path, spec=ENCODER.spec, read_only=True)
    assert not path.exists()


NOBODY = 65534
READ_ONLY = """
import os, sys, tempfile
from tercet.documents import Document
from tercet.errors import IndexReadOnlyError
from tercet.indexes.base import Index
from tercet.testing import HashEncoder
encoder = HashEncoder(dense_dim=8, multi_vector_dim=4)
query = encoder.encode_queries(["cat"])
# A rehearsal, since modules that load late may stand where the other user cannot read.
with tempfile.TemporaryDirectory() as folder, Index.open(folder, spec=encoder.spec) as index:
    index.add([Document("a", "cat")], encoder.encode_documents(["cat"]))
    index.search(query)
if os.getuid() == 0:
    os.setgid({nobody}); os.setuid({nobody})
with Index.open(sys.argv[1]) as index:
    assert index.read_only
    print(sorted(hit.document.id for hit in index.search(query)[0]))
try:
    Index.open(sys.argv[1], read_only=False)
except IndexReadOnlyError as error:
    print(error)
"""


@pytest.fixture
def open_to_all(tmp_path: Path) -> Iterator[None]:
    """Let anybody walk to the folder: pytest's own are private."""
    ours = [p for p in [tmp_path, *tmp_path.parents] if p.stat().st_uid == os.getuid()]
    modes = {p: p.stat().st_mode for p in ours if len(p.parts) > 2}
    for parent, mode in modes.items():
        parent.chmod(mode | 0o055)
    yield
    for parent, mode in modes.items():
        parent.chmod(mode)


@pytest.mark.parametrize("pending", [False, True])
def test_a_folder_that_cannot_be_written_is_read(
    path: Path, tmp_path: Path, open_to_all: None, pending: Any
) -> None:
    with Index.open(path, spec=ENCODER.spec) as index:
        put(index, "a", "b")
        # Copied while open, the folder has commits that stand in the log only.
        copy = Path(shutil.copytree(path, tmp_path / "copy")) if pending else path
    for entry in [copy, *copy.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    code = READ_ONLY.format(nobody=NOBODY)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for entry in [copy, *copy.rglob("*")]:
        entry.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['a', 'b']",
        f"the index at {copy} was opened for writing, and cannot be",
    ]


def test_two_processes_write_one_after_the_other(index: Index, path: Path) -> None:
    code = (
        "import sys; from tercet.documents import Document\n"
        "from tercet.indexes.base import Index; from tercet.testing import HashEncoder\n"
        "encoder = HashEncoder(dense_dim=8, multi_vector_dim=4)\n"
        "with Index.open(sys.argv[1]) as index:\n"
        "    for n in range(15):\n"
        "        views = encoder.encode_documents(['cat'])\n"
        "        index.add([Document(f'{sys.argv[2]}{n}', 'cat')], views)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(path), name])
        for name in ("x", "y")
    ]
    put(index, *"abc")
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(index) == 33
    assert len(index.search(QUERY, k=50)[0]) == 33


def test_a_forgotten_index_closes_itself(path: Path) -> None:
    code = (
        "import sys, gc; from tercet.indexes.base import Index\n"
        "from tercet.testing import HashEncoder\n"
        "index = Index.open(sys.argv[1], spec=HashEncoder().spec); len(index); del index; "
        "gc.collect()\n"
        "kept = Index.open(sys.argv[1]); len(kept)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list((path / "readers").iterdir()) == []


def test_stats_tell_what_waits_for_older_readers(index: Index, path: Path) -> None:
    put(index, *"abc")
    put(index, "d")
    scan = index.scan()
    next(scan)
    index.compact()
    stats = index.stats()
    assert (stats.segments, stats.waiting) == (1, 2)
    files = [p for p in path.rglob("*") if p.is_file() and p.parent.name != "readers"]
    assert stats.disk == sum(p.stat().st_size for p in files)
    assert stats.disk > sum(stats.bytes.values())
    assert list(scan) == []
    index.delete(["a"])
    assert index.stats().waiting == 0
