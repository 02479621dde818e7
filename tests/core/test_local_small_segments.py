"""Small segments stand in the catalogue: commits without a file, with all that files have."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.errors import IndexCorruptError
from tercet.indexes.base import Index
from tercet.indexes.local.columns import sparse_rows
from tercet.indexes.local.index import LocalIndex
from tercet.indexes.local.writing import compaction, writer
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
QUERY = ENCODER.encode_queries(["cat of seven words and more"])


def put(index: Index, *names: str) -> None:
    documents = [Document(name, f"cat {name} words", {"n": name}) for name in names]
    index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


def files(path: Path) -> int:
    return len(list((path / "segments").iterdir()))


def rows(path: Path, sql: str) -> list[tuple[int | str | bytes, ...]]:
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> Iterator[LocalIndex]:
    with Index.open(path, spec=ENCODER.spec) as opened:
        assert isinstance(opened, LocalIndex)
        yield opened


def test_a_small_commit_makes_no_file_and_is_searched_alike(
    index: LocalIndex, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a", "b", "c")
    assert files(path) == 0
    monkeypatch.setattr(writer, "INLINE_BYTES", 0)
    with Index.open(tmp_path / "files", spec=ENCODER.spec) as other:
        put(other, "a", "b", "c")
        assert files(tmp_path / "files") == 1
        for plan in ("dense", "sparse", "multi_vector"):
            assert index.search(QUERY, plan=plan) == other.search(QUERY, plan=plan)
    with Index.open(path) as again:
        assert again.search(QUERY) == index.search(QUERY)


def test_merges_end_in_a_file_once_there_is_much_and_leave_nothing_behind(
    index: LocalIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FANOUT", 2)
    put(index, "a")
    put(index, "b")
    assert (index.stats().segments, index.stats().waiting, files(path)) == (1, 0, 0)
    monkeypatch.setattr(writer, "INLINE_BYTES", 300)
    put(index, "c", "d", "e")
    index.delete(["a"])
    index.compact()
    assert (index.stats().segments, index.stats().tombstones, files(path)) == (1, 0, 1)
    assert rows(path, "SELECT count(*) FROM segments WHERE content IS NOT NULL") == [(0,)]
    assert index.ids() == ["b", "c", "d", "e"]
    assert index.check().damage == ()


def test_readers_of_an_older_generation_keep_what_a_merge_has_taken_away(
    index: LocalIndex, path: Path
) -> None:
    put(index, "a")
    put(index, "b")
    with Index.open(path, read_only=True) as reader:
        scan = reader.scan()
        with reader._connections.reading() as connection:  # type: ignore[attr-defined]
            connection.execute("SELECT 1 FROM meta").fetchone()  # from here on it sees this
            put(index, "c")
            index.delete(["a"])
            index.compact()
            assert index.ids() == ["b", "c"]
            with reader._snapshots.lease(connection) as snapshot:  # type: ignore[attr-defined]
                assert len(snapshot.live) == 2
        assert [d.id for documents, _ in scan for d in documents] == ["b", "c"]


def test_a_reader_in_another_process_goes_on_through_merges(index: LocalIndex, path: Path) -> None:
    put(index, "a0", "a1")
    child = os.fork()
    if child == 0:
        with Index.open(path, read_only=True) as reader:
            while "end" not in reader.ids():
                hits = reader.search(QUERY, k=100)[0]
                assert len(hits) % 2 == 0
            os._exit(0)
    for n in range(1, 10):
        put(index, f"a{2 * n}", f"a{2 * n + 1}")
        index.compact()
    put(index, "end", "of")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("backed_up", [False, True])
def test_a_flipped_byte_of_a_small_segment_is_named(
    index: LocalIndex, path: Path, tmp_path: Path, *, backed_up: bool
) -> None:
    put(index, "a", "b")
    ((name, content),) = rows(path, "SELECT file, content FROM segments")
    assert isinstance(content, bytes)
    for place in range(0, len(content), 131):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        rows(path, f"UPDATE segments SET content = x'{changed.hex()}'")
        if backed_up:
            with pytest.raises(IndexCorruptError, match=f"{name} is not as it was committed"):
                index.backup(tmp_path / "copy")
            break
        assert [one.place for one in index.check().damage] == [f"segment {name}"]
    rows(path, f"UPDATE segments SET content = x'{content.hex()}'")
    assert index.check().damage == ()


def test_a_small_segment_that_is_none_names_the_catalogue(index: LocalIndex, path: Path) -> None:
    put(index, "a")
    rows(path, "UPDATE segments SET content = 'text'")
    with (
        Index.open(path) as again,
        pytest.raises(IndexCorruptError, match=r"catalog.sqlite is dam"),
    ):
        len(again)
    assert "was written with" in index.check().damage[0].what


def test_a_backup_holds_small_segments_and_large_ones(
    index: LocalIndex, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, "a")
    monkeypatch.setattr(writer, "INLINE_BYTES", 0)
    put(index, "b")
    index.backup(tmp_path / "copy")
    assert (files(path), files(tmp_path / "copy")) == (1, 1)
    with Index.open(tmp_path / "copy") as copy:
        assert copy.ids() == ["a", "b"]
        assert copy.check().damage == ()  # type: ignore[attr-defined]


def test_a_folder_that_may_only_be_read_is_read_with_its_small_segments(
    index: LocalIndex, path: Path
) -> None:
    put(index, "a", "b")
    index.close()
    with Index.open(path, read_only=True) as reader:
        assert {hit.document.id for hit in reader.search(QUERY)[0]} == {"a", "b"}


def test_few_rows_have_no_impact_lists_and_rank_as_many_do(
    index: LocalIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"d{n}" for n in range(30)]
    put(index, *names)
    monkeypatch.setattr(sparse_rows, "UNLISTED", 0)
    with Index.open(tmp_path / "listed", spec=ENCODER.spec) as other:
        assert isinstance(other, LocalIndex)
        put(other, *names)
        for chosen in (None, {"n": {"$in": names[::2]}}):
            found, truth = (
                i.search(QUERY, k=5, plan="sparse", filter=chosen) for i in (index, other)
            )
            assert found == truth
        assert index.stats().bytes["sparse"] < other.stats().bytes["sparse"]
