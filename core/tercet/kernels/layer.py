"""A linear layer's panels, and the rows that meet them: shapes, checks and shares of threads."""

from abc import ABC, abstractmethod
from typing import NamedTuple

ROWS_WORTH_A_SHARE = 96
"""Rows below which several threads share the panels, and read them once, instead of the rows."""


class Matrix(NamedTuple):
    """Numbers in memory that stays where it is: those of a row side by side.

    Attributes:
        address: Where the first one is.
        rows: How many rows there are.
        columns: Numbers of each.
        stride: Numbers from one row to the next.
        owner: Keeps the memory.
        half: Whether the numbers are bfloat16, or float32.
    """

    address: int
    rows: int
    columns: int
    stride: int
    owner: object = None
    half: bool = False


class Share(NamedTuple):
    """What one thread does: some rows, with some of the panels."""

    rows: range
    panels: range


class Layer(ABC):
    """A layer, laid out for the processor at hand.

    Attributes:
        dims: Numbers of a row, K.
        columns: Numbers of a result, N.
        halves: Which kinds of numbers rows and results may have: False for float32, True for
            bfloat16.
    """

    halves: tuple[bool, ...] = (False,)

    def __init__(self, *, dims: int, columns: int, count: int, step: int) -> None:
        """Begin.

        Args:
            dims: Numbers of a row, K.
            columns: Numbers of a result, N.
            count: How many panels there are.
            step: A block's rows are a multiple of it.
        """
        self.dims, self.columns, self._count, self._step = dims, columns, count, step

    def __len__(self) -> int:
        """How many panels there are."""
        return self._count

    def shares(self, rows: int, count: int) -> list[Share]:
        """Cut a product into so many shares, or fewer, of like cost."""
        if count > 1 and 0 < rows < count * ROWS_WORTH_A_SHARE:
            return [Share(range(rows), some) for some in cut(len(self), count)]
        return [Share(some, range(len(self))) for some in cut(rows, count)]

    def project(self, x: Matrix, out: Matrix, share: Share) -> None:
        """Compute the results of some rows, as far as they come from some panels.

        A result does not depend on other rows, but that the last bits may on how many there are.

        Args:
            x: [rows, K].
            out: Where all results go, [rows, N].
            share: Which are computed.

        Raises:
            ValueError: The matrices are not of that shape, or have not those rows.
        """
        rows, panels = share
        fit = x.columns == self.dims and out.columns == self.columns and x.rows == out.rows
        fit &= x.half == out.half and x.half in self.halves
        inside = 0 <= rows.start <= rows.stop <= x.rows and 0 <= panels.start <= panels.stop
        if not fit or not inside or panels.stop > len(self):
            raise ValueError(
                f"{share} of a layer from {self.dims} to {self.columns} numbers is asked for, and "
                f"there are {len(self)} panels, {x} and {out}"
            )
        most = self._most(x.rows)
        if 0 < len(rows) <= most:
            self._project(x, out, share)
            return
        for block in cut(len(rows), -(-len(rows) // most), self._step):
            those = range(rows.start + block.start, rows.start + block.stop)
            self._project(x, out, Share(those, panels))

    @abstractmethod
    def _most(self, rows: int) -> int:
        """Most rows of a block of so many."""

    @abstractmethod
    def _project(self, x: Matrix, out: Matrix, share: Share) -> None:
        """Compute the results of a block of rows."""


def cut(size: int, count: int, step: int = 1) -> list[range]:
    """Cut a range into so many parts, or fewer, of like length: multiples of a step but for one."""
    if count <= 1 or size == 0:
        return [range(size)] if size else []
    length = -(-size // (count * step)) * step
    return [range(start, min(start + length, size)) for start in range(0, size, length)]
