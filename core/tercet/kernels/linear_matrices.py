"""The loops of a linear layer on matrix units: what meets there are parts of float32 numbers.

Rows are taken apart once for all panels. A piece of a panel is taken apart just before all rows
meet it, so the layer itself stays in memory as it is.
"""

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.building import BFLOATS, FLOAT, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.linear_loops import VECTORS, LinearLoops, Piece, Sums
from tercet.kernels.matrix_tiles import LINE_BYTES, PAIRED, PARTS, SIDE, TILE
from tercet.kernels.turning import filled

ROWS = 2 * SIDE
"""Of two tiles, which meet the two tiles of a panel: of less, sums would wait for each other."""

PIECE = 128
"""Dimensions of a panel that all rows meet before the next: their parts stay in the first cache."""

OF_ROWS, OF_COLUMNS = (4, 5), (6, 7)
"""Tiles of what is multiplied; those before them hold sums."""

DEPTH = PARTS * ROWS
"""Parts of a dimension, of all rows of its tiles."""

MEETINGS = ((2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0))
"""Parts of rows and of columns that are multiplied, in an order that loads few of them twice."""


def room(rows: int, dims: int) -> int:
    """Floats of memory for the parts of so many rows, and of a piece."""
    return (rows * -(-dims // PAIRED) * PAIRED + PIECE * VECTORS * SIDE) * PARTS // 2


class MatrixLoops(LinearLoops):
    """Writes a layer; zeros fill up the dimensions of its panels to a multiple of `PAIRED`.

    Memory for rows is `room`.
    """

    def __init__(self, here: Machine) -> None:
        super().__init__(here.lanes, [ROWS], PIECE)
        own, code = self._own, self._own.code
        self._filled_dims = filled(own, self._dims, PAIRED)
        self._row_parts = code.bitcast(self._packed, BFLOATS)
        numbers = code.mul(self._filled, self._filled_dims)
        self._column_parts = own.at(self._row_parts, code.mul(numbers, own.count(PARTS)))
        self._end = code.alloca(FLOAT, PAIRED)

    def finish(self) -> Kernel:
        """All of it, between the first and the last use of tiles."""
        tiles.configure(self._own)
        self._write()
        tiles.release(self._own)
        return self._own.finish()

    def _pack(self, place: Value, height: Value) -> None:
        """Write the parts of rows, [dims / 32, parts, rows, 32]."""
        own = self._own
        end = own.code.add(place, height)
        own.loop(place, end, lambda row, _: self._pack_row(row, own.code.sub(row, place)))

    def _pack_row(self, row: Value, line: Value) -> list[Value]:
        """Write the parts of a row, so many lines behind the first of its tiles."""
        own, code = self._own, self._own.code
        tile = code.mul(code.mul(code.sub(row, line), self._filled_dims), own.count(PARTS))
        first = own.at(self._row_parts, tile, code.mul(line, own.count(PAIRED)))
        start = self._row(row)

        def whole(dim: Value, _: list[Value]) -> list[Value]:
            self._pack_some(own.at(start, dim), own.at(first, code.mul(dim, own.count(DEPTH))))
            return []

        def copy(dim: Value, _: list[Value]) -> list[Value]:
            place = code.and_(dim, own.count(PAIRED - 1))
            code.store(code.load(own.at(start, dim)), own.at(self._end, place))
            return []

        def last(dim: Value, _: list[Value]) -> list[Value]:
            for lane in (0, SIDE):
                own.store(own.floats(0.0), own.at(self._end, lane))
            own.loop(dim, self._dims, copy)
            self._pack_some(self._end, own.at(first, code.mul(dim, own.count(DEPTH))))
            return []

        dim, _ = own.loop(own.count(0), self._dims, whole, step=PAIRED)
        own.loop(dim, self._filled_dims, last, step=PAIRED)
        return []

    def _pack_some(self, start: Value, target: Value) -> None:
        """Write the parts of the dimensions that a product sums over."""
        own = self._own
        halves = [tiles.parts(own, own.load(own.at(start, lane))) for lane in (0, SIDE)]
        for part, both in enumerate(zip(*halves, strict=True)):
            own.store(tiles.side_by_side(own, *both), own.at(target, part * ROWS * PAIRED))

    def _prepare(self, piece: Piece) -> None:
        """Write the parts of a piece, [dims / 32, parts, tiles, 16, 32]: dimensions in pairs."""
        own, code = self._own, self._own.code

        def pair(dim: Value, _: list[Value]) -> list[Value]:
            start = own.at(piece.start, code.mul(dim, self._width))
            within = code.and_(dim, own.count(PAIRED - 1))
            group = code.mul(code.sub(dim, within), own.count(PARTS * self._wide))
            first = own.at(self._column_parts, group, code.mul(within, own.count(SIDE)))
            for tile in range(VECTORS):
                both = [
                    tiles.parts(own, own.load(own.at(start, row * self._wide + tile * SIDE)))
                    for row in range(2)
                ]
                for part, (upper, lower) in enumerate(zip(*both, strict=True)):
                    there = own.at(first, (part * VECTORS + tile) * TILE)
                    own.store(tiles.paired(own, upper, lower), there)
            return []

        own.loop(own.count(0), filled(own, piece.count, PAIRED), pair, step=2)

    def _multiply(self, height: int, place: Value, piece: Piece, sums: Sums) -> None:
        """Add products to tiles of sums."""
        own, code = self._own, self._own.code
        numbers = code.mul(code.mul(place, self._filled_dims), own.count(PARTS))
        rows = own.at(self._row_parts, numbers, code.mul(piece.dim, own.count(height * PARTS)))
        fetch = self._fetching(piece, place, dims=PAIRED)

        def step(dim: Value, _: list[Value]) -> list[Value]:
            fetch(dim)
            left = own.at(rows, code.mul(dim, own.count(height * PARTS)))
            right = own.at(self._column_parts, code.mul(dim, own.count(self._wide * PARTS)))
            self._add_products(left, right)
            return []

        tiles.each_sum(own, tiles.load, sums.before, sums.from_row)
        own.loop(own.count(0), filled(own, piece.count, PAIRED), step, step=PAIRED)
        tiles.each_sum(own, tiles.store, sums.after, sums.to_row)

    def _add_products(self, left: Value, right: Value) -> None:
        """Add the products of the dimensions that one sums over."""
        own = self._own
        line, held = own.count(LINE_BYTES), (-1, -1)
        for meeting in MEETINGS:
            for start, part, old, those in zip(
                (left, right), meeting, held, (OF_ROWS, OF_COLUMNS), strict=True
            ):
                for number, tile in enumerate(those if part != old else ()):
                    there = own.at(start, (part * len(those) + number) * TILE)
                    tiles.load(own, tile, there, line)
            held = meeting
            pairs = [(row, column) for row in OF_ROWS for column in OF_COLUMNS]
            for number, (row, column) in enumerate(pairs):
                tiles.add_products(own, number, row, column)
