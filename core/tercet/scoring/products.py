"""Matrix products of few queries and many documents: by BLAS as a whole, or in tiles.

`products` is the one door to torch: its BLAS, where a model has loaded it anyway, takes about half
as long as numpy's (measured). torch is never imported from here, so an index without a model stays
light.

`tiled_products` stays on the calling thread. BLAS splits a large product among threads that wait
for each other, and on a busy machine the wait takes a hundred times as long as the product
(measured: 11 s for a scan that takes 0.3 s). Tiles so small that OpenBLAS starts no threads cost
little more, and independent blocks of them run on threads of ours, which never wait.
"""

import sys
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

WIDE = 512
"""Dimensions from which the product with the documents on the left is the faster (measured)."""

TILE = 1 << 18
"""Multiplications of a matrix product that OpenBLAS leaves to one thread."""

VECTOR_TILE = 9_000
"""The same for a matrix and one vector."""

TILE_QUERIES = TILE_ROWS = 32
"""Queries and documents of a tile at most: larger ones are slower (measured)."""


class Multiply(Protocol):
    """How products are made."""

    def __call__(
        self,
        queries: NDArray[np.float32],
        documents: NDArray[np.float32],
        *,
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Queries and documents to their products, in memory that is handed in."""
        ...


def products(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    *,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """All inner products, one row for each query.

    Args:
        queries: Vectors, [M, E].
        documents: Vectors, [N, E].
        out: Where they go, [M, N] in C order; None makes an array. Fresh memory costs as much as
            the product itself where vectors are short (measured), so loops hand in the same.

    Returns:
        queries @ documents.T, [M, N], in C order.
    """
    found = np.empty((len(queries), len(documents)), dtype=np.float32) if out is None else out
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


def tiled_products(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    *,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """All inner products, without any other thread; as `products` else, [M, N]."""
    found = np.empty((len(queries), len(documents)), dtype=np.float32) if out is None else out
    groups = -(-len(queries) // TILE_QUERIES)
    for group in range(groups):  # of even size: a lone last query would be slow
        rows = slice(group * len(queries) // groups, (group + 1) * len(queries) // groups)
        _in_tiles(queries[rows], documents, out=found[rows])
    return found


def _in_tiles(
    queries: NDArray[np.float32], documents: NDArray[np.float32], *, out: NDArray[np.float32]
) -> None:
    count, dim = documents.shape
    budget = TILE // len(queries) if len(queries) > 1 else VECTOR_TILE
    rows = min(max(budget // dim, 1), TILE_ROWS)
    whole = count - count % rows
    tiles = documents[:whole].reshape(-1, rows, dim).transpose(0, 2, 1)  # [tiles, E, rows]
    into = out[:, :whole].reshape(len(queries), -1, rows).transpose(1, 0, 2)  # a view of out
    np.matmul(queries, tiles, out=into)
    np.matmul(queries, documents[whole:].T, out=out[:, whole:])
