"""The best product of each query token in each document: what late interaction spends its time on.

Where torch is loaded and has oneDNN's prepacked product, that reads documents as they lie, and a
maximum follows for each document. Else, and for short documents, a product of everything comes
first and numpy cuts it into maxima.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.products import Multiply
from tercet.scoring.threads import Buffer

LEAST_LENGTH = 64
"""Document tokens, in the mean, from which on a maximum a document costs less (measured)."""

ROWS_HINT = 1024
"""Rows that oneDNN's layout is chosen for."""

Vectors = NDArray[np.float32]

Best = Callable[[Vectors, NDArray[np.int64]], Vectors]
"""Token vectors of documents, [tokens, E], and where each document starts, [n], to [Q, n]."""


def by_products(queries: Vectors, *, multiply: Multiply) -> Best:
    """By a product of everything; queries are token vectors, [Q, E]."""
    buffer = Buffer()  # fresh memory costs as much as the product itself

    def best(documents: Vectors, starts: NDArray[np.int64]) -> Vectors:
        out = buffer.take((len(queries), len(documents)))
        similarity = multiply(queries, documents, out=out)  # -> [Q, tokens]
        maxima: Vectors = np.maximum.reduceat(similarity, starts, axis=1)  # -> [Q, n]
        return maxima

    return best


def by_onednn(queries: Vectors, *, multiply: Multiply) -> Best:
    """By oneDNN, and by products what it cannot take or does not pay for."""
    otherwise = by_products(queries, multiply=multiply)
    torch = sys.modules.get("torch")
    # torch warns of memory that it may not write, as that of a mapped file
    if torch is None or not queries.flags.writeable or not _can_pack(torch):
        return otherwise
    packed = _packed(torch, queries)

    def best(documents: Vectors, starts: NDArray[np.int64]) -> Vectors:
        if len(documents) < LEAST_LENGTH * len(starts) or not documents.flags.writeable:
            return otherwise(documents, starts)
        similarity = _product(torch, documents, packed)  # [tokens, Q]
        found = np.empty((len(starts), len(queries)), dtype=np.float32)
        rows, lengths = torch.from_numpy(found), np.diff(starts, append=len(documents)).tolist()
        if len(set(lengths)) == 1:  # texts of one length are one block
            torch.amax(similarity.view(len(starts), lengths[0], -1), 1, out=rows)
            return found.T
        for own, row in zip(similarity.split(lengths), rows, strict=True):
            torch.amax(own, 0, out=row)  # [tokens of one, Q] -> [Q]
        return found.T

    return best


@cache
def _can_pack(torch: Any) -> bool:
    """Whether the operators, which are none of torch's public ones, are there and right."""
    queries = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)
    documents = np.linspace(1, -2, 80, dtype=np.float32).reshape(5, 16)
    try:
        found = _product(torch, documents, _packed(torch, queries)).numpy()
    except (AttributeError, RuntimeError):  # another release of torch, or another CPU
        return False
    return np.allclose(found, documents @ queries.T, atol=1e-5)


def _packed(torch: Any, queries: Vectors) -> Any:
    return torch.ops.mkldnn._reorder_linear_weight(torch.from_numpy(queries), ROWS_HINT)


def _product(torch: Any, documents: Vectors, packed: Any) -> Any:
    vectors = torch.from_numpy(documents)
    return torch.ops.mkldnn._linear_pointwise(vectors, packed, None, "none", [], "")
