"""The inner product: how dense vectors are compared."""

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.products import tiled_products
from tercet.scoring.threads import in_parallel

BLOCK_ROWS = 4096
"""Documents that one thread scores at a time."""


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
    if not len(queries) or not len(documents):
        return np.zeros((len(queries), len(documents)), dtype=np.float32)
    scores = np.empty((len(queries), len(documents)), dtype=np.float32)

    def score_block(start: int) -> None:
        block = slice(start, start + BLOCK_ROWS)
        scores[:, block] = tiled_products(queries, documents[block])

    in_parallel(score_block, range(0, len(documents), BLOCK_ROWS))
    return scores
