"""What attention kernels share: blocks of rows that ask in a head, panel after panel of lanes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import e, log2
from typing import Any

from tercet.kernels.building import FLOAT, FLOATS, INT, INTS, Kernel, Value
from tercet.kernels.memory import CACHE_LINE
from tercet.kernels.turning import Rows, filled, smaller, turn_out

QUERIES = 512
"""Most rows of a block, all of which read the keys that are packed: whole panels everywhere."""

VECTORS = 2
"""Of a panel; the last one of a block may have 1."""

COLUMNS = 6
"""Of the table of blocks."""

NOTHING_SEEN = -1e30
"""The largest product before the first: less than any, and finite, so that it can be subtracted."""


@dataclass(frozen=True, slots=True)
class Asking:
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


class Memory:
    """Where stands what is known of rows: a float of each, or as many as a head has.

    Attributes:
        read: What they have read, panel after panel, each [head, width].
        largest: The largest product of each.
        sums: The sum of the shares of each.
        space: All its floats.
    """

    def __init__(self, own: Kernel, *, head: int) -> None:
        self._own, self._head = own, head
        self.space = 0
        self.read = self.some(QUERIES * head)
        self.largest, self.sums = self.some(QUERIES), self.some(QUERIES)

    def some(self, floats: int) -> Value:
        """More memory, whole cache lines."""
        start = self.space
        self.space += -(-floats // CACHE_LINE) * CACHE_LINE
        return self._own.at(self._own.arguments[-1], start)

    def panel(self, start: Value, place: Value) -> Value:
        """Where the panel whose first row has a place begins."""
        return self._own.at(start, self._own.code.mul(place, self._own.count(self._head)))


def begun(numbers: Any, *, lanes: int) -> Kernel:
    """A kernel of attention, at its beginning.

    Args:
        numbers: The type of pointers to states.
        lanes: Floats of a vector.
    """
    kinds = [numbers] * 4 + [INT] * 7 + [INTS] + [INT] * 3 + [FLOATS]
    return Kernel("attention", kinds, lanes=lanes)


class BlockLoops(ABC):
    """Writes a kernel: what is done with each block in each head.

    Its arguments: query, key, value, what is found; numbers from row to row and from head to head
    of the first three; heads; the table of blocks; the first pair of a block and a head, and the
    one behind the last; the window; memory for `space` floats.

    Attributes:
        space: Floats that it needs to work.
    """

    def __init__(self, own: Kernel, memory: Memory, *, head: int, scale: float) -> None:
        """Begin.

        Args:
            own: The kernel, of the arguments that `begun` gives it.
            memory: Of that kernel.
            head: Numbers of a head.
            scale: Factor of the products.
        """
        self._own, self._memory, self._head = own, memory, head
        self._scale = scale * log2(e)  # so that powers are those of 2
        self._heads, self._table, self._first, self._last, self._window, _ = own.arguments[10:]
        self.space = memory.space

    def finish(self) -> Kernel:
        """The kernel, complete."""
        self._write()
        return self._own.finish()

    def _write(self) -> None:
        self._own.loop(self._first, self._last, self._pair)

    @abstractmethod
    def _pack_rows(self, block: Asking, place: Value, width: Value) -> None:
        """Write the rows of a panel as products want them."""

    @abstractmethod
    def _read(self, block: Asking) -> None:
        """Let all panels read the keys."""

    def _pair(self, number: Value, _: list[Value]) -> list[Value]:
        """A block in one head."""
        block = self._block(number)
        self._begin(block)
        self._read(block)
        self._end(block)
        return []

    def _block(self, number: Value) -> Asking:
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
        return Asking(
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

    def _begin(self, block: Asking) -> None:
        """Write the rows as panels that have seen nothing, or themselves."""
        own, memory = self._own, self._memory

        def forget(place: Value, _: list[Value]) -> list[Value]:
            own.store(own.floats(NOTHING_SEEN), own.at(memory.largest, place))
            own.store(own.floats(0.0), own.at(memory.sums, place))
            return []

        def clear(place: Value, _: list[Value]) -> list[Value]:
            own.store(own.floats(0.0), own.at(memory.read, place))
            return []

        self._panels(block, partial(self._pack_rows, block))
        own.loop(own.count(0), block.filled, forget, step=own.lanes)
        numbers = own.code.mul(block.filled, own.count(self._head))
        own.loop(own.count(0), numbers, clear, step=own.lanes)
        with own.code.if_then(own.code.icmp_signed("!=", block.reads_itself, own.count(0))):
            self._panels(block, partial(self._see_itself, block))

    def _see_itself(self, block: Asking, place: Value, width: Value) -> None:
        """Let each row of a panel read its own key; these are few, so one number after another."""
        own, code, memory = self._own, self._own.code, self._memory
        read = memory.panel(memory.read, place)

        def row(lane: Value, _: list[Value]) -> list[Value]:
            behind = code.add(place, lane)
            asked, key, value = (
                rows.address(own, behind) for rows in (block.query, block.own_key, block.own_value)
            )

            def product(dim: Value, sums: list[Value]) -> list[Value]:
                here = own.at(read, code.add(code.mul(dim, width), lane))
                left, right, seen = (
                    own.as_floats(code.load(own.at(start, dim))) for start in (asked, key, value)
                )
                code.store(seen, here)
                return [own.fma(left, right, sums[0])]

            _, sums = own.loop(own.count(0), own.count(self._head), product, carried=[FLOAT(0.0)])
            scaled = code.fmul(sums[0], FLOAT(self._scale))
            code.store(scaled, own.at(memory.largest, behind))
            code.store(FLOAT(1.0), own.at(memory.sums, behind))
            return []

        own.loop(own.count(0), width, row)

    def _end(self, block: Asking) -> None:
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

    def _panels(self, block: Asking, each: Callable[[Value, Value], None]) -> None:
        """Go through the panels: the place of the first row, and the width."""
        own = self._own
        whole = VECTORS * own.lanes

        def panel(place: Value, _: list[Value]) -> list[Value]:
            left = own.code.sub(block.filled, place)
            each(place, smaller(own, left, own.count(whole)))
            return []

        own.loop(own.count(0), filled(own, block.filled, whole), panel, step=whole)
