"""Matrix products as a whole, by the BLAS that is at hand.

The one door to torch: its BLAS, where a model has loaded it anyway, takes about half as long as
numpy's (measured). torch is never imported from here, so an index without a model stays light.
"""

import sys

import numpy as np
from numpy.typing import NDArray

WIDE = 512
"""Dimensions from which the product with the documents on the left is the faster (measured)."""


def products(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
    """All inner products, one row for each query.

    Args:
        queries: Vectors, [M, E].
        documents: Vectors, [N, E].

    Returns:
        queries @ documents.T, [M, N], in C order.
    """
    found = np.empty((len(queries), len(documents)), dtype=np.float32)
    torch = sys.modules.get("torch")
    # torch warns of memory that it may not write, as that of a mapped file
    if torch is None or not (queries.flags.writeable and documents.flags.writeable):
        return np.matmul(queries, documents.T, out=found)
    left, right, into = (torch.from_numpy(array) for array in (queries, documents, found))
    if queries.shape[1] < WIDE:
        torch.mm(left, right.T, out=into)
    else:
        into.copy_((right @ left.T).T)
    return found
