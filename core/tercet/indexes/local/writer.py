"""Commits: segments are written and synced first, then one transaction makes them live.

Whatever interrupts a writer leaves at most files that no catalogue row names; the next holder of
the writer's lock sweeps them away.
"""

import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, Representation
from tercet.indexes.checks import check_dimensions, dimensions_of
from tercet.indexes.local.catalog import Connections, learn_dimensions, next_generation
from tercet.indexes.local.faults import writing_faults
from tercet.indexes.local.fields import Condition
from tercet.indexes.local.lock import WriterLock
from tercet.indexes.local.readers import oldest_read
from tercet.indexes.local.rows import (
    content_hash,
    insert_documents,
    keys_of,
    remove_documents,
    stored_hashes,
)
from tercet.indexes.local.segments import Column, Written, write_segment
from tercet.indexes.local.snapshot import COLUMNS

BATCH_DOCUMENTS = 1000
BATCH_BYTES = 64 << 20
"""A commit holds so many documents, or so many bytes of texts and vectors, whichever is less."""


class Writer:
    """Changes the index at a folder; every method holds the writer's lock for one commit a time."""

    def __init__(
        self,
        folder: Path,
        connections: Connections,
        views: Sequence[Representation],
        timeout: float,
    ) -> None:
        self._folder = folder
        self._connections = connections
        self._views = views
        self._lock = WriterLock(folder, timeout=timeout)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the writer's lock over a folder without orphans; faults are said clearly."""
        with writing_faults(self._folder), self._lock.held():
            self._sweep()
            yield

    def add(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """Write documents with distinct ids, commit by commit."""
        report = AddReport()
        for start, stop in _batches(documents, embeddings):
            with self.held():
                report += self._add(documents[start:stop], embeddings, start)
        return report

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        with self.held(), self._connections.writing() as connection:
            return _remove(connection, keys_of(connection, ids))

    def delete_where(self, condition: Condition) -> int:
        """Remove the documents that pass; how many there were."""
        query = f"SELECT key FROM documents WHERE {condition.sql}"
        with self.held(), self._connections.writing() as connection:
            keys = [key for (key,) in connection.execute(query, condition.values)]
            return _remove(connection, keys)

    def clear(self) -> None:
        """Remove all documents."""
        with self.held(), self._connections.writing() as connection:
            generation = next_generation(connection)
            update = "UPDATE segments SET dead_since = ? WHERE dead_since IS NULL"
            connection.execute(update, (generation,))
            for table in ("documents", "fields", "tombstones"):
                connection.execute(f"DELETE FROM {table}")

    def write(self, columns: Mapping[str, Column], rows: int) -> Written:
        """Write and sync a segment that is not live yet; the lock must be held."""
        path = self._folder / "segments" / f"{uuid.uuid4().hex}.safetensors"
        return write_segment(path, columns, rows=rows)

    def _add(self, documents: Sequence[Document], embeddings: Embeddings, start: int) -> AddReport:
        hashes = [content_hash(document, embeddings.document_id) for document in documents]
        with self._connections.reading() as connection:
            stored = stored_hashes(connection, [document.id for document in documents])
        fresh = [
            row
            for row, document in enumerate(documents)
            # Vectors that name no model may differ for the same text: they are never skipped.
            if embeddings.document_id is None or stored.get(document.id) != hashes[row]
        ]
        if not fresh:
            return AddReport(skipped=len(documents))
        chosen = [documents[row] for row in fresh]
        written = self._write_batch(embeddings.take(np.asarray(fresh) + start))
        try:
            with self._connections.writing() as connection:
                learned = learn_dimensions(connection, dimensions_of(embeddings))
                check_dimensions(embeddings, learned.dimensions, name="documents")
                replaced = [document.id for document in chosen if document.id in stored]
                generation = next_generation(connection)
                remove_documents(connection, keys_of(connection, replaced), generation)
                segment = insert_segment(connection, written)
                insert_documents(
                    connection, chosen, [hashes[row] for row in fresh], segment=segment
                )
        except BaseException:
            (self._folder / "segments" / written.file).unlink(missing_ok=True)
            raise
        return AddReport(len(fresh), len(replaced), len(documents) - len(fresh))

    def _write_batch(self, embeddings: Embeddings) -> Written:
        columns: dict[str, Column] = {}
        for view in self._views:
            columns |= COLUMNS[view].store(getattr(embeddings, view.value))
        return self.write(columns, len(embeddings))

    def _sweep(self) -> None:
        """Remove segments that died before any living reader, and files that no row names."""
        with self._connections.connection() as connection:
            dying = "SELECT count(*) FROM segments WHERE dead_since IS NOT NULL"
            if connection.execute(dying).fetchone()[0]:
                oldest = oldest_read(self._folder / "readers")
                forget_dead(connection, oldest)
            named = {file for (file,) in connection.execute("SELECT file FROM segments")}
        for path in (self._folder / "segments").iterdir():
            if path.name not in named:
                path.unlink()


def insert_segment(connection: sqlite3.Connection, written: Written) -> int:
    """Make a segment live; its key."""
    insert = "INSERT INTO segments VALUES (NULL, ?, ?, ?, NULL)"
    key = connection.execute(insert, (written.file, written.rows, written.sha256)).lastrowid
    return int(key or 0)


def forget_dead(connection: sqlite3.Connection, oldest: int | None) -> None:
    """Drop dead segments from the catalogue, if no reader is of a generation before their death."""
    chosen = (
        "SELECT id FROM segments WHERE dead_since IS NOT NULL AND (?1 IS NULL OR dead_since <= ?1)"
    )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM tombstones WHERE segment IN ({chosen})", (oldest,))
    connection.execute(f"DELETE FROM segments WHERE id IN ({chosen})", (oldest,))
    connection.execute("COMMIT")


def _remove(connection: sqlite3.Connection, keys: Sequence[int]) -> int:
    if keys:
        remove_documents(connection, keys, next_generation(connection))
    return len(keys)


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
