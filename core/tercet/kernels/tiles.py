"""The tile: products of some rows with a panel of columns, summed in registers.

A panel holds columns side by side: for each dimension the numbers of W columns. A step multiplies
one number of each row with the W numbers of its dimension. Sums run over the dimensions one after
another, so a product has the same bits in every tile, whatever stands beside it.

Source of the scheme: Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import Kernel, Value

Sums = list[list[Value]]
"""A list for each row, of the vectors of its sums."""


def tile(
    kernel: Kernel,
    rows: Sequence[Value],
    panel: Value,
    dims: Value,
    *,
    vectors: int,
    each: Callable[[Value], None] | None = None,
    begin: Sequence[Value] | None = None,
    stride: int = 1,
    unrolled: int = 1,
) -> Sums:
    """Write the products of rows with the columns of a panel.

    Args:
        kernel: Is written.
        rows: Where each row begins.
        panel: Where the panel begins, [dims, vectors * lanes].
        dims: How many dimensions there are.
        vectors: Of the panel's width.
        each: Writes what else is done at each step, such as a prefetch.
        begin: What the sums of each row begin with; None is nothing. Where these are whole numbers,
            four unsigned bytes of a row and four signed ones of a column make a dimension.
        stride: Numbers from one dimension of a row to the next.
        unrolled: Dimensions of a step; those left over are a step each, without `each`. It saves
            instructions that would take turns of the units which multiply.
    """
    first_sums = [kernel.floats(0.0)] * vectors if begin is None else list(begin)
    add = kernel.fma if first_sums[0].type == kernel.vector else kernel.byte_products

    def one(dim: Value, sums: list[Value]) -> list[Value]:
        first = kernel.code.mul(dim, kernel.count(vectors * kernel.lanes))
        columns = [
            kernel.load(kernel.at(panel, first, vector * kernel.lanes)) for vector in range(vectors)
        ]
        there = kernel.code.mul(dim, kernel.count(stride))
        found = []
        for row in range(len(rows)):
            number = kernel.splat(kernel.code.load(kernel.at(rows[row], there)))
            for vector in range(vectors):
                place = row * vectors + vector
                found.append(add(number, columns[vector], sums[place]))
        return found

    def step(dim: Value, sums: list[Value]) -> list[Value]:
        if each is not None:
            each(dim)
        for more in range(unrolled):
            sums = one(kernel.code.add(dim, kernel.count(more)), sums)
        return sums

    dim, sums = kernel.loop(
        kernel.count(0), dims, step, step=unrolled, carried=first_sums * len(rows)
    )
    if unrolled > 1:
        _, sums = kernel.loop(dim, dims, one, carried=sums)
    return [sums[start : start + vectors] for start in range(0, len(sums), vectors)]


def heights(rows: int) -> list[int]:
    """Rows of the tiles that together make any number of rows, the largest first."""
    return [rows, *(height for height in (4, 1) if height < rows)]


def panels(columns: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Columns, [C, E], as panels so wide, [panels, E, width]; zeros fill up the last one."""
    count, dims = columns.shape
    groups = -(-count // width)
    padded = np.zeros((groups * width, dims), dtype=np.float32)
    padded[:count] = columns
    return np.ascontiguousarray(padded.reshape(groups, width, dims).transpose(0, 2, 1))
