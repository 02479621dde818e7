"""Writing: batches of points under the server's limits, several on their way at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import numpy as np
from qdrant_client import models

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, Representation
from tercet.errors import TercetIndexError
from tercet.indexes.content import content_hash
from tercet.indexes.qdrant.cells import Cells
from tercet.indexes.qdrant.lines import Sent
from tercet.indexes.qdrant.points import payload_of, point_id, sizes_of, vectors_of
from tercet.indexes.qdrant.requests import CELLS
from tercet.indexes.qdrant.search import Search

DOCUMENTS_AT_ONCE = 256
NUMBER_BYTES = 12
"""Of a number in a request."""

Batch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes documents to a collection that is laid out.

    Attributes:
        search: Says what is there, and has the line to the server.
        views: That are stored.
        cells: Of the collection; None as long as it has none.
        parallel: Requests that are on their way at a time; the next waits for one of them.
    """

    search: Search
    views: tuple[Representation, ...]
    cells: Cells | None
    parallel: int

    async def write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """Write documents with distinct ids; those that are there, unchanged, are skipped.

        Raises:
            TercetIndexError: A batch failed for good; the message says how many are written.
        """
        hashes = [content_hash(d, embeddings.document_id).hex() for d in documents]
        points = [point_id(document.id) for document in documents]
        stored = await self.search.stored(points)
        fresh = [
            row
            for row, point in enumerate(points)
            # Vectors that name no model may differ for the same text: they are never skipped.
            if embeddings.document_id is None or stored.get(point) != hashes[row]
        ]
        await self._send(
            [documents[row] for row in fresh],
            embeddings.take(fresh),
            [hashes[row] for row in fresh],
        )
        replaced = sum(points[row] in stored for row in fresh)
        return AddReport(len(fresh), replaced, len(documents) - len(fresh))

    async def _send(
        self, documents: Sequence[Document], embeddings: Embeddings, hashes: Sequence[str]
    ) -> None:
        line, sent, written = self.search.line, dict[Sent, int](), 0
        try:
            for start, stop in batches(documents, embeddings, most=line.request_bytes):
                if len(sent) >= self.parallel:
                    written += await self._finished(sent)
                some = embeddings.take(range(start, stop))
                rows = slice(start, stop)
                points = await line.work(self._points, documents[rows], some, hashes[rows])
                upsert = methodcaller("upsert", self.search.name, points, wait=True)
                sent[line.send(upsert)] = stop - start
            while sent:
                written += await self._finished(sent)
        except TercetIndexError as error:
            await line.wait(sent, all_=True)
            written += sum(n for batch, n in sent.items() if batch.exception() is None)
            raise type(error)(
                f"{error}; {written} of {len(documents)} documents of this call are written: "
                "run the same again, which skips them"
            ) from error
        finally:
            for batch in sent:
                batch.cancel()

    async def _finished(self, sent: dict[Sent, int]) -> int:
        """Documents of the batches that are done; waits for at least one."""
        done = await self.search.line.wait(sent)
        for batch in done:
            batch.result()
        return sum(sent.pop(batch) for batch in done)

    def _points(
        self, documents: Sequence[Document], embeddings: Embeddings, hashes: Sequence[str]
    ) -> list[models.PointStruct]:
        vectors: list[dict[str, Any]] = [
            {view.value: vector for view, vector in row.items()}
            for row in vectors_of(embeddings, self.views)
        ]
        payloads = [
            payload_of(document, hashes[n], sizes_of(embeddings, self.views, n))
            for n, document in enumerate(documents)
        ]
        tokens = embeddings.multi_vector
        if self.cells is not None and tokens is not None:
            for row, payload, own in zip(
                vectors, payloads, self.cells.of_documents(tokens), strict=True
            ):
                row[CELLS], payload[CELLS] = own, self.cells.key
        # Constructed as they are: that the lists hold numbers was checked while they were arrays,
        # and to look at each again takes five times as long as to send them.
        return [
            models.PointStruct.model_construct(
                id=point_id(document.id), vector=row, payload=payload
            )
            for document, row, payload in zip(documents, vectors, payloads, strict=True)
        ]


def batches(documents: Sequence[Document], embeddings: Embeddings, *, most: int) -> Iterator[Batch]:
    """Cut documents into requests of so many bytes."""
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
        stop = int(np.searchsorted(ends, before + most, side="right"))
        stop = min(max(stop, start + 1), start + DOCUMENTS_AT_ONCE, len(documents))
        yield start, stop
        start = stop
