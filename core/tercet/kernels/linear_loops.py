"""The loops of a linear layer: pieces of panels meet tiles of rows.

A piece of a panel stays in the first cache while all rows meet it; meanwhile the next piece is
fetched, from several pages at once, since a processor reads ahead in each. So a few rows take
little more time than reading the weights does.
"""

from collections.abc import Callable
from functools import partial

from tercet.kernels.building import FLOATS, INT, Kernel, Value
from tercet.kernels.compiling import Machine
from tercet.kernels.gelu import gelu
from tercet.kernels.tiles import tile
from tercet.kernels.turning import filled, smaller, transposed

VECTORS = 2
"""Of a panel."""

PIECE = 256
"""Dimensions of a panel that all rows meet before the next: 32 KiB where a vector has 16 lanes."""

STREAMS = 4
"""Places from which the next piece is fetched: each in a page of its own."""

CACHE_LINE = 16
"""Floats."""

FRACTION = 16
"""Bits behind the point of the share that a tile has in the fetching."""


def tile_heights(here: Machine) -> list[int]:
    """Rows of tiles, the largest first: they make all multiples of the last, a power of two."""
    most = here.rows(VECTORS)
    step = 4 if most >= 8 else 2
    return list(range(most - most % step, 0, -step))


class LinearLoops:
    """Writes a layer, or what some of its dimensions add to it.

    Its arguments: rows, floats from one to the next, how many, and their dimensions; panels, floats
    from one to the next, the first of those to multiply with and the one behind the last; a bias
    for each column of all panels, and 1 if sums begin as that, or 0; where results go, floats from
    one's row to the next, and how many columns there are; 1 if results are written, or 0, and 1 if
    these are GELU's; and memory: for the rows, then for sums, with floats from one panel's sums to
    the next's.
    """

    def __init__(self, here: Machine) -> None:
        kinds = [FLOATS, INT, INT, INT, FLOATS, INT, INT, INT, FLOATS, INT]
        kinds += [FLOATS, INT, INT, INT, INT, FLOATS, FLOATS, INT]
        own = self._own = Kernel("linear", kinds, lanes=here.lanes)
        self._heights, self._wide = tile_heights(here), VECTORS * here.lanes
        self._x, self._stride, self._rows, self._dims = own.arguments[:4]
        self._panels, self._panel_stride, self._first, self._stop = own.arguments[4:8]
        self._bias, begins, self._y, self._y_stride, self._columns = own.arguments[8:13]
        ends, self._activates, self._packed, self._sums, self._sums_stride = own.arguments[13:]
        self._begins = own.code.icmp_signed("==", begins, own.count(1))
        self._ends = own.code.icmp_signed("==", ends, own.count(1))
        self._tall, self._width = own.count(self._heights[0]), own.count(self._wide)
        self._filled = filled(own, self._rows, self._heights[-1])
        tiles = own.code.sdiv(filled(own, self._filled, self._heights[0]), self._tall)
        self._share = own.code.sdiv(own.count(1 << FRACTION), tiles)

    def finish(self) -> Kernel:
        """All of it."""
        own, code = self._own, self._own.code
        first = own.at(self._panels, code.mul(self._first, self._panel_stride))
        soon = smaller(own, self._dims, own.count(PIECE))

        def fetch(dim: Value, _: list[Value]) -> list[Value]:
            self._fetch_row(own.at(first, code.mul(dim, self._width)))
            return []

        own.loop(own.count(0), soon, fetch)
        end = filled(own, self._filled, self._heights[0])
        own.loop(own.count(0), end, self._pack, step=self._heights[0])
        own.loop(self._first, self._stop, self._panel)
        return own.finish()

    def _pack(self, place: Value, _: list[Value]) -> list[Value]:
        """Write the rows of a tile into its lanes, [dims, height], a cache line of each at once."""
        own = self._own
        height = smaller(own, own.code.sub(self._filled, place), self._tall)
        target = own.at(self._packed, own.code.mul(place, self._dims))
        dim = own.count(0)
        for count in (CACHE_LINE, 1):
            body = partial(self._turn, place, target, height, count)
            dim, _ = own.loop(dim, self._dims, body, step=count)
        return []

    def _turn(
        self, place: Value, target: Value, height: Value, count: int, dim: Value, _: list[Value]
    ) -> list[Value]:
        """Write some dimensions of a tile, in squares, or one dimension."""
        own, code, side = self._own, self._own.code, self._heights[-1]
        last = code.sub(self._rows, own.count(1))

        def some(lane: Value, _: list[Value]) -> list[Value]:
            starts = []
            for row in range(side):  # the last one fills the tile up
                there = smaller(own, code.add(code.add(place, lane), own.count(row)), last)
                starts.append(own.at(self._x, code.mul(there, self._stride), dim))
            for first in range(0, count, side):
                line = code.mul(code.add(dim, own.count(first)), height)
                square = [own.at(start, first) for start in starts]
                self._transpose(square, own.at(target, line, lane), height, min(side, count))
            return []

        own.loop(own.count(0), height, some, step=side)
        return []

    def _transpose(self, rows: list[Value], target: Value, stride: Value, dims: int) -> None:
        """Write so many dimensions of rows: as many as there are rows, or one."""
        own, code = self._own, self._own.code
        if dims == 1:
            for lane, row in enumerate(rows):
                code.store(code.load(row), own.at(target, lane))
            return
        for dim, vector in enumerate(transposed(own, [own.load(row, dims) for row in rows])):
            own.store(vector, own.at(target, code.mul(stride, own.count(dim))))

    def _panel(self, panel: Value, _: list[Value]) -> list[Value]:
        """Multiply all rows with a panel."""
        own, code = self._own, self._own.code
        start = own.at(self._panels, code.mul(panel, self._panel_stride))
        sums = own.at(self._sums, code.mul(code.sub(panel, self._first), self._sums_stride))
        end = filled(own, self._dims, PIECE)
        body = partial(self._piece, start, code.mul(panel, self._width), sums)
        own.loop(own.count(0), end, body, step=PIECE)
        return []

    def _piece(
        self, panel: Value, column: Value, sums: Value, dim: Value, _: list[Value]
    ) -> list[Value]:
        """Add the products with some dimensions of a panel to the sums, which begin as the bias.

        The last ones are written to where they are wanted, tile by tile, so that no store waits.
        """
        own, code = self._own, self._own.code
        count = smaller(own, code.sub(self._dims, dim), own.count(PIECE))
        piece = own.at(panel, code.mul(dim, self._width))
        begins = code.and_(self._begins, code.icmp_signed("==", dim, own.count(0)))
        bias, stride = own.at(self._bias, column), code.select(begins, own.count(0), self._width)
        is_last = code.icmp_signed("==", code.add(dim, count), self._dims)
        wanted = code.select(code.and_(self._ends, is_last), self._rows, own.count(0))
        next_panel = own.at(panel, self._panel_stride)
        following = code.select(is_last, next_panel, own.at(piece, code.mul(count, self._width)))

        def some(height: int, place: Value, _: list[Value]) -> list[Value]:
            there = code.add(code.mul(place, self._dims), code.mul(dim, own.count(height)))
            rows = [own.at(self._packed, there, row) for row in range(height)]
            products = tile(
                own, rows, piece, count, vectors=VECTORS, stride=height, unrolled=STREAMS,
                each=self._fetching(following, count, place),
            )  # fmt: skip
            those = own.at(sums, code.mul(place, self._width))
            self._add(products, code.select(begins, bias, those), stride, those)
            stop = smaller(own, wanted, code.add(place, own.count(height)))
            own.loop(place, stop, partial(self._finish, column, sums))
            return []

        place = own.count(0)
        for height in self._heights:
            place, _ = own.loop(place, self._filled, partial(some, height), step=height)
        return []

    def _add(self, products: list[list[Value]], before: Value, stride: Value, sums: Value) -> None:
        """Write what was before, from row to row in strides, with the products added."""
        own, code = self._own, self._own.code
        for row, vectors in enumerate(products):
            for vector, product in enumerate(vectors):
                lane = vector * own.lanes
                old = own.load(own.at(before, code.mul(own.count(row), stride), lane))
                own.store(code.fadd(old, product), own.at(sums, row * self._wide + lane))

    def _fetching(self, following: Value, count: Value, place: Value) -> Callable[[Value], None]:
        """Writes what a tile does at each step: it fetches its share of the piece that follows.

        Of each stream, one row.
        """
        own, code = self._own, self._own.code
        stream = code.mul(code.sdiv(count, own.count(STREAMS)), self._width)
        done = code.mul(code.sdiv(place, self._tall), count)

        def fetch(dim: Value) -> None:
            share = code.mul(code.add(done, dim), self._share)
            turn = code.ashr(share, own.count(FRACTION + STREAMS.bit_length() - 1))
            start = own.at(following, code.mul(turn, self._width))
            for number in range(STREAMS):
                self._fetch_row(own.at(start, code.mul(stream, own.count(number))))

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

        def activate(lane: Value, _: list[Value]) -> list[Value]:
            own.store(gelu(own, own.load(own.at(here, lane))), own.at(here, lane))
            return []

        def some(lane: Value, _: list[Value]) -> list[Value]:
            own.store(own.load(own.at(here, lane)), own.at(there, lane))
            return []

        def one(lane: Value, _: list[Value]) -> list[Value]:
            code.store(code.load(own.at(here, lane)), own.at(there, lane))
            return []

        activated = code.mul(self._width, self._activates)
        own.loop(own.count(0), activated, activate, step=own.lanes)
        lane, _ = own.loop(own.count(0), columns, some, step=own.lanes)
        own.loop(lane, columns, one)
        return []
