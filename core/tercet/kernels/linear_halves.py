"""The loops of a linear layer in bfloat16, on matrix units: sums are float32."""

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.building import BFLOATS, LANE_INTS, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.linear_tiles import CELLS, ROWS, TileLoops


def room(rows: int, cells: int) -> int:
    """Memory for the cells of rows, in floats."""
    return rows * cells


class HalfLoops(TileLoops):
    """Writes a layer; rows and results are bfloat16, its bias is float32."""

    def __init__(self, here: Machine) -> None:
        super().__init__(here, BFLOATS)

    def _add_products(self, sums: int, left: int, right: int) -> None:
        tiles.add_products(self._own, sums, left, right)

    def _is_plain(self, column: Value) -> Value:
        """None is: results are rounded."""
        del column
        return self._own.false()

    def _pack_row(self, row: Value, target: Value) -> None:
        """Copy it."""
        own, code = self._own, self._own.code
        start = code.bitcast(self._row(row), LANE_INTS)

        def line(cell: Value, _: list[Value]) -> list[Value]:
            there = own.at(target, code.mul(cell, own.count(ROWS)))
            own.store(own.load(own.at(start, cell), CELLS), there)
            return []

        own.loop(own.count(0), self._dims, line, step=CELLS)
