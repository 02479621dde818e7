"""Synthetic views at any size: clustered dense vectors, Zipfian lexical weights, token vectors."""

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, SparseVectors

Vectors = NDArray[np.float32]

VOCABULARY = 30_000
TERMS = 129
"""Lexical weights of a document."""

QUERY_TERMS = 24
BLOCK = 20_000


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Vectors of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def dense(count: int, *, dim: int = 384, seed: int = 0) -> Vectors:
    """Vectors in a few thousand clusters."""
    centres = np.random.default_rng(99).standard_normal((2000, dim), dtype=np.float32)
    rng = np.random.default_rng(seed)
    found = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, BLOCK):
        part = found[start : start + BLOCK]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = unit(centres[rng.integers(0, len(centres), len(part))] + 0.7 * noise)
    return found


def sparse(count: int, *, seed: int = 0) -> SparseVectors:
    """Texts of 129 terms whose frequencies follow Zipf's law, with gamma-distributed weights."""
    rng = np.random.default_rng(seed)
    chances = np.cumsum(1 / (np.arange(VOCABULARY) + 10.0))
    chances /= chances[-1]
    ids, lengths = [], []
    for start in range(0, count, BLOCK):
        rows = min(BLOCK, count - start)
        drawn = np.searchsorted(chances, rng.random((rows, 2 * TERMS + 26))).astype(np.int32)
        drawn.sort(axis=1)
        order = rng.random(drawn.shape, dtype=np.float32)
        order[:, 1:][drawn[:, 1:] == drawn[:, :-1]] = 2  # each term once
        kept = np.zeros(drawn.shape, dtype=np.bool_)
        np.put_along_axis(
            kept, np.argpartition(order, TERMS, axis=1)[:, :TERMS], values=True, axis=1
        )
        kept &= order < 2
        ids.append(drawn[kept])
        lengths.append(kept.sum(axis=1))
    indptr = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(np.int64)
    weights = rng.gamma(1.5, 0.08, int(indptr[-1])).astype(np.float32)
    return SparseVectors(indptr, np.concatenate(ids), weights)


def sparse_queries(documents: SparseVectors, count: int, *, seed: int = 1) -> SparseVectors:
    """Some terms of a document each, weighted anew."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in rng.integers(0, len(documents), count):
        own = documents.ids[documents.indptr[n] : documents.indptr[n + 1]]
        terms = rng.choice(own, min(QUERY_TERMS, len(own)), replace=False)
        rows.append(
            {int(t): float(w) for t, w in zip(terms, rng.gamma(1.5, 0.1, len(terms)), strict=True)}
        )
    return SparseVectors.from_dicts(rows)


def tokens(count: int, *, dim: int = 128, seed: int = 0, length: int = 80) -> MultiVectors:
    """Texts of about so many token vectors: a word each, drawn to the text's topic."""
    fixed = np.random.default_rng(98)
    words, topics = (unit(fixed.standard_normal((n, dim))) for n in (3000, 300))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(length // 2, length + length // 2 + 1, count)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    topic = rng.integers(0, len(topics), count).repeat(lengths)
    vectors = np.empty((int(offsets[-1]), dim), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK]
        noise = rng.standard_normal(part.shape, dtype=np.float32) / np.sqrt(dim)
        word = words[(rng.pareto(1.0, len(part)) * 40).astype(np.int64) % len(words)]
        part[:] = unit(word + 0.8 * topics[topic[start : start + BLOCK]] + 0.3 * noise)
    return MultiVectors(vectors, offsets)


def token_queries(
    documents: MultiVectors, count: int, *, hard: bool, seed: int = 1
) -> MultiVectors:
    """32 token vectors each: a text's, evenly; or 20 near four of them and 12 of other texts."""
    rng = np.random.default_rng(seed)
    found = []
    for n in rng.integers(0, len(documents), count):
        own = documents[int(n)]
        if hard:
            near = own[rng.choice(len(own), 4, replace=False)][rng.integers(0, 4, 20)]
            others = documents.vectors[rng.integers(0, len(documents.vectors), 12)]
            chosen = np.concatenate([near, others])
        else:
            chosen = own[np.linspace(0, len(own) - 1, 32).astype(np.int64)]
        noise = rng.standard_normal(chosen.shape) / np.sqrt(documents.dim)
        found.append(unit(chosen + 0.3 * noise))
    return MultiVectors(np.concatenate(found), np.arange(0, 32 * count + 1, 32))
