"""Linear layers of int8 weights, with a scale and an offset for each row: y = act(x W^T + b).

Rows are spread over bytes, multiplied, scaled back and activated in one go.
"""

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import BFLOATS, FLOATS
from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.layer import Layer, Matrix, Share
from tercet.kernels.linear_bytes import OF_COLUMN, QUADS, ROWS, ByteLoops, room
from tercet.kernels.linear_loops import VECTORS
from tercet.kernels.memory import FLOAT_BYTES, Scratch, aligned

ROWS_AT_ONCE = 256
"""Most rows of a block: their bytes, which meet each panel, stay in the second cache."""

QUAD = 4
"""Dimensions that lie together."""

_scratch = Scratch()


class BytePanels(Layer):
    """A layer of int8 weights; rows and results are float32 or bfloat16."""

    halves = (False, True)

    def __init__(
        self,
        weight: NDArray[np.int8],
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
        *,
        gelu: bool = False,
    ) -> None:
        """Lay out a layer.

        Args:
            weight: W as whole numbers, [N, K].
            scale: What one of them is worth in each output, [N].
            bias: b, [N].
            gelu: Whether the activation is GELU in its exact form, or none.

        Raises:
            RuntimeError: There is no such kernel.
        """
        here, (columns, dims) = machine(), weight.shape
        if here is None or not can_multiply_bytes(dims):
            raise RuntimeError(
                f"no kernel multiplies rows of {dims} bytes here: `can_multiply_bytes` tells"
            )
        self._gelu, self._run = gelu, [byte_units(here, half) for half in self.halves]
        self._width = VECTORS * here.lanes
        count = -(-columns // self._width)
        space = aligned(count * self._width * dims // QUAD).view(np.int8)
        self._weights = space.reshape(count, dims // QUAD, self._width, QUAD)
        self._of_columns = np.zeros((count, OF_COLUMN, self._width), dtype=np.float32)
        sums = weight.sum(axis=1, dtype=np.float32) * scale
        for panel in range(count):
            there = slice(panel * self._width, min((panel + 1) * self._width, columns))
            wide = there.stop - there.start
            quads = weight[there].reshape(wide, -1, QUAD)
            self._weights[panel, :, wide:] = 0
            self._weights[panel, :, :wide] = quads.transpose(1, 0, 2)
            self._of_columns[panel, :, :wide] = bias[there], scale[there], sums[there]
        self._weights_at = self._weights.ctypes.data  # nothing can copy a layer and its code
        self._of_columns_at = self._of_columns.ctypes.data
        super().__init__(dims=dims, columns=columns, count=count, step=ROWS)

    def _most(self, rows: int) -> int:
        del rows
        return ROWS_AT_ONCE

    def _project(self, x: Matrix, out: Matrix, share: Share) -> None:
        (row, count), quads = (share.rows.start, len(share.rows)), self.dims // QUAD
        filled, item = -(-count // ROWS) * ROWS, FLOAT_BYTES // (1 + x.half)
        memory = room(filled, quads)
        space = _scratch.of(memory + filled * self._width)
        self._run[x.half](
            x.address + row * x.stride * item, x.stride, count, quads,
            self._weights_at, quads * self._width, share.panels.start, share.panels.stop,
            self._of_columns_at, True,
            out.address + row * out.stride * item, out.stride, self.columns, True, self._gelu,
            space, space + memory * FLOAT_BYTES, 0,
        )  # fmt: skip


def can_multiply_bytes(dims: int) -> bool:
    """Whether there is such a kernel for the processor at hand and rows of so many numbers."""
    here = machine()
    return here is not None and here.matrices and dims % (QUADS * QUAD) == 0


@made_once
def byte_units(here: Machine, half: bool) -> Compiled:  # noqa: FBT001 - a form is told by place
    """Machine code of all layers, for rows in float32 or in bfloat16."""
    return compiled(ByteLoops(here, BFLOATS if half else FLOATS).finish())
