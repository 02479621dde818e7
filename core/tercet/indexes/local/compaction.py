"""Compaction: the live rows of several segments move into one."""

import sqlite3
from collections.abc import Sequence

import numpy as np

from tercet.embeddings import Representation
from tercet.indexes.local.catalog import Connections, next_generation
from tercet.indexes.local.rows import row_hash
from tercet.indexes.local.segments import Column
from tercet.indexes.local.snapshot import COLUMNS, Part, Snapshots
from tercet.indexes.local.writer import Writer, insert_segment


def compact(
    writer: Writer,
    connections: Connections,
    snapshots: Snapshots,
    views: Sequence[Representation],
) -> None:
    """Rewrite all live rows as one segment; readers of older snapshots are not disturbed."""
    with writer.held():
        with connections.reading() as reading, snapshots.lease(reading) as snapshot:
            parts = snapshot.parts
            if len(parts) <= 1 and all(part.live.all() for part in parts):
                return
            columns: dict[str, Column] = {}
            for view in views:
                columns |= COLUMNS[view].merge(
                    [(part.columns[view], np.flatnonzero(part.live)) for part in parts]
                )
            written = writer.write(columns, len(snapshot.live))
        with connections.writing() as connection:
            _move(connection, parts, insert_segment(connection, written))
    with connections.reading() as reading, snapshots.lease(reading):
        pass  # this index itself moves on
    with writer.held():
        pass  # taking the lock sweeps what no reader needs any more


def _move(connection: sqlite3.Connection, parts: Sequence[Part], target: int) -> None:
    """Let documents point to their new rows, and the old segments die."""
    generation = next_generation(connection)
    query = "SELECT key, id, row, content_hash FROM documents WHERE segment = ?"
    update = "UPDATE documents SET segment = ?, row = ?, row_hash = ? WHERE key = ?"
    start = 0
    for part in parts:
        moved = np.cumsum(part.live) - 1 + start
        connection.executemany(
            update,
            [
                (target, int(moved[row]), row_hash(id_, target, int(moved[row]), content), key)
                for key, id_, row, content in connection.execute(query, (part.key,)).fetchall()
            ],
        )
        connection.execute(
            "UPDATE segments SET dead_since = ? WHERE id = ?", (generation, part.key)
        )
        start += int(part.live.sum())
