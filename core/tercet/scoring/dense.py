"""The inner product: how dense vectors are compared."""

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.products import products


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
    return products(queries, documents)
