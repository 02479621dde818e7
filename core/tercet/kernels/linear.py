"""Linear layers: y = act(x W^T + b) in float32, for any number of rows.

Weights lie in panels as the processor at hand reads them, and are read once for a block of rows.
Units for vectors give a row the same bits whatever stands beside it. Where there are units for
matrices, many rows are theirs, and a few are not: results of both differ by float32's rounding.
"""

from collections.abc import Callable
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.layer import Layer, Matrix, Share, cut
from tercet.kernels.linear_loops import VECTORS
from tercet.kernels.linear_matrices import PIECE as MATRIX_PIECE
from tercet.kernels.linear_matrices import ROWS as MATRIX_ROWS
from tercet.kernels.linear_matrices import MatrixLoops, room
from tercet.kernels.linear_vectors import PIECE, VectorLoops, tile_heights
from tercet.kernels.matrix_tiles import PAIRED
from tercet.kernels.memory import FLOAT_BYTES, Scratch, aligned

ROWS_WORTH_MATRICES = 64
"""Rows below which reading the weights takes the time, to which taking them apart would add."""

Floats = NDArray[np.float32]

_scratch = Scratch()


class Units(NamedTuple):
    """What computes, and how much at once.

    Attributes:
        run: Machine code of a layer.
        tall: Rows of the largest tile.
        step: All numbers of rows are filled up to a multiple of it.
        rows: Most rows of a block: their numbers, as many as meet a panel, stay in the second
            cache.
        numbers: Of rows that meet all panels before the next ones, for the same reason.
        piece: Dimensions that meet at once.
        room: Floats of memory for so many rows of so many dimensions.
    """

    run: Compiled
    tall: int
    step: int
    rows: int
    numbers: int
    piece: int
    room: Callable[[int, int], int]


class Plan(NamedTuple):
    """How a block of so many rows is computed.

    Attributes:
        run: Machine code.
        segments: Dimensions that meet at once: the first, and the one behind the last.
        numbers: Floats of memory for rows.
        sums: Floats of memory for the sums of a panel.
        stride: Floats from the sums of one panel to those of the next; 0 where they need not stay.
    """

    run: Compiled
    segments: list[tuple[int, int]]
    numbers: int
    sums: int
    stride: int


class Panels(Layer):
    """A layer of float32 weights."""

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
        self._gelu, self._few = gelu, vector_units(here)
        self._many = matrix_units(here) if here.matrices else self._few
        self._width = VECTORS * here.lanes
        self._weights = _panels(weight, self._width, PAIRED if here.matrices else 1)
        self._bias = np.zeros(len(self._weights) * self._width, dtype=np.float32)
        if bias is not None:
            self._bias[: len(weight)] = bias
        columns, dims = weight.shape
        # Remembered, since caches forget what Python does in between. Nothing can copy a layer:
        # machine code cannot be copied.
        self._weights_at, self._depth = self._weights.ctypes.data, self._weights[0].size
        self._bias_at = self._bias.ctypes.data
        self._plans: dict[tuple[int, bool], Plan] = {}
        super().__init__(dims=dims, columns=columns, count=len(self._weights), step=self._many.tall)

    def _units(self, rows: int) -> Units:
        return self._few if rows < ROWS_WORTH_MATRICES else self._many

    def _most(self, rows: int) -> int:
        return self._units(rows).rows

    def _project(self, x: Matrix, out: Matrix, share: Share) -> None:
        row, count = share.rows.start, len(share.rows)
        plan = self._plans.get((count, x.rows < ROWS_WORTH_MATRICES))
        if plan is None:
            plan = self._plan(count, x.rows)
        run, segments, numbers, sums, stride = plan
        first, stop = share.panels.start, share.panels.stop
        space = _scratch.of(numbers + sums * (stop - first if stride else 1))
        for start, end in segments:
            run(
                x.address + (row * x.stride + start) * FLOAT_BYTES, x.stride, count, end - start,
                self._weights_at + start * self._width * FLOAT_BYTES, self._depth,
                first, stop, self._bias_at, start == 0,
                out.address + row * out.stride * FLOAT_BYTES, out.stride,
                self.columns, end == self.dims, self._gelu,
                space, space + numbers * FLOAT_BYTES, stride,
            )  # fmt: skip

    def _plan(self, count: int, rows: int) -> "Plan":
        """How a block of some of so many rows is computed; remembered."""
        units = self._units(rows)
        filled = -(-count // units.step) * units.step
        segments = cut(self.dims, -(-self.dims * count // units.numbers), units.piece)
        numbers, sums = units.room(filled, len(segments[0])), filled * self._width
        parts = [(part.start, part.stop) for part in segments]
        plan = Plan(units.run, parts, numbers, sums, sums if len(segments) > 1 else 0)
        self._plans[count, rows < ROWS_WORTH_MATRICES] = plan
        return plan


def can_multiply() -> bool:
    """Whether there is such a kernel for the processor at hand."""
    return machine() is not None


@made_once
def vector_units(here: Machine) -> Units:
    """Those of any processor."""
    heights = tile_heights(here)
    run = compiled(VectorLoops(here).finish())
    return Units(run, heights[0], heights[-1], 252, 1 << 18, PIECE, mul)


@made_once
def matrix_units(here: Machine) -> Units:
    """Those of one that has matrix units."""
    run = compiled(MatrixLoops(here).finish())
    return Units(run, MATRIX_ROWS, MATRIX_ROWS, 256, 1 << 17, MATRIX_PIECE, room)


def _panels(weight: Floats, width: int, step: int) -> Floats:
    """Columns of W^T as panels so wide, [panels, K, width], and K filled up to a step, by zeros."""
    columns, dims = weight.shape
    whole, rest = divmod(columns, width)
    count, deep = -(-columns // width), -(-dims // step) * step
    found = aligned(count * deep * width).reshape(count, deep, width)
    found[:, dims:] = 0
    found[:whole, :dims] = weight[: whole * width].reshape(whole, width, dims).transpose(0, 2, 1)
    if rest:
        found[whole] = 0
        found[whole, :dims, :rest] = weight[whole * width :].T
    return found
