"""Turning: rows in memory become lanes of a panel, and lanes become rows again.

Squares of numbers are turned in registers. Where a square would pass the end of the dimensions, it
begins earlier and writes some numbers twice; lanes without a row stand for the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from tercet.kernels.building import FLOAT, LANE_INT, Kernel, Value


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

    def address(self, own: Kernel, lane: Value) -> Value:
        """Where the row of a lane, or the last row, begins."""
        row = smaller(own, lane, self.last)
        return own.at(self.start, own.code.mul(row, self.stride))


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
    factor = ir.Constant(ir.VectorType(FLOAT, size), [scale] * size)

    def square(sources: list[Value], targets: list[Value], _: Value) -> None:
        taken = [own.load(source, size) for source in sources]
        for turned, target in zip(transposed(own, taken), targets, strict=True):
            own.store(own.code.fmul(turned, factor), target)

    _squares(own, square, rows, panel, dims=dims, width=width)


def turn_out(
    own: Kernel, panel: Value, rows: Rows, *, dims: int, width: Value, scales: Value
) -> None:
    """Write the lanes of a panel, each times a number of its own, to where their rows are."""
    size = side(own.lanes, dims)

    def square(targets: list[Value], sources: list[Value], lane: Value) -> None:
        factors = own.load(own.at(scales, lane), size)
        taken = [own.code.fmul(own.load(source, size), factors) for source in sources]
        for turned, target in zip(transposed(own, taken), targets, strict=True):
            own.store_as(turned, target)

    _squares(own, square, rows, panel, dims=dims, width=width)


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


def _squares(
    own: Kernel,
    square: Callable[[list[Value], list[Value], Value], None],
    rows: Rows,
    panel: Value,
    *,
    dims: int,
    width: Value,
) -> None:
    """Go through a panel, square by square.

    Args:
        own: Is written.
        square: Takes where a square's rows begin, in memory and in the panel, and its first lane.
        rows: Those in memory.
        panel: Where it begins.
        dims: Of a row.
        width: Of the panel.
    """
    code, size = own.code, side(own.lanes, dims)

    def lanes(lane: Value, _: list[Value]) -> list[Value]:
        starts = [rows.address(own, code.add(lane, own.count(n))) for n in range(size)]

        def dimensions(dim: Value, _: list[Value]) -> list[Value]:
            first = smaller(own, dim, own.count(dims - size))
            inside = [own.at(panel, code.mul(first, width), lane)]
            while len(inside) < size:
                inside.append(own.at(inside[-1], width))
            square([own.at(start, first) for start in starts], inside, lane)
            return []

        own.loop(own.count(0), own.count(-(-dims // size) * size), dimensions, step=size)
        return []

    own.loop(own.count(0), width, lanes, step=size)
