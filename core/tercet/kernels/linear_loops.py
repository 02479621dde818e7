"""The loops of a linear layer: pieces of panels meet tiles of rows.

A piece of a panel stays in the first cache while all rows meet it; meanwhile the next piece is
fetched, from several pages at once, since a processor reads ahead in each. So a few rows take
little more time than reading the weights does. How products are made is for the units at hand:
those of vectors, or of matrices.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from tercet.kernels.building import FLOATS, INT, Kernel, Value
from tercet.kernels.gelu import gelu
from tercet.kernels.turning import filled, smaller

VECTORS = 2
"""Of a panel."""

STREAMS = 4
"""Places from which the next piece is fetched: each in a page of its own."""

CACHE_LINE = 16
"""Floats."""

FRACTION = 16
"""Bits behind the point of the share that a tile has in the fetching."""


class Piece(NamedTuple):
    """Some dimensions of a panel.

    Attributes:
        start: Where they lie.
        dim: The first one's number.
        count: How many there are.
        following: Where the next piece lies.
    """

    start: Value
    dim: Value
    count: Value
    following: Value


class Sums(NamedTuple):
    """What products are added to.

    Attributes:
        before: Where what they are added to lies, for the first row.
        from_row: From one row of that to the next, in floats.
        after: Where the sums go, for the first row.
        to_row: From one row of those to the next.
    """

    before: Value
    from_row: Value
    after: Value
    to_row: Value


class LinearLoops(ABC):
    """Writes a layer, or what some of its dimensions add to it.

    Its arguments: rows, floats from one to the next, how many, and their dimensions; panels, floats
    from one to the next, the first of those to multiply with and the one behind the last; a bias
    for each column of all panels, and 1 if sums begin as that, or 0; where results go, floats from
    one's row to the next, and how many columns there are; 1 if results are written, or 0, and 1 if
    these are GELU's; and memory: for the rows, then for sums, with floats from one panel's sums to
    the next's.
    """

    def __init__(
        self,
        lanes: int,
        heights: Sequence[int],
        piece: int,
        *,
        states: Any = FLOATS,
        weights: Any = FLOATS,
    ) -> None:
        """Begin.

        Args:
            lanes: Floats of a vector.
            heights: Rows of tiles, the largest first: they make all multiples of the last.
            piece: Dimensions of a panel that all rows meet before the next.
            states: The type of pointers to rows and results.
            weights: That of pointers to panels.
        """
        kinds = [states, INT, INT, INT, weights, INT, INT, INT, FLOATS, INT]
        kinds += [states, INT, INT, INT, INT, FLOATS, FLOATS, INT]
        own = self._own = Kernel("linear", kinds, lanes=lanes)
        self._heights, self._wide, self._most = heights, VECTORS * lanes, piece
        self._x, self._stride, self._rows, self._dims = own.arguments[:4]
        self._panels, self._panel_stride, self._first, self._stop = own.arguments[4:8]
        self._bias, begins, self._y, self._y_stride, self._columns = own.arguments[8:13]
        ends, self._activates, self._packed, self._sums, self._sums_stride = own.arguments[13:]
        self._begins = own.code.icmp_signed("==", begins, own.count(1))
        self._ends = own.code.icmp_signed("==", ends, own.count(1))
        self._tall, self._width = own.count(heights[0]), own.count(self._wide)
        self._filled = filled(own, self._rows, heights[-1])
        tiles = own.code.sdiv(filled(own, self._filled, heights[0]), self._tall)
        whole = own.code.add(own.count(1 << FRACTION), own.code.sub(tiles, own.count(1)))
        self._share = own.code.sdiv(whole, tiles)

    @abstractmethod
    def _pack(self, place: Value, height: Value) -> None:
        """Write the rows of a tile as products want them; the last row fills a tile up."""

    @abstractmethod
    def _prepare(self, piece: Piece) -> None:
        """Write a piece as products want it."""

    @abstractmethod
    def _multiply(self, height: int, place: Value, piece: Piece, sums: Sums) -> None:
        """Add the products of a tile of rows with a piece to sums; `_fetch_share` at each step."""

    def finish(self) -> Kernel:
        """All of it."""
        self._write()
        return self._own.finish()

    def _write(self) -> None:
        own, code = self._own, self._own.code
        first = own.at(self._panels, code.mul(self._first, self._panel_stride))
        soon = smaller(own, self._dims, own.count(self._most))

        def fetch(dim: Value, _: list[Value]) -> list[Value]:
            self._fetch_row(own.at(first, code.mul(dim, self._width)))
            return []

        def pack(place: Value, _: list[Value]) -> list[Value]:
            self._pack(place, smaller(own, code.sub(self._filled, place), self._tall))
            return []

        own.loop(own.count(0), soon, fetch)
        end = filled(own, self._filled, self._heights[0])
        own.loop(own.count(0), end, pack, step=self._heights[0])
        own.loop(self._first, self._stop, self._panel)

    def _row(self, place: Value) -> Value:
        """Where a row begins; behind the last row that one stands again."""
        own, code = self._own, self._own.code
        there = smaller(own, place, code.sub(self._rows, own.count(1)))
        return own.at(self._x, code.mul(there, self._stride))

    def _panel(self, panel: Value, _: list[Value]) -> list[Value]:
        """Multiply all rows with a panel."""
        own, code = self._own, self._own.code
        start = own.at(self._panels, code.mul(panel, self._panel_stride))
        sums = own.at(self._sums, code.mul(code.sub(panel, self._first), self._sums_stride))
        end = filled(own, self._dims, self._most)
        body = partial(self._piece, panel, start, sums)
        own.loop(own.count(0), end, body, step=self._most)
        return []

    def _piece(
        self, number: Value, panel: Value, sums: Value, dim: Value, _: list[Value]
    ) -> list[Value]:
        """Add the products with some dimensions of a panel to the sums, which begin as the bias.

        The last ones are written to where they are wanted, tile by tile, so that no store waits.
        """
        own, code = self._own, self._own.code
        count = smaller(own, code.sub(self._dims, dim), own.count(self._most))
        start = own.at(panel, code.mul(dim, self._width))
        begins = code.and_(self._begins, code.icmp_signed("==", dim, own.count(0)))
        column = code.mul(number, self._width)
        bias, begun = self._beginning(column), code.select(begins, own.count(0), self._width)
        is_last = code.icmp_signed("==", code.add(dim, count), self._dims)
        wanted = code.select(code.and_(self._ends, is_last), self._rows, own.count(0))
        next_panel = own.at(panel, self._panel_stride)
        behind = own.at(start, code.mul(count, self._width))
        piece = Piece(start, dim, count, code.select(is_last, next_panel, behind))
        self._prepare(piece)
        plain = self._is_plain(column)

        def some(height: int, place: Value, _: list[Value]) -> list[Value]:
            end = code.add(place, own.count(height))
            at_once = code.and_(plain, code.icmp_signed("<=", end, wanted))
            those = own.at(sums, code.mul(place, self._width))
            there = own.at(self._y, code.mul(place, self._y_stride), column)
            after = code.select(at_once, code.bitcast(there, those.type), those)
            to_row = code.select(at_once, self._y_stride, self._width)
            before = code.select(begins, bias, those)
            self._multiply(height, place, piece, Sums(before, begun, after, to_row))
            stop = code.select(at_once, place, smaller(own, wanted, end))
            own.loop(place, stop, partial(self._finish, column, sums))
            return []

        place = own.count(0)
        for height in self._heights:
            place, _ = own.loop(place, self._filled, partial(some, height), step=height)
        return []

    def _beginning(self, column: Value) -> Value:
        """Where that lies which the sums of a panel's rows begin as."""
        return self._own.at(self._bias, column)

    def _is_plain(self, column: Value) -> Value:
        """Whether sums of a panel are results, which need not be changed or cut."""
        code, own = self._own.code, self._own
        complete = code.icmp_signed("<=", code.add(column, self._width), self._columns)
        return code.and_(complete, code.icmp_signed("==", self._activates, own.count(0)))

    def _fetching(self, piece: Piece, place: Value, *, dims: int = 0) -> Callable[[Value], None]:
        """Writes what a tile does at each step: it fetches its share of the piece that follows.

        Of each stream one row, at a step of `STREAMS` dimensions; or all rows of so many.
        """
        own, code = self._own, self._own.code
        stream = code.mul(code.sdiv(piece.count, own.count(STREAMS)), self._width)
        done = code.mul(code.sdiv(place, self._tall), piece.count)

        def turn(dim: Value) -> Value:
            share = code.mul(code.add(done, dim), self._share)
            return code.ashr(share, own.count(FRACTION + STREAMS.bit_length() - 1))

        def one(number: Value, _: list[Value]) -> list[Value]:
            start = own.at(piece.following, code.mul(number, self._width))
            for of in range(STREAMS):
                self._fetch_row(own.at(start, code.mul(stream, own.count(of))))
            return []

        def fetch(dim: Value) -> None:
            if dims:
                own.loop(turn(dim), turn(code.add(dim, own.count(dims))), one)
            else:
                one(turn(dim), [])

        return fetch

    def _fetch_row(self, start: Value) -> None:
        """Ask for one row of a piece."""
        for line in range(0, self._wide, CACHE_LINE):
            self._own.prefetch(self._own.at(start, line), near=False)

    def _finish(self, column: Value, sums: Value, row: Value, _: list[Value]) -> list[Value]:
        """Copy the sums of a row to where they are wanted, as far as there are columns."""
        own, code = self._own, self._own.code
        columns = smaller(own, code.sub(self._columns, column), self._width)
        here = own.at(sums, code.mul(row, self._width))
        there = own.at(self._y, code.mul(row, self._y_stride), column)

        def some(lane: Value, _: list[Value]) -> list[Value]:
            own.store_as(own.load(own.at(here, lane)), own.at(there, lane))
            return []

        def one(lane: Value, _: list[Value]) -> list[Value]:
            own.store_as(own.load(own.at(here, lane), 1), own.at(there, lane))
            return []

        self._activate(column, row, here)
        lane, _ = own.loop(own.count(0), columns, some, step=own.lanes)
        own.loop(lane, columns, one)
        return []

    def _activate(self, column: Value, row: Value, sums: Value) -> None:
        """Make results of the sums of a row with the panel of a column."""
        del column, row
        own = self._own

        def some(lane: Value, _: list[Value]) -> list[Value]:
            own.store(gelu(own, own.load(own.at(sums, lane))), own.at(sums, lane))
            return []

        activated = own.code.mul(self._width, self._activates)
        own.loop(own.count(0), activated, some, step=own.lanes)
