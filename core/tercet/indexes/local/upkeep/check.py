"""Checks of an index: every byte that was committed is read and compared with its hash.

Segments have a hash in the catalogue, documents one in their row, the table meta one in itself;
fields are made again from the metadata. SQLite's own check covers the pages.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tercet.errors import IndexCorruptError, IndexFormatError
from tercet.indexes.local.files.catalog import Connections, read_generation, read_meta
from tercet.indexes.local.files.fields import Value, field_rows
from tercet.indexes.local.files.readers import standing_read
from tercet.indexes.local.files.segment_rows import read_segment
from tercet.indexes.local.files.segments import KEYS, KEYS_CODEC
from tercet.indexes.local.reading.rows import row_hash

SHOWN = 20
"""So many places of one sort of damage are listed one by one."""

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was committed.

    Attributes:
        place: A segment's file, a document's id, or the catalogue.
        what: What is wrong with it.
    """

    place: str
    what: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check read, and what it found.

    Attributes:
        documents: How many it compared with their hashes.
        segments: How many it compared with theirs.
        bytes: The size of these segments.
        damage: All that is not as it was committed; nothing, as a rule.
    """

    documents: int
    segments: int
    bytes: int
    damage: tuple[Damage, ...]


def check(connections: Connections, *, marked: bool) -> CheckReport:
    """Read everything that the last commit left, and compare it with its hashes."""
    with (
        closing(connections.apart()) as own,
        standing_read(own, marked=marked) as connection,
    ):
        # Bytes that are no UTF-8 are damage to be named, not an error on the way.
        connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        found = _Check(connections.folder, connection)
        found.run()
        return CheckReport(found.documents, found.segments, found.bytes, tuple(found.damage))


@dataclass
class _Check:
    folder: Path
    connection: sqlite3.Connection
    damage: list[Damage] = field(default_factory=list)
    documents: int = 0
    segments: int = 0
    bytes: int = 0

    def run(self) -> None:
        """All checks; one that SQLite cannot finish is damage, and does not stop the others."""
        checks: Sequence[Callable[[], None]] = (
            self._pages,
            self._meta,
            self._documents,
            self._orphans,
            self._generations,
            self._codebooks,
            self._rows,
        )
        for one in checks:
            try:
                one()
            except sqlite3.DatabaseError as error:
                self._note("catalogue", str(error))

    def _note(self, place: str, what: str) -> None:
        damage = Damage(place, what)
        if damage not in self.damage:
            self.damage.append(damage)

    def _pages(self) -> None:
        for (said,) in self.connection.execute(f"PRAGMA integrity_check({SHOWN})"):
            if said != "ok":
                self._note("catalogue", said)

    def _meta(self) -> None:
        try:
            read_meta(self.connection)
        except (IndexCorruptError, IndexFormatError) as error:
            self._note("catalogue", str(error))

    def _documents(self) -> None:
        query = (
            "SELECT key, id, parent, text, header, metadata, private, content_hash, row_hash "
            "FROM documents"
        )
        for *values, stored in self.connection.execute(query):
            self.documents += 1
            key, id_, parent, metadata = values[0], values[1], values[2], values[5]
            if row_hash(values) != stored:
                self._note(f"document {id_!r}", "its row does not have its hash")
            elif self._fields(key) != field_rows(json.loads(metadata), parent):
                self._note(f"document {id_!r}", "its fields for filters are not its metadata")

    def _fields(self, key: int) -> set[tuple[str, str, Value]]:
        query = "SELECT name, type, value FROM fields WHERE document = ?"
        return set(self.connection.execute(query, (key,)))

    def _orphans(self) -> None:
        queries = {
            "fields for filters": "SELECT DISTINCT document FROM fields EXCEPT SELECT key FROM "
            "documents",
            "tombstones": "SELECT DISTINCT segment FROM tombstones EXCEPT SELECT id FROM segments",
        }
        for name, query in queries.items():
            for (key,) in self.connection.execute(f"{query} LIMIT {SHOWN}"):
                self._note("catalogue", f"{name} of {key!r}, which is not there")

    def _generations(self) -> None:
        last = read_generation(self.connection)
        for name, column in (("segments", "dead_since"), ("tombstones", "generation")):
            query = f"SELECT max({column}) FROM {name}"
            (newest,) = self.connection.execute(query).fetchone()
            if newest is not None and newest > last:
                what = f"{name} of commit {newest}, when the last one is {last}"
                self._note("catalogue", what)

    def _codebooks(self) -> None:
        there = "SELECT 1 FROM sqlite_master WHERE name = 'codebooks'"
        if self.connection.execute(there).fetchone() is None:
            return
        query = "SELECT id, view, content, sha256 FROM codebooks"
        for id_, view, content, stored in self.connection.execute(query):
            if hashlib.sha256(content).hexdigest() != stored:
                self._note(f"codebook {id_} of {view}", "its content does not have its hash")

    def _rows(self) -> None:
        """Segments against their hashes, and their rows against the documents."""
        found = list(self._segments())
        known = np.asarray(
            [key for (key,) in self.connection.execute("SELECT key FROM documents")], np.int64
        )
        for file, keys in found:
            for key in keys[~np.isin(keys, known)][:SHOWN].tolist():
                self._note(f"segment {file}", f"a row of document {key}, which is not there")
        if any(damage.place.startswith("segment") for damage in self.damage):
            return  # documents may well stand in what cannot be read
        rows = np.concatenate([np.empty(0, np.int64), *(keys for _, keys in found)])
        counts = dict(zip(*np.unique(rows, return_counts=True), strict=True))
        for key in known.tolist():
            if counts.get(key, 0) != 1:
                self._note(f"document {self._id(key)!r}", f"{counts.get(key, 0)} rows in segments")

    def _id(self, key: int) -> str:
        found: tuple[str] = self.connection.execute(
            "SELECT id FROM documents WHERE key = ?", (key,)
        ).fetchone()
        return found[0]

    def _segments(self) -> Iterator[tuple[str, Keys]]:
        """File and keys of the live rows, for each live segment that is as it was written."""
        query = (
            "SELECT id, file, rows, bytes, sha256, CAST(content AS BLOB) FROM segments "
            "WHERE dead_since IS NULL"
        )
        for id_, file, rows, size, stored, content in self.connection.execute(query).fetchall():
            self.segments += 1
            self.bytes += size
            try:
                _compare(self.folder / "segments" / file, content, size, stored)
                yield file, self._live(id_, rows)
            except (OSError, IndexCorruptError, IndexFormatError) as error:
                self._note(f"segment {file}", str(error))

    def _live(self, id_: int, rows: int) -> Keys:
        segment = read_segment(self.connection, self.folder, id_)
        keys: Keys = segment.array(KEYS, KEYS_CODEC)
        query = "SELECT row FROM tombstones WHERE segment = ?"
        dead = np.asarray([row for (row,) in self.connection.execute(query, (id_,))], np.int64)
        if len(dead) and not 0 <= dead.min() <= dead.max() < rows:
            raise IndexCorruptError(f"it has {rows} rows, and row {dead.max()} of it is deleted")
        return np.delete(keys, dead)


def _compare(path: Path, held: bytes | None, size: int, stored: str) -> None:
    """Refuse a segment, held by the catalogue or else in its file, that has not its hash."""
    with path.open("rb") if held is None else BytesIO(held) as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
        length = content.seek(0, SEEK_END)
    if length != size:
        raise IndexCorruptError(f"it has {length} bytes, and was written with {size}")
    if found != stored:
        raise IndexCorruptError("its content does not have its hash")
