"""The collection of an index: what this client knows of it, and what it does with it.

What talks to the server is a coroutine over a line, for callers with and without an event loop.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from tercet.documents import AddReport, Document, clean
from tercet.embeddings import Embeddings, MultiVectors, Representation
from tercet.errors import IndexReadOnlyError, check_texts
from tercet.indexes.checks import check_dimensions, check_documents, dimensions_of
from tercet.indexes.codebooks import LARGE_DOCUMENTS
from tercet.indexes.content import content_hash
from tercet.indexes.pooling import pooled
from tercet.indexes.qdrant.cells import Cells, CellStore, give_cells
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.lines import AtOnce, Line, finished
from tercet.indexes.qdrant.oversized import fitting
from tercet.indexes.qdrant.points import embeddings_of, point_id, points_of
from tercet.indexes.qdrant.projection import Projection, ProjectionStore
from tercet.indexes.qdrant.schema import Meta, Schema
from tercet.indexes.qdrant.search import Search, missing_documents
from tercet.indexes.qdrant.writing import Writer

MULTI_VECTOR = Representation.MULTI_VECTOR


class Collection:
    """A collection, which may not be there yet."""

    def __init__(
        self, connection: Connection, schema: Schema, meta: Meta, *, read_only: bool
    ) -> None:
        self.connection, self.read_only = connection, read_only
        self._schema, self._meta = schema, meta
        self._name = connection.address.collection
        self._store = CellStore(self._name)
        self._cells: Cells | None = None
        self._projections = ProjectionStore(self._name)
        self._projection: Projection | None = None
        self._asked: set[str] = set()  # keys of centroids that were looked for
        self._shards = 0
        self._known: set[str] = set()
        if meta.is_complete:
            self._lay_out()

    @property
    def meta(self) -> Meta:
        """What it holds; what other clients taught it is asked for as long as that is unknown."""
        if not self._meta.is_complete:
            self._meta = self._schema.read() or self._meta
            if self._meta.is_complete:
                self._lay_out()
        return self._meta

    async def complete(self, line: Line) -> None:
        """Ask what other clients taught the collection, where something is unknown."""
        if not self._meta.is_complete:
            await line.work(lambda: self.meta)
        if self._meta.project and self._projection is None and self._shards:
            self._projection = await self._projections.read(line)

    def check_writable(self) -> None:
        """Refuse to change what was opened for reading.

        Raises:
            IndexReadOnlyError: It was.
        """
        if self.read_only:
            raise IndexReadOnlyError(
                f"the index at {self.connection.address} was opened for reading"
            )

    def search(self, line: Line) -> Search:
        """A look at it."""
        if not self._shards:
            self.connection.check_open()
        is_empty = self._meta.project > 0 and self._projection is None  # the first writer makes it
        shards = 0 if is_empty else self._shards
        return Search(line, self._name, shards, self._known, self._cells, self._projection)

    async def learn(self, search: Search) -> None:
        """Take the centroids of the documents that were found, where another client trained them.

        One question for each key that no search saw before.
        """
        unknown = search.seen - self._asked - {self._cells.key if self._cells else ""}
        if unknown:
            self._asked |= unknown
            self._cells = await self._store.read(search.line, self._cells)

    async def unchanged(self, line: Line, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """Which documents stand in it as they are, made by its own model, [N]."""
        check_documents(documents)
        await self.complete(line)
        points = [point_id(document.id) for document in documents]
        stored = await self.search(line).stored(points)
        model = self._meta.spec.document_id
        same = [
            stored.get(point) == content_hash(clean(document), model).hex()
            for point, document in zip(points, documents, strict=True)
        ]
        return np.asarray(same, dtype=np.bool_)

    async def embeddings(self, line: Line, ids: Sequence[str]) -> Embeddings:
        """Stored views of N documents, decoded, in the order asked."""
        check_texts(ids, name="ids")
        await self.complete(line)
        points = points_of(ids)
        records = await self.search(line).records([*points], vectors=True)
        found = {points[str(record.id)]: record for record in records}
        missing = [id_ for id_ in ids if id_ not in found]
        if missing:
            raise missing_documents(missing, ids)
        return await line.work(self.decoded, [found[id_] for id_ in ids])

    async def write(
        self, line: Line, documents: Sequence[Document], embeddings: Embeddings
    ) -> AddReport:
        """Write documents with distinct ids."""
        self.check_writable()
        if not self._shards:
            await line.work(self._learn_dimensions, embeddings)
        has_tokens = MULTI_VECTOR in self._meta.representations
        views = await self._fitting(line, documents, embeddings)
        if has_tokens:
            self._cells = await self._store.read(line, self._cells)
        parallel = self.connection.address.client.parallel
        writer = Writer(self.search(line), self._meta.representations, self._cells, parallel)
        report = await writer.write(documents, views)
        if has_tokens and self._cells is None:
            await self.give_cells(line)
        return report

    async def delete(self, line: Line, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        check_texts(ids, name="ids")
        self.check_writable()
        await self.complete(line)
        there = [*await self.search(line).stored([*points_of(ids)])]
        if there:
            await self.remove(line, models.PointIdsList(points=[*there]))
        return len(there)

    async def remove(self, line: Line, chosen: models.PointsSelector) -> None:
        """Remove points."""
        await line.call(lambda client: client.delete(self._name, chosen, wait=True))

    async def give_cells(self, line: Line) -> None:
        """Train cells and give them to all, once there are so many documents that they pay."""
        search = self.search(line)
        if MULTI_VECTOR in self._meta.representations and (
            await search.count(None) >= LARGE_DOCUMENTS
        ):
            self._cells = await give_cells(search, self._store)

    def decoded(self, records: Sequence[models.Record]) -> Embeddings:
        """The stored views of some points."""
        vectors = [record.vector if isinstance(record.vector, dict) else {} for record in records]
        spec = self._meta.spec
        views = embeddings_of(vectors, self._meta.representations, self.meta.dimensions)
        found = Embeddings(**views, model_id=spec.model_id, document_id=spec.document_id)
        return found if self._projection is None else self._projection.restored(found)

    async def _fitting(
        self, line: Line, documents: Sequence[Document], embeddings: Embeddings
    ) -> Embeddings:
        tokens = embeddings.multi_vector
        if tokens is not None and self._meta.pooling > 1:
            embeddings = replace(embeddings, multi_vector=pooled(tokens, self._meta.pooling))
        if tokens is not None and self._meta.project:
            embeddings = (await self._project(line, tokens)).shortened(embeddings)
        oversized = self.connection.address.client.oversized
        return fitting(documents, embeddings, oversized=oversized)

    async def _project(self, line: Line, tokens: MultiVectors) -> Projection:
        """The projection; of the first token vectors where nobody made one before."""
        await self.complete(line)
        if self._projection is None:
            made = await line.work(Projection.train, tokens, self._meta.project)
            await self._projections.write(line, made)
            self._projection = await self._projections.read(line) or made
        return self._projection

    def _learn_dimensions(self, embeddings: Embeddings) -> None:
        self._meta = self._schema.learn(self._meta, dimensions_of(embeddings))
        self._lay_out()
        check_dimensions(embeddings, self._meta.dimensions, name="documents")

    def _lay_out(self) -> None:
        if self.read_only and not self._schema.exists():
            return
        if MULTI_VECTOR in self._meta.representations:
            self._cells = finished(self._store.read(AtOnce(self.connection), None))
        self._shards = self._schema.lay_out(self._meta, self.connection.address.layout)
