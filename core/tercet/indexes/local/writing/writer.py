"""Commits: segments are written and synced first, then one transaction makes them live.

Small ones are written by that transaction itself. Whatever interrupts a writer leaves at most files
that no catalogue row names; the next holder of the writer's lock sweeps them away.
"""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, Representation
from tercet.filters import Expression
from tercet.indexes.checks import check_dimensions, dimensions_of
from tercet.indexes.content import content_hash
from tercet.indexes.local.columns.cells import codebook_key
from tercet.indexes.local.columns.context import Context
from tercet.indexes.local.columns.table import STORE
from tercet.indexes.local.files.catalog import (
    Connections,
    learn_dimensions,
    next_generation,
    write_report,
)
from tercet.indexes.local.files.codebook_rows import count_codebooks, forget_codebooks
from tercet.indexes.local.files.faults import missing_segment, writing_faults
from tercet.indexes.local.files.lock import WriterLock
from tercet.indexes.local.files.readers import oldest_read
from tercet.indexes.local.files.segment_rows import count_dead, forget_dead, insert_segment
from tercet.indexes.local.files.segments import (
    KEYS,
    KEYS_CODEC,
    Column,
    Written,
    pack_segment,
    write_segment,
)
from tercet.indexes.local.reading.rows import (
    Places,
    insert_documents,
    keys_of,
    next_key,
    remove_documents,
    stored_hashes,
)
from tercet.indexes.local.reading.selection import select
from tercet.indexes.local.reading.snapshot import Snapshot, Snapshots
from tercet.indexes.storage import Storage

BATCH_DOCUMENTS = 1000
BATCH_BYTES = 64 << 20
"""A commit holds so many documents, or so many bytes of texts and vectors, whichever is less."""

INLINE_BYTES = 1 << 20
"""A segment up to this size stands in the catalogue: one sync, and no file to create and remove.

Readers hold such segments in memory. Merges leave less than `FANOUT` of a tier, so all of them
together take ten times as much at most.
"""

NEW = (0, b"")
"""What the catalogue knows of a document that it does not have."""


class Writer:
    """Changes the index at a folder; every method holds the writer's lock for one commit a time.

    Attributes:
        seconds: How long it has held the lock: commits, merges and training, in all.
    """

    def __init__(
        self,
        folder: Path,
        connections: Connections,
        snapshots: Snapshots,
        views: Sequence[Representation],
        *,
        timeout: float,
        storage: Storage,
    ) -> None:
        self._folder = folder
        self._connections = connections
        self._snapshots = snapshots
        self._views = views
        self._storage = storage
        self._lock = WriterLock(folder, timeout=timeout)
        self.seconds = 0.0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the writer's lock over a folder without orphans; faults are said clearly."""
        with writing_faults(self._folder), self._lock.held():
            start = time.perf_counter()
            try:
                self._sweep()
                yield
            finally:
                self.seconds += time.perf_counter() - start

    @contextmanager
    def looking(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """The index as it is; the lock must be held, so that no sweep comes between.

        Raises:
            IndexCorruptError: A segment is damaged or missing.
        """
        with self._connections.reading() as connection, ExitStack() as stack:
            try:
                snapshot = stack.enter_context(self._snapshots.lease(connection))
            except FileNotFoundError as error:
                raise missing_segment(error) from error
            yield connection, snapshot

    def commits(self, documents: Sequence[Document], embeddings: Embeddings) -> Iterator[AddReport]:
        """Write documents with distinct ids, commit by commit; what each has done."""
        for start, stop in _batches(documents, embeddings):
            with self.held():
                report = self._add(documents[start:stop], embeddings, start)
            yield report

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        with self.held():
            with self.looking() as (connection, snapshot):
                keys = keys_of(connection, ids)
                places = snapshot.places(snapshot.number(np.asarray(keys, dtype=np.int64)))
            return self._remove(keys, places)

    def delete_where(self, expression: Expression) -> int:
        """Remove the documents that pass; how many there were."""
        with self.held():
            with self.looking() as (connection, snapshot):
                rows = select(connection, snapshot, expression)
                keys, places = snapshot.keys[rows].tolist(), snapshot.places(rows)
            return self._remove(keys, places)

    def clear(self) -> None:
        """Remove all documents."""
        with self.held(), self._connections.writing() as connection:
            generation = next_generation(connection)
            update = "UPDATE segments SET dead_since = ? WHERE dead_since IS NULL"
            connection.execute(update, (generation,))
            for table in ("documents", "fields", "tombstones", "codebooks"):
                connection.execute(f"DELETE FROM {table}")
            write_report(connection, None)

    def context(self, connection: sqlite3.Connection) -> Context:
        """What new segments are written with."""
        return Context(self._storage, self._snapshots.codebooks.newest(connection))

    def write(self, columns: Mapping[str, Column], keys: NDArray[np.int64]) -> Written:
        """A segment that is not live yet: in memory, or written and synced; under the lock."""
        name = f"{uuid.uuid4().hex}.safetensors"
        whole = {**columns, KEYS: Column.of(KEYS_CODEC, keys)}
        if sum(column.nbytes for column in whole.values()) <= INLINE_BYTES:
            return pack_segment(name, whole, rows=len(keys))
        return write_segment(self._folder / "segments" / name, whole, rows=len(keys))

    def _add(self, documents: Sequence[Document], embeddings: Embeddings, start: int) -> AddReport:
        hashes = [content_hash(document, embeddings.document_id) for document in documents]
        with self._connections.reading() as connection:
            stored = stored_hashes(connection, [document.id for document in documents])
            first_key = next_key(connection)
            context = self.context(connection)
        fresh = [
            row
            for row, document in enumerate(documents)
            # Vectors that name no model may differ for the same text: they are never skipped.
            if embeddings.document_id is None or stored.get(document.id, NEW)[1] != hashes[row]
        ]
        if not fresh:
            return AddReport(skipped=len(documents))
        chosen = [documents[row] for row in fresh]
        replaced = [stored[document.id][0] for document in chosen if document.id in stored]
        places = self._places(replaced) if replaced else []
        keys = np.arange(first_key, first_key + len(fresh), dtype=np.int64)
        whole = len(fresh) == len(embeddings)
        views = embeddings if whole else embeddings.take(np.asarray(fresh) + start)
        written = self._write_batch(views, keys, context)
        with self._naming(written) as connection:
            learned = learn_dimensions(connection, dimensions_of(embeddings))
            check_dimensions(embeddings, learned, name="documents")
            generation = next_generation(connection)
            if replaced:
                remove_documents(connection, replaced, places, generation)
            insert_segment(connection, written)
            inserted = [hashes[row] for row in fresh]
            insert_documents(connection, chosen, inserted, first_key=first_key)
        return AddReport(len(fresh), len(replaced), len(documents) - len(fresh))

    @contextmanager
    def _naming(self, written: Written) -> Iterator[sqlite3.Connection]:
        """The transaction that makes a segment live; the file goes where it comes to no commit.

        A commit that fails may stand in the log all the same: its file is left to a sweep.
        """
        with self._connections.writing() as connection:
            try:
                yield connection
            except BaseException:
                (self._folder / "segments" / written.file).unlink(missing_ok=True)
                raise

    def _places(self, keys: Sequence[int]) -> Places:
        with self.looking() as (_, snapshot):
            return snapshot.places(snapshot.number(np.asarray(keys, dtype=np.int64)))

    def _remove(self, keys: Sequence[int], places: Places) -> int:
        if keys:
            with self._connections.writing() as connection:
                remove_documents(connection, keys, places, next_generation(connection))
        return len(keys)

    def _write_batch(
        self, embeddings: Embeddings, keys: NDArray[np.int64], context: Context
    ) -> Written:
        columns: dict[str, Column] = {}
        for view in self._views:
            columns |= STORE[view](getattr(embeddings, view.value), context)
        return self.write(columns, keys)

    def _sweep(self) -> None:
        """Remove what died before any living reader, and files that no row names."""
        forgotten = 0
        with self._connections.connection() as connection:
            if count_dead(connection):
                with self.looking():
                    pass  # the snapshot of this index itself moves on
                forgotten = forget_dead(connection, oldest_read(self._folder / "readers"))
            if not count_dead(connection) and count_codebooks(connection) > 1:
                with self.looking() as (_, snapshot):
                    used = {codebook_key(part.segment.codecs) for part in snapshot.parts}
                forget_codebooks(connection, used)
            named = {file for (file,) in connection.execute("SELECT file FROM segments")}
        with os.scandir(self._folder / "segments") as files:
            orphans = [file.name for file in files if file.name not in named]
        if orphans and not forgotten:
            with self._connections.writing() as connection:
                # A commit that failed at its sync may stand in the log, and come back after a
                # crash with a name of one of these files; this commit takes its place.
                connection.execute("UPDATE meta SET value = value WHERE key = 'generation'")
        for file in orphans:
            (self._folder / "segments" / file).unlink()


def _batches(documents: Sequence[Document], embeddings: Embeddings) -> Iterator[tuple[int, int]]:
    """Cut documents into commits."""
    ends = np.cumsum(_sizes(documents, embeddings))
    start = 0
    while start < len(documents):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + BATCH_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + BATCH_DOCUMENTS)
        yield start, stop
        start = stop


def _sizes(documents: Sequence[Document], embeddings: Embeddings) -> NDArray[np.int64]:
    """Bytes of each document's text and vectors, roughly."""
    sizes = np.asarray([len(document.text) for document in documents], dtype=np.int64)
    if embeddings.dense is not None:
        sizes += embeddings.dense.shape[1] * 4
    if embeddings.sparse is not None:
        sizes += np.diff(embeddings.sparse.indptr) * 8
    if embeddings.multi_vector is not None:
        sizes += np.diff(embeddings.multi_vector.offsets) * embeddings.multi_vector.dim * 2
    return sizes
