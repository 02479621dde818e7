"""Writing: batches of points under the server's limits, several on their way at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from qdrant_client import models

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, Representation
from tercet.errors import TercetIndexError
from tercet.indexes.content import content_hash
from tercet.indexes.qdrant.cells import Cells
from tercet.indexes.qdrant.points import payload_of, point_id, sizes_of, vectors_of
from tercet.indexes.qdrant.requests import CELLS
from tercet.indexes.qdrant.search import QdrantReader

DOCUMENTS_AT_ONCE = 256
BYTES_AT_ONCE = 1 << 23
"""Bytes of a request, of the 32 MiB that a server takes; one document alone may be more."""

NUMBER_BYTES = 12
"""Of a number in a request."""

Batch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes documents to a collection that is laid out.

    Attributes:
        reader: Says what is there.
        views: That are stored.
        cells: Of the collection; None as long as it has none.
        parallel: Requests that are on their way at a time; the next waits for one of them.
    """

    reader: QdrantReader
    views: tuple[Representation, ...]
    cells: Cells | None
    parallel: int

    def write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """Write documents with distinct ids; those that are there, unchanged, are skipped.

        Raises:
            TercetIndexError: A batch failed for good; the message says how many are written.
        """
        hashes = [content_hash(d, embeddings.document_id).hex() for d in documents]
        points = [point_id(document.id) for document in documents]
        stored = self.reader.stored(points)
        fresh = [
            row
            for row, point in enumerate(points)
            # Vectors that name no model may differ for the same text: they are never skipped.
            if embeddings.document_id is None or stored.get(point) != hashes[row]
        ]
        self._send(
            [documents[row] for row in fresh],
            embeddings.take(fresh),
            [hashes[row] for row in fresh],
        )
        replaced = sum(points[row] in stored for row in fresh)
        return AddReport(len(fresh), replaced, len(documents) - len(fresh))

    def _send(
        self, documents: Sequence[Document], embeddings: Embeddings, hashes: Sequence[str]
    ) -> None:
        sent: dict[Future[None], int] = {}
        written = 0
        with ThreadPoolExecutor(self.parallel, "tercet-upsert") as threads:
            try:
                for start, stop in batches(documents, embeddings):
                    if len(sent) >= self.parallel:
                        written += _finished(sent)
                    some = embeddings.take(range(start, stop))
                    points = self._points(documents[start:stop], some, hashes[start:stop])
                    sent[threads.submit(self._upsert, points)] = stop - start
                while sent:
                    written += _finished(sent)
            except TercetIndexError as error:
                wait(sent)
                written += sum(n for batch, n in sent.items() if batch.exception() is None)
                raise type(error)(
                    f"{error}; {written} of {len(documents)} documents of this call are written: "
                    "run the same again, which skips them"
                ) from error

    def _points(
        self, documents: Sequence[Document], embeddings: Embeddings, hashes: Sequence[str]
    ) -> list[models.PointStruct]:
        points = [
            models.PointStruct(
                id=point_id(document.id),
                vector={view.value: vector for view, vector in vectors.items()},
                payload=payload_of(document, hashes[n], sizes_of(embeddings, self.views, n)),
            )
            for n, (document, vectors) in enumerate(
                zip(documents, vectors_of(embeddings, self.views), strict=True)
            )
        ]
        tokens = embeddings.multi_vector
        if self.cells is not None and tokens is not None:
            for point, own in zip(points, self.cells.of_documents(tokens), strict=True):
                point.vector = {**cast("dict[str, Any]", point.vector), CELLS: own}
                point.payload = {**(point.payload or {}), CELLS: self.cells.key}
        return points

    def _upsert(self, points: list[models.PointStruct]) -> None:
        connection = self.reader.connection
        name = connection.address.collection
        connection.call(lambda client: client.upsert(name, points, wait=True))


def batches(documents: Sequence[Document], embeddings: Embeddings) -> Iterator[Batch]:
    """Cut documents into requests."""
    numbers = np.zeros(len(documents), dtype=np.int64)
    if embeddings.dense is not None:
        numbers += embeddings.dense.shape[1]
    if embeddings.sparse is not None:
        numbers += 2 * np.diff(embeddings.sparse.indptr)
    if embeddings.multi_vector is not None:
        numbers += np.diff(embeddings.multi_vector.offsets) * embeddings.multi_vector.dim
    texts = np.asarray([len(document.content) for document in documents], dtype=np.int64)
    ends = np.cumsum(NUMBER_BYTES * numbers + 2 * texts)
    start = 0
    while start < len(documents):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + BYTES_AT_ONCE, side="right"))
        stop = min(max(stop, start + 1), start + DOCUMENTS_AT_ONCE, len(documents))
        yield start, stop
        start = stop


def _finished(sent: dict[Future[None], int]) -> int:
    """Documents of the batches that are done; waits for at least one."""
    done, _ = wait(sent, return_when=FIRST_COMPLETED)
    for batch in done:
        batch.result()
    return sum(sent.pop(batch) for batch in done)
