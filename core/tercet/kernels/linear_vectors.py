"""The loops of a linear layer on vector registers: tiles of sums, fed by single numbers of rows."""

from functools import partial

from tercet.kernels.building import Value
from tercet.kernels.compiling import Machine
from tercet.kernels.linear_loops import CACHE_LINE, STREAMS, VECTORS, LinearLoops, Piece, Sums
from tercet.kernels.tiles import tile
from tercet.kernels.turning import transposed

PIECE = 256
"""Dimensions of a panel that all rows meet before the next: 32 KiB where a vector has 16 lanes."""


def tile_heights(here: Machine) -> list[int]:
    """Rows of tiles, the largest first: they make all multiples of the last, a power of two."""
    most = here.rows(VECTORS)
    step = 4 if most >= 8 else 2
    return list(range(most - most % step, 0, -step))


class VectorLoops(LinearLoops):
    """Writes a layer for any width of registers; memory for rows holds their floats."""

    def __init__(self, here: Machine) -> None:
        super().__init__(here.lanes, tile_heights(here), PIECE)

    def _pack(self, place: Value, height: Value) -> None:
        """Write the rows of a tile into its lanes, [dims, height], a cache line of each at once."""
        own = self._own
        target = own.at(self._packed, own.code.mul(place, self._dims))
        dim = own.count(0)
        for count in (CACHE_LINE, 1):
            body = partial(self._turn, place, target, height, count)
            dim, _ = own.loop(dim, self._dims, body, step=count)

    def _turn(
        self, place: Value, target: Value, height: Value, count: int, dim: Value, _: list[Value]
    ) -> list[Value]:
        """Write some dimensions of a tile, in squares, or one dimension."""
        own, code, side = self._own, self._own.code, self._heights[-1]

        def some(lane: Value, _: list[Value]) -> list[Value]:
            first_row = code.add(place, lane)
            starts = [
                own.at(self._row(code.add(first_row, own.count(row))), dim) for row in range(side)
            ]
            for first in range(0, count, side):
                line = code.mul(code.add(dim, own.count(first)), height)
                square = [own.at(start, first) for start in starts]
                self._transpose(square, own.at(target, line, lane), height, min(side, count))
            return []

        own.loop(own.count(0), height, some, step=side)
        return []

    def _transpose(self, rows: list[Value], target: Value, stride: Value, dims: int) -> None:
        """Write so many dimensions of rows: as many as there are rows, or one."""
        own, code = self._own, self._own.code
        if dims == 1:
            for lane, row in enumerate(rows):
                code.store(code.load(row), own.at(target, lane))
            return
        for dim, vector in enumerate(transposed(own, [own.load(row, dims) for row in rows])):
            own.store(vector, own.at(target, code.mul(stride, own.count(dim))))

    def _prepare(self, piece: Piece) -> None:
        """Nothing: a piece is read as it is stored."""

    def _multiply(self, height: int, place: Value, piece: Piece, sums: Sums) -> None:
        """Sum products in registers, and add them."""
        own, code = self._own, self._own.code
        there = code.add(code.mul(place, self._dims), code.mul(piece.dim, own.count(height)))
        rows = [own.at(self._packed, there, row) for row in range(height)]
        products = tile(
            own, rows, piece.start, piece.count, vectors=VECTORS, stride=height, unrolled=STREAMS,
            each=self._fetching(piece, place),
        )  # fmt: skip
        for row, vectors in enumerate(products):
            for vector, product in enumerate(vectors):
                lane = vector * own.lanes
                before = own.at(sums.before, code.mul(own.count(row), sums.from_row), lane)
                after = own.at(sums.after, code.mul(own.count(row), sums.to_row), lane)
                own.store(code.fadd(own.load(before), product), after)
