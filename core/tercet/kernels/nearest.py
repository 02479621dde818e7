"""The columns whose products with a query are the largest: which, and how large.

Columns are laid out once, and no table of products is written down: a few queries meet a panel of
columns in registers, and what is among the best so far enters a short list. Where the processor
multiplies bytes, both sides are rounded to them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.compiling import machine
from tercet.kernels.memory import Scratch
from tercet.kernels.nearest_loops import LARGEST, OFFSET, VECTORS, Form, kernel
from tercet.kernels.tiles import panels

DIMENSIONS = range(16, 4097, 16)
"""Of vectors that are multiplied as bytes: whole vector registers, and sums that fit 32 bits."""

NARROW = 256
"""Dimensions of floats up to which this takes less time than a BLAS; of 1024 half as much again."""

NOWHERE = -(1 << 30)
"""What the sums of columns begin with that only fill a panel up."""

Vectors = NDArray[np.float32]

_scratch = Scratch()


def can_find_nearest(dim: int) -> bool:
    """Whether there are kernels here, and for vectors so long no BLAS is faster."""
    here = machine()
    return here is not None and (dim <= NARROW or (here.bytes and dim in DIMENSIONS))


class Nearest:
    """Columns that are looked through.

    Args:
        columns: Vectors, [C, E].
    """

    def __init__(self, columns: Vectors) -> None:
        here = machine()
        if here is None:
            raise RuntimeError("kernels are off: `can_find_nearest` tells")
        self._machine = here
        self._count, self._dim = columns.shape
        self._whole = here.bytes and self._dim in DIMENSIONS
        width = VECTORS * here.lanes
        groups = -(-self._count // width)
        filling = np.arange(groups * width) >= self._count
        scales = np.full(len(filling), np.finfo(np.float32).max, dtype=np.float32)
        if self._whole:
            largest = np.maximum(np.abs(columns).max(axis=1), np.finfo(np.float32).tiny)
            scales[: self._count] = largest / LARGEST
            whole = panels(np.rint(columns / scales[: self._count, None]), width)
            begin = np.where(filling, NOWHERE, -OFFSET * whole.sum(axis=1).reshape(-1))
            fours = whole.astype(np.int8).reshape(groups, self._dim // 4, 4, width)
            self._held: list[NDArray[Any]] = [
                np.ascontiguousarray(fours.transpose(0, 1, 3, 2)), begin.astype(np.int32), scales,
            ]  # fmt: skip
        else:
            begin = np.where(filling, -np.inf, 0).astype(np.float32)
            self._held = [panels(columns, width), begin, scales]
        self._columns = *(array.ctypes.data for array in self._held), groups

    def of(self, queries: Vectors, count: int) -> tuple[NDArray[np.int32], Vectors]:
        """The columns whose products are the largest, the largest first.

        Args:
            queries: M of them, [M, E].
            count: How many columns are looked for; at most all.

        Returns:
            Which columns, [M, count]; their products, [M, count].
        """
        if queries.shape[1] != self._dim or not 1 <= count <= self._count:
            raise ValueError(
                f"{count} of {self._count} columns with {self._dim} dimensions are looked for, "
                f"by queries with {queries.shape[1]}"
            )
        form = Form(self._machine, self._whole, -(-count // self._machine.lanes))
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        best = np.empty((len(asked), form.space), dtype=np.float32)
        which = np.empty((len(asked), form.space), dtype=np.int32)
        kernel(form)(
            asked.ctypes.data, *asked.shape, *self._columns, count, best.ctypes.data,
            which.ctypes.data, _scratch.of(form.memory + len(asked) * (self._dim + 1)),
        )  # fmt: skip
        return which[:, 1 : 1 + count], best[:, 1 : 1 + count]
