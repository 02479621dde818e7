"""Compaction: the live rows of several segments move into one."""

import math
import sqlite3
from collections import ChainMap, Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from tercet.embeddings import Representation
from tercet.errors import TercetIndexError
from tercet.indexes.local.catalog import Connections, next_generation
from tercet.indexes.local.rows import row_hash
from tercet.indexes.local.snapshot import COLUMNS, Part, Snapshots
from tercet.indexes.local.writer import Writer, insert_segment

FANOUT = 8
"""So many small segments of like size are merged."""

SMALL = 512
"""Rows from which on a segment waits for `compact`."""


def compact(
    writer: Writer,
    connections: Connections,
    snapshots: Snapshots,
    views: Sequence[Representation],
) -> None:
    """Rewrite all live rows as one segment; readers of older snapshots are not disturbed."""
    _merge(writer, connections, snapshots, views, choose=_everything)
    with connections.reading() as reading, snapshots.lease(reading):
        pass  # this index itself moves on
    with writer.held():
        pass  # taking the lock sweeps what no reader needs any more


def merge_small(
    writer: Writer,
    connections: Connections,
    snapshots: Snapshots,
    views: Sequence[Representation],
) -> None:
    """After a commit: merge small segments of like size, so that many small adds stay few files.

    What was added is safe already: where the merge fails, a later one will do it.
    """
    query = "SELECT rows FROM segments WHERE dead_since IS NULL"
    with suppress(TercetIndexError):
        while True:
            with connections.reading() as reading:
                rows = [count for (count,) in reading.execute(query)]
            if _crowded_tier(rows) is None:
                break
            _merge(writer, connections, snapshots, views, choose=_crowded)


def _everything(parts: Sequence[Part]) -> Sequence[Part]:
    return parts if len(parts) > 1 or any(not part.live.all() for part in parts) else ()


def _crowded(parts: Sequence[Part]) -> Sequence[Part]:
    tier = _crowded_tier([len(part.live) for part in parts])
    return [part for part in parts if tier is not None and _tier(len(part.live)) == tier]


def _crowded_tier(rows: Sequence[int]) -> int | None:
    """The smallest tier of small segments that holds too many, if one does."""
    tiers = Counter(_tier(count) for count in rows if count < SMALL)
    return min((tier for tier, count in tiers.items() if count >= FANOUT), default=None)


def _tier(rows: int) -> int:
    """Sizes by powers of the fan-out: 1 to 7, 8 to 63, 64 to 511."""
    return int(math.log(max(rows, 1), FANOUT))


def _merge(
    writer: Writer,
    connections: Connections,
    snapshots: Snapshots,
    views: Sequence[Representation],
    *,
    choose: Callable[[Sequence[Part]], Sequence[Part]],
) -> None:
    with writer.held():
        with connections.reading() as reading, snapshots.lease(reading) as snapshot:
            parts = choose(snapshot.parts)
            live = [np.flatnonzero(part.live) for part in parts]
            if not parts:
                return
            columns = ChainMap(
                *(
                    COLUMNS[view].merge(
                        [(part.columns[view], rows) for part, rows in zip(parts, live, strict=True)]
                    )
                    for view in views
                )
            )
            written = writer.write(columns, sum(map(len, live)))
        with connections.writing() as connection:
            _move(connection, parts, insert_segment(connection, written))


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
