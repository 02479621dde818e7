"""Backups of the embedded index: one generation, while others write and read."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tercet.documents import Document
from tercet.errors import IndexCorruptError, TercetIndexError
from tercet.indexes.base import Index
from tercet.indexes.local.index import LocalIndex
from tercet.indexes.local.upkeep import backup as backups
from tercet.testing import HashEncoder

pytestmark = pytest.mark.usefixtures("in_files")

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
QUERY = ENCODER.encode_queries(["cat"])


def put(index: Index, *names: str) -> None:
    documents = [Document(name, f"cat {name}", {"n": name}) for name in names]
    index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "copy"


@pytest.fixture
def index(path: Path) -> Iterator[LocalIndex]:
    with Index.open(path, spec=ENCODER.spec) as opened:
        assert isinstance(opened, LocalIndex)
        put(opened, "a", "b", "c")
        put(opened, "d")
        opened.delete(["b"])
        yield opened


def test_a_backup_is_an_index_of_its_own(index: LocalIndex, path: Path, copy: Path) -> None:
    index.backup(copy)
    before = [hit.document for hit in index.search(QUERY)[0]]
    shutil.rmtree(path)
    with Index.open(copy) as again:
        assert isinstance(again, LocalIndex)
        assert again.check().damage == ()
        assert again.ids() == ["a", "c", "d"]
        assert [hit.document for hit in again.search(QUERY)[0]] == before
        put(again, "e")
        again.compact()
        assert again.check().documents == 4
    assert [p.name for p in copy.parent.iterdir()] == ["copy"]


def test_segments_that_only_older_readers_need_are_left_out(index: LocalIndex, copy: Path) -> None:
    scan = index.scan()
    next(scan)
    index.compact()
    index.backup(copy)
    assert len(list((copy / "segments").iterdir())) == 1
    with Index.open(copy) as again:
        assert isinstance(again, LocalIndex)
        assert again.check().damage == ()
    assert len(list(scan)) == 0


def test_a_backup_shows_one_generation_while_the_index_changes(
    index: LocalIndex, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = backups._copy

    def busy(*args: Any) -> None:
        put(index, "a", "z")
        index.delete(["c"])
        index.compact()
        index.compact()
        copied(*args)

    monkeypatch.setattr(backups, "_copy", busy)
    index.backup(copy)
    assert index.ids() == ["a", "d", "z"]
    with Index.open(copy) as again:
        assert isinstance(again, LocalIndex)
        assert again.ids() == ["a", "c", "d"]
        assert again.check().damage == ()


WRITER = """
import sys
from tercet.documents import Document
from tercet.indexes.base import Index
from tercet.testing import HashEncoder
encoder = HashEncoder(dense_dim=8, multi_vector_dim=4)
index = Index.open(sys.argv[1])
for batch in range(10_000):
    ids = [f"{batch:05d}-{n}" for n in range(3)]
    index.add([Document(i, "cat " + i) for i in ids], encoder.encode_documents(ids))
    if batch % 5 == 4:
        index.delete([f"{batch - 1:05d}-{n}" for n in range(3)])
    print(batch, flush=True)
"""


def test_a_backup_beside_another_process_that_writes_holds_whole_batches(
    index: LocalIndex, path: Path, tmp_path: Path
) -> None:
    index.clear()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for n in range(4):
            written = [int(writer.stdout.readline()) for _ in range(4)][-1]
            index.backup(tmp_path / f"copy{n}")
            with Index.open(tmp_path / f"copy{n}") as again:
                assert isinstance(again, LocalIndex)
                assert again.check().damage == ()
                ids = again.ids()
                assert len(ids) % 3 == 0
                gone = [batch for batch in range(written + 1) if batch % 5 == 3]
                kept = [batch for batch in range(written + 1) if batch not in gone]
                assert {f"{batch:05d}-{k}" for batch in kept for k in range(3)} <= set(ids)
                assert len(again.search(QUERY, k=1)[0]) == 1
        writer.kill()


def test_a_backup_goes_to_a_new_or_an_empty_folder_only(
    index: LocalIndex, path: Path, copy: Path
) -> None:
    copy.mkdir(parents=True)
    index.backup(copy)
    for target in (copy, path, copy / "catalog.sqlite"):
        with pytest.raises(TercetIndexError, match="is not empty: a backup needs a new folder"):
            index.backup(target)
    with pytest.raises(TercetIndexError, match="stands inside the index"):
        index.backup(path / "segments" / "copy")
    with pytest.raises(TercetIndexError, match=r"no backup at .*: File exists\. Nothing was left"):
        index.backup(copy / "catalog.sqlite" / "below")


def test_a_damaged_segment_is_not_backed_up(index: LocalIndex, path: Path, copy: Path) -> None:
    file = min((path / "segments").iterdir())
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(IndexCorruptError, match=f"{file.name} is not as it was committed"):
        index.backup(copy)
    file.unlink()
    with pytest.raises(IndexCorruptError, match=f"{file.name} is missing"):
        index.backup(copy)
    assert list(copy.parent.iterdir()) == [], "nothing stays behind"


def test_a_backup_that_fails_leaves_nothing(
    index: LocalIndex, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TercetIndexError, match=r"no backup at .*No space left on device"):
        index.backup(copy)
    assert list(copy.parent.iterdir()) == []


def test_an_index_that_is_only_read_can_be_backed_up(
    index: LocalIndex, path: Path, copy: Path
) -> None:
    with Index.open(path, read_only=True) as reader:
        assert isinstance(reader, LocalIndex)
        reader.backup(copy)
    with Index.open(copy) as again:
        assert len(again) == 3
