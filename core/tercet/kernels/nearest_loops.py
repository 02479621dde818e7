"""The loops of a search for the nearest: panels of columns, queries, and a list of each query."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from llvmlite import ir

from tercet.kernels.building import (
    BYTE,
    FLOAT,
    FLOATS,
    INT,
    LANE_INT,
    LANE_INTS,
    Kernel,
    Value,
)
from tercet.kernels.compiling import Compiled, Machine, compiled, made_once
from tercet.kernels.tiles import tile

QUERIES, VECTORS = 5, 2
"""Queries that meet a panel at once, and vectors of its width."""

LARGEST, OFFSET = 127, 128
"""The largest byte; what bytes of queries are counted from."""

TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Form:
    """What machine code is made for.

    Attributes:
        machine: The processor.
        whole: Whether numbers are bytes.
        parts: Vectors of a list.
    """

    machine: Machine
    whole: bool
    parts: int

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return VECTORS * self.machine.lanes

    @property
    def space(self) -> int:
        """Numbers of a list: an infinity stands before the first."""
        return 1 + self.parts * self.machine.lanes

    @property
    def memory(self) -> int:
        """Floats that the products of a tile need."""
        return QUERIES * self.width


@made_once
def kernel(form: Form) -> Compiled:
    """Machine code.

    Its arguments: queries, how many, and their dimensions; panels of columns, what their sums begin
    with, their scales, and how many panels there are; how many columns are looked for; the products
    of the best, [queries, space], and which they are; memory for the products of a tile, and for
    each query and a float more.
    """
    numbers = LANE_INTS if form.whole else FLOATS
    kinds = [FLOATS, INT, INT, numbers, numbers, FLOATS, INT, INT, FLOATS, LANE_INTS, FLOATS]
    own = Kernel("nearest", kinds, lanes=form.machine.lanes)
    search = (_OfBytes if form.whole else _OfFloats)(own, form)
    own.loop(own.count(0), own.arguments[1], search.begin)
    own.loop(own.count(0), own.arguments[6], search.panel)
    own.loop(own.count(0), own.arguments[1], search.end)
    return compiled(own.finish())


class _OfFloats:
    """Writes what is done with queries and panels."""

    def __init__(self, own: Kernel, form: Form) -> None:
        self._own, self._form = own, form
        self._queries, self._count, self._dims = own.arguments[:3]
        self._panels, self._begin, self._scales, _, self._sought = own.arguments[3:8]
        self._best, self._which, self._products = own.arguments[8:]
        self._rows, self._numbers = self._queries, self._dims

    def begin(self, query: Value, _: list[Value]) -> list[Value]:
        """Empty the list of a query."""
        own, form = self._own, self._form
        first = own.code.mul(query, own.count(form.space))
        own.code.store(FLOAT(float("inf")), own.at(self._best, first))
        for part in range(form.parts):
            place = 1 + part * own.lanes
            own.store(own.floats(float("-inf")), own.at(self._best, first, place))
            own.store(own.splat(LANE_INT(0)), own.at(self._which, first, place))
        return []

    def panel(self, group: Value, _: list[Value]) -> list[Value]:
        """Compare all queries with a panel."""
        own = self._own
        column = own.code.mul(group, own.count(self._form.width))
        blocks = own.code.sdiv(
            own.code.add(self._count, own.count(QUERIES - 1)), own.count(QUERIES)
        )
        own.loop(own.count(0), blocks, partial(self._block, column))
        return []

    def end(self, query: Value, _: list[Value]) -> list[Value]:
        """Make the products of a query those of what it was."""
        del query
        return []

    def measured(self, sums: Value, column: Value) -> Value:
        """The products that sums stand for."""
        del column
        return sums

    def _block(self, column: Value, block: Value, _: list[Value]) -> list[Value]:
        own, form = self._own, self._form
        first = own.code.mul(block, own.count(QUERIES))
        rows = [self._row(first, n) for n in range(QUERIES)]
        here = own.at(self._panels, own.code.mul(column, self._numbers))
        columns = [own.code.add(column, own.count(n * own.lanes)) for n in range(VECTORS)]
        begin = [own.load(own.at(self._begin, each)) for each in columns]
        sums = tile(own, rows, here, self._numbers, vectors=VECTORS, begin=begin)
        for n, row in enumerate(sums):
            for vector, (sum_, each) in enumerate(zip(row, columns, strict=True)):
                place = own.at(self._products, n * form.width + vector * own.lanes)
                own.store(self.measured(sum_, each), place)
        left = own.code.sub(self._count, first)
        whole = own.code.icmp_signed(">", left, own.count(QUERIES))
        held = own.code.select(whole, own.count(QUERIES), left)
        own.loop(own.count(0), held, partial(self._query, first, column))
        return []

    def _row(self, first: Value, n: int) -> Value:
        """Where a query of a block begins; the last one stands for those beyond."""
        own = self._own
        query, last = own.code.add(first, own.count(n)), own.code.sub(self._count, own.count(1))
        there = own.code.select(own.code.icmp_signed("<", query, last), query, last)
        return own.at(self._rows, own.code.mul(there, self._numbers))

    def _query(self, first: Value, column: Value, n: Value, _: list[Value]) -> list[Value]:
        """Look through the products of one query."""
        own, form = self._own, self._form
        found = own.code.mul(own.code.add(first, n), own.count(form.space))
        least = own.at(self._best, found, self._sought)
        products = own.at(self._products, own.code.mul(n, own.count(form.width)))
        bits = ir.IntType(own.lanes)

        def one(place: Value, _: list[Value]) -> list[Value]:
            product = own.code.load(own.at(products, place))
            with own.code.if_then(own.code.fcmp_ordered(">", product, own.code.load(least))):
                self._enter(found, product, own.code.add(column, place))
            return []

        def some(place: Value, _: list[Value]) -> list[Value]:
            lowest = own.splat(own.code.load(least))
            above = own.code.fcmp_ordered(">", own.load(own.at(products, place)), lowest)
            any_ = own.code.icmp_unsigned("!=", own.code.bitcast(above, bits), bits(0))
            with own.code.if_then(any_):
                own.loop(place, own.code.add(place, own.count(own.lanes)), one)
            return []

        own.loop(own.count(0), own.count(form.width), some, step=own.lanes)
        return []

    def _enter(self, found: Value, product: Value, column: Value) -> None:
        """Put a product where it belongs; what is not above it moves on by one."""
        own = self._own
        new = own.splat(product), own.splat(own.code.trunc(column, LANE_INT))
        for part in reversed(range(self._form.parts)):
            places = [own.at(of, found, part * own.lanes + 1) for of in (self._best, self._which)]
            held = [own.load(place) for place in places]
            before = [own.load(own.at(place, -1)) for place in places]
            above = own.code.fcmp_ordered(">", new[0], held[0])
            further = own.code.fcmp_ordered(">", new[0], before[0])
            for n, place in enumerate(places):
                entering = own.code.select(further, before[n], new[n])
                own.store(own.code.select(above, entering, held[n]), place)


class _OfBytes(_OfFloats):
    """Both sides are bytes, four in a lane."""

    def __init__(self, own: Kernel, form: Form) -> None:
        super().__init__(own, form)
        self._steps = own.at(self._products, form.memory)
        self._rows = own.code.bitcast(own.at(self._steps, self._count), LANE_INTS)
        self._numbers = own.code.sdiv(self._dims, own.count(4))

    def begin(self, query: Value, _: list[Value]) -> list[Value]:
        """Empty the list of a query, and round it."""
        super().begin(query, [])
        own, dims = self._own, self._dims
        source = own.at(self._queries, own.code.mul(query, dims))
        rows = own.code.bitcast(self._rows, BYTE.as_pointer())
        target = own.at(rows, own.code.mul(query, dims))

        def size(place: Value, before: list[Value]) -> list[Value]:
            number = own.code.load(own.at(source, place))
            there = own.call("llvm.fabs.f32", number)
            return [own.code.select(own.code.fcmp_ordered(">", there, before[0]), there, before[0])]

        _, (largest,) = own.loop(own.count(0), dims, size, carried=[FLOAT(TINY * LARGEST)])
        step = own.code.fdiv(largest, FLOAT(LARGEST))
        own.code.store(step, own.at(self._steps, query))
        steps, offset = own.splat(step), own.splat(LANE_INT(OFFSET))
        integers, bytes_ = (ir.VectorType(kind, own.lanes) for kind in (LANE_INT, BYTE))

        def rounded(place: Value, _: list[Value]) -> list[Value]:
            number = own.code.fdiv(own.load(own.at(source, place)), steps)
            whole = own.code.fptosi(own.call(f"llvm.rint.v{own.lanes}f32", number), integers)
            own.store(own.code.trunc(own.code.add(whole, offset), bytes_), own.at(target, place))
            return []

        own.loop(own.count(0), dims, rounded, step=own.lanes)
        return []

    def end(self, query: Value, _: list[Value]) -> list[Value]:
        """Make the products of a query those of what it was."""
        own, form = self._own, self._form
        first = own.at(self._best, own.code.mul(query, own.count(form.space)), 1)
        step = own.splat(own.code.load(own.at(self._steps, query)))
        for part in range(form.parts):
            place = own.at(first, part * own.lanes)
            own.store(own.code.fmul(own.load(place), step), place)
        return []

    def measured(self, sums: Value, column: Value) -> Value:
        """The products that sums stand for."""
        own = self._own
        return own.code.fmul(own.as_floats(sums), own.load(own.at(self._scales, column)))
