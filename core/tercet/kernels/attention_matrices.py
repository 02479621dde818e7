"""The code of attention in bfloat16 on matrix units: products are theirs, shares those of vectors.

Keys stand in the rows of tiles and rows that ask in their columns, so that the largest product of a
row and the sum of its shares grow lane by lane. Shares are rounded to bfloat16 to meet the values;
their sums, and what is read, are float32.

Source: Dao et al. 2022, "FlashAttention", algorithm 1, with rows and columns exchanged.
"""

from dataclasses import dataclass

from llvmlite import ir

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.attention_blocks import VECTORS, Asking, BlockLoops, begun
from tercet.kernels.attention_matrix_step import KEYS, MatrixMemory, MatrixStep
from tercet.kernels.building import BFLOATS, LANE_INT, LANE_INTS, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.matrix_tiles import LINE_BYTES, PAIRED, SIDE
from tercet.kernels.turning import Rows, filled, smaller, transposed


@dataclass(frozen=True, slots=True)
class MatrixForm:
    """What machine code is made for.

    Attributes:
        machine: A processor with matrix units.
        head: Size of a head, a multiple of `PAIRED`.
        scale: Factor of the products.
    """

    machine: Machine
    head: int
    scale: float


class MatrixAttention(BlockLoops):
    """Writes the kernel; its window is not asked for."""

    _memory: MatrixMemory

    def __init__(self, form: MatrixForm) -> None:
        own = begun(BFLOATS, lanes=form.machine.lanes)
        super().__init__(own, MatrixMemory(own, head=form.head), head=form.head, scale=form.scale)

    def finish(self) -> Kernel:
        """The kernel, complete, between the first and the last use of tiles."""
        tiles.configure(self._own)
        self._write()
        tiles.release(self._own)
        return self._own.finish()

    def _pack_rows(self, block: Asking, place: Value, width: Value) -> None:
        """Write pairs of dimensions of sixteen rows beside each other."""
        own, code, memory = self._own, self._own.code, self._memory
        panel, rows = memory.panel(memory.queries, place), block.query.behind(own, place)

        def tile(lane: Value, _: list[Value]) -> list[Value]:
            starts = [rows.address(own, code.add(lane, own.count(row))) for row in range(SIDE)]
            for dim in range(0, self._head, PAIRED):
                pairs = [self._pairs(own.at(start, dim)) for start in starts]
                target = own.at(panel, code.mul(width, own.count(dim)))
                self._store_tile(
                    transposed(own, pairs), own.at(target, code.mul(lane, own.count(PAIRED)))
                )
            return []

        own.loop(own.count(0), width, tile, step=SIDE)

    def _pairs(self, start: Value) -> Value:
        """Sixteen pairs of numbers."""
        return self._own.load(self._own.code.bitcast(start, LANE_INTS), SIDE)

    def _store_tile(self, lines: list[Value], start: Value) -> None:
        """Write the lines of a tile."""
        for number, line in enumerate(lines):
            here = self._own.at(start, number * PAIRED)
            self._own.store(line, self._own.code.bitcast(here, LANE_INTS))

    def _read(self, block: Asking) -> None:
        """Let all panels read the keys, some of them after others."""
        own, code = self._own, self._own.code
        stop = code.add(block.key.last, own.count(1))

        def some(key: Value, _: list[Value]) -> list[Value]:
            count = smaller(own, code.sub(stop, key), own.count(KEYS))
            self._pack_keys(block.key.behind(own, key), count)
            self._pack_values(block.value.behind(own, key), count)
            place, soon = own.count(0), self._soon(block, code.add(key, own.count(KEYS)))
            for vectors in range(VECTORS, 0, -1):
                step = MatrixStep(own, self._memory, self._head, self._scale, vectors)

                def panel(place: Value, none: list[Value], step: MatrixStep = step) -> list[Value]:
                    self._fetch(soon, place, step.width)
                    return step.read(count, place, none)

                place, _ = own.loop(place, block.filled, panel, step=step.width)
            return []

        own.loop(own.count(0), filled(own, stop, KEYS), some, step=KEYS)

    def _soon(self, block: Asking, key: Value) -> list[Rows]:
        """What is packed next: keys and values from a place on, or those of the next head."""
        own, code = self._own, self._own.code
        there = code.icmp_signed("<=", key, block.key.last)
        found = []
        for states, rows in ((1, block.key), (2, block.value)):
            behind = own.at(rows.start, code.mul(key, rows.stride))
            beside = own.at(rows.start, own.arguments[5 + 2 * states])
            found.append(Rows(code.select(there, behind, beside), rows.stride, rows.last))
        return found

    def _fetch(self, soon: list[Rows], place: Value, width: int) -> None:
        """Ask for as many of the next keys and values as a panel has rows."""
        own, code = self._own, self._own.code

        def row(number: Value, _: list[Value]) -> list[Value]:
            for rows in soon:
                start = own.at(rows.start, code.mul(number, rows.stride))
                for dim in range(0, self._head, LINE_BYTES // 2):
                    own.prefetch(own.at(start, dim), near=False)
            return []

        stop = smaller(own, code.add(place, own.count(width)), own.count(KEYS))
        own.loop(place, stop, row)

    def _pack_keys(self, rows: Rows, count: Value) -> None:
        """Write keys as tiles; the last one fills them up."""
        own, code, memory = self._own, self._own.code, self._memory

        def key(place: Value, _: list[Value]) -> list[Value]:
            start = rows.address(own, place)
            within = code.and_(place, own.count(SIDE - 1))
            tile = own.at(memory.keys, code.mul(code.sub(place, within), own.count(self._head)))
            line = own.at(tile, code.mul(within, own.count(PAIRED)))
            for dim in range(0, self._head, PAIRED):
                there = own.at(line, dim * SIDE)
                own.store(own.load(own.at(start, dim), PAIRED), there)
            return []

        own.loop(own.count(0), filled(own, count, PAIRED), key)

    def _pack_values(self, rows: Rows, count: Value) -> None:
        """Write pairs of values beside each other, a dimension after another."""
        own, code, memory = self._own, self._own.code, self._memory
        half = ir.Constant(ir.VectorType(LANE_INT, SIDE), [SIDE] * SIDE)

        def numbers(start: Value) -> Value:
            return code.zext(own.load(start, SIDE), half.type)

        def keys(place: Value, _: list[Value]) -> list[Value]:
            starts = [rows.address(own, code.add(place, own.count(n))) for n in range(PAIRED)]

            def dims(dim: Value, _: list[Value]) -> list[Value]:
                pairs = [
                    code.or_(
                        numbers(own.at(first, dim)),
                        code.shl(numbers(own.at(second, dim)), half),
                    )
                    for first, second in zip(starts[::2], starts[1::2], strict=True)
                ]
                target = own.at(memory.values, code.mul(dim, own.count(KEYS)))
                self._store_tile(
                    transposed(own, pairs), own.at(target, code.mul(place, own.count(SIDE)))
                )
                return []

            own.loop(own.count(0), own.count(self._head), dims, step=SIDE)
            return []

        own.loop(own.count(0), filled(own, count, PAIRED), keys, step=PAIRED)
