"""The code of attention: what a block of rows does with its keys.

Rows that ask stand in lanes, a panel of one or two vectors at a time. So the largest product of a
row, the sum of its exponentials and what it has read grow lane by lane, while keys come by: some at
a time, packed to where the processor reads them fast.

Source: Dao et al. 2022, "FlashAttention", algorithm 1, with rows and columns exchanged.
"""

from functools import partial

from tercet.kernels.attention_blocks import VECTORS, Asking, BlockLoops, begun
from tercet.kernels.attention_step import Form, Packed, Step, StepMemory
from tercet.kernels.building import FLOATS, Value
from tercet.kernels.turning import filled, larger, side, smaller, turn_in

KEYS = 128
"""Most that are packed at a time, in whole tiles: they and their values fit the second cache."""


class AttentionLoops(BlockLoops):
    """Writes the kernel in float32."""

    _memory: StepMemory

    def __init__(self, form: Form) -> None:
        self._form, self._tile = form, form.machine.rows(VECTORS)
        self._keys = KEYS - KEYS % self._tile
        own = begun(FLOATS, lanes=form.machine.lanes)
        memory = StepMemory(own, head=form.head, keys=self._keys + self._tile)
        super().__init__(own, memory, head=form.head, scale=form.scale)

    def _pack_rows(self, block: Asking, place: Value, width: Value) -> None:
        """Turn them, scaled."""
        queries, rows = self._memory.panel(self._memory.queries, place), block.query
        rows = rows.behind(self._own, place)
        turn_in(self._own, rows, queries, dims=self._head, width=width, scale=self._scale)

    def _read(self, block: Asking) -> None:
        """Let all panels read the keys, some of them after others."""
        own, code = self._own, self._own.code
        first, stop = own.count(0), code.add(block.key.last, own.count(1))
        if self._form.windowed:
            near = code.sub(self._window, own.count(1))
            last = code.add(code.add(block.place, block.query.last), self._window)
            first = larger(own, first, code.sub(block.place, near))
            stop = larger(own, first, smaller(own, stop, last))

        def some(key: Value, _: list[Value]) -> list[Value]:
            count = smaller(own, code.sub(stop, key), own.count(self._keys))
            self._pack(block, key, count)
            packed = Packed(key, count, block.place, block.query.last)
            self._read_packed(block, packed)
            return []

        whole = filled(own, code.sub(stop, first), self._keys)
        own.loop(first, code.add(first, whole), some, step=self._keys)

    def _pack(self, block: Asking, key: Value, count: Value) -> None:
        """Copy some keys and values; the last fills a tile up, so that it changes no maximum."""
        own, code, memory = self._own, self._own.code, self._memory
        size = side(own.lanes, self._head)
        dims = sorted({*range(0, self._head - size + 1, size), self._head - size})
        last = code.sub(code.add(key, count), own.count(1))

        def row(place: Value, _: list[Value]) -> list[Value]:
            there = smaller(own, code.add(key, place), last)
            target = code.mul(place, own.count(self._head))
            for rows, start in ((block.key, memory.keys), (block.value, memory.values)):
                source = own.at(rows.start, code.mul(there, rows.stride))
                for dim in dims:
                    own.store(own.load(own.at(source, dim), size), own.at(start, target, dim))
            return []

        own.loop(own.count(0), code.add(count, own.count(self._tile - 1)), row)

    def _read_packed(self, block: Asking, packed: Packed) -> None:
        """Let each panel read what is packed."""
        own, place = self._own, self._own.count(0)
        for vectors in range(VECTORS, 0, -1):
            step = Step(own, self._form, self._memory, window=self._window, vectors=vectors)
            panel = partial(step.read, packed)
            place, _ = own.loop(place, block.filled, panel, step=vectors * own.lanes)
