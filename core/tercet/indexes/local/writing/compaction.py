"""Compaction: the live rows of several segments move into one."""

import math
import sqlite3
from collections import ChainMap
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tercet.embeddings import Representation
from tercet.errors import TercetIndexError
from tercet.indexes.codebooks import LARGE_DOCUMENTS
from tercet.indexes.local.columns.table import MERGE
from tercet.indexes.local.files.catalog import Connections, next_generation
from tercet.indexes.local.files.codebook_rows import insert_codebook
from tercet.indexes.local.files.segment_rows import insert_segment, replace_segments
from tercet.indexes.local.reading.snapshot import Part
from tercet.indexes.local.writing.training import is_large, is_new_needed, train
from tercet.indexes.local.writing.writer import Writer

FANOUT = 8
"""So many segments of like size are merged."""

SMALLEST_BYTES = 1 << 14
"""Segments up to this size are of the lowest tier."""

MERGED_BYTES = 256 << 20
"""A merge after a commit writes so much at most, about a second; `compact` does the rest."""


@dataclass(frozen=True, slots=True)
class Size:
    """A live segment's key, and the bytes of its live rows."""

    segment: int
    bytes: int


def compact(writer: Writer, connections: Connections, views: Sequence[Representation]) -> None:
    """Rewrite all live rows as one segment; readers of older snapshots are not disturbed."""
    _merge(writer, connections, views, choose=_everything)
    with writer.held():
        pass  # taking the lock sweeps what no reader needs any more


def merge_small(writer: Writer, connections: Connections, views: Sequence[Representation]) -> None:
    """After a commit: merge segments of like size, so that many small adds stay few files.

    A document is written once a tier, and a call never writes more than `MERGED_BYTES`. What was
    added is safe already: where a merge fails, a later one will do it.
    """
    room = MERGED_BYTES
    with suppress(TercetIndexError):
        while True:
            with connections.reading() as reading:
                crowd = _crowd(_sizes(reading), room)
            if not crowd:
                break
            _merge(writer, connections, views, choose=partial(_among, {s.segment for s in crowd}))
            room -= sum(size.bytes for size in crowd)


def train_large(writer: Writer, connections: Connections, views: Sequence[Representation]) -> None:
    """Once a collection is large: train its codebook, and find the cells of what it holds."""
    if Representation.MULTI_VECTOR not in views:
        return
    with suppress(TercetIndexError):
        with connections.reading() as reading:
            rows = "SELECT total(rows) FROM segments WHERE dead_since IS NULL"
            few = reading.execute(rows).fetchone()[0] < LARGE_DOCUMENTS
            if few or writer.context(reading).codebook is not None:
                return
        with writer.looking() as (_, snapshot):
            large = is_large(snapshot)
        if large:
            _merge(writer, connections, views, choose=lambda parts: parts)


def _everything(parts: Sequence[Part]) -> Sequence[Part]:
    return parts if len(parts) > 1 or any(not part.live.all() for part in parts) else ()


def _among(keys: Collection[int], parts: Sequence[Part]) -> Sequence[Part]:
    return [part for part in parts if part.key in keys]


def _sizes(connection: sqlite3.Connection) -> list[Size]:
    query = (
        "SELECT id, bytes * (rows - (SELECT count(*) FROM tombstones WHERE segment = id)) / rows "
        "FROM segments WHERE dead_since IS NULL ORDER BY id"
    )
    return [Size(*row) for row in connection.execute(query)]


def _crowd(sizes: Sequence[Size], room: int) -> Sequence[Size]:
    """The oldest segments of the smallest tier that holds too many; none where it has no room."""
    tiers: dict[int, list[Size]] = {}
    for size in sizes:
        tiers.setdefault(_tier(size.bytes), []).append(size)
    for _, tier in sorted(tiers.items()):
        crowd = tier[:FANOUT]
        if len(crowd) == FANOUT and sum(size.bytes for size in crowd) <= room:
            return crowd
    return ()


def _tier(size: int) -> int:
    """Sizes by powers of the fan-out."""
    return max(0, math.ceil(math.log(max(size, 1) / SMALLEST_BYTES, FANOUT)))


def _merge(
    writer: Writer,
    connections: Connections,
    views: Sequence[Representation],
    *,
    choose: Callable[[Sequence[Part]], Sequence[Part]],
) -> None:
    with writer.held():
        with writer.looking() as (connection, snapshot):
            parts = choose(snapshot.parts)
            live = [np.flatnonzero(part.live) for part in parts]
            if not parts:
                return
            context = writer.context(connection)
            if is_new_needed(snapshot, context.codebook, renew=len(parts) == len(snapshot.parts)):
                context = replace(context, codebook=train(connection, snapshot))
            columns = ChainMap(
                *(
                    MERGE[view](
                        [
                            (part.columns[view], rows)
                            for part, rows in zip(parts, live, strict=True)
                        ],
                        context,
                    )
                    for view in views
                )
            )
            keys = [part.keys[rows] for part, rows in zip(parts, live, strict=True)]
            written = writer.write(columns, np.concatenate(keys))
        with connections.writing() as connection:
            if context.codebook is not None:
                insert_codebook(connection, context.codebook)
            gone = [part.key for part in parts]
            replace_segments(connection, gone, next_generation(connection))
            insert_segment(connection, written)
