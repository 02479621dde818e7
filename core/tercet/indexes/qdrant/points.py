"""Documents and their views as points, and back."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from tercet.documents import Document, has_lone_surrogates
from tercet.embeddings import (
    Embeddings,
    MultiVectors,
    Representation,
    SparseVectors,
    empty_view,
)
from tercet.indexes.checks import Dimensions
from tercet.indexes.qdrant.fields import field_payload

DENSE, SPARSE, MULTI_VECTOR = Representation

NAMESPACE = uuid.UUID("c2b44f1f-5a0e-5d5c-9d5f-2f6f0f5f3c7e")
"""Of the ids of points; never changed, or no document is found again."""

DOCUMENT = ("id", "text", "header", "metadata", "parent", "private")
"""What a document is read from."""

DIGITS = 8
"""Digits after the point that token vectors have in a request: float16 knows no more."""

Vector = models.Vector


def point_id(doc_id: str) -> str:
    """The point of a document: the same for the same id, in every collection."""
    return str(uuid.uuid5(NAMESPACE, doc_id))


def points_of(doc_ids: Sequence[str]) -> dict[str, str]:
    """Document ids by their points; what no document can be called is left out."""
    return {point_id(id_): id_ for id_ in doc_ids if not has_lone_surrogates(id_)}


def payload_of(document: Document, content: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What a point keeps beside its vectors.

    Metadata are a JSON text, since the server keeps neither large numbers nor the order of keys.

    Args:
        document: The document.
        content: Hash of all that it holds and of what encoded it.
        sizes: Bytes of its views.
    """
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
    private = json.dumps(dict(document.private), ensure_ascii=False)
    texts = [document.text, document.header, metadata, private]
    return {
        "id": document.id,
        "text": document.text,
        "header": document.header,
        "metadata": metadata,
        "parent": document.parent,
        "private": private,
        "content": content,
        "sizes": {**sizes, "catalog": sum(len(text.encode()) for text in texts)},
        **field_payload(json.loads(metadata), document.parent),
    }


def document_of(payload: Mapping[str, Any]) -> Document:
    """The document that a point keeps."""
    return Document(
        payload["id"],
        payload["text"],
        json.loads(payload["metadata"]),
        payload["header"],
        payload["parent"],
        json.loads(payload["private"]),
    )


def vectors_of(
    embeddings: Embeddings, views: Sequence[Representation]
) -> list[dict[Representation, Any]]:
    """The vectors of N texts as requests have them, by view."""
    found: list[dict[Representation, Any]] = [{} for _ in range(len(embeddings))]
    for view in views:
        for row, vector in zip(found, _LISTS[view](embeddings), strict=True):
            row[view] = vector
    return found


def sizes_of(embeddings: Embeddings, views: Sequence[Representation], n: int) -> dict[str, int]:
    """Bytes of the views of one text: float32, an id and an impact for each term, float16."""
    sizes: dict[str, int] = {}
    for view in views:
        if view is DENSE and embeddings.dense is not None:
            sizes[view.value] = 4 * embeddings.dense.shape[1]
        elif view is SPARSE and embeddings.sparse is not None:
            sizes[view.value] = 8 * int(np.diff(embeddings.sparse.indptr[n : n + 2])[0])
        elif embeddings.multi_vector is not None:
            sizes[view.value] = 2 * embeddings.multi_vector[n].size
    return sizes


def embeddings_of(
    records: Sequence[Mapping[str, Any]],
    views: Sequence[Representation],
    dimensions: Dimensions,
) -> dict[str, Any]:
    """The views of N points, from their named vectors."""
    if not records:
        return {view.value: empty_view(view, dimensions.get(view, 0)) for view in views}
    return {view.value: _ARRAYS[view]([record[view.value] for record in records]) for view in views}


def _dense_lists(embeddings: Embeddings) -> list[list[float]]:
    return [] if embeddings.dense is None else embeddings.dense.astype(np.float64).tolist()


def _sparse_lists(embeddings: Embeddings) -> list[models.SparseVector]:
    if embeddings.sparse is None:
        return []
    return [
        models.SparseVector(indices=[*row], values=[*row.values()])
        for row in embeddings.sparse.to_dicts()
    ]


def _token_lists(embeddings: Embeddings) -> list[list[list[float]]]:
    if embeddings.multi_vector is None:
        return []
    tokens = embeddings.multi_vector
    return [tokens[n].astype(np.float64).round(DIGITS).tolist() for n in range(len(tokens))]


def _sparse_record(vectors: Sequence[models.SparseVector]) -> SparseVectors:
    return SparseVectors.from_dicts([dict(zip(v.indices, v.values, strict=True)) for v in vectors])


def _multi_record(vectors: Sequence[Sequence[Sequence[float]]]) -> MultiVectors:
    offsets = np.cumsum([0, *map(len, vectors)], dtype=np.int64)
    return MultiVectors(np.asarray([t for v in vectors for t in v], dtype=np.float32), offsets)


_LISTS: Mapping[Representation, Callable[[Embeddings], list[Any]]] = {
    DENSE: _dense_lists,
    SPARSE: _sparse_lists,
    MULTI_VECTOR: _token_lists,
}
_ARRAYS: Mapping[Representation, Callable[[list[Any]], Any]] = {
    DENSE: lambda vectors: np.asarray(vectors, dtype=np.float32),
    SPARSE: _sparse_record,
    MULTI_VECTOR: _multi_record,
}
