"""Commits of the embedded index: all or nothing, whatever interrupts them."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.documents import Document
from tercet.errors import (
    IndexCorruptError,
    IndexFormatError,
    IndexLocked,
    IndexNotFoundError,
    IndexReadOnlyError,
    TercetIndexError,
)
from tercet.indexes.base import Index
from tercet.indexes.local.files import segments
from tercet.indexes.local.files.lock import WriterLock
from tercet.indexes.local.upkeep import folder
from tercet.indexes.local.writing import compaction, writer
from tercet.testing import HashEncoder

pytestmark = [
    pytest.mark.usefixtures("in_files"),
    # Python 3.12 warns of a fork beside threads; the children here take none of their locks.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)


def docs(*names: str, text: str = "cat {}") -> list[Document]:
    return [Document(name, text.format(name), {"name": name}) for name in names]


def put(index: Index, documents: list[Document]) -> Any:
    return index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


def files(path: Path) -> set[str]:
    return {p.name for p in (path / "segments").iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path, spec=ENCODER.spec) as opened:
        yield opened


def test_an_add_commits_in_batches(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_DOCUMENTS", 3)
    put(index, docs(*"abcdefgh"))
    assert (index.stats().generation, index.stats().segments) == (3, 3)
    monkeypatch.setattr(writer, "BATCH_BYTES", 100)
    put(index, docs("x", "y", "z", text="long " * 30 + "{}"))
    assert index.stats().generation == 6


def test_an_interrupted_add_keeps_what_was_committed(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BATCH_DOCUMENTS", 2)
    calls = iter([None, OSError(errno.ENOSPC, "No space left on device")])
    written = segments.write_segment

    def failing(*args: Any, **kwargs: Any) -> Any:
        if error := next(calls):
            raise error
        return written(*args, **kwargs)

    monkeypatch.setattr(writer, "write_segment", failing)
    with pytest.raises(TercetIndexError, match=r"No space left on device.*as it was") as caught:
        put(index, docs(*"abcd"))
    assert not isinstance(caught.value, IndexReadOnlyError)
    assert index.ids() == ["a", "b"]
    monkeypatch.setattr(writer, "write_segment", written)
    report = put(index, docs(*"abcd"))
    assert (report.committed, report.skipped) == (2, 2)


@pytest.mark.parametrize("said", ["database or disk is full", "disk I/O error"])
@pytest.mark.parametrize("step", ["insert_segment", "insert_documents", "remove_documents"])
def test_a_failure_inside_the_transaction_changes_nothing(
    index: Index, path: Path, monkeypatch: pytest.MonkeyPatch, step: str, said: str
) -> None:
    put(index, docs(*"abc"))
    before = files(path)

    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError(said)

    monkeypatch.setattr(writer, step, full)
    with pytest.raises(TercetIndexError, match=rf"{said}\. No space .* as it was .* make room"):
        put(index, docs("b", "z", text="changed {}"))
    assert index.get(["b", "z"]) == docs("b")
    assert files(path) == before
    assert index.stats().generation == 1


def test_a_folder_that_may_not_be_written_is_said(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(writer, "write_segment", refused)
    with pytest.raises(IndexReadOnlyError, match="cannot be written: Permission denied"):
        put(index, docs("a"))


def test_a_catalogue_that_may_not_be_written_is_said(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(writer, "insert_segment", refused)
    with pytest.raises(IndexReadOnlyError, match="readonly database"):
        put(index, docs("a"))


def test_orphans_are_swept_by_the_next_writer(index: Index, path: Path) -> None:
    put(index, docs("a"))
    orphan = path / "segments" / "dead.safetensors"
    orphan.write_bytes(b"half a segment")
    assert index.ids() == ["a"]
    assert orphan.exists(), "readers do not sweep"
    put(index, docs("b"))
    assert not orphan.exists()


KILLED = """
import os, signal, sys
from tercet.documents import Document
from tercet.indexes.base import Index
from tercet.indexes.local.writing import {module}
from tercet.indexes.local.writing import writer
from tercet.testing import HashEncoder
encoder = HashEncoder(dense_dim=8, multi_vector_dim=4)
writer.INLINE_BYTES = {inline}
index = Index.open(sys.argv[1])
done = {module}.{name}
def killed(*args, **kwargs):
    if {after}: done(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
{module}.{name} = killed
index.add([Document("a", "new a"), Document("z", "new z")], encoder.encode_documents(["x", "y"]))
"""

POINTS = [
    ("write_segment", False, 0),
    ("write_segment", True, 0),
    ("insert_segment", True, 0),
    ("remove_documents", True, 0),
    ("insert_documents", True, 0),
    ("pack_segment", True, writer.INLINE_BYTES),
    ("insert_segment", True, writer.INLINE_BYTES),
]


@pytest.mark.parametrize(("name", "after", "inline"), POINTS)
def test_a_killed_writer_leaves_no_half_batch(
    index: Index, path: Path, name: str, after: Any, inline: int
) -> None:
    put(index, docs("a", "b"))
    code = KILLED.format(module="writer", name=name, after=after, inline=inline)
    killed = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    with Index.open(path) as again:
        assert again.ids() == ["a", "b"]
        assert again.get(["a"]) == docs("a")
        assert len(again.search(ENCODER.encode_queries(["cat"]))[0]) == 2
        put(again, docs("c"))
        assert again.ids() == ["a", "b", "c"]
        assert len(files(path)) == 2


def test_a_killed_compaction_changes_nothing(index: Index, path: Path) -> None:
    put(index, docs("a", "b"))
    put(index, docs("c"))
    index.delete(["b"])
    code = KILLED.format(module="compaction", name="replace_segments", after=True, inline=0)
    code = code[: code.index("index.add")] + "index.compact()"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert index.ids() == ["a", "c"]
    index.compact()
    assert index.ids() == ["a", "c"]
    assert len(files(path)) == 1


def test_a_file_is_said_to_be_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not an index")
    with pytest.raises(IndexNotFoundError, match="is a file"):
        Index.open(file)


def test_a_creation_that_was_interrupted_is_no_index(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder, "create", refused)
        with pytest.raises(KeyboardInterrupt):
            Index.open(path, spec=ENCODER.spec)
    with pytest.raises(IndexNotFoundError):
        Index.open(path)


def test_an_empty_catalogue_is_laid_out_by_the_next_creation(path: Path) -> None:
    path.mkdir()
    (path / "catalog.sqlite").touch()
    with pytest.raises(IndexNotFoundError):
        Index.open(path)
    with Index.open(path, spec=ENCODER.spec) as index:
        put(index, docs("a"))
        assert len(index) == 1


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TercetIndexError, match=r"no index but other files, as 'notes.txt'"):
        Index.open(tmp_path, spec=ENCODER.spec)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("below", ["", "index"])
def test_a_place_that_is_a_file_is_said(tmp_path: Path, below: str) -> None:
    place = tmp_path / "file"
    place.write_text("x")
    with pytest.raises(TercetIndexError, match=r"file is a file; an index is a folder: give"):
        Index.open(place / below, spec=ENCODER.spec)
    assert place.read_text() == "x"


def test_a_file_address_is_a_folder(path: Path) -> None:
    with Index.open(f"file://{path}%20b", spec=ENCODER.spec) as index:
        assert index.path == path.with_name("index b")
        assert repr(index) == f"LocalIndex('{path} b')"


def alter(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:
        connection.execute(sql)
    connection.close()


def test_a_newer_format_is_refused(index: Index, path: Path) -> None:
    index.close()
    alter(path, "UPDATE meta SET value = '3' WHERE key = 'format'")
    with pytest.raises(IndexFormatError, match="format 3; this version of tercet reads format 2"):
        Index.open(path)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM meta WHERE key = 'spec'",
        "UPDATE meta SET value = '{' WHERE key = 'spec'",
        "UPDATE meta SET value = 'x' WHERE key = 'format'",
    ],
)
def test_a_damaged_catalogue_is_said(index: Index, path: Path, sql: str) -> None:
    index.close()
    alter(path, sql)
    with pytest.raises(IndexCorruptError, match="meta is damaged"):
        Index.open(path)


def test_a_catalogue_that_is_no_database_is_said(index: Index, path: Path) -> None:
    index.close()
    (path / "catalog.sqlite").write_bytes(b"no database at all, but long enough to look at" * 99)
    with pytest.raises(IndexCorruptError, match=r"catalog.sqlite is damaged"):
        Index.open(path)


def test_a_missing_segment_is_named(index: Index, path: Path) -> None:
    put(index, docs("a"))
    index.close()
    (name,) = files(path)
    (path / "segments" / name).unlink()
    with (
        Index.open(path) as again,
        pytest.raises(IndexCorruptError, match=f"segment .*{name} is missing"),
    ):
        again.search(ENCODER.encode_queries(["cat"]))


def test_a_tombstone_beyond_its_segment_is_said(index: Index, path: Path) -> None:
    put(index, docs("a"))
    alter(path, "INSERT INTO tombstones VALUES (1, 99, 1)")
    with Index.open(path) as again, pytest.raises(IndexCorruptError, match="row 99"):
        len(again)


def test_a_second_writer_waits_and_gives_up(index: Index, path: Path) -> None:
    with Index.open(path, timeout=0.05) as other, WriterLock(path, timeout=1).held():
        with pytest.raises(IndexLocked, match="another writer holds the index"):
            put(other, docs("a"))
        assert other.ids() == []
    put(index, docs("a"))


def test_threads_of_one_index_wait_for_each_other_too(path: Path) -> None:
    path.mkdir()
    lock = WriterLock(path, timeout=0.05)
    with lock.held(), pytest.raises(IndexLocked), lock.held():
        pass


def test_small_adds_stay_few_files(index: Index, path: Path) -> None:
    for n in range(70):
        put(index, docs(f"d{n:02d}"))
    assert index.stats().segments <= 14
    assert len(index) == 70
    index.delete(["d00"])
    assert [h.document.id for h in index.search(ENCODER.encode_queries(["d33"]), k=1)[0]] == ["d33"]


def test_a_merge_that_fails_does_not_undo_the_add(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(compaction, "replace_segments", full)
    for n in range(10):
        put(index, docs(f"d{n}"))
    assert len(index) == 10
    assert index.stats().segments == 10


def test_a_segment_without_live_rows_dies_at_once(index: Index, path: Path) -> None:
    put(index, docs("a", "b"))
    index.delete(["a", "b"])
    assert (index.stats().segments, len(index)) == (0, 0)
    put(index, docs("c"))
    put(index, docs("d"))
    assert len(files(path)) == 2


def test_compacting_what_is_compact_writes_nothing(index: Index, path: Path) -> None:
    put(index, docs("a", "b"))
    before = files(path)
    index.compact()
    assert files(path) == before
    index.clear()
    index.compact()
    assert files(path) == set()


def test_scores_survive_a_merge_of_segments(index: Index) -> None:
    rng = np.random.default_rng(0)
    names = [f"d{n:02d}" for n in range(40)]
    for start in range(0, 40, 8):
        put(index, docs(*names[start : start + 8], text=str(rng.choice(["cat", "dog"])) + " {}"))
    before = index.embeddings(names)
    index.delete(names[::3])
    index.compact()
    kept = [n for n in range(40) if n % 3]
    after, expected = index.embeddings([names[n] for n in kept]), before.take(kept)
    np.testing.assert_array_equal(after.dense, expected.dense)
    np.testing.assert_array_equal(after.multi_vector.vectors, expected.multi_vector.vectors)
    assert after.sparse.to_dicts() == expected.sparse.to_dicts()


def test_a_forked_child_leaves_its_parents_files_alone(index: Index, path: Path) -> None:
    put(index, docs("a"))
    assert len(index) == 1
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, str(index.ids()).encode())
        index.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.read(read_end, 100) == b"['a']"
    os.close(read_end)
    os.close(write_end)
    assert len(list((path / "readers").iterdir())) == 1
    put(index, docs("b"))
    assert len(index) == 2


def test_an_index_whose_first_batch_fails_leaves_no_folder(path: Path) -> None:
    with pytest.raises(TypeError), Index.open(path, spec=ENCODER.spec) as index:
        index.add(["no document"], ENCODER.encode_documents(["x"]))  # type: ignore[list-item]
    assert not path.exists()
    Index.open(path, spec=ENCODER.spec).close()
    with pytest.raises(KeyboardInterrupt), Index.open(path):
        raise KeyboardInterrupt
    assert path.exists(), "it was there before"


def test_an_index_that_others_use_stays_though_its_creator_fails(path: Path) -> None:
    creator = Index.open(path, spec=ENCODER.spec)
    (path / "segments" / "mine.txt").touch()
    creator.__exit__(KeyboardInterrupt)
    assert [p.name for p in (path / "segments").iterdir()] == ["mine.txt"]
    (path / "segments" / "mine.txt").unlink()
    creator = Index.open(path, spec=ENCODER.spec)
    with Index.open(path) as other:
        put(other, docs("a"))
        creator.__exit__(KeyboardInterrupt)
        assert other.ids() == ["a"]


def test_the_place_of_an_index_is_never_empty() -> None:
    with pytest.raises(ValueError, match=r"is empty; '\.' is the current folder"):
        Index.open("", spec=ENCODER.spec)


def test_a_rollback_that_fails_is_said_and_its_connection_not_used_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, docs("a"))
    connections = index._connections  # type: ignore[attr-defined]

    class Broken:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def execute(self, sql: str, *values: Any) -> Any:
            if sql in ("COMMIT", "ROLLBACK"):
                raise sqlite3.OperationalError("disk I/O error")
            return self._real.execute(sql, *values)

    connect = connections._connect
    while connections._idle:
        connections._idle.pop().close()
    monkeypatch.setattr(connections, "_connect", lambda: Broken(connect()))
    with pytest.raises(TercetIndexError, match=r"disk I/O error\. No space is left"):
        index.delete(["a"])
    monkeypatch.undo()
    assert index.ids() == ["a"]


def test_a_fork_while_a_lock_is_held_leaves_the_child_a_free_one(index: Index) -> None:
    put(index, docs("a"))
    held = [index._connections._lock, index._snapshots._lock]  # type: ignore[attr-defined]
    held.append(index._writer._lock._threads)  # type: ignore[attr-defined]
    for lock in held:
        lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if put(index, docs("b")).committed == 1 and len(index) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for lock in held:
        lock.release()
    assert index.ids() == ["a", "b"]


def test_a_writer_that_forked_lets_go_of_its_lock_all_the_same(index: Index, path: Path) -> None:
    read_end, write_end = os.pipe()
    with WriterLock(path, timeout=1).held():
        child = os.fork()
        if child == 0:
            os.read(read_end, 1)
            os._exit(0)
    put(index, docs("a"))
    os.write(write_end, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(read_end)
    os.close(write_end)


def test_the_file_of_a_commit_that_failed_is_swept_after_the_next_one(
    index: Index, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, docs("a"))
    connections = index._connections  # type: ignore[attr-defined]
    writing = connections.writing

    @contextmanager
    def failing() -> Iterator[sqlite3.Connection]:
        with connections.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(connections, "writing", failing)
    with pytest.raises(TercetIndexError, match="disk I/O error"):
        put(index, docs("b"))
    assert len(files(path)) == 2
    monkeypatch.setattr(connections, "writing", writing)
    put(index, docs("c"))
    assert index.ids() == ["a", "c"]
    assert len(files(path)) == 2
