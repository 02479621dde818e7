"""The index on a Qdrant server or cluster: a collection, and one beside it that describes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from tercet.documents import AddReport, Document, clean
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.errors import IndexReadOnlyError, check_texts
from tercet.filters import Expression, Filter, parse_filter
from tercet.indexes.base import TIMEOUT, Index
from tercet.indexes.checks import (
    Dimensions,
    check_dimensions,
    check_documents,
    dimensions_of,
)
from tercet.indexes.content import content_hash
from tercet.indexes.pooling import pooled
from tercet.indexes.qdrant.address import (
    Address,
    ClientOptions,
    CollectionOptions,
    check_collection,
    parse_address,
)
from tercet.indexes.qdrant.cells import LARGE_DOCUMENTS, Cells, CellStore, give_cells
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.opening import open_collection
from tercet.indexes.qdrant.oversized import fitting
from tercet.indexes.qdrant.points import (
    DOCUMENT,
    document_of,
    embeddings_of,
    point_id,
    points_of,
)
from tercet.indexes.qdrant.schema import FORMAT, Meta, Schema
from tercet.indexes.qdrant.search import QdrantReader, missing_documents
from tercet.indexes.qdrant.writing import Writer
from tercet.indexes.reader import IndexStats
from tercet.indexes.storage import Storage

MULTI_VECTOR = Representation.MULTI_VECTOR


class QdrantIndex(Index):
    """An index on a Qdrant server or cluster; `Index.open("qdrant://host:6333/name")` opens it.

    Many clients may search and write at a time. A search is not one consistent look: what others
    write meanwhile may be in it or not.
    """

    def __init__(
        self, connection: Connection, schema: Schema, meta: Meta, *, read_only: bool
    ) -> None:
        super().__init__(meta.spec, meta.representations)
        self._connection = connection
        self._schema = schema
        self._meta = meta
        self._read_only = read_only
        self._shards = 0
        self._known: set[str] = set()
        self._store = CellStore(connection)
        self._cells: Cells | None = None
        if meta.is_complete:
            self._lay_out()

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        spec: EncoderSpec | None,
        read_only: bool | None,
        timeout: float,
        representations: tuple[Representation, ...] | None,
        storage: Storage | None,
    ) -> Self:
        """Open or create the index of a collection; callers use `Index.open`."""
        connection = Connection(parse_address(address), timeout=timeout)
        try:
            schema, meta = open_collection(
                connection,
                spec=spec,
                read_only=bool(read_only),
                representations=representations,
                storage=storage,
            )
            return cls(connection, schema, meta, read_only=bool(read_only))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def on(
        cls,
        client: QdrantClient,
        collection: str,
        *,
        spec: EncoderSpec | None = None,
        timeout: float = TIMEOUT,
        representations: Sequence[Representation] | None = None,
        layout: CollectionOptions | None = None,
        options: ClientOptions | None = None,
    ) -> Self:
        """Open or create an index with a client of one's own, which stays open when this closes.

        Args:
            client: Of a server; the client's own local mode is not one.
            collection: Its name.
            spec: The encoder's.
            timeout: Seconds for tries altogether.
            representations: The views to store; None stores all.
            layout: Of a new collection.
            options: Of this client.
        """
        address = Address(
            check_collection(collection, collection),
            ("the client's own server",),
            layout or CollectionOptions(),
            options or ClientOptions(),
        )
        connection = Connection(address, timeout=timeout, client=client)
        views = None if representations is None else tuple(representations)
        schema, meta = open_collection(
            connection, spec=spec, read_only=False, representations=views, storage=None
        )
        index = cls(connection, schema, meta, read_only=False)
        index._address = f"qdrant://{address.urls[0]}/{collection}"
        return index

    @property
    def read_only(self) -> bool:
        """Whether it refuses to change."""
        return self._read_only

    @property
    def dimensions(self) -> Dimensions:
        """E of each view that has one; learned from the first vectors where the spec is silent."""
        if not self._meta.is_complete:
            self._meta = self._schema.read() or self._meta
            if self._meta.is_complete:
                self._lay_out()
        return self._meta.dimensions

    @contextmanager
    def reading(self) -> Iterator[QdrantReader]:
        """A look at the collection."""
        yield self._reader()

    def unchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """Which documents stand in the index as they are, made by its own model, [N]."""
        check_documents(documents)
        points = [point_id(document.id) for document in documents]
        stored = self._reader().stored(points)
        return np.asarray(
            [
                stored.get(point) == content_hash(clean(document), self._spec.document_id).hex()
                for point, document in zip(points, documents, strict=True)
            ],
            dtype=np.bool_,
        )

    def ids(self, filter: Filter | None = None) -> list[str]:
        """Ids of all documents, or of those that pass, in the order of ids."""
        reader = self._reader()
        pages = reader.scroll(reader.condition(parse_filter(filter)), payload=["id"])
        return sorted((record.payload or {})["id"] for page in pages for record in page)

    def embeddings(self, ids: Sequence[str]) -> Embeddings:
        """Stored views of N documents, decoded, in the order asked."""
        check_texts(ids, name="ids")
        points = points_of(ids)
        records = self._reader().records([*points], vectors=True)
        found = {points[str(record.id)]: record for record in records}
        missing = [id_ for id_ in ids if id_ not in found]
        if missing:
            raise missing_documents(missing, ids)
        return self._decoded([found[id_] for id_ in ids])

    def scan(self, filter: Filter | None = None) -> Iterator[tuple[list[Document], Embeddings]]:
        """All documents with their stored views, decoded, batch by batch: for copies."""
        return self._scan(parse_filter(filter))

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        check_texts(ids, name="ids")
        self._check_writable()
        there = [*self._reader().stored([*points_of(ids)])]
        if there:
            self._remove(models.PointIdsList(points=[*there]))
        return len(there)

    def delete_where(self, filter: Filter) -> int:
        """Remove the documents that pass; how many there were."""
        expression = parse_filter(filter)
        if expression is None:
            raise TypeError("delete_where needs a filter; clear() removes all documents")
        self._check_writable()
        reader = self._reader()
        condition = reader.condition(expression)
        count = reader.count(condition)
        if count and condition is not None:
            self._remove(models.FilterSelector(filter=condition))
        return count

    def clear(self) -> None:
        """Remove all documents."""
        self._check_writable()
        if self._reader().shards:
            self._remove(models.FilterSelector(filter=models.Filter()))

    def __len__(self) -> int:
        return self._reader().count(None)

    def stats(self) -> IndexStats:
        """What it holds, in numbers; sizes are those of the first thousand documents, scaled."""
        reader = self._reader()
        documents, segments = reader.count(None), 0
        sizes = dict.fromkeys([*(view.value for view in self._representations), "catalog"], 0)
        if reader.shards:
            name = self._connection.address.collection
            info = self._connection.call(lambda client: client.get_collection(name))
            segments = info.segments_count
            sample = next(reader.scroll(None, payload=["sizes"]), [])
            for record in sample:
                for view, size in (record.payload or {})["sizes"].items():
                    sizes[view] += size
            if sample:
                sizes = {v: size * documents // len(sample) for v, size in sizes.items()}
        return IndexStats(
            documents=documents,
            segments=segments,
            tombstones=0,  # the server takes them away by itself
            bytes=sizes,
            generation=0,  # the server counts no commits
            format=FORMAT,
            spec=self._spec,
            representations=self._representations,
            disk=sum(sizes.values()),
        )

    def compact(self) -> None:
        """Give cells to the documents that lack them; the server tidies up by itself."""
        self._check_writable()
        if MULTI_VECTOR in self._representations:
            self._give_cells()

    def close(self) -> None:
        """Let go of connections; closing twice is fine."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"QdrantIndex({str(self._connection.address)!r})"

    def _write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        self._check_writable()
        if not self._shards:
            self._meta = self._schema.learn(self._meta, dimensions_of(embeddings))
            self._lay_out()
            check_dimensions(embeddings, self.dimensions, name="documents")
        options = self._connection.address.client
        views = self._fitting(documents, embeddings)
        if MULTI_VECTOR in self._representations:
            self._cells = self._store.read(self._cells)
        writer = Writer(self._reader(), self._representations, self._cells, options.parallel)
        report = writer.write(documents, views)
        if MULTI_VECTOR in self._representations and self._cells is None:
            self._give_cells()
        return report

    def _fitting(self, documents: Sequence[Document], embeddings: Embeddings) -> Embeddings:
        tokens = embeddings.multi_vector
        if tokens is not None and self._meta.pooling > 1:
            embeddings = replace(embeddings, multi_vector=pooled(tokens, self._meta.pooling))
        options = self._connection.address.client
        return fitting(documents, embeddings, oversized=options.oversized)

    def _give_cells(self) -> None:
        """Train cells and give them to all, once there are so many documents that they pay."""
        if len(self) >= LARGE_DOCUMENTS:
            self._cells = give_cells(self._reader(), self._store)

    def _lay_out(self) -> None:
        if self._read_only and not self._schema.exists():
            return
        self._cells = self._store.read(None) if MULTI_VECTOR in self._representations else None
        self._shards = self._schema.lay_out(self._meta, self._connection.address.layout)

    def _reader(self) -> QdrantReader:
        if not self._shards:
            self._connection.check_open()
        return QdrantReader(self._connection, self._shards, self._known, self._cells)

    def _check_writable(self) -> None:
        if self._read_only:
            raise IndexReadOnlyError(
                f"the index at {self._connection.address} was opened for reading"
            )

    def _remove(self, chosen: models.PointsSelector) -> None:
        name = self._connection.address.collection
        self._connection.call(lambda client: client.delete(name, chosen, wait=True))

    def _scan(self, expression: Expression | None) -> Iterator[tuple[list[Document], Embeddings]]:
        reader = self._reader()
        condition = reader.condition(expression)
        for page in reader.scroll(condition, payload=DOCUMENT, vectors=True):
            documents = [document_of(record.payload or {}) for record in page]
            yield documents, self._decoded(page)

    def _decoded(self, records: Sequence[models.Record]) -> Embeddings:
        vectors = [record.vector if isinstance(record.vector, dict) else {} for record in records]
        views = embeddings_of(vectors, self._representations, self.dimensions)
        return Embeddings(**views, model_id=self._spec.model_id, document_id=self._spec.document_id)
