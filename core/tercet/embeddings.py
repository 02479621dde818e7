"""What the encoder hands to the index: one record of numpy arrays for a batch of texts.

Letters for axes, in every file: N texts, E dimensions, V vocabulary, Q query tokens, D document
tokens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tercet.ragged import check_offsets, join_offsets, ragged_rows, whole_numbers

Reduction = Literal["sum", "mean"]
"""How late interaction adds up the maxima of the query tokens."""


class Representation(StrEnum):
    """A view of a text."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI_VECTOR = "multi_vector"


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """Lexical weights: for each text, some term ids with a weight each.

    Attributes:
        indptr: Text n owns entries indptr[n] to indptr[n + 1], [N + 1].
        ids: Term ids, ascending within a text, none twice, [entries].
        weights: Their weights, finite and not negative, [entries].
    """

    indptr: NDArray[np.int64]
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that entries belong to texts, ids ascend and weights are usable."""
        _set(
            self, indptr=whole_numbers(self.indptr, np.int64), ids=whole_numbers(self.ids, np.int32)
        )
        _set(self, weights=np.asarray(self.weights, dtype=np.float32))
        check_offsets(self.indptr, len(self.ids), name="indptr")
        if len(self.ids) != len(self.weights):
            raise ValueError(f"{len(self.ids)} term ids, but {len(self.weights)} weights")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ValueError("lexical weights must be finite and not negative")
        ascending = np.diff(self.ids) > 0
        starts = self.indptr[1:-1] - 1
        ascending[starts[(starts >= 0) & (starts < len(ascending))]] = True
        if not ascending.all() or (len(self.ids) and int(self.ids.min()) < 0):
            raise ValueError("term ids must ascend within a text, without repetition, from 0")

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def from_dicts(cls, rows: Sequence[Mapping[int, float]]) -> Self:
        """Build the record from one mapping of term id to weight for each text."""
        ordered = [sorted(row.items()) for row in rows]
        return cls(
            indptr=np.cumsum([0, *map(len, ordered)], dtype=np.int64),
            ids=np.asarray([i for row in ordered for i, _ in row], dtype=np.int32),
            weights=np.asarray([w for row in ordered for _, w in row], dtype=np.float32),
        )

    def to_dicts(self) -> list[dict[int, float]]:
        """One mapping of term id to weight for each text."""
        ids, weights = self.ids.tolist(), self.weights.tolist()
        bounds = self.indptr.tolist()
        return [
            dict(zip(ids[start:stop], weights[start:stop], strict=True))
            for start, stop in pairwise(bounds)
        ]

    def take(self, rows: NDArray[np.int64]) -> "SparseVectors":
        """The texts of the given rows, in that order."""
        entries, indptr = ragged_rows(self.indptr, rows)
        return SparseVectors(indptr, self.ids[entries], self.weights[entries])


@dataclass(frozen=True, slots=True, eq=False)
class MultiVectors:
    """One matrix of token vectors a text, all stored in a row.

    Attributes:
        vectors: Token vectors of all texts, one text after another, [tokens, E].
        offsets: Text n owns rows offsets[n] to offsets[n + 1], [N + 1].
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that every vector belongs to a text, and that no text is without."""
        _set(self, vectors=np.asarray(self.vectors, dtype=np.float32))
        _set(self, offsets=whole_numbers(self.offsets, np.int64))
        if self.vectors.ndim != 2:
            raise ValueError(f"token vectors have shape {self.vectors.shape}, not [tokens, E]")
        if len(self.vectors) and not self.vectors.shape[1]:
            raise ValueError("token vectors have no dimensions")
        check_offsets(self.offsets, len(self.vectors), name="offsets")
        lengths = np.diff(self.offsets)
        if (lengths < 1).any():
            raise ValueError(f"text {int(lengths.argmin())} of the batch has no token vector")
        if not np.isfinite(self.vectors).all():
            raise ValueError("token vectors must be finite")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, n: int) -> NDArray[np.float32]:
        """The token vectors of text n, [tokens_n, E]."""
        if not -len(self) <= n < len(self):
            raise IndexError(f"text {n} of {len(self)}")
        n %= len(self)
        return self.vectors[self.offsets[n] : self.offsets[n + 1]]

    @property
    def dim(self) -> int:
        """E, the length of a token vector."""
        return int(self.vectors.shape[1])

    def take(self, rows: NDArray[np.int64]) -> "MultiVectors":
        """The texts of the given rows, in that order."""
        tokens, offsets = ragged_rows(self.offsets, rows)
        return MultiVectors(self.vectors[tokens], offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The views of a batch of N texts, and what made them.

    Attributes:
        dense: One vector a text, [N, E]; None where there is no dense view.
        sparse: Lexical weights.
        multi_vector: Token vectors.
        tokens: Tokens of the whole text, special ones included, [N].
        tokens_encoded: How many of them the encoder saw, [N].
        model_id: Of the model that made them; None for vectors of one's own.
        document_id: Of the model and its document options; None for queries and one's own.
    """

    dense: NDArray[np.float32] | None = None
    sparse: SparseVectors | None = None
    multi_vector: MultiVectors | None = None
    tokens: NDArray[np.int64] | None = None
    tokens_encoded: NDArray[np.int64] | None = None
    model_id: str | None = None
    document_id: str | None = None

    def __post_init__(self) -> None:
        """Check that there is a view, that all are of as many texts, and dense is finite."""
        if not self.representations:
            raise ValueError("embeddings without any view: give dense, sparse or multi_vector")
        if self.dense is not None:
            _set(self, dense=np.asarray(self.dense, dtype=np.float32))
            if self.dense.ndim != 2:
                raise ValueError(f"dense vectors have shape {self.dense.shape}, not [N, E]")
            if len(self.dense) and not self.dense.shape[1]:
                raise ValueError("dense vectors have no dimensions")
            if not np.isfinite(self.dense).all():
                raise ValueError("dense vectors must be finite")
        lengths = {
            name: len(value)
            for name in ("dense", "sparse", "multi_vector", "tokens", "tokens_encoded")
            if (value := getattr(self, name)) is not None
        }
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the views are of different numbers of texts: {lengths}")

    @classmethod
    def from_dense(cls, rows: Sequence[Sequence[float]]) -> Self:
        """Dense vectors of one's own, as numbers, one sequence for each text."""
        return cls(dense=np.asarray(rows, dtype=np.float32))

    def __len__(self) -> int:
        for view in (self.dense, self.sparse, self.multi_vector):
            if view is not None:
                return len(view)
        raise AssertionError("unreachable: checked at birth")

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that are here."""
        return tuple(r for r in Representation if getattr(self, r.value) is not None)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Embeddings":
        """The texts of the given rows, in that order, repetition allowed."""
        chosen = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            dense=None if self.dense is None else self.dense[chosen],
            sparse=None if self.sparse is None else self.sparse.take(chosen),
            multi_vector=None if self.multi_vector is None else self.multi_vector.take(chosen),
            tokens=None if self.tokens is None else self.tokens[chosen],
            tokens_encoded=None if self.tokens_encoded is None else self.tokens_encoded[chosen],
        )


def concatenate(batches: Sequence[Embeddings]) -> Embeddings:
    """Join batches of the same model and the same views, one after another.

    Raises:
        ValueError: No batch, or batches of different models or views.
    """
    if not batches:
        raise ValueError("no embeddings to join")
    first = batches[0]
    if len({(b.model_id, b.document_id, b.representations) for b in batches}) > 1:
        raise ValueError("embeddings of different models or views cannot be joined")
    if len(batches) == 1:
        return first
    return replace(
        first,
        dense=_join([b.dense for b in batches]),
        sparse=_join_sparse([b.sparse for b in batches]),
        multi_vector=_join_multi([b.multi_vector for b in batches]),
        tokens=_join([b.tokens for b in batches]),
        tokens_encoded=_join([b.tokens_encoded for b in batches]),
    )


def empty_view(view: Representation, dim: int) -> Any:
    """A view of no text: an array or record of length 0; `dim` is E, where the view has one."""
    nowhere = np.zeros(1, dtype=np.int64)
    if view is Representation.DENSE:
        return np.empty((0, dim), dtype=np.float32)
    if view is Representation.SPARSE:
        return SparseVectors(nowhere, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    return MultiVectors(np.empty((0, dim), dtype=np.float32), nowhere)


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What an encoder is, in JSON: enough to load it again and to recognise its vectors.

    Attributes:
        family: Name of the model family, as `bge-m3`.
        source: What `Encoder.from_pretrained` was given (hub id, absolute folder, `tercet/mini`);
            None where the encoder cannot be loaded by name.
        revision: Commit of the hub repository, where there is one.
        options: Arguments of `from_pretrained` beside the source that shape the vectors.
        representations: The views that it makes.
        dense_dim: E of the dense view.
        multi_vector_dim: E of the token vectors.
        vocabulary: V, the number of term ids of the sparse view.
        max_tokens: Length of the longest text that one pass reads.
        reduction: How the model's own late interaction adds up query tokens.
        weights: Weight of each view in the plans `hybrid` and `dense+sparse`.
        model_id: sha256 over weights, heads, tokenizer and markers.
        document_id: `model_id` and the options that shape document vectors.
    """

    family: str
    representations: tuple[Representation, ...]
    model_id: str
    document_id: str
    source: str | None = None
    revision: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    dense_dim: int | None = None
    multi_vector_dim: int | None = None
    vocabulary: int | None = None
    max_tokens: int | None = None
    reduction: Reduction = "sum"
    weights: Mapping[Representation, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The spec as a JSON object."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The spec that `to_json` wrote; fields that this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in json.loads(text).items() if name in known}
        values["representations"] = tuple(map(Representation, values["representations"]))
        values["weights"] = {Representation(r): w for r, w in values.get("weights", {}).items()}
        return cls(**values)


class TextEncoder(Protocol):
    """Anything that turns texts into `Embeddings`: what every signature asks for."""

    @property
    def spec(self) -> EncoderSpec:
        """What it is."""
        ...

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that it makes."""
        ...

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N queries, in the order given."""
        ...

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N documents, in the order given."""
        ...


def _set(record: object, **arrays: NDArray[Any]) -> None:
    """Give a frozen record its arrays, in the types that it promises."""
    for name, array in arrays.items():
        object.__setattr__(record, name, array)


def _join(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [a for a in arrays if a is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


def _join_sparse(parts: Sequence[SparseVectors | None]) -> SparseVectors | None:
    present = [p for p in parts if p is not None]
    if not present:
        return None
    return SparseVectors(
        join_offsets([p.indptr for p in present]),
        np.concatenate([p.ids for p in present]),
        np.concatenate([p.weights for p in present]),
    )


def _join_multi(parts: Sequence[MultiVectors | None]) -> MultiVectors | None:
    present = [p for p in parts if p is not None]
    if not present:
        return None
    return MultiVectors(
        np.concatenate([p.vectors for p in present]), join_offsets([p.offsets for p in present])
    )
