"""The loops of a linear layer of int8 weights, on matrix units for bytes.

Each row is spread over the 256 values of a byte, by a scale and an offset of its own. Sums are of
integers, so exact: a result has the same bits whatever stands beside it.
"""

from typing import Any

from llvmlite import ir

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.building import BYTE, FLOAT, LANE_INT, LANE_INTS, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.linear_loops import VECTORS, LinearLoops, Piece, Sums
from tercet.kernels.matrix_tiles import LINE_BYTES, SIDE
from tercet.kernels.memory import FLOAT_BYTES

ROWS = 2 * SIDE
"""Of two tiles, which meet the two tiles of a panel."""

QUADS = SIDE
"""Groups of four dimensions that one product sums over; a layer's are a multiple of it."""

PIECE = 256
"""Quads of a panel that all rows meet before the next: 32 KiB, which stay in the first cache."""

STEPS = 255.0
"""From the smallest to the largest value of a byte: what a row is spread over."""

SMALLEST_SCALE = 1e-30
"""In place of the scale of a row whose numbers are all alike."""

ROUNDING = 1.5 * 2**23
"""What a float must be larger than for its last bit to be 1; the sum's last bits are an integer."""

OF_ROWS, OF_COLUMNS = (4, 5), (6, 7)
"""Tiles of what is multiplied; those before them hold sums."""

OF_COLUMN = 3
"""Floats that belong to a column: its bias, its scale, and the sum of its weights, scaled."""


def room(rows: int, quads: int) -> int:
    """Memory for the bytes of rows, what spread them, and what sums begin as, in floats."""
    return rows * quads + 2 * rows + VECTORS * SIDE


class ByteLoops(LinearLoops):
    """Writes a layer; its dimensions are quads, and what it has as bias is `OF_COLUMN` a panel.

    Memory for rows is `room`.
    """

    def __init__(self, here: Machine, states: Any) -> None:
        super().__init__(here.lanes, [ROWS], PIECE, states=states, weights=LANE_INTS)
        own, code = self._own, self._own.code
        self._bytes = code.bitcast(self._packed, LANE_INTS)
        self._spread = own.at(self._packed, code.mul(self._filled, self._dims))
        self._zeros = own.at(self._spread, code.mul(self._filled, own.count(2)))

    def finish(self) -> Kernel:
        """All of it, between the first and the last use of tiles."""
        own = self._own
        tiles.configure(own)
        for vector in range(VECTORS):
            own.store(own.floats(0.0), own.at(self._zeros, vector * SIDE))
        self._write()
        tiles.release(own)
        return own.finish()

    def _beginning(self, column: Value) -> Value:
        del column
        return self._zeros

    def _is_plain(self, column: Value) -> Value:
        del column
        return ir.Constant(ir.IntType(1), 0)  # they are integers

    def _pack(self, place: Value, height: Value) -> None:
        """Write rows as bytes, [quads / 16, rows, 16]."""
        own, code = self._own, self._own.code
        tile = own.at(self._bytes, code.mul(place, self._dims))

        def one(lane: Value, _: list[Value]) -> list[Value]:
            row = code.add(place, lane)
            start, known = self._row(row), own.at(self._spread, code.mul(row, own.count(2)))
            low, scale = self._range(start)
            code.store(scale, own.at(known, 0))
            code.store(low, own.at(known, 1))
            target = own.at(tile, code.mul(lane, own.count(SIDE)))
            self._write_bytes(start, target, low, code.fdiv(FLOAT(1.0), scale))
            return []

        own.loop(own.count(0), height, one)

    def _numbers(self, start: Value) -> Value:
        return self._own.as_floats(self._own.load(start))

    def _range(self, start: Value) -> tuple[Value, Value]:
        """The lowest number of a row, and the scale that spreads it; no number if one is none."""
        own, code = self._own, self._own.code

        def some(dim: Value, found: list[Value]) -> list[Value]:
            low, high, none = found
            here = self._numbers(own.at(start, dim))
            least = code.select(code.fcmp_ordered("<", here, low), here, low)
            return [least, own.maximum(here, high), own.fma(here, own.floats(0.0), none)]

        first = self._numbers(start)
        begin = [first, first, own.floats(0.0)]
        numbers = code.mul(self._dims, own.count(4))
        _, (low, high, none) = own.loop(own.count(0), numbers, some, step=own.lanes, carried=begin)
        least, most = self._reduced("fmin", low), self._reduced("fmax", high)
        wrong = self._reduced("fadd", none)
        scale = code.fmul(code.fsub(most, least), FLOAT(1 / STEPS))
        smallest = FLOAT(SMALLEST_SCALE)
        scale = code.select(code.fcmp_ordered("<", scale, smallest), smallest, scale)
        return code.fadd(least, wrong), code.fadd(scale, wrong)

    def _reduced(self, name: str, vector: Value) -> Value:
        """One number of all lanes."""
        own = self._own
        start = [FLOAT(0.0)] if name == "fadd" else []
        kinds = [value.type for value in (*start, vector)]
        full = f"llvm.vector.reduce.{name}.v{own.lanes}f32"
        return own.code.call(own.declared(full, FLOAT, kinds), [*start, vector])

    def _write_bytes(self, start: Value, target: Value, low: Value, factor: Value) -> None:
        """Spread a row: four vectors are a line of its tile."""
        own, code = self._own, self._own.code
        lows, factors, rounding = own.splat(low), own.splat(factor), own.floats(ROUNDING)
        bits = ir.VectorType(LANE_INT, own.lanes)

        def line(quad: Value, _: list[Value]) -> list[Value]:
            there = own.at(target, code.mul(quad, own.count(ROWS)))
            there = code.bitcast(there, BYTE.as_pointer())
            first = own.at(start, code.mul(quad, own.count(4)))
            for vector in range(4):
                here = code.fsub(self._numbers(own.at(first, vector * SIDE)), lows)
                whole = code.bitcast(code.fadd(code.fmul(here, factors), rounding), bits)
                own.store(
                    code.trunc(whole, ir.VectorType(BYTE, own.lanes)), own.at(there, vector * SIDE)
                )
            return []

        own.loop(own.count(0), self._dims, line, step=QUADS)

    def _prepare(self, piece: Piece) -> None:
        """Nothing: a piece is read as it is stored."""

    def _multiply(self, height: int, place: Value, piece: Piece, sums: Sums) -> None:
        """Add products to tiles of sums."""
        own, code = self._own, self._own.code
        tile = own.at(self._bytes, code.mul(place, self._dims))
        rows = own.at(tile, code.mul(piece.dim, own.count(height)))
        fetch = self._fetching(piece, place, dims=QUADS)
        line, apart = own.count(LINE_BYTES), own.count(self._wide * FLOAT_BYTES)

        def step(quad: Value, _: list[Value]) -> list[Value]:
            fetch(quad)
            left = own.at(rows, code.mul(quad, own.count(height)))
            right = own.at(piece.start, code.mul(quad, self._width))
            for number, into in enumerate(OF_ROWS):
                tiles.load(own, into, own.at(left, number * SIDE * SIDE), line)
            for number, into in enumerate(OF_COLUMNS):
                tiles.load(own, into, own.at(right, number * SIDE), apart)
            pairs = [(row, column) for row in OF_ROWS for column in OF_COLUMNS]
            for number, (row, column) in enumerate(pairs):
                tiles.add_byte_products(own, number, row, column)
            return []

        tiles.each_sum(own, tiles.load, sums.before, sums.from_row)
        own.loop(own.count(0), piece.count, step, step=QUADS)
        tiles.each_sum(own, tiles.store, sums.after, sums.to_row)

    def _activate(self, column: Value, row: Value, sums: Value) -> None:
        """Scale sums of integers, and add what the offset and the bias bring."""
        own, code = self._own, self._own.code
        known = own.at(self._spread, code.mul(row, own.count(2)))
        scale, low = (own.splat(code.load(own.at(known, place))) for place in range(2))
        of_columns = own.at(self._bias, code.mul(column, own.count(OF_COLUMN)))
        kind = ir.VectorType(LANE_INT, own.lanes)
        for lane in range(0, self._wide, own.lanes):
            bias, by, weights = (
                own.load(own.at(of_columns, number * self._wide + lane))
                for number in range(OF_COLUMN)
            )
            here = own.at(sums, lane)
            whole = code.sitofp(code.bitcast(own.load(here), kind), own.vector)
            rest = own.fma(low, weights, bias)
            own.store(own.fma(code.fmul(whole, by), scale, rest), here)
        super()._activate(column, row, sums)
