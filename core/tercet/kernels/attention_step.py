"""The step of attention: one panel of rows reads the keys that are packed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llvmlite import ir

from tercet.kernels.attention_blocks import QUERIES, VECTORS, Memory
from tercet.kernels.building import FLOAT, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.exponentials import exp2
from tercet.kernels.tiles import tile
from tercet.kernels.turning import filled, larger, smaller

UNROLLED = 2
"""Dimensions, or keys, of a step: 4 % faster than 1; 4 is not, and takes longer to compile."""


@dataclass(frozen=True, slots=True)
class Form:
    """What machine code is made for.

    Attributes:
        machine: The processor.
        head: Size of a head.
        scale: Factor of the products.
        windowed: Whether keys may be too far to be seen.
    """

    machine: Machine
    head: int
    scale: float
    windowed: bool


class StepMemory(Memory):
    """Where everything stands that is not in a register.

    Attributes:
        queries: The rows that ask, panel after panel, each [head, width].
        keys: The keys, packed, [keys, head].
        values: Their values, the same.
        shares: Of a panel: products, then their exponentials, [keys, width].
    """

    def __init__(self, own: Kernel, *, head: int, keys: int) -> None:
        super().__init__(own, head=head)
        self.queries = self.some(QUERIES * head)
        self.keys, self.values = self.some(keys * head), self.some(keys * head)
        self.shares = self.some(keys * VECTORS * own.lanes)


@dataclass(frozen=True, slots=True)
class Packed:
    """Keys that are packed, and the rows that read them.

    Attributes:
        key: The first one.
        count: How many there are.
        place: How far the first row of the block stands behind the first of all keys.
        last: The last row of the block.
    """

    key: Value
    count: Value
    place: Value
    last: Value


class Step:
    """Writes what a panel of so many vectors does."""

    def __init__(
        self, own: Kernel, form: Form, memory: StepMemory, *, window: Value, vectors: int
    ) -> None:
        self._own, self._form, self._memory, self._window = own, form, memory, window
        self._vectors, self._tile = vectors, form.machine.rows(VECTORS)
        self._width = own.count(vectors * own.lanes)

    def read(self, packed: Packed, place: Value, _: list[Value]) -> list[Value]:
        """Let the panel whose first row has a place read the keys that are packed."""
        own, memory = self._own, self._memory
        seen = self._seen(packed, place)
        largest = self._each(own.at(memory.largest, place))
        before = [own.load(here) for here in largest]
        after = self._multiply(packed, place, seen, before)
        lessened = [
            exp2(own, own.code.fsub(old, new)) for old, new in zip(before, after, strict=True)
        ]
        for vector, here in zip(after, largest, strict=True):
            own.store(vector, here)
        self._exponentiate(place, seen, after, lessened)
        self._add_values(place, seen, lessened)
        return []

    def _each(self, start: Value, *places: Value | int) -> list[Value]:
        """Where the vectors of the panel's width begin."""
        lanes = self._own.lanes
        return [self._own.at(start, *places, vector * lanes) for vector in range(self._vectors)]

    def _seen(self, packed: Packed, place: Value) -> tuple[Value, Value]:
        """The first packed key that any row of the panel sees, and the one behind the last."""
        own, code = self._own, self._own.code
        if not self._form.windowed:
            return own.count(0), packed.count
        here = code.sub(code.add(packed.place, place), packed.key)
        first = larger(own, own.count(0), code.add(code.sub(here, self._window), own.count(1)))
        stop = code.add(code.add(here, self._width), code.sub(self._window, own.count(1)))
        return first, larger(own, first, smaller(own, stop, packed.count))

    def _multiply(
        self, packed: Packed, place: Value, seen: tuple[Value, Value], largest: list[Value]
    ) -> list[Value]:
        """Write the products of the rows with the keys; the largest ones are left."""
        own, code, memory, head = self._own, self._own.code, self._memory, self._form.head
        queries = memory.panel(memory.queries, place)
        sees = self._sees(packed, place) if self._form.windowed else None

        def keys(first: Value, largest: list[Value]) -> list[Value]:
            start = own.at(memory.keys, code.mul(first, own.count(head)))
            rows = [own.at(start, row * head) for row in range(self._tile)]
            products = tile(
                own, rows, queries, own.count(head), vectors=self._vectors, unrolled=UNROLLED
            )
            for row, vectors in enumerate(products):
                key = code.add(first, own.count(row))
                those = vectors if sees is None else sees(vectors, key)
                for vector, here in zip(those, self._shares(key), strict=True):
                    own.store(vector, here)
                largest = [own.maximum(*pair) for pair in zip(those, largest, strict=True)]
            return largest

        first, stop = seen
        whole = code.add(first, filled(own, code.sub(stop, first), self._tile))
        return own.loop(first, whole, keys, step=self._tile, carried=largest)[1]

    def _shares(self, key: Value) -> list[Value]:
        """Where the shares of a key are."""
        return self._each(self._memory.shares, self._own.code.mul(key, self._width))

    def _sees(
        self, packed: Packed, place: Value
    ) -> Callable[[Sequence[Value], Value], list[Value]]:
        """Makes the products with a key minus infinity where it is too far from a row."""
        own, code = self._own, self._own.code
        first, window = code.add(packed.place, place), self._floats(self._window)
        last_row = self._floats(code.add(packed.place, packed.last))
        last_key = code.sub(packed.count, own.count(1))
        places = []
        for vector in range(self._vectors):
            lanes = range(vector * own.lanes, (vector + 1) * own.lanes)
            here = code.fadd(self._floats(first), ir.Constant(own.vector, list(map(float, lanes))))
            # Lanes behind the last row stand for it; they see what it sees.
            places.append(code.select(code.fcmp_ordered("<", here, last_row), here, last_row))

        def masked(products: Sequence[Value], key: Value) -> list[Value]:
            there = self._floats(code.add(packed.key, smaller(own, key, last_key)))
            found = []
            for product, here in zip(products, places, strict=True):
                gap = own.call(f"llvm.fabs.v{own.lanes}f32", code.fsub(here, there))
                near = code.fcmp_ordered("<", gap, window)
                found.append(code.select(near, product, own.floats(float("-inf"))))
            return found

        return masked

    def _floats(self, count: Value) -> Value:
        """A vector of a count."""
        return self._own.splat(self._own.code.sitofp(count, FLOAT))

    def _exponentiate(
        self, place: Value, seen: tuple[Value, Value], largest: list[Value], lessened: list[Value]
    ) -> None:
        """Make shares of the products and add them up."""
        own, code = self._own, self._own.code
        totals = self._each(own.at(self._memory.sums, place))

        def one(key: Value, sums: list[Value]) -> list[Value]:
            found = []
            for here, most, total in zip(self._shares(key), largest, sums, strict=True):
                share = exp2(own, code.fsub(own.load(here), most))
                own.store(share, here)
                found.append(code.fadd(total, share))
            return found

        sums = [
            code.fmul(own.load(here), factor) for here, factor in zip(totals, lessened, strict=True)
        ]
        _, sums = own.loop(*seen, one, carried=sums)
        for here, total in zip(totals, sums, strict=True):
            own.store(total, here)

    def _add_values(self, place: Value, seen: tuple[Value, Value], lessened: list[Value]) -> None:
        """Add the values of the keys, each times its share."""
        own, code, memory, head = self._own, self._own.code, self._memory, self._form.head
        first, stop = seen
        values = own.at(memory.values, code.mul(first, own.count(head)))
        count, read = code.sub(stop, first), memory.panel(memory.read, place)
        shares = self._shares(first)[0]

        def some(height: int, dim: Value, _: list[Value]) -> list[Value]:
            rows = [own.at(values, dim, row) for row in range(height)]
            added = tile(
                own, rows, shares, count, vectors=self._vectors, stride=head, unrolled=UNROLLED
            )
            for row, vectors in enumerate(added):
                there = code.mul(code.add(dim, own.count(row)), self._width)
                for here, factor, vector in zip(
                    self._each(read, there), lessened, vectors, strict=True
                ):
                    own.store(own.fma(own.load(here), factor, vector), here)
            return []

        height = -(-head // -(-head // self._tile))  # as many tiles as needed, of like heights
        place, _ = own.loop(own.count(0), own.count(head), partial(some, height), step=height)
        if head % height:
            some(head % height, place, [])
