"""The inner product: how dense vectors are compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.inner_product import multiply
from tercet.kernels.stored import can_read
from tercet.scoring.products import products
from tercet.scoring.threads import in_parallel, thread_count

LEAST_ROWS, MOST_ROWS = 1 << 11, 1 << 16
"""Vectors of a piece of work: so few that a scan can be interrupted, and enough to pay."""

DECODED_ROWS = 1 << 12
"""Vectors that are decoded at once where no kernel reads them as they are stored."""

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def inner_product(queries: Vectors, documents: Vectors) -> Vectors:
    """Score documents against queries by inner product.

    score(q, d) = <q, d>, which is the cosine where vectors have unit length.

    Args:
        queries: Dense vectors, [M, E].
        documents: Dense vectors, [N, E].

    Returns:
        Scores, [M, N].

    Raises:
        ValueError: Vectors of different lengths.
    """
    return inner_product_stored(queries, documents, None, np.arange(len(documents)))


def inner_product_stored(
    queries: Vectors, numbers: NDArray[Any], scales: Vectors | None, rows: Rows
) -> Vectors:
    """Score documents whose vectors are numbers in memory, or in a mapped file.

    Args:
        queries: Dense vectors, [M, E].
        numbers: Of all documents: float32, float16 or int8, [N, E].
        scales: What each vector is multiplied with, [N]; None leaves it.
        rows: Which documents, [R].

    Returns:
        Scores, [M, R].

    Raises:
        ValueError: Vectors of different lengths.
    """
    if queries.shape[1] != numbers.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions, documents {numbers.shape[1]}"
        )
    scores = np.empty((len(queries), len(rows)), dtype=np.float32)
    share = min(max(len(rows) // thread_count(), LEAST_ROWS), MOST_ROWS)
    score, size = (multiply, share) if can_read(numbers) else (_by_numpy, DECODED_ROWS)

    def score_some(start: int) -> None:
        some = slice(start, start + size)
        score(queries, numbers, scales, rows[some], out=scores[:, some])

    if len(queries):
        in_parallel(score_some, range(0, len(rows), size))
    return scores


def _by_numpy(
    queries: Vectors, numbers: NDArray[Any], scales: Vectors | None, rows: Rows, *, out: Vectors
) -> None:
    """The same without kernels."""
    vectors = numbers[rows].astype(np.float32, copy=False)
    out[:] = products(queries, vectors if scales is None else vectors * scales[rows, None])
