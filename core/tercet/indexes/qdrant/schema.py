"""Two collections: one of documents, and `<name>__tercet`, which says what the first one holds."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import Any

from qdrant_client import QdrantClient, models

from tercet.embeddings import EncoderSpec, Representation
from tercet.errors import IndexFormatError
from tercet.indexes.checks import Dimensions
from tercet.indexes.qdrant.address import CollectionOptions
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.faults import Faults, status_of
from tercet.indexes.qdrant.fields import key
from tercet.indexes.qdrant.points import NAMESPACE
from tercet.indexes.qdrant.requests import CELLS

FORMAT = 1
META = str(uuid.uuid5(NAMESPACE, "\0meta"))
"""The one point of the second collection."""

CONFLICT = 409
DENSE, SPARSE, MULTI_VECTOR = Representation


@dataclass(frozen=True, slots=True)
class Meta:
    """What a collection holds.

    Attributes:
        spec: The model.
        representations: The views that are stored.
        dimensions: E of each view that has one, as far as it is known.
        pooling: Token vectors of a document that became one.
        project: Numbers that a token vector keeps; 0 keeps all.
    """

    spec: EncoderSpec
    representations: tuple[Representation, ...]
    dimensions: Dimensions
    pooling: int = 1
    project: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all dimensions are known, so that the collection can be made."""
        return all(view in self.dimensions for view in self.representations if view is not SPARSE)

    def to_payload(self) -> dict[str, Any]:
        """The payload of the second collection's point."""
        return {
            "format": FORMAT,
            "spec": self.spec.to_json(),
            "representations": [view.value for view in self.representations],
            "dimensions": {view.value: dim for view, dim in self.dimensions.items()},
            "pooling": self.pooling,
            "project": self.project,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any], *, where: str) -> "Meta":
        """What `to_payload` wrote.

        Raises:
            IndexFormatError: It was written in another format, or is no such thing.
        """
        try:
            found = payload["format"]
            if found != FORMAT:
                raise IndexFormatError(
                    f"the index at {where} has format {found}; this version reads {FORMAT}: "
                    "update tercet"
                )
            return cls(
                EncoderSpec.from_json(payload["spec"]),
                tuple(map(Representation, payload["representations"])),
                {Representation(view): dim for view, dim in payload["dimensions"].items()},
                payload["pooling"],
                payload.get("project", 0),
            )
        except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
            raise IndexFormatError(f"the index at {where} cannot be read: {error!r}") from error


class Schema:
    """Both collections, on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = connection.address.collection
        self._about = f"{self._name}__tercet"

    def read(self) -> Meta | None:
        """What the collection holds; None where there is none."""
        if not self._connection.call(lambda client: client.collection_exists(self._about)):
            return None
        found = self._connection.call(lambda client: client.retrieve(self._about, [META]))
        if not found:
            return None  # its creation was interrupted
        return Meta.from_payload(found[0].payload or {}, where=str(self._connection.address))

    def create(self, meta: Meta, layout: CollectionOptions) -> Meta:
        """Write down what the collection will hold, unless another client was faster.

        Raises:
            IndexFormatError: A collection of that name is there, and is not ours.
        """
        if self.exists():
            raise IndexFormatError(
                f"the collection at {self._connection.address} was not made by tercet: choose "
                "another name"
            )
        self._create(
            self._about,
            vectors_config={},
            shard_number=1,
            replication_factor=layout.replicas,
            write_consistency_factor=layout.write_consistency,
        )
        found = self.read()
        return self._write(meta) if found is None else found

    def exists(self) -> bool:
        """Whether the collection of documents is there."""
        return self._connection.call(lambda client: client.collection_exists(self._name))

    def learn(self, meta: Meta, dimensions: Dimensions) -> Meta:
        """Write down dimensions that no spec knew."""
        found = self.read() or meta
        if found.is_complete:
            return found
        known = {view: dim for view, dim in dimensions.items() if view in found.representations}
        return self._write(replace(found, dimensions={**known, **found.dimensions}))

    def lay_out(self, meta: Meta, layout: CollectionOptions) -> int:
        """Make the collection of documents, or check the one that is there; its shards."""
        if not self.exists():
            dense, sparse = vector_params(meta, layout)
            self._create(
                self._name,
                vectors_config=dense,
                sparse_vectors_config=sparse,
                shard_number=layout.shards,
                replication_factor=layout.replicas,
                write_consistency_factor=layout.write_consistency,
                on_disk_payload=True,
            )
            self._index_fields(layout)
        return self.check(meta)

    def check(self, meta: Meta) -> int:
        """Refuse a collection whose fields are not those of the index.

        Returns:
            Its shards.

        Raises:
            IndexFormatError: A field is missing, or of another size, metric or type.
        """
        info = self._connection.call(lambda client: client.get_collection(self._name))
        vectors, terms = info.config.params.vectors, info.config.params.sparse_vectors or {}
        named = vectors if isinstance(vectors, dict) else {}
        for view in meta.representations:
            if view is SPARSE:
                if view.value not in terms or terms[view.value].modifier not in (None, "none"):
                    raise self._foreign(view, "sparse vectors without a modifier", "something else")
                continue
            found, wanted = named.get(view.value), vector_params(meta)[0][view.value]
            if found is None or _kind(found) != _kind(wanted):
                said = "no such field" if found is None else _kind(found)
                raise self._foreign(view, _kind(wanted), said)
        return info.config.params.shard_number or 1

    def _foreign(self, view: Representation, wanted: str, found: str) -> IndexFormatError:
        return IndexFormatError(
            f"the field {view.value!r} of the collection at {self._connection.address} should be "
            f"{wanted}, and is {found}: tercet did not make it so; index anew under another name"
        )

    def _write(self, meta: Meta) -> Meta:
        point = models.PointStruct(id=META, vector={}, payload=meta.to_payload())
        self._connection.call(lambda client: client.upsert(self._about, [point], wait=True))
        return meta

    def _create(self, name: str, **layout: Any) -> None:
        def create(client: QdrantClient) -> None:
            try:
                client.create_collection(name, **layout)
            except Faults as error:
                if status_of(error) != CONFLICT and not client.collection_exists(name):
                    raise

        self._connection.call(create)

    def _index_fields(self, layout: CollectionOptions) -> None:
        kinds = dict.fromkeys(["names", CELLS], models.PayloadSchemaType.KEYWORD)
        for name in layout.fields:
            kinds[f"values.{key(name)}"] = models.PayloadSchemaType.KEYWORD
            kinds[f"numbers.{key(name)}"] = models.PayloadSchemaType.FLOAT
        for path, kind in kinds.items():
            asked = methodcaller(
                "create_payload_index",
                collection_name=self._name,
                field_name=path,
                field_schema=kind,
                wait=True,
            )
            self._connection.call(asked)


def vector_params(
    meta: Meta, layout: CollectionOptions | None = None
) -> tuple[dict[str, models.VectorParams], dict[str, models.SparseVectorParams]]:
    """The named vectors of the collection of documents."""
    chosen = layout or CollectionOptions()
    dense: dict[str, models.VectorParams] = {}
    sparse: dict[str, models.SparseVectorParams] = {}
    for view in meta.representations:
        if view is DENSE:
            dense[view.value] = _dense_params(meta.dimensions[view], chosen)
        elif view is MULTI_VECTOR:
            size = min(meta.project or meta.dimensions[view], meta.dimensions[view])
            dense[view.value] = _token_params(size, chosen)
            sparse[CELLS] = _sparse_params(chosen)
        else:
            sparse[view.value] = _sparse_params(chosen)
    return dense, sparse


def _dense_params(size: int, layout: CollectionOptions) -> models.VectorParams:
    return models.VectorParams(
        size=size,
        distance=models.Distance.DOT,
        datatype=models.Datatype(layout.dense),
        on_disk=layout.on_disk,
        hnsw_config=models.HnswConfigDiff(m=layout.hnsw_m, ef_construct=layout.hnsw_ef),
        quantization_config=_QUANTISATIONS.get(layout.quantisation),
    )


def _token_params(size: int, layout: CollectionOptions) -> models.VectorParams:
    """Token vectors without a graph, each edge of which would cost a whole MaxSim."""
    return models.VectorParams(
        size=size,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        on_disk=layout.on_disk,
        hnsw_config=models.HnswConfigDiff(m=0),
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
    )


def _sparse_params(layout: CollectionOptions) -> models.SparseVectorParams:
    return models.SparseVectorParams(index=models.SparseIndexParams(on_disk=layout.on_disk))


_QUANTISATIONS: Mapping[str, Any] = {
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def _kind(params: models.VectorParams) -> str:
    """What must not differ: size, metric, and how several vectors of a point are compared."""
    several = params.multivector_config
    compared = f", {several.comparator.value}" if several else ""
    return f"{params.size} numbers, {params.distance.value}{compared}"
