"""The loops of late interaction: documents, tiles of their tokens, panels of query tokens."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tercet.kernels.building import (
    FLOAT,
    FLOATS,
    INT,
    INTS,
    LANE_INT,
    LANE_INTS,
    Kernel,
    Value,
)
from tercet.kernels.compiling import Compiled, Machine, compiled, made_once
from tercet.kernels.stored import KINDS
from tercet.kernels.tiles import Sums, heights, tile

DIGIT = 128
"""What the higher digit of a query counts."""

SIGNS = LANE_INT(-0x7F7F7F80)
"""The highest bit of each of four bytes."""


@dataclass(frozen=True, slots=True)
class Form:
    """What machine code is made for.

    Attributes:
        machine: The processor.
        kind: Of the tokens' numbers.
        scaled: Whether tokens have scales.
        whole: Whether query tokens are digits.
        vectors: Of a panel of query tokens.
        dim: Dimensions.
    """

    machine: Machine
    kind: str
    scaled: bool
    whole: bool
    vectors: int
    dim: int

    @property
    def space(self) -> int:
        """Floats of memory that tokens of a tile may need; too many for a thread's stack."""
        return self.machine.rows(self.vectors) * self.dim


@made_once
def kernel(form: Form) -> Compiled:
    """Machine code.

    Its arguments: panels of query tokens, what their sums begin with, and how many; tokens, numbers
    from one to the next, their scales; where documents start and stop, and how many there are; the
    best products, [documents, panels, width]; memory for `Form.space` floats.
    """
    numbers = KINDS[form.kind].as_pointer()
    kinds = [LANE_INTS if form.whole else FLOATS, LANE_INTS, INT, numbers, INT, FLOATS]
    kinds += [INTS, INTS, INT, FLOATS, FLOATS]
    own = Kernel("late_interaction", kinds, lanes=form.machine.lanes)
    documents = (_OfBytes if form.whole else _OfFloats)(own, form)
    own.loop(own.count(0), own.arguments[8], documents.document)
    return compiled(own.finish())


class _Documents(ABC):
    """Writes what is done with a document."""

    def __init__(self, own: Kernel, form: Form) -> None:
        self._own, self._form = own, form
        self._width = form.vectors * own.lanes
        self._queries, self._begin, self._groups = own.arguments[:3]
        self._tokens, self._stride, self._scales = own.arguments[3:6]
        self._starts, self._stops, _, self._found, self._memory = own.arguments[6:]

    @property
    @abstractmethod
    def rows(self) -> int:
        """Tokens of a tile."""

    @abstractmethod
    def ready(self, starts: list[Value], token: Value) -> list[Value]:
        """Where some tokens begin, as a tile takes them."""

    @abstractmethod
    def similarities(self, starts: list[Value], group: Value, token: Value) -> Sums:
        """Products of some tokens with a panel."""

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
        for rows in heights(self.rows):
            place, _ = own.loop(place, stop, partial(self._tokens_of, rows, found), step=rows)
        return []

    def _tokens_of(self, rows: int, found: Value, token: Value, _: list[Value]) -> list[Value]:
        """Compare some tokens with each panel."""
        own = self._own
        starts = [
            own.at(self._tokens, own.code.mul(own.code.add(token, own.count(row)), self._stride))
            for row in range(rows)
        ]
        starts = self.ready(starts, token)

        def panel(group: Value, _: list[Value]) -> list[Value]:
            sums = self.similarities(starts, group, token)
            for vector in range(self._form.vectors):
                place = own.code.mul(group, own.count(self._width))
                here = own.at(found, place, vector * own.lanes)
                best = own.load(here)
                for row in sums:
                    best = own.maximum(row[vector], best)
                own.store(best, here)
            return []

        own.loop(own.count(0), self._groups, panel)
        return []

    def _panel(self, group: Value, size: int) -> Value:
        return self._own.at(self._queries, self._own.code.mul(group, self._own.count(size)))

    def _ahead(self, token: Value, rows: int) -> Callable[[Value], None]:
        """Asks, at each step of a tile, for a part of the tokens behind it."""
        own = self._own
        next_one = own.code.mul(own.code.add(token, own.count(rows)), self._stride)
        following = own.at(self._tokens, next_one)
        numbers = rows * (4 if self._form.whole else 1)

        def each(step: Value) -> None:
            own.prefetch(own.at(following, own.code.mul(step, own.count(numbers))))

        return each


class _OfFloats(_Documents):
    """Tokens are floats, or become floats a few at a time."""

    def __init__(self, own: Kernel, form: Form) -> None:
        super().__init__(own, form)
        self._plain = KINDS[form.kind] is FLOAT and not form.scaled

    @property
    def rows(self) -> int:
        return self._form.machine.rows(self._form.vectors)

    def ready(self, starts: list[Value], token: Value) -> list[Value]:
        if self._plain:
            return starts
        return [self._float_row(row, start, token) for row, start in enumerate(starts)]

    def similarities(self, starts: list[Value], group: Value, token: Value) -> Sums:
        panel, dim = self._panel(group, self._form.dim * self._width), self._form.dim
        ahead = self._ahead(token, len(starts))
        return tile(
            self._own, starts, panel, self._own.count(dim), vectors=self._form.vectors, each=ahead
        )

    def _float_row(self, row: int, start: Value, token: Value) -> Value:
        own, whole = self._own, self._form.dim - self._form.dim % self._own.lanes
        target = own.at(self._memory, row * self._form.dim)
        scale = own.code.load(own.at(self._scales, token, row)) if self._form.scaled else None

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
        own.loop(place, own.count(self._form.dim), one)
        return target


class _OfBytes(_Documents):
    """Tokens are bytes, and are multiplied as such."""

    def __init__(self, own: Kernel, form: Form) -> None:
        super().__init__(own, form)
        self._fours = form.dim // 4
        self._unsigned = own.code.bitcast(self._memory, LANE_INTS)

    @property
    def rows(self) -> int:
        return self._form.machine.rows(2 * self._form.vectors)

    def ready(self, starts: list[Value], token: Value) -> list[Value]:
        del token
        return [self._unsigned_row(row, start) for row, start in enumerate(starts)]

    def similarities(self, starts: list[Value], group: Value, token: Value) -> Sums:
        own, vectors = self._own, self._form.vectors
        place = own.code.mul(group, own.count(2 * self._width))
        begin = [own.load(own.at(self._begin, place, n * own.lanes)) for n in range(2 * vectors)]
        sums = tile(
            own, starts, self._panel(group, self._fours * 2 * self._width), own.count(self._fours),
            vectors=2 * vectors, each=self._ahead(token, len(starts)), begin=begin,
        )  # fmt: skip
        return [self._joined(digits, token, row) for row, digits in enumerate(sums)]

    def _joined(self, digits: list[Value], token: Value, row: int) -> list[Value]:
        """The products of one token, of those of both digits."""
        own, vectors = self._own, self._form.vectors
        high, low = (
            [own.as_floats(each) for each in part] for part in (digits[:vectors], digits[vectors:])
        )
        numbers = [own.fma(a, own.floats(DIGIT), b) for a, b in zip(high, low, strict=True)]
        if not self._form.scaled:
            return numbers
        scale = own.splat(own.code.load(own.at(self._scales, token, row)))
        return [own.code.fmul(number, scale) for number in numbers]

    def _unsigned_row(self, row: int, start: Value) -> Value:
        """Count the numbers of a token from -128."""
        own, whole = self._own, self._fours - self._fours % self._own.lanes
        source = own.code.bitcast(start, LANE_INTS)
        target = own.at(self._unsigned, row * self._fours)

        def some(place: Value, _: list[Value]) -> list[Value]:
            numbers = own.load(own.at(source, place))
            own.store(own.code.xor(numbers, own.splat(SIGNS)), own.at(target, place))
            return []

        def one(place: Value, _: list[Value]) -> list[Value]:
            four = own.code.load(own.at(source, place))
            four.align = 1
            own.code.store(own.code.xor(four, SIGNS), own.at(target, place))
            return []

        place, _ = own.loop(own.count(0), own.count(whole), some, step=own.lanes)
        own.loop(place, own.count(self._fours), one)
        return target
