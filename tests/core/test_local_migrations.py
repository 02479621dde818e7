"""Formats: newer ones are refused, older ones moved on by the first writer."""

import sqlite3
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.errors import IndexFormatError
from tercet.indexes.base import Index
from tercet.indexes.local.files import catalog, migrations
from tercet.indexes.local.upkeep import folder
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)


@pytest.fixture
def path(tmp_path: Path, in_files: None) -> Path:
    """An index of the format that is now called the old one."""
    with Index.open(tmp_path / "index", spec=ENCODER.spec) as index:
        index.add([Document("a", "cat")], ENCODER.encode_documents(["cat"]))
    return tmp_path / "index"


@pytest.fixture(autouse=True)
def _next_format(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalog, folder, migrations):
        monkeypatch.setattr(module, "FORMAT", 3)


def columns(path: Path, table: str = "documents") -> list[str]:
    connection = sqlite3.connect(path / "catalog.sqlite")
    found = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return found


def test_an_index_of_format_1_is_moved_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:  # format 2 has added one column, and nothing else
        connection.execute("ALTER TABLE segments DROP COLUMN content")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
        catalog._seal(connection)
    connection.close()
    with Index.open(path) as index:
        assert index.stats().format == catalog.FORMAT
        index.add([Document("b", "dog")], ENCODER.encode_documents(["dog"]))
        assert index.ids() == ["a", "b"]
        assert index.check().damage == ()  # type: ignore[attr-defined]
    assert columns(path, "segments")[-1] == "content"


def test_a_layout_before_the_first_release_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
        connection.execute("DELETE FROM meta WHERE key = 'storage'")
    connection.close()
    with pytest.raises(IndexFormatError, match=r"before the first release, .* index anew"):
        Index.open(path)


def step(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE documents ADD COLUMN colour TEXT")


def test_the_first_writer_moves_an_older_format_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, 2, step)
    with Index.open(path) as index:
        assert index.stats().format == 3
        assert index.ids() == ["a"]
    assert columns(path)[-1] == "colour"
    with Index.open(path, read_only=True) as index:
        assert len(index) == 1


def test_an_older_format_is_not_read_before_it_is_moved_on(path: Path) -> None:
    with pytest.raises(IndexFormatError, match="reads format 3: open it once for writing"):
        Index.open(path, read_only=True)


def test_a_format_without_a_step_is_too_old(path: Path) -> None:
    with pytest.raises(IndexFormatError, match=r"format 2, which this version .* reads no more"):
        Index.open(path)


def test_a_step_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        step(connection)
        raise KeyboardInterrupt

    monkeypatch.setitem(migrations.MIGRATIONS, 2, broken)
    with pytest.raises(KeyboardInterrupt):
        Index.open(path)
    assert "colour" not in columns(path)


def test_a_writer_that_was_open_before_writes_no_newer_format(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        for module in (catalog, folder, migrations):
            older.setattr(module, "FORMAT", 2)
        index = Index.open(path)
    monkeypatch.setitem(migrations.MIGRATIONS, 2, step)
    Index.open(path).close()
    monkeypatch.setattr(catalog, "FORMAT", 2)
    with pytest.raises(IndexFormatError, match=r"format 3; .* reads format 2: upgrade tercet"):
        index.add([Document("b", "dog")], ENCODER.encode_documents(["dog"]))
    index.close()
