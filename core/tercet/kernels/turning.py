"""Turning: rows in memory become lanes of a panel, and lanes become rows again.

Squares of numbers are turned in registers. Where a square would pass the end of the dimensions, it
begins earlier and writes some numbers twice; lanes without a row stand for the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from tercet.kernels.building import LANE_INT, Kernel, Value


def side(lanes: int, dims: int) -> int:
    """Of a square: the largest power of two that fits a vector and the dimensions."""
    return min(lanes, 1 << (dims.bit_length() - 1))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in memory that stand in the lanes of a panel.

    Attributes:
        start: Where the first lane's row begins.
        stride: Numbers from row to row.
        last: The last row there is, counted from that of the first lane.
    """

    start: Value
    stride: Value
    last: Value

    def behind(self, own: Kernel, place: Value) -> "Rows":
        """The rows from a place on."""
        start = own.at(self.start, own.code.mul(place, self.stride))
        return Rows(start, self.stride, own.code.sub(self.last, place))

    def address(self, own: Kernel, lane: Value, dim: Value) -> Value:
        """Where the row of a lane, or the last row, has a dimension."""
        row = smaller(own, lane, self.last)
        return own.at(self.start, own.code.mul(row, self.stride), dim)


def smaller(own: Kernel, left: Value, right: Value) -> Value:
    """The smaller of two counts."""
    return own.code.select(own.code.icmp_signed("<", left, right), left, right)


def larger(own: Kernel, left: Value, right: Value) -> Value:
    """The larger of two counts."""
    return own.code.select(own.code.icmp_signed(">", left, right), left, right)


def filled(own: Kernel, number: Value, step: int) -> Value:
    """The least multiple of a step that is no smaller than a count."""
    steps = own.code.sdiv(own.code.add(number, own.count(step - 1)), own.count(step))
    return own.code.mul(steps, own.count(step))


def turn_in(
    own: Kernel, rows: Rows, panel: Value, *, dims: int, width: Value, scale: float
) -> None:
    """Write rows, times a number, into the lanes of a panel, [dims, width]."""
    size = side(own.lanes, dims)

    def square(lane: Value, dim: Value) -> None:
        taken = [own.load(rows.address(own, each, dim), size) for each in _next(own, lane, size)]
        factor = ir.Constant(taken[0].type, [scale] * size)
        for place, turned in zip(_next(own, dim, size), transposed(own, taken), strict=True):
            here = own.at(panel, own.code.mul(place, width), lane)
            own.store(own.code.fmul(turned, factor), here)

    _squares(own, square, dims=dims, width=width, size=size)


def turn_out(
    own: Kernel, panel: Value, rows: Rows, *, dims: int, width: Value, scales: Value
) -> None:
    """Write the lanes of a panel, each times a number of its own, to where their rows are."""
    size = side(own.lanes, dims)

    def square(lane: Value, dim: Value) -> None:
        factors, taken = own.load(own.at(scales, lane), size), []
        for place in _next(own, dim, size):
            here = own.at(panel, own.code.mul(place, width), lane)
            taken.append(own.code.fmul(own.load(here, size), factors))
        for place, turned in zip(_next(own, lane, size), transposed(own, taken), strict=True):
            own.store(turned, rows.address(own, place, dim))

    _squares(own, square, dims=dims, width=width, size=size)


def transposed(own: Kernel, rows: Sequence[Value]) -> list[Value]:
    """A square of as many vectors as they have lanes, turned: halves of blocks change places."""
    size, found = len(rows), list(rows)
    block = 1
    while block < size:
        upper = [lane if not lane & block else size + lane - block for lane in range(size)]
        lower = [lane + block if not lane & block else size + lane for lane in range(size)]
        before = list(found)
        for row in range(size):
            pair = before[row & ~block], before[row | block]
            order = lower if row & block else upper
            lanes = ir.Constant(ir.VectorType(LANE_INT, size), order)
            found[row] = own.code.shuffle_vector(*pair, lanes)
        block *= 2
    return found


def _next(own: Kernel, first: Value, size: int) -> list[Value]:
    return [own.code.add(first, own.count(place)) for place in range(size)]


def _squares(
    own: Kernel,
    square: Callable[[Value, Value], None],
    *,
    dims: int,
    width: Value,
    size: int,
) -> None:
    """Go through a panel, square by square: `square` takes the first lane and dimension of each."""

    def lanes(lane: Value, _: list[Value]) -> list[Value]:
        def dimensions(dim: Value, _: list[Value]) -> list[Value]:
            square(lane, smaller(own, dim, own.count(dims - size)))
            return []

        own.loop(own.count(0), own.count(-(-dims // size) * size), dimensions, step=size)
        return []

    own.loop(own.count(0), width, lanes, step=size)
