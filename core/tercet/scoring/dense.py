"""The inner product: how dense vectors are compared."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.products import tiled_products
from tercet.scoring.threads import in_parallel

BLOCK_ROWS = 4096
"""Documents that one thread scores at a time."""

Load = Callable[[int, int], NDArray[np.float32]]
"""Gives the vectors from one position to another, [n, E]; each thread of its own."""


def inner_product(
    queries: NDArray[np.float32], documents: NDArray[np.float32]
) -> NDArray[np.float32]:
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
    if queries.shape[1] != documents.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions, documents {documents.shape[1]}"
        )
    return inner_product_loaded(queries, lambda start, stop: documents[start:stop], len(documents))


def inner_product_loaded(
    queries: NDArray[np.float32], load: Load, count: int
) -> NDArray[np.float32]:
    """Score documents whose vectors are loaded block by block, once for all queries, [M, N].

    Args:
        queries: Dense vectors, [M, E].
        load: Gives the documents' vectors.
        count: How many there are.
    """
    scores = np.zeros((len(queries), count), dtype=np.float32)

    def score_block(start: int) -> None:
        block = slice(start, min(start + BLOCK_ROWS, count))
        scores[:, block] = tiled_products(queries, load(block.start, block.stop))

    if len(queries):
        in_parallel(score_block, range(0, count, BLOCK_ROWS))
    return scores
