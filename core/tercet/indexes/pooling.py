"""Token pooling: similar token vectors of a document become one.

Source: Clavié, Chaffin & Adams 2024, "Reducing the footprint of multi-vector retrieval with
minimal performance impact via token pooling".
"""

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors

ROUNDS = 4


def pooled(vectors: MultiVectors, factor: int) -> MultiVectors:
    """About one token vector in `factor` of each text, the mean of similar ones at their length.

    Args:
        vectors: Token vectors of N texts.
        factor: 1 keeps all.
    """
    if factor == 1:
        return vectors
    texts = [_pooled(vectors[n], factor) for n in range(len(vectors))]
    offsets = np.cumsum([0, *map(len, texts)])
    return MultiVectors(np.concatenate([np.empty((0, vectors.dim), np.float32), *texts]), offsets)


def _pooled(tokens: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Cluster the tokens of one text, beginning with tokens at even distances."""
    count = -(-len(tokens) // factor)
    means = tokens[np.linspace(0, len(tokens) - 1, count).astype(np.int64)]
    length = np.linalg.norm(tokens, axis=1).mean()
    for _ in range(ROUNDS):
        nearest = (tokens @ means.T).argmax(axis=1)
        members = np.zeros((count, len(tokens)), dtype=np.float32)
        members[nearest, np.arange(len(tokens))] = 1
        sums = members @ tokens
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        means = np.where(norms > 0, sums / np.maximum(norms, 1e-30) * length, means)
    means = means[np.unique(nearest)]
    found: NDArray[np.float32] = means.astype(np.float32)
    return found
