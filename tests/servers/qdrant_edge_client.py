"""Qdrant Edge, the engine of the server in this process, behind the calls of a client of a server.

`edge://FOLDER/name` is its address in tests. It keeps the collection of documents; the one beside
it, which has no vectors, is a dictionary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import qdrant_edge as edge
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import QueryResponse

from tercet.embeddings import EncoderSpec, Representation
from tercet.indexes.qdrant.address import Address
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.index import QdrantIndex
from tercet.indexes.qdrant.opening import open_collection
from tercet.indexes.storage import Storage

CLIENTS: dict[str, "EdgeClient"] = {}
"""By folder: a shard can be opened once only."""


class EdgeIndex(QdrantIndex):
    """The engine of `qdrant://`, over Edge."""

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
        """Open or create a collection."""
        folder, _, name = address.removeprefix("edge://").rpartition("/")
        client = CLIENTS.setdefault(folder, EdgeClient(Path(folder)))
        connection = Connection(
            Address(name, ("Edge",)), timeout=timeout, client=cast("QdrantClient", client)
        )
        schema, meta = open_collection(
            connection,
            spec=spec,
            read_only=bool(read_only),
            representations=representations,
            storage=storage,
        )
        return cls(connection, schema, meta, read_only=bool(read_only))


class EdgeClient:
    """The calls of a client that the engine makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes: dict[str, dict[Any, Any]] = {}
        self._shards: dict[str, edge.EdgeShard] = {}
        self._params: dict[str, models.CollectionParams] = {}

    def info(self) -> models.VersionInfo:
        return models.VersionInfo(title="Edge", version="1.17.0")

    def collection_exists(self, name: str) -> bool:
        return name in self._notes or name in self._shards

    def create_collection(self, name: str, **layout: Any) -> None:
        dense, sparse = layout["vectors_config"], layout.get("sparse_vectors_config", {})
        if not dense and not sparse:
            self._notes[name] = {}
            return
        folder = self._folder / name
        folder.mkdir(parents=True)
        config = edge.EdgeConfig(
            vectors={field: _vector_params(params) for field, params in dense.items()},
            sparse_vectors={field: edge.EdgeSparseVectorParams() for field in sparse},
            wal_enabled=False,
        )
        self._shards[name] = edge.EdgeShard.create(str(folder), config)
        self._params[name] = models.CollectionParams(
            vectors=dense, sparse_vectors=sparse, shard_number=1
        )

    def create_payload_index(self, *, collection_name: str, field_name: str, **_: Any) -> None:
        schema = edge.PayloadSchemaType.Keyword
        self._update(collection_name, edge.UpdateOperation.create_field_index(field_name, schema))

    def get_collection(self, name: str) -> Any:
        config = models.CollectionConfig.model_construct(params=self._params[name])
        return models.CollectionInfo.model_construct(config=config, segments_count=1)

    def upsert(self, name: str, points: Sequence[models.PointStruct], **_: Any) -> None:
        if name in self._notes:
            self._notes[name] |= {point.id: point.payload for point in points}
            return
        made = [edge.Point(p.id, _vectors(p.vector), p.payload) for p in points]
        self._update(name, edge.UpdateOperation.upsert_points(made))

    def update_vectors(self, name: str, points: Sequence[models.PointVectors], **_: Any) -> None:
        made = [edge.PointVectors(p.id, _vectors(p.vector)) for p in points]
        self._update(name, edge.UpdateOperation.update_vectors(made))

    def set_payload(self, name: str, payload: Any, *, points: Any, **_: Any) -> None:
        self._update(name, edge.UpdateOperation.set_payload(points, payload))

    def delete(self, name: str, chosen: models.PointsSelector, **_: Any) -> None:
        if isinstance(chosen, models.PointIdsList):
            self._update(name, edge.UpdateOperation.delete_points(chosen.points))
        elif isinstance(chosen, models.FilterSelector):
            condition = _filter(chosen.filter)
            self._update(name, edge.UpdateOperation.delete_points_by_filter(condition))

    def retrieve(
        self,
        name: str,
        ids: list[Any],
        with_payload: bool | list[str] = True,  # noqa: FBT001, FBT002  the client's own signature
        with_vectors: bool = False,  # noqa: FBT001, FBT002
    ) -> list[models.Record]:
        if name in self._notes:
            notes = self._notes[name]
            return [models.Record(id=i, payload=notes[i]) for i in ids if i in notes]
        found = self._shards[name].retrieve(ids, _payload(with_payload), with_vectors)
        return [_record(record) for record in found]

    def scroll(
        self, collection_name: str, scroll_filter: Any, limit: int, offset: Any, **what: Any
    ) -> tuple[list[models.Record], Any]:
        request = edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=_filter(scroll_filter),
            with_payload=_payload(what["with_payload"]),
            with_vector=what["with_vectors"],
        )
        found, after = self._shards[collection_name].scroll(request)
        return [_record(record) for record in found], after

    def count(self, name: str, count_filter: Any, exact: bool) -> models.CountResult:  # noqa: FBT001
        request = edge.CountRequest(exact=exact, filter=_filter(count_filter))
        return models.CountResult(count=self._shards[name].count(request))

    def query_batch_points(
        self, name: str, requests: Sequence[models.QueryRequest]
    ) -> list[QueryResponse]:
        batch = edge.QueryBatchRequest([_request(request) for request in requests])
        return [
            QueryResponse(
                points=[
                    models.ScoredPoint(id=str(p.id), version=0, score=p.score, payload=p.payload)
                    for p in points
                ]
            )
            for points in self._shards[name].query_batch(batch)
        ]

    def _update(self, name: str, operation: edge.UpdateOperation) -> None:
        self._shards[name].update(operation)


def _vector_params(params: models.VectorParams) -> edge.EdgeVectorParams:
    several = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    return edge.EdgeVectorParams(
        size=params.size,
        distance=edge.Distance.Dot,
        multivector_config=several if params.multivector_config else None,
        datatype=edge.VectorStorageDatatype.Float16
        if params.datatype is models.Datatype.FLOAT16
        else edge.VectorStorageDatatype.Float32,
    )


def _vectors(vectors: Any) -> Any:
    return {name: _vector(vector) for name, vector in vectors.items()}


def _vector(vector: Any) -> Any:
    if isinstance(vector, models.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    return vector


def _payload(wanted: bool | list[str]) -> Any:  # noqa: FBT001
    return edge.PayloadSelector.Include(wanted) if isinstance(wanted, list) else wanted


def _record(record: edge.Record) -> models.Record:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    plain = {
        name: models.SparseVector(indices=v.indices, values=v.values)
        if isinstance(v, edge.SparseVector)
        else v
        for name, v in vectors.items()
    }
    return models.Record.model_construct(
        id=str(record.id), payload=record.payload, vector=cast("Any", plain)
    )


def _request(request: models.QueryRequest) -> edge.QueryRequest:
    return edge.QueryRequest(
        limit=request.limit or 0,
        query=edge.Query.Nearest(_vector(request.query), using=request.using),
        prefetches=_prefetches(request.prefetch),
        with_payload=_payload(cast("Any", request.with_payload or False)),
        filter=_filter(request.filter),
        params=_params(request.params),
    )


def _prefetches(given: Any) -> list[edge.Prefetch]:
    return [
        edge.Prefetch(
            limit=one.limit,
            query=edge.Query.Nearest(_vector(one.query), using=one.using),
            prefetches=_prefetches(one.prefetch),
            params=_params(one.params),
            filter=_filter(one.filter),
        )
        for one in given or []
    ]


def _params(given: models.SearchParams | None) -> edge.SearchParams | None:
    return None if given is None else edge.SearchParams(exact=bool(given.exact))


def _filter(given: models.Filter | None) -> Any:
    if given is None:
        return None
    parts = {name: getattr(given, name) for name in ("must", "should", "must_not")}
    return edge.Filter(**{n: [_condition(c) for c in p] for n, p in parts.items() if p})


def _condition(given: Any) -> Any:
    if isinstance(given, models.Filter):
        return _filter(given)
    if isinstance(given, models.HasIdCondition):
        return edge.HasIdCondition(set(given.has_id))
    if given.range is not None:
        ends = given.range.model_dump(exclude_none=True)
        return edge.FieldCondition(given.key, range=edge.RangeFloat(**ends))
    match = given.match
    if isinstance(match, models.MatchText):
        return edge.FieldCondition(given.key, match=edge.MatchText(match.text))
    if isinstance(match, models.MatchAny):
        return edge.FieldCondition(given.key, match=edge.MatchAny(list(match.any)))
    return edge.FieldCondition(given.key, match=edge.MatchValue(match.value))
