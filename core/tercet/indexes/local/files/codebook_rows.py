"""Codebooks as rows of the catalogue, and back; each is read once."""

import hashlib
import json
import sqlite3
from collections.abc import Collection

from tercet.errors import IndexCorruptError
from tercet.indexes.codebooks import Codebook


class Codebooks:
    """The codebooks of a catalogue."""

    def __init__(self) -> None:
        self._known: dict[int, Codebook] = {}

    def newest(self, connection: sqlite3.Connection) -> Codebook | None:
        """The one that new segments use; None as long as there is none."""
        key = newest_codebook_key(connection)
        return None if key is None else self.get(connection, key)

    def get(self, connection: sqlite3.Connection, key: int) -> Codebook:
        """One of them.

        Raises:
            IndexCorruptError: The catalogue lacks it, or it is damaged.
        """
        if key not in self._known:
            query = "SELECT content, sha256 FROM codebooks WHERE id = ?"
            row = connection.execute(query, (key,)).fetchone()
            if row is None or hashlib.sha256(row[0]).hexdigest() != row[1]:
                raise IndexCorruptError(
                    f"codebook {key} of the catalogue is missing or damaged; restore the folder"
                )
            self._known[key] = Codebook.from_bytes(row[0], key=key)
        return self._known[key]


def newest_codebook_key(connection: sqlite3.Connection) -> int | None:
    """The key of the one that new segments use."""
    found: tuple[int | None] = connection.execute("SELECT max(id) FROM codebooks").fetchone()
    return found[0]


def count_codebooks(connection: sqlite3.Connection) -> int:
    """How many there are."""
    return int(connection.execute("SELECT count(*) FROM codebooks").fetchone()[0])


def next_codebook_key(connection: sqlite3.Connection) -> int:
    """The key of the next codebook; no key is given twice."""
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'codebooks'"
    found = connection.execute(query).fetchone()
    return int(found[0]) + 1 if found else 1


def forget_codebooks(connection: sqlite3.Connection, used: Collection[int | None]) -> None:
    """Drop the codebooks that no segment uses, but never the newest.

    Readers are not disturbed: each takes its codebooks in the transaction in which it sees its
    segments.
    """
    connection.execute("BEGIN IMMEDIATE")
    kept = {newest_codebook_key(connection), *used} - {None}
    delete = "DELETE FROM codebooks WHERE id NOT IN (SELECT value FROM json_each(?))"
    connection.execute(delete, (json.dumps(list(kept)),))
    connection.execute("COMMIT")


def insert_codebook(connection: sqlite3.Connection, codebook: Codebook) -> None:
    """Make a codebook that of new segments, unless it is already."""
    content = codebook.to_bytes()
    values = (codebook.key, "multi_vector", content, hashlib.sha256(content).hexdigest())
    connection.execute("INSERT OR IGNORE INTO codebooks VALUES (?, ?, ?, ?)", values)
