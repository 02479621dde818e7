"""The one door to torch: matrix products, by its BLAS where a model has loaded it anyway.

numpy's own BLAS takes about twice as long for few queries and many short vectors (measured). torch
is never imported from here, so an index without a model stays light.
"""

import sys

import numpy as np
from numpy.typing import NDArray

WIDE = 256
"""Dimensions from which the product with the documents on the left is the faster (measured)."""


def products(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
    """All inner products, one row for each query.

    Args:
        queries: Vectors, [M, E].
        documents: Vectors, [N, E].

    Returns:
        queries @ documents.T, [M, N], in C order.
    """
    torch = sys.modules.get("torch")
    # torch warns of memory that it may not write, as that of a mapped file
    if torch is None or not (queries.flags.writeable and documents.flags.writeable):
        found: NDArray[np.float32] = queries @ documents.T
        return found
    left, right = torch.from_numpy(queries), torch.from_numpy(documents)
    if queries.shape[1] < WIDE:
        return np.asarray((left @ right.T).numpy())
    return np.asarray((right @ left.T).T.contiguous().numpy())
