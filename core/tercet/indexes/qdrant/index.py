"""The index on a Qdrant server or cluster: a collection, and one beside it that describes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.filters import Expression, Filter, parse_filter
from tercet.indexes.base import TIMEOUT, Index
from tercet.indexes.checks import Dimensions
from tercet.indexes.qdrant.address import (
    Address,
    ClientOptions,
    CollectionOptions,
    check_collection,
    parse_address,
)
from tercet.indexes.qdrant.collection import Collection
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.lines import AtOnce, InLoop, finished
from tercet.indexes.qdrant.opening import open_collection
from tercet.indexes.qdrant.points import DOCUMENT, document_of
from tercet.indexes.qdrant.reader import QdrantReader
from tercet.indexes.qdrant.schema import FORMAT, Meta, Schema
from tercet.indexes.reader import IndexStats
from tercet.indexes.searching import ids_of, rankings
from tercet.indexes.storage import Storage
from tercet.plans import Plan
from tercet.ranking import Ranking


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
        self._collection = Collection(connection, schema, meta, read_only=read_only)
        self._in_loop = InLoop(connection)

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
        async_client: AsyncQdrantClient | None = None,
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
            async_client: Of the same server, for asynchronous methods and one event loop; None asks
                with the other one, in threads.
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
        connection = Connection(address, timeout=timeout, client=client, async_client=async_client)
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
        return self._collection.read_only

    @property
    def dimensions(self) -> Dimensions:
        """E of each view that has one; learned from the first vectors where the spec is silent."""
        return self._collection.meta.dimensions

    @contextmanager
    def reading(self) -> Iterator[QdrantReader]:
        """A look at the collection."""
        reader = self._reader()
        yield reader
        finished(self._collection.learn(reader.search))

    async def asearch(
        self,
        queries: Embeddings,
        *,
        k: int = 5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[Ranking]:
        """`search` through the asynchronous client: the event loop waits, and no thread does."""
        await self._collection.complete(self._in_loop)
        asked = self._stored.asked(queries, k=k, plan=plan, filter=filter, exact=exact)
        search = self._collection.search(self._in_loop)
        best = asked.best(
            await search.collect(queries, asked.plan, filter=asked.filter, exact=asked.exact)
        )
        documents = await search.documents(ids_of(best))
        await self._collection.learn(search)
        return rankings(best, documents)

    async def aadd(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """`add` through the asynchronous client; a cancelled one may be written in part."""
        await self._collection.complete(self._in_loop)
        chosen, views, repeated = self._checked(documents, embeddings)
        if not chosen:
            return repeated
        return await self._collection.write(self._in_loop, chosen, views) + repeated

    def unchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """Which documents stand in the index as they are, made by its own model, [N]."""
        return finished(self._collection.unchanged(self._at_once, documents))

    async def aunchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """`unchanged` through the asynchronous client."""
        return await self._collection.unchanged(self._in_loop, documents)

    def embeddings(self, ids: Sequence[str]) -> Embeddings:
        """Stored views of N documents, decoded, in the order asked."""
        return finished(self._collection.embeddings(self._at_once, ids))

    async def aembeddings(self, ids: Sequence[str]) -> Embeddings:
        """`embeddings` through the asynchronous client."""
        return await self._collection.embeddings(self._in_loop, ids)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        return finished(self._collection.delete(self._at_once, ids))

    async def adelete(self, ids: Sequence[str]) -> int:
        """`delete` through the asynchronous client."""
        return await self._collection.delete(self._in_loop, ids)

    def ids(self, filter: Filter | None = None) -> list[str]:
        """Ids of all documents, or of those that pass, in the order of ids."""
        reader = self._reader()
        pages = reader.pages(reader.condition(parse_filter(filter)), payload=["id"])
        return sorted((record.payload or {})["id"] for page in pages for record in page)

    def scan(self, filter: Filter | None = None) -> Iterator[tuple[list[Document], Embeddings]]:
        """All documents with their stored views, decoded, batch by batch: for copies."""
        return self._scan(parse_filter(filter))

    def delete_where(self, filter: Filter) -> int:
        """Remove the documents that pass; how many there were."""
        expression = parse_filter(filter)
        if expression is None:
            raise TypeError("delete_where needs a filter; clear() removes all documents")
        self._collection.check_writable()
        reader = self._reader()
        condition = reader.condition(expression)
        count = reader.count(condition)
        if count and condition is not None:
            self._remove(models.FilterSelector(filter=condition))
        return count

    def clear(self) -> None:
        """Remove all documents."""
        self._collection.check_writable()
        if self._reader().search.shards:
            self._remove(models.FilterSelector(filter=models.Filter()))

    def __len__(self) -> int:
        return self._reader().count(None)

    def stats(self) -> IndexStats:
        """What it holds, in numbers; sizes are those of the first thousand documents, scaled."""
        reader = self._reader()
        documents, segments = reader.count(None), 0
        sizes = dict.fromkeys([*(view.value for view in self._representations), "catalog"], 0)
        if reader.search.shards:
            name = self._connection.address.collection
            info = self._connection.call(lambda client: client.get_collection(name))
            segments = info.segments_count
            sample = next(reader.pages(None, payload=["sizes"]), [])
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
        self._collection.check_writable()
        finished(self._collection.give_cells(self._at_once))

    def close(self) -> None:
        """Let go of connections; closing twice is fine."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"QdrantIndex({str(self._connection.address)!r})"

    @property
    def _at_once(self) -> AtOnce:
        return AtOnce(self._connection)

    def _write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        return finished(self._collection.write(self._at_once, documents, embeddings))

    def _reader(self) -> QdrantReader:
        line = self._at_once
        finished(self._collection.complete(line))
        return QdrantReader(self._collection.search(line))

    def _remove(self, chosen: models.PointsSelector) -> None:
        finished(self._collection.remove(self._at_once, chosen))

    def _scan(self, expression: Expression | None) -> Iterator[tuple[list[Document], Embeddings]]:
        reader = self._reader()
        condition = reader.condition(expression)
        for page in reader.pages(condition, payload=DOCUMENT, vectors=True):
            documents = [document_of(record.payload or {}) for record in page]
            yield documents, self._collection.decoded(page)
