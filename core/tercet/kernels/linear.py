"""Linear layers: y = act(x W^T + b) in float32, for any number of rows, each with the same bits.

Weights lie in panels as the processor at hand reads them, and are read once for a block of rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.linear_loops import PIECE, VECTORS, LinearLoops, tile_heights
from tercet.kernels.memory import FLOAT_BYTES, Scratch, aligned

ROWS = 252
"""Most rows of a block: their numbers, as many as meet a panel, stay in the second cache."""

NUMBERS = 1 << 18
"""Of rows that meet all panels before the next ones, for the same reason."""

ROWS_WORTH_A_SHARE = 96
"""Rows below which several threads share the panels, and read them once, instead of the rows."""

Floats = NDArray[np.float32]

_scratch = Scratch()


class Matrix(NamedTuple):
    """Floats in memory that stays where it is: those of a row side by side.

    Attributes:
        address: Where the first one is.
        rows: How many rows there are.
        columns: Floats of each.
        stride: Floats from one row to the next.
        owner: Keeps the memory.
    """

    address: int
    rows: int
    columns: int
    stride: int
    owner: object = None


class Share(NamedTuple):
    """What one thread does: some rows, with some of the panels."""

    rows: range
    panels: range


class Panels:
    """A layer, laid out for the processor at hand.

    Attributes:
        dims: Numbers of a row, K.
        columns: Numbers of a result, N.
    """

    def __init__(self, weight: Floats, bias: Floats | None, *, gelu: bool = False) -> None:
        """Lay out a layer.

        Args:
            weight: W, [N, K].
            bias: b, [N]; None is 0.
            gelu: Whether the activation is GELU in its exact form, or none.

        Raises:
            RuntimeError: Kernels are off.
        """
        here = machine()
        if here is None:
            raise RuntimeError("kernels are off: `can_multiply` tells")
        self.columns, self.dims = weight.shape
        self._gelu, self._run, self._heights = gelu, kernel(here), tile_heights(here)
        self._width = VECTORS * here.lanes
        self._weights = _panels(weight, self._width)
        self._bias = np.zeros(len(self._weights) * self._width, dtype=np.float32)
        if bias is not None:
            self._bias[: self.columns] = bias

    def __len__(self) -> int:
        """How many panels there are."""
        return len(self._weights)

    def shares(self, rows: int, count: int) -> list[Share]:
        """Cut a product into so many shares, or fewer, of like cost."""
        if count > 1 and 0 < rows < count * ROWS_WORTH_A_SHARE:
            return [Share(range(rows), some) for some in _cut(len(self), count)]
        return [Share(some, range(len(self))) for some in _cut(rows, count)]

    def project(self, x: Matrix, out: Matrix, share: Share) -> None:
        """Compute the results of some rows, as far as they come from some panels.

        A result does not depend, not in its last bit, on other rows.

        Args:
            x: [rows, K].
            out: Where all results go, [rows, N].
            share: Which are computed.

        Raises:
            ValueError: The matrices are not of that shape, or have not those rows.
        """
        rows, panels = share
        fit = x.columns == self.dims and out.columns == self.columns and x.rows == out.rows
        inside = 0 <= rows.start <= rows.stop <= x.rows and 0 <= panels.start <= panels.stop
        if not fit or not inside or panels.stop > len(self):
            raise ValueError(
                f"{share} of a layer from {self.dims} to {self.columns} numbers is asked for, and "
                f"there are {len(self)} panels, {x} and {out}"
            )
        for block in _cut(len(rows), -(-len(rows) // ROWS), self._heights[0]):
            self._project(x, out, rows.start + block.start, len(block), panels)

    def _project(self, x: Matrix, out: Matrix, row: int, rows: int, panels: range) -> None:
        """The results of a block of rows."""
        width, step = self._width, self._heights[-1]
        filled = -(-rows // step) * step
        segments = _cut(self.dims, -(-self.dims * rows // NUMBERS), PIECE)
        numbers, sums = filled * len(segments[0]), filled * width
        space = _scratch.of(numbers + sums * (len(panels) if len(segments) > 1 else 1))
        for segment in segments:
            self._run(
                x.address + (row * x.stride + segment.start) * FLOAT_BYTES, x.stride,
                rows, len(segment),
                self._weights.ctypes.data + segment.start * width * FLOAT_BYTES, self.dims * width,
                panels.start, panels.stop, self._bias.ctypes.data, segment.start == 0,
                out.address + row * out.stride * FLOAT_BYTES, out.stride,
                self.columns, segment.stop == self.dims, self._gelu,
                space, space + numbers * FLOAT_BYTES, sums if len(segments) > 1 else 0,
            )  # fmt: skip


def can_multiply() -> bool:
    """Whether there is such a kernel for the processor at hand."""
    return machine() is not None


@made_once
def kernel(here: Machine) -> Compiled:
    """Machine code of all layers."""
    return compiled(LinearLoops(here).finish())


def _panels(weight: Floats, width: int) -> Floats:
    """Columns of W^T as panels so wide, [panels, K, width]; zeros fill up the last one."""
    columns, dims = weight.shape
    whole, rest = divmod(columns, width)
    count = -(-columns // width)
    found = aligned(count * dims * width).reshape(count, dims, width)
    found[:whole] = weight[: whole * width].reshape(whole, width, dims).transpose(0, 2, 1)
    if rest:
        found[whole] = 0
        found[whole, :, :rest] = weight[whole * width :].T
    return found


def _cut(size: int, count: int, step: int = 1) -> list[range]:
    """Cut a range into so many parts, or fewer, of like length: multiples of a step but for one."""
    if count <= 1 or size == 0:
        return [range(size)] if size else []
    length = -(-size // (count * step)) * step
    return [range(start, min(start + length, size)) for start in range(0, size, length)]
