"""Inner products of queries with rows, in one pass over memory, read where and as they are stored.

A product is summed in the lanes of a vector, along the dimensions. Some rows meet some queries at
once, so that what was loaded is used several times; with one query, memory sets the pace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from tercet.kernels.building import FLOATS, INT, INTS, LANE_INT, Kernel, Value
from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.stored import KINDS
from tercet.kernels.tiles import heights

ROWS_OF_ONE, QUERIES = 8, 4
"""Rows that meet one query at once, and queries that meet rows at once where there are several."""

AHEAD = 16
"""Rows from one that is read to the one that is asked for meanwhile.

Among bytes that takes a third off the time of one query (measured); floats come no faster.
"""

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def multiply(
    queries: Vectors,
    numbers: NDArray[Any],
    scales: Vectors | None,
    rows: Rows,
    *,
    out: Vectors,
) -> None:
    """Write the inner products of queries with some rows.

    A product does not depend, not in its last bit, on what it is computed beside.

    Args:
        queries: M of them, [M, E].
        numbers: What `can_read` takes, [N, E].
        scales: What each row is multiplied with, [N]; None leaves it.
        rows: Which, [R].
        out: Where products go, [M, R]; a query's stand side by side.
    """
    here = machine()
    if here is None:
        raise RuntimeError("kernels are off: `can_read` tells")
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(numbers):
        raise ValueError(f"rows reach beyond the {len(numbers)} that there are")
    asked = np.ascontiguousarray(queries, dtype=np.float32)
    if asked.shape[1] != numbers.shape[1]:
        raise ValueError(f"queries have {asked.shape[1]} dimensions, not {numbers.shape[1]}")
    places = np.ascontiguousarray(rows, dtype=np.int64)
    own = None if scales is None else np.ascontiguousarray(scales, dtype=np.float32)
    if own is not None and len(own) != len(numbers):
        raise ValueError(f"{len(numbers)} rows, but {len(own)} scales")
    several = len(asked) > 1
    form = Form(here, numbers.dtype.str, own is not None, several, asked.shape[1])
    kernel(form)(
        asked.ctypes.data, len(asked), numbers.ctypes.data,
        numbers.strides[0] // numbers.itemsize, 0 if own is None else own.ctypes.data,
        places.ctypes.data, len(places), out.ctypes.data, out.strides[0] // out.itemsize,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """What machine code is made for.

    Attributes:
        machine: The processor.
        kind: Of the rows' numbers.
        scaled: Whether rows have scales.
        several: Whether there is more than one query.
        dim: Dimensions.
    """

    machine: Machine
    kind: str
    scaled: bool
    several: bool
    dim: int

    @property
    def rows(self) -> int:
        """Of a tile: half the registers hold sums where there are several queries."""
        return self.machine.registers // 2 // QUERIES if self.several else ROWS_OF_ONE


@made_once
def kernel(form: Form) -> Compiled:
    """Machine code.

    Its arguments: queries and how many; rows, numbers from one to the next, their scales; which
    rows and how many; where products go, and floats from one query's to the next.
    """
    numbers = KINDS[form.kind].as_pointer()
    kinds = [FLOATS, INT, numbers, INT, FLOATS, INTS, INT, FLOATS, INT]
    own = Kernel("inner_product", kinds, lanes=form.machine.lanes)
    writing = _Tiles(own, form)
    place = own.count(0)
    for height in heights(form.rows):
        place, _ = own.loop(place, own.arguments[6], partial(writing.some, height), step=height)
    return compiled(own.finish())


class _Tiles:
    """Writes what is done with some rows."""

    def __init__(self, own: Kernel, form: Form) -> None:
        self._own, self._dim = own, form.dim
        self._whole = form.dim - form.dim % own.lanes
        self._several = form.several
        self._queries, self._count, self._numbers, self._stride, scales = own.arguments[:5]
        self._rows, _, self._out, self._out_stride = own.arguments[5:]
        self._scales = scales if form.scaled else None
        self._ahead = own.code.mul(self._stride, own.count(AHEAD))

    def some(self, height: int, place: Value, _: list[Value]) -> list[Value]:
        """Multiply so many rows with all queries."""
        own = self._own
        rows = [own.code.load(own.at(self._rows, place, n)) for n in range(height)]
        starts = [own.at(self._numbers, own.code.mul(row, self._stride)) for row in rows]
        scales = [
            None if self._scales is None else own.code.load(own.at(self._scales, row))
            for row in rows
        ]
        query = own.count(0)
        for width in (QUERIES, 1) if self._several else (1,):
            body = partial(self._tile, starts, scales, place, width)
            query, _ = own.loop(query, self._count, body, step=width)
        return []

    def _tile(
        self,
        starts: Sequence[Value],
        scales: Sequence[Value | None],
        place: Value,
        width: int,
        query: Value,
        _: list[Value],
    ) -> list[Value]:
        own = self._own
        asked = [
            own.at(
                self._queries, own.code.mul(own.code.add(query, own.count(n)), own.count(self._dim))
            )
            for n in range(width)
        ]
        sums = self._sums(starts, asked)
        for n in range(width):
            line = own.code.mul(own.code.add(query, own.count(n)), self._out_stride)
            for row, scale in enumerate(scales):
                found = sums[row * width + n]
                scaled = found if scale is None else own.code.fmul(found, scale)
                own.code.store(scaled, own.at(self._out, line, place, row))
        return []

    def _sums(self, starts: Sequence[Value], asked: Sequence[Value]) -> list[Value]:
        """The product of each row with each query, row by row."""
        own = self._own

        def step(dim: Value, sums: list[Value]) -> list[Value]:
            queries = [own.load(own.at(start, dim)) for start in asked]
            found: list[Value] = []
            for start in starts:
                if not self._several:
                    own.prefetch(own.at(start, dim, self._ahead))
                numbers = own.as_floats(own.load(own.at(start, dim)))
                for query in queries:
                    found.append(own.fma(numbers, query, sums[len(found)]))
            return found

        def one(dim: Value, sums: list[Value]) -> list[Value]:
            queries = [own.code.load(own.at(start, dim)) for start in asked]
            found: list[Value] = []
            for start in starts:
                number = own.as_floats(own.code.load(own.at(start, dim)))
                for query in queries:
                    found.append(own.fma(number, query, sums[len(found)]))
            return found

        zeros = [own.floats(0.0)] * (len(starts) * len(asked))
        whole = own.count(self._whole)
        _, sums = own.loop(own.count(0), whole, step, step=own.lanes, carried=zeros)
        found = _added(own, sums)
        if self._whole < self._dim:
            _, found = own.loop(whole, own.count(self._dim), one, carried=found)
        return found


def _added(own: Kernel, vectors: Sequence[Value]) -> list[Value]:
    """The sum of each vector's lanes, halves first: always in that order, so always the same bits.

    Two vectors are folded into one as long as there are two.
    """
    lanes = own.lanes
    held = [(vector, [n] * lanes) for n, vector in enumerate(vectors)]  # whose each lane is
    half = lanes // 2
    while half:
        pairs = [held[n : n + 2] for n in range(0, len(held), 2)]
        held = [_folded(own, pair[0], pair[-1], half) for pair in pairs]
        half //= 2
    return [
        own.code.extract_element(vector, LANE_INT(owners.index(n)))
        for n in range(len(vectors))
        for vector, owners in held
        if n in owners
    ]


def _folded(
    own: Kernel, first: tuple[Value, list[int]], second: tuple[Value, list[int]], half: int
) -> tuple[Value, list[int]]:
    """Add the halves of each group of 2 * half lanes; what is the first's comes before."""
    lanes = own.lanes
    lower = [lane for lane in range(2 * lanes) if lane % (2 * half) < half]
    kind = ir.VectorType(LANE_INT, lanes)
    left, right = (
        own.code.shuffle_vector(first[0], second[0], ir.Constant(kind, [n + by for n in lower]))
        for by in (0, half)
    )
    owners = [*first[1], *second[1]]
    return own.code.fadd(left, right), [owners[lane] for lane in lower]
