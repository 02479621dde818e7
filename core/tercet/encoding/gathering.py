"""Joins batches of embeddings as they come, with the whole in memory only once."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import (
    Embeddings,
    EncoderSpec,
    MultiVectors,
    Representation,
    SparseVectors,
)


class Gathering:
    """Takes batches of one model and gives them back as one."""

    def __init__(self) -> None:
        self._first: Embeddings | None = None
        self._arrays: dict[str, NDArray[Any]] = {}

    def add(self, batch: Embeddings) -> None:
        """Put a batch behind those before it."""
        if self._first is None:
            self._first = batch
            return
        if not self._arrays:
            self._extend(self._first)
        self._extend(batch)

    def result(self) -> Embeddings:
        """All batches as one.

        Raises:
            ValueError: There was none.
        """
        if self._first is None:
            raise ValueError("no embeddings to join")
        if not self._arrays:
            return self._first
        a = self._arrays
        return replace(
            self._first,
            dense=a.get("dense"),
            sparse=SparseVectors(_bounds(a["terms"]), a["ids"], a["weights"])
            if "terms" in a
            else None,
            multi_vector=MultiVectors(a["vectors"], _bounds(a["rows"])) if "rows" in a else None,
            tokens=a.get("tokens"),
            tokens_encoded=a.get("tokens_encoded"),
        )

    def _extend(self, batch: Embeddings) -> None:
        self._append("dense", batch.dense)
        self._append("tokens", batch.tokens)
        self._append("tokens_encoded", batch.tokens_encoded)
        if batch.sparse is not None:
            self._append("terms", np.diff(batch.sparse.indptr))
            self._append("ids", batch.sparse.ids)
            self._append("weights", batch.sparse.weights)
        if batch.multi_vector is not None:
            self._append("rows", np.diff(batch.multi_vector.offsets))
            self._append("vectors", batch.multi_vector.vectors)

    def _append(self, name: str, values: NDArray[Any] | None) -> None:
        """Lengthen an array in place: the system moves its pages, nothing is copied."""
        if values is None:
            return
        if name not in self._arrays:
            self._arrays[name] = values.copy()
            return
        whole = self._arrays[name]
        before = len(whole)
        whole.resize((before + len(values), *whole.shape[1:]), refcheck=False)  # nobody else has it
        whole[before:] = values


def _bounds(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def no_texts(spec: EncoderSpec, document_id: str | None) -> Embeddings:
    """The embeddings of no text at all: every view of the model, without rows."""
    none = np.zeros(0, dtype=np.int64)
    bounds = np.zeros(1, dtype=np.int64)
    views = spec.representations
    return Embeddings(
        dense=np.zeros((0, spec.dense_dim or 0), dtype=np.float32)
        if Representation.DENSE in views
        else None,
        sparse=SparseVectors(bounds, none.astype(np.int32), none.astype(np.float32))
        if Representation.SPARSE in views
        else None,
        multi_vector=MultiVectors(
            np.zeros((0, spec.multi_vector_dim or 0), dtype=np.float32), bounds
        )
        if Representation.MULTI_VECTOR in views
        else None,
        tokens=none,
        tokens_encoded=none,
        model_id=spec.model_id,
        document_id=document_id,
    )
