"""Linear layers that matrix units take as they are: y = act(x W^T + b), in bfloat16 or of int8.

For layers of int8 weights each row is spread over bytes, by a scale and an offset of its own,
multiplied, scaled back and activated in one go.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import BFLOATS, FLOATS
from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.layer import Layer, Matrix, Share
from tercet.kernels.linear_bytes import ByteLoops
from tercet.kernels.linear_bytes import room as room_of_bytes
from tercet.kernels.linear_halves import HalfLoops
from tercet.kernels.linear_halves import room as room_of_halves
from tercet.kernels.linear_loops import VECTORS
from tercet.kernels.linear_tiles import CELLS, ROWS
from tercet.kernels.memory import FLOAT_BYTES, Scratch, aligned

CELLS_AT_ONCE = 1 << 17
"""Of the rows of a block: they meet each panel, and stay in the second cache."""

Numbers = NDArray[np.int8] | NDArray[np.int16]

_scratch = Scratch()


class CellPanels(Layer):
    """A layer whose weights lie in cells of four bytes."""

    def __init__(self, weight: Numbers, of_columns: NDArray[np.float32], *, gelu: bool) -> None:
        """Lay out a layer.

        Args:
            weight: W, [N, K].
            of_columns: Floats that belong to each column, [n, N].
            gelu: Whether the activation is GELU in its exact form, or none.

        Raises:
            RuntimeError: There is no such kernel.
        """
        here, (columns, dims) = machine(), weight.shape
        together = FLOAT_BYTES // weight.itemsize
        if here is None or dims % together or not can_multiply_cells(dims // together):
            raise RuntimeError(
                f"no kernel multiplies rows of {dims} numbers of {weight.itemsize} bytes here: "
                f"`can_multiply_cells` tells"
            )
        self._gelu, self._here = gelu, here
        self._width, self._cells = VECTORS * here.lanes, dims // together
        count = -(-columns // self._width)
        space = aligned(count * self._width * self._cells).view(weight.dtype)
        self._weights = space.reshape(count, self._cells, self._width, together)
        self._of_columns = np.zeros((count, len(of_columns), self._width), dtype=np.float32)
        for panel in range(count):
            there = slice(panel * self._width, min((panel + 1) * self._width, columns))
            wide = there.stop - there.start
            self._weights[panel, :, wide:] = 0
            cells = weight[there].reshape(wide, self._cells, together)
            self._weights[panel, :, :wide] = cells.transpose(1, 0, 2)
            self._of_columns[panel, :, :wide] = of_columns[:, there]
        super().__init__(dims=dims, columns=columns, count=count, step=ROWS)

    @abstractmethod
    def _run(self, *, half: bool) -> Compiled:
        """Machine code."""

    @abstractmethod
    def _room(self, rows: int) -> int:
        """Floats of memory for so many rows."""

    def _most(self, rows: int) -> int:
        del rows
        most: int = max(ROWS, CELLS_AT_ONCE // self._cells // ROWS * ROWS)
        return most

    def _project(self, x: Matrix, out: Matrix, share: Share) -> None:
        row, count = share.rows.start, len(share.rows)
        filled, item = -(-count // ROWS) * ROWS, FLOAT_BYTES // (1 + x.half)
        memory = self._room(filled)
        space = _scratch.of(memory + filled * self._width)
        self._run(half=x.half)(
            x.address + row * x.stride * item, x.stride, count, self._cells,
            self._weights.ctypes.data, self._cells * self._width,
            share.panels.start, share.panels.stop, self._of_columns.ctypes.data, True,
            out.address + row * out.stride * item, out.stride, self.columns, True, self._gelu,
            space, space + memory * FLOAT_BYTES, 0,
        )  # fmt: skip


class HalfPanels(CellPanels):
    """A layer in bfloat16."""

    halves = (True,)

    def __init__(
        self, weight: NDArray[np.int16], bias: NDArray[np.float32], *, gelu: bool = False
    ) -> None:
        """Lay out a layer.

        Args:
            weight: The bits of W, [N, K].
            bias: b, [N].
            gelu: Whether the activation is GELU in its exact form, or none.

        Raises:
            RuntimeError: There is no such kernel.
        """
        super().__init__(weight, bias[None], gelu=gelu)

    def _run(self, *, half: bool) -> Compiled:
        del half
        return half_units(self._here)

    def _room(self, rows: int) -> int:
        return room_of_halves(rows, self._cells)


class BytePanels(CellPanels):
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
        sums = weight.sum(axis=1, dtype=np.float32) * scale
        super().__init__(weight, np.stack((bias, scale, sums)), gelu=gelu)

    def _run(self, *, half: bool) -> Compiled:
        return byte_units(self._here, half)

    def _room(self, rows: int) -> int:
        return room_of_bytes(rows, self._cells)


def can_multiply_cells(cells: int) -> bool:
    """Whether there is such a kernel for the processor at hand, and rows of so many cells."""
    here = machine()
    return here is not None and here.matrices and cells % CELLS == 0


def can_multiply_bytes(dims: int) -> bool:
    """The same for rows of so many bytes."""
    return dims % 4 == 0 and can_multiply_cells(dims // 4)


def can_multiply_halves(dims: int) -> bool:
    """The same for rows of so many bfloat16."""
    return dims % 2 == 0 and can_multiply_cells(dims // 2)


@made_once
def half_units(here: Machine) -> Compiled:
    """Machine code of all layers in bfloat16."""
    return compiled(HalfLoops(here).finish())


@made_once
def byte_units(here: Machine, half: bool) -> Compiled:  # noqa: FBT001 - a form is told by place
    """Machine code of all layers of int8 weights, for rows in float32 or in bfloat16."""
    return compiled(ByteLoops(here, BFLOATS if half else FLOATS).finish())
