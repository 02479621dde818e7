"""Lexical match: how lexical weights are compared."""

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import SparseVectors


def lexical_match(query: SparseVectors, documents: SparseVectors) -> NDArray[np.float32]:
    """Score documents against one query by the terms that they share.

    score(q, d) = sum over terms t in both of w_q(t) * w_d(t)

    Args:
        query: Lexical weights of one text.
        documents: Lexical weights of N texts.

    Returns:
        One score a document, [N].

    Source: Chen et al. 2024, "M3-Embedding", section 3.2.
    """
    if len(query) != 1:
        raise ValueError(f"lexical_match scores one query a call, not {len(query)}")
    if not len(query.ids):
        return np.zeros(len(documents), dtype=np.float32)
    places = np.searchsorted(query.ids, documents.ids).clip(max=len(query.ids) - 1)  # [entries]
    shared = query.ids[places] == documents.ids
    products = np.where(shared, query.weights[places] * documents.weights, np.float32(0))
    owners = np.repeat(np.arange(len(documents)), np.diff(documents.indptr))
    sums = np.bincount(owners, weights=products, minlength=len(documents))
    return sums.astype(np.float32)
