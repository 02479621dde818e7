"""The code of attention: what a block of rows does with its keys.

Rows that ask stand in lanes, a panel of one or two vectors at a time. So the largest product of a
row, the sum of its exponentials and what it has read grow lane by lane, while keys come by: some at
a time, packed to where the processor reads them fast.

Source: Dao et al. 2022, "FlashAttention", algorithm 1, with rows and columns exchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import e, log2

from tercet.kernels.attention_step import NOTHING_SEEN, VECTORS, Form, Memory, Packed, Step
from tercet.kernels.building import FLOAT, FLOATS, INT, INTS, Kernel, Value
from tercet.kernels.turning import Rows, filled, larger, side, smaller, turn_in, turn_out

QUERIES = 512
"""Most rows of a block, all of which read the keys that are packed: whole panels everywhere."""

KEYS = 128
"""Most that are packed at a time, in whole tiles: they and their values fit the second cache."""

COLUMNS = 6
"""Of the table of blocks."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows that ask, in one head.

    Attributes:
        query: Their rows.
        found: Where what they read is written.
        own_key: The keys of the same rows.
        own_value: Their values.
        key: The keys that they may read.
        value: Their values.
        place: How far the first row stands behind the first key.
        filled: How many rows there are, filled up to whole vectors.
        reads_itself: Whether each row reads its own key too, 1 or 0.
    """

    query: Rows
    found: Rows
    own_key: Rows
    own_value: Rows
    key: Rows
    value: Rows
    place: Value
    filled: Value
    reads_itself: Value


class AttentionLoops:
    """Writes the kernel.

    Its arguments: query, key, value, what is found; numbers from row to row and from head to head
    of the first three; heads; the table of blocks; the first pair of a block and a head, and the
    one behind the last; the window; memory for `space` floats.

    Attributes:
        space: Floats that it needs to work.
    """

    def __init__(self, form: Form) -> None:
        kinds = [FLOATS] * 4 + [INT] * 7 + [INTS] + [INT] * 3 + [FLOATS]
        self._own = own = Kernel("attention", kinds, lanes=form.machine.lanes)
        self._form, self._head = form, form.head
        self._tile = form.machine.rows(VECTORS)
        self._keys = KEYS - KEYS % self._tile
        self._memory = Memory(own, form, rows=QUERIES, keys=self._keys + self._tile)
        self.space = self._memory.space
        self._heads, self._table, first, last, self._window, _ = own.arguments[10:]
        own.loop(first, last, self._pair)

    def finish(self) -> Kernel:
        """The kernel, complete."""
        return self._own.finish()

    def _pair(self, number: Value, _: list[Value]) -> list[Value]:
        """A block in one head."""
        block = self._block(number)
        self._begin(block)
        self._read(block)
        self._end(block)
        return []

    def _block(self, number: Value) -> _Block:
        own, code, row_of_table = self._own, self._own.code, self._own.count(COLUMNS)
        head = code.srem(number, self._heads)
        line = code.mul(code.sdiv(number, self._heads), row_of_table)
        row, rows, key, keys, place, reads_itself = (
            code.load(own.at(self._table, line, column)) for column in range(COLUMNS)
        )
        last_row, last_key = (code.sub(count, own.count(1)) for count in (rows, keys))

        def at(states: int, first: Value, last: Value) -> Rows:
            to_row, to_head = own.arguments[4 + 2 * states : 6 + 2 * states]
            places = code.mul(first, to_row), code.mul(head, to_head)
            return Rows(own.at(own.arguments[states], *places), to_row, last)

        to_row = code.mul(self._heads, own.count(self._head))
        places = code.mul(row, to_row), code.mul(head, own.count(self._head))
        return _Block(
            query=at(0, row, last_row),
            found=Rows(own.at(own.arguments[3], *places), to_row, last_row),
            own_key=at(1, row, last_row),
            own_value=at(2, row, last_row),
            key=at(1, key, last_key),
            value=at(2, key, last_key),
            place=place,
            filled=filled(own, rows, own.lanes),
            reads_itself=reads_itself,
        )

    def _begin(self, block: _Block) -> None:
        """Turn the rows into panels that have seen nothing, or themselves."""
        own, memory = self._own, self._memory
        scale = self._form.scale * log2(e)  # so that powers are those of 2

        def panel(place: Value, width: Value) -> None:
            queries = memory.panel(memory.queries, place)
            rows = block.query.behind(own, place)
            turn_in(own, rows, queries, dims=self._head, width=width, scale=scale)

        def forget(place: Value, _: list[Value]) -> list[Value]:
            own.store(own.floats(NOTHING_SEEN), own.at(memory.largest, place))
            own.store(own.floats(0.0), own.at(memory.sums, place))
            return []

        def clear(place: Value, _: list[Value]) -> list[Value]:
            own.store(own.floats(0.0), own.at(memory.read, place))
            return []

        self._panels(block, panel)
        own.loop(own.count(0), block.filled, forget, step=own.lanes)
        numbers = own.code.mul(block.filled, own.count(self._head))
        own.loop(own.count(0), numbers, clear, step=own.lanes)
        with own.code.if_then(own.code.icmp_signed("!=", block.reads_itself, own.count(0))):
            self._panels(block, lambda place, width: self._see_itself(block, place, width))

    def _see_itself(self, block: _Block, place: Value, width: Value) -> None:
        """Let each row of a panel read its own key; these are few, so one number after another."""
        own, code, memory = self._own, self._own.code, self._memory
        queries, read = (memory.panel(start, place) for start in (memory.queries, memory.read))

        def row(lane: Value, _: list[Value]) -> list[Value]:
            behind = code.add(place, lane)
            key, value = (rows.address(own, behind) for rows in (block.own_key, block.own_value))

            def product(dim: Value, sums: list[Value]) -> list[Value]:
                here = code.add(code.mul(dim, width), lane)
                code.store(code.load(own.at(value, dim)), own.at(read, here))
                asked = code.load(own.at(queries, here))
                return [own.fma(code.load(own.at(key, dim)), asked, sums[0])]

            _, sums = own.loop(own.count(0), own.count(self._head), product, carried=[FLOAT(0.0)])
            code.store(sums[0], own.at(memory.largest, behind))
            code.store(FLOAT(1.0), own.at(memory.sums, behind))
            return []

        own.loop(own.count(0), width, row)

    def _read(self, block: _Block) -> None:
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

    def _pack(self, block: _Block, key: Value, count: Value) -> None:
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

    def _read_packed(self, block: _Block, packed: Packed) -> None:
        """Let each panel read what is packed."""
        own, place = self._own, self._own.count(0)
        for vectors in range(VECTORS, 0, -1):
            step = Step(own, self._form, self._memory, window=self._window, vectors=vectors)
            panel = partial(step.read, packed)
            place, _ = own.loop(place, block.filled, panel, step=vectors * own.lanes)

    def _end(self, block: _Block) -> None:
        """Divide what was read by the sums of the shares and turn it into rows."""
        own, code, memory = self._own, self._own.code, self._memory
        one = own.floats(1.0)

        def invert(place: Value, _: list[Value]) -> list[Value]:
            here = own.at(memory.sums, place)
            # A row that sees anything has a share of 1: its largest product's.
            share = code.select(code.fcmp_ordered(">", one, own.load(here)), one, own.load(here))
            own.store(code.fdiv(one, share), here)
            return []

        def panel(place: Value, width: Value) -> None:
            found, read = block.found.behind(own, place), memory.panel(memory.read, place)
            scales = own.at(memory.sums, place)
            turn_out(own, read, found, dims=self._head, width=width, scales=scales)

        own.loop(own.count(0), block.filled, invert, step=own.lanes)
        self._panels(block, panel)

    def _panels(self, block: _Block, each: Callable[[Value, Value], None]) -> None:
        """Go through the panels: the place of the first row, and the width."""
        own = self._own
        whole = VECTORS * own.lanes

        def panel(place: Value, _: list[Value]) -> list[Value]:
            left = own.code.sub(block.filled, place)
            each(place, smaller(own, left, own.count(whole)))
            return []

        own.loop(own.count(0), filled(own, block.filled, whole), panel, step=whole)
