"""Queries made of stored documents, for as long as there are no real ones."""

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors

COVERED = 4
"""Token vectors of the document that a query is about."""

NEAR, FOREIGN = 20, 12
"""Of a query's token vectors: so many lie near those, so many near ones of other documents.

Queries that cover a document evenly are easy: the mean of its token vectors finds it.
"""

NOISE = 0.3
"""Length of what is added to a token vector of unit length."""


def hard_queries(
    documents: MultiVectors, others: MultiVectors, *, rng: np.random.Generator
) -> MultiVectors:
    """One query of 32 token vectors for each document.

    Args:
        documents: What the queries are about.
        others: Where the rest of their token vectors comes from.
        rng: Of all choices.
    """
    found = [_query(documents[n], others, rng) for n in range(len(documents))]
    size = NEAR + FOREIGN
    return MultiVectors(np.concatenate(found), np.arange(0, size * len(found) + 1, size))


def _query(
    own: NDArray[np.float32], others: MultiVectors, rng: np.random.Generator
) -> NDArray[np.float32]:
    covered = own[rng.choice(len(own), min(COVERED, len(own)), replace=False)]
    near = covered[rng.integers(0, len(covered), NEAR)]
    foreign = others.vectors[rng.integers(0, len(others.vectors), FOREIGN)]
    chosen = np.concatenate([near, foreign])
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True)
    noise = rng.standard_normal(chosen.shape) * NOISE / np.sqrt(chosen.shape[1])
    moved = chosen + noise * lengths
    moved *= lengths / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-30)
    query: NDArray[np.float32] = moved.astype(np.float32)
    return query
