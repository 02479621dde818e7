"""Linear layers: y = act(x W^T + b) in float32, for any number of rows, each with the same bits.

Weights lie in panels as the processor at hand reads them, and are read once for a block of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


class Share(NamedTuple):
    """What one thread does: some rows, with some of the panels."""

    rows: range
    panels: range


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """A layer.

    Attributes:
        machine: The processor that it is laid out for.
        weights: [panels, K, width], 0 where there is no column.
        bias: [panels * width].
        columns: Numbers of a result, N.
        gelu: Whether that is computed of them.
    """

    machine: Machine
    weights: Floats
    bias: Floats
    columns: int
    gelu: bool

    @classmethod
    def of(cls, weight: Floats, bias: Floats | None, *, gelu: bool = False) -> "Panels":
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
        columns, dims = weight.shape
        width = VECTORS * here.lanes
        whole, rest = divmod(columns, width)
        count = -(-columns // width)
        weights = aligned(count * dims * width).reshape(count, dims, width)
        by_panel = weight[: whole * width].reshape(whole, width, dims)
        weights[:whole] = by_panel.transpose(0, 2, 1)
        if rest:
            weights[whole] = 0
            weights[whole, :, :rest] = weight[whole * width :].T
        biases = np.zeros(count * width, dtype=np.float32)
        if bias is not None:
            biases[:columns] = bias
        return cls(here, weights, biases, columns, gelu)

    def shares(self, rows: int, count: int) -> list[Share]:
        """Cut a product into so many shares, or fewer, of like cost."""
        panels = len(self.weights)
        if count > 1 and 0 < rows < count * ROWS_WORTH_A_SHARE:
            return [Share(range(rows), some) for some in _cut(panels, count)]
        return [Share(some, range(panels)) for some in _cut(rows, count)]

    def project(self, x: Floats, out: Floats, share: Share) -> None:
        """Compute the results of some rows, as far as they come from some panels.

        A result does not depend, not in its last bit, on other rows.

        Args:
            x: [rows, K], each in a row.
            out: Where all results go, [rows, N], each in a row.
            share: Which are computed.

        Raises:
            ValueError: The arrays are not as said, or have not those rows.
        """
        panels, dims, width = self.weights.shape
        rows, some = share
        _check(x, (len(x), dims), rows)
        _check(out, (len(x), self.columns), rows)
        if not 0 <= some.start <= some.stop <= panels:
            raise ValueError(f"panels are {some}, and there are {panels}")
        run, heights = kernel(self.machine), tile_heights(self.machine)
        for block in _cut(len(rows), -(-len(rows) // ROWS), heights[0]):
            filled = -(-len(block) // heights[-1]) * heights[-1]
            sums = filled * width
            segments = _cut(dims, -(-dims * len(block) // NUMBERS), PIECE)
            packed = _scratch.of(filled * len(segments[0]) + sums * len(some))
            first = rows.start + block.start
            for segment in segments:
                run(
                    x.ctypes.data + first * x.strides[0] + segment.start * FLOAT_BYTES,
                    x.strides[0] // FLOAT_BYTES, len(block), len(segment),
                    self.weights.ctypes.data + segment.start * width * FLOAT_BYTES, dims * width,
                    some.start, some.stop, self.bias.ctypes.data, segment.start == 0,
                    out.ctypes.data + first * out.strides[0], out.strides[0] // FLOAT_BYTES,
                    self.columns, segment.stop == dims, self.gelu,
                    packed, packed + filled * len(segments[0]) * FLOAT_BYTES,
                    sums if len(segments) > 1 else 0,
                )  # fmt: skip


def can_multiply() -> bool:
    """Whether there is such a kernel for the processor at hand."""
    return machine() is not None


@made_once
def kernel(here: Machine) -> Compiled:
    """Machine code of all layers."""
    return compiled(LinearLoops(here).finish())


def _check(numbers: Floats, shape: tuple[int, int], rows: range) -> None:
    """See that memory is as the machine code takes it to be."""
    in_rows = numbers.strides[1] == FLOAT_BYTES or numbers.shape[1] == 1
    fits = numbers.shape == shape and numbers.dtype == np.float32 and in_rows
    if not fits or numbers.strides[0] < 0 or not 0 <= rows.start <= rows.stop <= len(numbers):
        raise ValueError(
            f"rows {rows} of {shape} floats are asked for, and there are {numbers.shape} of type "
            f"{numbers.dtype} at distances of {numbers.strides} bytes"
        )


def _cut(size: int, count: int, step: int = 1) -> Sequence[range]:
    """Cut a range into so many parts, or fewer, of like length: multiples of a step but for one."""
    if size == 0:
        return []
    length = -(-size // (count * step)) * step
    return [range(start, min(start + length, size)) for start in range(0, size, length)]
