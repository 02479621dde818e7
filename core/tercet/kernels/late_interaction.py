"""Late interaction: the best product of each query token in each document, in one pass over memory.

Similarities live in registers and are never written down. Document tokens are read where they are
stored, as float32, float16 or int8 with a scale each; a few tokens at a time become floats, in the
first cache.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import BYTE, FLOAT, FLOATS, HALF, INT, INTS, Kernel, Value
from tercet.kernels.compiling import Compiled, Machine, compiled, machine
from tercet.kernels.tiles import heights, panels, tile

KINDS: dict[str, Any] = {"<f4": FLOAT, "<f2": HALF, "|i1": BYTE}
"""Numbers that tokens may be stored as, by numpy's name of their type."""

VECTORS = 2
"""Of a panel of query tokens."""


class Best(Protocol):
    """Finds the best products of one set of query tokens."""

    def __call__(
        self,
        numbers: NDArray[Any],
        scales: NDArray[np.float32] | None,
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Tokens [n, E], their scales, and which of them each document has, to [documents, Q]."""
        ...


def can_compare(numbers: NDArray[Any]) -> bool:
    """Whether tokens stored like this are compared where they stand."""
    in_rows = numbers.strides[1] == numbers.itemsize and numbers.strides[0] >= 0
    return machine() is not None and numbers.dtype.str in KINDS and (in_rows or not numbers.size)


def best_products(queries: NDArray[np.float32]) -> Best:
    """What finds the best product of each query token, [Q, E], in documents.

    A document without tokens has minus infinity. A product does not depend, not in its last bit, on
    what it is computed beside.
    """
    here = machine()
    if here is None:
        raise RuntimeError("kernels are off: `can_compare` tells")
    count, dim = queries.shape
    vectors = 1 if count <= here.lanes else VECTORS
    columns = panels(queries, vectors * here.lanes)

    def best(
        numbers: NDArray[Any],
        scales: NDArray[np.float32] | None,
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        if len(starts) and not 0 <= starts.min() <= stops.max() <= len(numbers):
            raise ValueError(f"documents reach beyond the {len(numbers)} tokens")
        found = np.empty((len(starts), columns.shape[0] * columns.shape[2]), dtype=np.float32)
        starts, stops = (np.ascontiguousarray(ends, dtype=np.int64) for ends in (starts, stops))
        own = None if scales is None else np.ascontiguousarray(scales, dtype=np.float32)
        run = kernel(Form(here, numbers.dtype.str, own is not None, vectors, dim))
        run(
            columns.ctypes.data, len(columns), numbers.ctypes.data,
            numbers.strides[0] // numbers.itemsize, 0 if own is None else own.ctypes.data,
            starts.ctypes.data, stops.ctypes.data, len(starts), found.ctypes.data,
        )  # fmt: skip
        return found[:, :count]

    return best


@dataclass(frozen=True, slots=True)
class Form:
    """What machine code is made for.

    Attributes:
        machine: The processor.
        kind: Of the tokens' numbers.
        scaled: Whether tokens have scales.
        vectors: Of a panel of query tokens.
        dim: Dimensions.
    """

    machine: Machine
    kind: str
    scaled: bool
    vectors: int
    dim: int


@cache
def kernel(form: Form) -> Compiled:
    """Machine code.

    Its arguments: panels of query tokens and how many; tokens, numbers from one to the next, their
    scales; where documents start and stop, and how many there are; the best products, [documents,
    panels, width].
    """
    numbers = KINDS[form.kind].as_pointer()
    kinds = [FLOATS, INT, numbers, INT, FLOATS, INTS, INTS, INT, FLOATS]
    own = Kernel("late_interaction", kinds, lanes=form.machine.lanes)
    own.loop(own.count(0), own.arguments[7], _Documents(own, form).document)
    return compiled(own.finish())


class _Documents:
    """Writes what is done with a document."""

    def __init__(self, own: Kernel, form: Form) -> None:
        self._own, self._dim, self._vectors = own, form.dim, form.vectors
        self._rows = form.machine.rows(form.vectors)
        self._width = form.vectors * own.lanes
        self._queries, self._groups, self._tokens, self._stride, scales = own.arguments[:5]
        self._starts, self._stops, _, self._found = own.arguments[5:]
        self._scales = scales if form.scaled else None
        plain = KINDS[form.kind] is FLOAT and not form.scaled
        self._decoded = None if plain else own.space(self._rows * form.dim)

    def document(self, document: Value, _: list[Value]) -> list[Value]:
        """The best products of one document."""
        own = self._own
        size = own.code.mul(self._groups, own.count(self._width))
        found = own.at(self._found, own.code.mul(document, size))
        least = own.floats(float("-inf"))

        def forget(place: Value, _: list[Value]) -> list[Value]:
            own.store(least, own.at(found, place))
            return []

        own.loop(own.count(0), size, forget, step=own.lanes)
        place = own.code.load(own.at(self._starts, document))
        stop = own.code.load(own.at(self._stops, document))
        for rows in heights(self._rows):
            place, _ = own.loop(place, stop, partial(self._tokens_of, rows, found), step=rows)
        return []

    def _tokens_of(self, rows: int, found: Value, token: Value, _: list[Value]) -> list[Value]:
        """Compare some tokens with each panel."""
        own = self._own
        starts = [
            own.at(self._tokens, own.code.mul(own.code.add(token, own.count(row)), self._stride))
            for row in range(rows + 1)
        ]
        following = starts.pop()
        if self._decoded is not None:
            starts = self._floats(starts, token)

        def ahead(dim: Value) -> None:
            bytes_a_step = own.code.mul(dim, own.count(rows))
            own.prefetch(own.at(following, bytes_a_step))

        def panel(group: Value, _: list[Value]) -> list[Value]:
            first = own.code.mul(group, own.count(self._dim * self._width))
            columns = own.at(self._queries, first)
            sums = tile(
                own, starts, columns, own.count(self._dim), vectors=self._vectors, each=ahead
            )
            for vector in range(self._vectors):
                place = own.code.mul(group, own.count(self._width))
                here = own.at(found, place, vector * own.lanes)
                best = own.load(here)
                for row in sums:
                    best = own.maximum(row[vector], best)
                own.store(best, here)
            return []

        own.loop(own.count(0), self._groups, panel)
        return []

    def _floats(self, starts: list[Value], token: Value) -> list[Value]:
        """Write some tokens as floats to where they are at hand."""
        return [self._float_row(row, start, token) for row, start in enumerate(starts)]

    def _float_row(self, row: int, start: Value, token: Value) -> Value:
        own, whole = self._own, self._dim - self._dim % self._own.lanes
        target = own.at(self._decoded, row * self._dim)
        scale = None
        if self._scales is not None:
            scale = own.code.load(own.at(self._scales, token, row))

        def some(place: Value, _: list[Value]) -> list[Value]:
            numbers = own.as_floats(own.load(own.at(start, place)))
            scaled = numbers if scale is None else own.code.fmul(numbers, own.splat(scale))
            own.store(scaled, own.at(target, place))
            return []

        def one(place: Value, _: list[Value]) -> list[Value]:
            number = own.as_floats(own.code.load(own.at(start, place)))
            scaled = number if scale is None else own.code.fmul(number, scale)
            own.code.store(scaled, own.at(target, place))
            return []

        place, _ = own.loop(own.count(0), own.count(whole), some, step=own.lanes)
        own.loop(place, own.count(self._dim), one)
        return target
