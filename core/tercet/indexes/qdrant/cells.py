"""Cells: the centroids next to a text's token vectors are terms of an ordinary sparse field.

A query's nearest cells bring candidates, which late interaction then re-scores on the server. The
centroids are trained once, stand in the second collection, and have a key; a document names the key
of those that made its cells. Documents without a key, or with another one, are compared one by one,
so that no search misses them.
"""

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from tercet.embeddings import MultiVectors
from tercet.indexes.clusters import nearest_cells
from tercet.indexes.codebooks import SAMPLE, Probes, train_centroids
from tercet.indexes.qdrant.lines import Line
from tercet.indexes.qdrant.points import NAMESPACE
from tercet.indexes.qdrant.requests import CELLS
from tercet.indexes.qdrant.search import Place, Search
from tercet.scoring.products import products

POINT = str(uuid.uuid5(NAMESPACE, "\0cells"))

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Centroids of token vectors.

    Attributes:
        key: Names them.
        centroids: In the precision in which they are kept, [K, E].
    """

    key: str
    centroids: Vectors

    @classmethod
    def train(cls, sample: Vectors) -> Self:
        """Train on token vectors, [tokens, E]."""
        trained = train_centroids(sample).astype(np.float16)
        return cls(uuid.uuid4().hex, trained.astype(np.float32))

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """What `to_payload` wrote."""
        raw = np.frombuffer(base64.b64decode(payload["centroids"]), dtype="<f2")
        return cls(payload["key"], raw.reshape(payload["shape"]).astype(np.float32))

    def to_payload(self) -> dict[str, Any]:
        """The centroids as a payload."""
        raw = self.centroids.astype("<f2").tobytes()
        shape = list(self.centroids.shape)
        return {"key": self.key, "shape": shape, "centroids": base64.b64encode(raw).decode()}

    @property
    def lacking(self) -> models.Filter:
        """The documents that have no cells of these centroids."""
        own = models.FieldCondition(key=CELLS, match=models.MatchValue(value=self.key))
        return models.Filter(must_not=[own])

    def of_documents(self, tokens: MultiVectors) -> list[models.SparseVector]:
        """The cells of each of N texts, all of weight 1."""
        nearest = nearest_cells(tokens.vectors, self.centroids)
        texts = [np.unique(own).tolist() for own in np.split(nearest, tokens.offsets[1:-1])]
        return [models.SparseVector(indices=own, values=[1.0] * len(own)) for own in texts]

    def of_query(self, tokens: Sequence[Sequence[float]]) -> models.SparseVector:
        """The nearest cells of each query token, by how much they beat the next one."""
        probes = Probes.of(products(np.asarray(tokens, dtype=np.float32), self.centroids))
        weights = np.bincount(probes.cells.ravel(), probes.gains.ravel())
        cells = np.flatnonzero(weights > 0)
        return models.SparseVector(indices=cells.tolist(), values=weights[cells].tolist())


class CellStore:
    """The centroids of a collection, in the one beside it."""

    def __init__(self, collection: str) -> None:
        self._about = f"{collection}__tercet"

    async def read(self, line: Line, known: Cells | None) -> Cells | None:
        """The centroids, or those that are known already; None where there are none."""
        key = (await self._payload(line, ["key"])).get("key")
        if key is None or (known is not None and known.key == key):
            return known if key else None
        return Cells.from_payload(await self._payload(line, ["key", "shape", "centroids"]))

    async def write(self, line: Line, cells: Cells) -> None:
        """Keep centroids."""
        point = models.PointStruct(id=POINT, vector={}, payload=cells.to_payload())
        await line.call(lambda client: client.upsert(self._about, [point], wait=True))

    async def _payload(self, line: Line, names: list[str]) -> Mapping[str, Any]:
        found = await line.call(
            lambda client: client.retrieve(self._about, [POINT], with_payload=names)
        )
        return (found[0].payload or {}) if found else {}


async def give_cells(search: Search, store: CellStore) -> Cells:
    """Give every document its cells, by centroids that are trained if there are none."""
    cells = await store.read(search.line, None)
    if cells is None:
        cells = await search.line.work(Cells.train, await _sample(search))
        await store.write(search.line, cells)
    after: Place = None
    while True:
        page, after = await search.page(cells.lacking, after, payload=[], vectors=True)
        if page:
            await _update(search, cells, page)
        if after is None:
            return cells


async def _sample(search: Search) -> Vectors:
    """Token vectors of the first documents, which are any: points come in the order of hashes."""
    taken: list[Vectors] = []
    after: Place = None
    while True:
        page, after = await search.page(None, after, payload=[], vectors=True)
        taken += [_tokens(record) for record in page]
        if after is None or sum(map(len, taken)) >= SAMPLE:
            return np.concatenate(taken)


def _tokens(record: models.Record) -> Vectors:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return np.asarray(vectors["multi_vector"], dtype=np.float32)


async def _update(search: Search, cells: Cells, page: Sequence[models.Record]) -> None:
    """Give some documents their cells; the key comes last, for it says that they are there."""
    name, ids = search.name, [record.id for record in page]
    vectors = await search.line.work(_vectors, cells, page)
    await search.line.call(lambda client: client.update_vectors(name, vectors, wait=True))
    await search.line.call(
        lambda client: client.set_payload(name, {CELLS: cells.key}, points=[*ids], wait=True)
    )


def _vectors(cells: Cells, page: Sequence[models.Record]) -> list[models.PointVectors]:
    texts = [_tokens(record) for record in page]
    tokens = MultiVectors(np.concatenate(texts), np.cumsum([0, *map(len, texts)]))
    return [
        models.PointVectors(id=record.id, vector={CELLS: own})
        for record, own in zip(page, cells.of_documents(tokens), strict=True)
    ]
