"""The loops of a linear layer whose numbers matrix units take as they are: bytes, or bfloat16.

Four bytes, or two bfloat16, of a row or of a column lie together and are called a cell here.
"""

from abc import abstractmethod
from typing import Any

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.building import LANE_INTS, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.linear_loops import LinearLoops, Piece, Sums
from tercet.kernels.matrix_tiles import LINE_BYTES, SIDE
from tercet.kernels.memory import FLOAT_BYTES

ROWS = 2 * SIDE
"""Of two tiles, which meet the two tiles of a panel."""

CELLS = SIDE
"""That one product sums over; a layer's are a multiple of it."""

PIECE = 256
"""Cells of a panel that all rows meet before the next: 32 KiB, which stay in the first cache."""

OF_ROWS, OF_COLUMNS = (4, 5), (6, 7)
"""Tiles of what is multiplied; those before them hold sums."""


class TileLoops(LinearLoops):
    """Writes a layer; its dimensions are cells. Memory for rows begins with their cells."""

    def __init__(self, here: Machine, states: Any) -> None:
        super().__init__(here.lanes, [ROWS], PIECE, states=states, weights=LANE_INTS)
        self._cells = self._own.code.bitcast(self._packed, LANE_INTS)

    def finish(self) -> Kernel:
        """All of it, between the first and the last use of tiles."""
        own = self._own
        tiles.configure(own)
        self._write()
        tiles.release(own)
        return own.finish()

    @abstractmethod
    def _add_products(self, sums: int, left: int, right: int) -> None:
        """Add the product of two tiles to a third."""

    @abstractmethod
    def _pack_row(self, row: Value, target: Value) -> None:
        """Write the cells of a row, sixteen of them in a line, a tile of `ROWS` lines apart."""

    def _pack(self, place: Value, height: Value) -> None:
        """Write rows as cells, [cells / 16, rows, 16]."""
        own, code = self._own, self._own.code
        tile = own.at(self._cells, code.mul(place, self._dims))

        def one(lane: Value, _: list[Value]) -> list[Value]:
            line = own.at(tile, code.mul(lane, own.count(CELLS)))
            self._pack_row(code.add(place, lane), line)
            return []

        own.loop(own.count(0), height, one)

    def _prepare(self, piece: Piece) -> None:
        """Nothing: a piece is read as it is stored."""

    def _multiply(self, height: int, place: Value, piece: Piece, sums: Sums) -> None:
        """Add products to tiles of sums."""
        own, code = self._own, self._own.code
        tile = own.at(self._cells, code.mul(place, self._dims))
        rows = own.at(tile, code.mul(piece.dim, own.count(height)))
        fetch = self._fetching(piece, place, dims=CELLS)
        line, apart = own.count(LINE_BYTES), own.count(self._wide * FLOAT_BYTES)

        def step(cell: Value, _: list[Value]) -> list[Value]:
            fetch(cell)
            left = own.at(rows, code.mul(cell, own.count(height)))
            right = own.at(piece.start, code.mul(cell, self._width))
            for number, into in enumerate(OF_ROWS):
                tiles.load(own, into, own.at(left, number * SIDE * SIDE), line)
            for number, into in enumerate(OF_COLUMNS):
                tiles.load(own, into, own.at(right, number * SIDE), apart)
            pairs = [(row, column) for row in OF_ROWS for column in OF_COLUMNS]
            for number, (row, column) in enumerate(pairs):
                self._add_products(number, row, column)
            return []

        tiles.each_sum(own, tiles.load, sums.before, sums.from_row)
        own.loop(own.count(0), piece.count, step, step=CELLS)
        tiles.each_sum(own, tiles.store, sums.after, sums.to_row)
