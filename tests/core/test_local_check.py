"""`check` and `tercet check`: every flipped byte of a segment and of a stored row is named."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tercet.cli.app import app
from tercet.documents import Document
from tercet.errors import IndexCorruptError
from tercet.indexes.base import Index
from tercet.indexes.local.index import LocalIndex
from tercet.indexes.local.upkeep.folder import check_folder
from tercet.testing import HashEncoder

pytestmark = pytest.mark.usefixtures("in_files")

ENCODER = HashEncoder(dense_dim=4, multi_vector_dim=2)


def put(index: Index, *names: str) -> None:
    documents = [
        Document(n, f"text of {n}", {"n": n, "year": 2000, "tags": ["a", "b"]}, "H. ", "book")
        for n in names
    ]
    index.add(documents, ENCODER.encode_documents([d.content for d in documents]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> Iterator[LocalIndex]:
    with Index.open(path, spec=ENCODER.spec) as opened:
        assert isinstance(opened, LocalIndex)
        put(opened, "a", "b", "c")
        put(opened, "d", "e")
        opened.delete(["b"])
        yield opened


def damage(path: Path) -> list[str]:
    found = check_folder(path, timeout=1).damage
    return [f"{one.place}: {one.what}" for one in found]


def alter(path: Path, sql: str, *values: Any) -> None:
    """Change the catalogue behind the index's back."""
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:
        connection.execute(sql, values)
    connection.close()


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_an_index_is_sound_whatever_it_went_through(index: LocalIndex, path: Path) -> None:
    report = index.check()
    assert (report.documents, report.segments, report.damage) == (4, 2, ())
    put(index, "a", "x")
    index.compact()
    assert index.check().damage == ()
    index.clear()
    assert index.check().documents == 0
    put(index, "z")
    assert damage(path) == []


def test_a_flipped_byte_anywhere_in_a_segment_is_named(index: LocalIndex, path: Path) -> None:
    for file in sorted((path / "segments").iterdir()):
        whole = file.read_bytes()
        for place in range(0, len(whole), 31):  # 31 is prime to the size of every element
            changed = bytearray(whole)
            changed[place] ^= 1 << place % 8
            file.write_bytes(changed)
            assert [one.place for one in index.check().damage] == [f"segment {file.name}"]
        file.write_bytes(whole)
    assert index.check().damage == ()


COLUMNS = {
    "id": "other",
    "parent": "cook",
    "text": "text of A",
    "header": "h. ",
    "metadata": '{"n": "a", "year": 2001, "tags": ["a", "b"]}',
    "private": "{ }",
    "content_hash": bytes(32),
    "row_hash": bytes(32),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_of_a_document_is_covered(index: LocalIndex, path: Path, column: str) -> None:
    alter(path, f"UPDATE documents SET {column} = ? WHERE id = 'a'", COLUMNS[column])
    name = COLUMNS["id"] if column == "id" else "a"
    assert f"document {name!r}: its row does not have its hash" in damage(path)


def test_flipped_bytes_of_every_stored_row_are_named(index: LocalIndex, path: Path) -> None:
    index.close()
    file = path / "catalog.sqlite"
    whole = file.read_bytes()
    for name in "acde":
        start = whole.index(f"text of {name}H. ".encode())
        for place in range(start - 4, start + 52, 3):  # parent, text, header, metadata
            changed = bytearray(whole)
            changed[place] ^= 0x80 if place % 2 else 1
            file.write_bytes(changed)
            said = damage(path)
            assert f"document {name!r}: its row does not have its hash" in said
    file.write_bytes(whole)
    assert damage(path) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE fields SET value = 1999 WHERE name = 'year'", "fields for filters are not"),
        ("DELETE FROM fields WHERE name = 'n'", "'e': its fields for filters are not"),
        ("INSERT INTO fields VALUES ('x', 'bool', 1, 99)", "fields for filters of 99, which is"),
        ("INSERT INTO tombstones VALUES (9, 0, 1)", "tombstones of 9, which is not there"),
        ("INSERT INTO tombstones VALUES (1, 77, 1)", "it has 3 rows, and row 77 of it is deleted"),
        ("UPDATE tombstones SET generation = 99", "tombstones of commit 99, when the last one is"),
        ("DELETE FROM tombstones", "a row of document 2, which is not there"),
        ("INSERT INTO tombstones VALUES (1, 0, 1)", "document 'a': 0 rows in segments"),
        ("UPDATE segments SET rows = 4 WHERE id = 1", "holds 3 documents, the catalogue says 4"),
        ("UPDATE segments SET bytes = 4 WHERE id = 1", "and was written with 4"),
        ("UPDATE segments SET sha256 = '' WHERE id = 1", "content does not have its hash"),
        ("UPDATE segments SET file = 'gone' WHERE id = 1", "segment gone: [Errno 2]"),
        ("UPDATE segments SET dead_since = 9 WHERE id = 1", "segments of commit 9, when the last"),
        ("UPDATE segments SET dead_since = 1 WHERE id = 1", "'a': 0 rows in segments"),
        ("UPDATE meta SET value = 'x' WHERE key = 'spec'", "table meta is damaged"),
        (
            "UPDATE meta SET value = replace(value, '4', '5') WHERE key = 'dimensions'",
            "its values do not have its hash",
        ),
        ("DROP TABLE tombstones", "no such table: tombstones"),
    ],
)
def test_tables_that_disagree_are_damage(
    index: LocalIndex, path: Path, sql: str, said: str
) -> None:
    alter(path, sql)
    assert any(said in one for one in damage(path)), damage(path)


def test_codebooks_are_compared_with_their_hashes(index: LocalIndex, path: Path) -> None:
    columns = "id INTEGER PRIMARY KEY, view TEXT, content BLOB, sha256 TEXT"
    alter(path, f"CREATE TABLE IF NOT EXISTS codebooks ({columns})")
    insert = "INSERT INTO codebooks (view, content, sha256) VALUES ('sparse', x'00', 'other')"
    alter(path, insert)
    assert damage(path) == ["codebook 1 of sparse: its content does not have its hash"]


def test_all_damage_is_listed_not_only_the_first(index: LocalIndex, path: Path) -> None:
    for file in (path / "segments").iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    alter(path, "UPDATE documents SET text = 'x' WHERE id IN ('a', 'd')")
    assert len(damage(path)) == 4
    result = run("check", path, code=1)
    assert len(result.stdout.splitlines()) == 4
    assert "error: " in result.stderr
    assert "damaged in 4 places: restore it from a backup" in result.stderr
    listed = json.loads(run("check", path, "--json", code=1).stdout)["damage"]
    assert {one["place"] for one in listed} >= {"document 'a'", "document 'd'"}


def test_the_command_says_that_an_index_is_sound(index: LocalIndex, path: Path) -> None:
    assert "is as it was committed: 4 documents, 2 segments of" in run("check", path).stdout
    assert run("check", path, "--quiet").output == ""
    assert json.loads(run("check", path, "--json").stdout)["damage"] == []


def test_the_command_needs_an_index_in_a_folder(tmp_path: Path) -> None:
    assert "no index at" in run("check", tmp_path, code=1).stderr
    assert "is no folder" in run("check", "qdrant://host/x", code=1).stderr


def test_a_catalogue_that_says_no_generation_is_damaged(index: LocalIndex, path: Path) -> None:
    alter(path, "UPDATE meta SET value = 'x' WHERE key = 'generation'")
    with pytest.raises(IndexCorruptError, match="table meta is damaged"):
        index.check()
    index.close()
    (path / "catalog.sqlite").write_bytes(b"no database" * 99)
    assert "is damaged" in run("check", path, code=1).stderr


def test_a_check_reads_one_generation_while_the_index_changes(
    index: LocalIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.indexes.local.files import readers
    from tercet.indexes.local.upkeep import check

    generation = readers.read_generation
    changed = []

    def late(connection: Any) -> int:
        found = generation(connection)
        if not changed:  # a commit comes between the first look and the mark
            changed.append(index.compact())
        return found

    monkeypatch.setattr(readers, "read_generation", late)
    segments = check._Check._segments

    def slow(self: Any) -> Any:
        put(index, "f")
        index.compact()
        index.compact()
        return segments(self)

    monkeypatch.setattr(check._Check, "_segments", slow)
    with Index.open(path, read_only=True) as reader:
        assert isinstance(reader, LocalIndex)
        report = reader.check()
    assert (report.documents, report.damage) == (4, ())
