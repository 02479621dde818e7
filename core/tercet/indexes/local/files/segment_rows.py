"""Segments as rows of the catalogue; small ones have all of their bytes there."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tercet.indexes.local.files.segments import Segment, Written, open_segment, parse_segment


def insert_segment(connection: sqlite3.Connection, written: Written) -> None:
    """Make a segment live."""
    insert = "INSERT INTO segments VALUES (NULL, ?, ?, ?, ?, NULL, ?)"
    values = (written.file, written.rows, written.size, written.sha256, written.content)
    connection.execute(insert, values)


def read_segment(connection: sqlite3.Connection, folder: Path, key: int) -> Segment:
    """A segment, out of the catalogue or mapped.

    Raises:
        FileNotFoundError: Its file is missing.
        IndexCorruptError: It is damaged.
    """
    query = "SELECT file, rows, CAST(content AS BLOB) FROM segments WHERE id = ?"
    file, rows, content = connection.execute(query, (key,)).fetchone()
    if content is None:
        return open_segment(folder / "segments" / file, rows=rows)
    return parse_segment(content, folder / "catalog.sqlite", rows=rows)


def replace_segments(connection: sqlite3.Connection, keys: Sequence[int], generation: int) -> None:
    """Let segments die whose rows stand in another one.

    Those in the catalogue go at once: who reads an older generation has them by its transaction.
    """
    listed = json.dumps(keys)
    chosen = "SELECT value FROM json_each(?)"
    held = f"SELECT id FROM segments WHERE id IN ({chosen}) AND content IS NOT NULL"
    connection.execute(f"DELETE FROM tombstones WHERE segment IN ({held})", (listed,))
    connection.execute(f"DELETE FROM segments WHERE id IN ({held})", (listed,))
    update = f"UPDATE segments SET dead_since = ? WHERE id IN ({chosen})"
    connection.execute(update, (generation, listed))


def count_dead(connection: sqlite3.Connection) -> int:
    """Segments that no new reader sees, and that are there for older ones."""
    query = "SELECT count(*) FROM segments WHERE dead_since IS NOT NULL"
    return int(connection.execute(query).fetchone()[0])


def forget_dead(connection: sqlite3.Connection, oldest: int | None) -> int:
    """Drop dead segments from the catalogue, if no reader is of a generation before their death.

    Returns:
        How many there were.
    """
    chosen = (
        "SELECT id FROM segments WHERE dead_since IS NOT NULL AND (? IS NULL OR dead_since <= ?)"
    )
    values = (oldest, oldest)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM tombstones WHERE segment IN ({chosen})", values)
    forgotten = connection.execute(f"DELETE FROM segments WHERE id IN ({chosen})", values)
    connection.execute("COMMIT")
    return forgotten.rowcount
