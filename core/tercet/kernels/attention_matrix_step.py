"""The step of attention in bfloat16: one panel of rows reads the keys that are packed."""

from tercet.kernels import matrix_tiles as tiles
from tercet.kernels.attention_blocks import NOTHING_SEEN, QUERIES, VECTORS, Memory
from tercet.kernels.building import BFLOATS, Kernel, Value
from tercet.kernels.exponentials import COARSE, exp2
from tercet.kernels.matrix_tiles import LINE_BYTES, PAIRED, SIDE, TILE
from tercet.kernels.memory import FLOAT_BYTES
from tercet.kernels.turning import filled

KEYS = 256
"""Most that are packed at a time."""

OF_ROWS, OF_COLUMNS = (4, 5), (6, 7)
"""Tiles of what is multiplied; those before them hold sums."""


class MatrixMemory(Memory):
    """Where everything stands that is not in a register; pairs are of numbers side by side.

    Attributes:
        queries: Rows that ask, panel after panel, [head / 32, tiles, 16 pairs, 16 rows].
        keys: [keys / 16, head / 32, 16, 32].
        values: [head / 16, KEYS / 32, 16 dimensions, 32 keys].
        products: Of a panel, [keys, width].
        shares: Their exponentials, [keys / 32, tiles, 16 pairs of keys, 16 rows].
    """

    def __init__(self, own: Kernel, *, head: int) -> None:
        super().__init__(own, head=head)
        self.queries = self._halves(QUERIES * head)
        self.keys, self.values = self._halves(KEYS * head), self._halves(KEYS * head)
        self.products = self.some(KEYS * VECTORS * SIDE)
        self.shares = self._halves(KEYS * VECTORS * SIDE)

    def _halves(self, numbers: int) -> Value:
        return self._own.code.bitcast(self.some(numbers // 2), BFLOATS)


class MatrixStep:
    """Writes what a panel of one or two tiles does with the keys that are packed.

    Attributes:
        width: Rows of the panel.
    """

    def __init__(
        self, own: Kernel, memory: MatrixMemory, head: int, scale: float, vectors: int
    ) -> None:
        self._own, self._memory, self._head, self._vectors = own, memory, head, vectors
        self.width, self._scale = vectors * SIDE, own.floats(scale)
        self._floats_apart = own.count(self.width * FLOAT_BYTES)

    def read(self, count: Value, place: Value, _: list[Value]) -> list[Value]:
        """Let the panel whose first row has a place read so many keys."""
        own, code, memory = self._own, self._own.code, self._memory
        self._multiply(place, count)
        largest = self._each(own.at(memory.largest, place))
        before = [own.load(here) for here in largest]
        after = self._largest(count, before)
        for vector, here in zip(after, largest, strict=True):
            own.store(vector, here)
        lessened = [exp2(own, code.fsub(*pair)) for pair in zip(before, after, strict=True)]
        self._exponentiate(place, count, after, lessened)
        self._lessen(place, lessened)
        self._add_values(place, count)
        return []

    def _each(self, start: Value) -> list[Value]:
        """Where the vectors of a line begin."""
        return [self._own.at(start, vector * SIDE) for vector in range(self._vectors)]

    def _products(self, key: Value) -> list[Value]:
        """Where the products with a key are."""
        own = self._own
        line = own.code.mul(key, own.count(self.width))
        return self._each(own.at(self._memory.products, line))

    def _multiply(self, place: Value, count: Value) -> None:
        """Write the products with all keys; those with keys that fill tiles up are like none."""
        own, code, memory = self._own, self._own.code, self._memory
        queries = memory.panel(memory.queries, place)

        def some(key: Value, _: list[Value]) -> list[Value]:
            start = own.at(memory.keys, code.mul(key, own.count(self._head)))
            self._clear()
            for dim in range(0, self._head, PAIRED):
                self._add(
                    [own.at(start, row * SIDE * self._head + dim * SIDE) for row in (0, 1)],
                    own.at(queries, dim * self.width),
                )
            self._each_sum(tiles.store, self._products(key)[0])
            return []

        def none(key: Value, _: list[Value]) -> list[Value]:
            for here in self._products(key):
                own.store(own.floats(NOTHING_SEEN), here)
            return []

        whole = filled(own, count, PAIRED)
        own.loop(own.count(0), whole, some, step=PAIRED)
        own.loop(count, whole, none)

    def _clear(self) -> None:
        for number in range(len(OF_ROWS) * self._vectors):
            tiles.clear(self._own, number)

    def _add(self, rows: list[Value], columns: Value) -> None:
        """Add the products of two tiles of rows and those of columns, side by side, to sums."""
        own, line = self._own, self._own.count(LINE_BYTES)
        those = OF_COLUMNS[: self._vectors]
        for tile, start in zip(OF_ROWS, rows, strict=True):
            tiles.load(own, tile, start, line)
        for number, tile in enumerate(those):
            tiles.load(own, tile, own.at(columns, number * TILE), line)
        pairs = [(row, column) for row in OF_ROWS for column in those]
        for number, (row, column) in enumerate(pairs):
            tiles.add_products(own, number, row, column)

    def _each_sum(self, do: tiles.Moving, start: Value) -> None:
        """Read or write the tiles of sums, lines as wide as the panel."""
        for number in range(len(OF_ROWS) * self._vectors):
            row, tile = divmod(number, self._vectors)
            there = self._own.at(start, row * SIDE * self.width + tile * SIDE)
            do(self._own, number, there, self._floats_apart)

    def _largest(self, count: Value, before: list[Value]) -> list[Value]:
        """The largest products so far, scaled."""
        own = self._own

        def one(key: Value, largest: list[Value]) -> list[Value]:
            those = [own.load(here) for here in self._products(key)]
            return [own.maximum(*pair) for pair in zip(those, largest, strict=True)]

        _, found = own.loop(
            own.count(0), count, one, carried=[own.floats(NOTHING_SEEN)] * self._vectors
        )
        scaled = [own.code.fmul(vector, self._scale) for vector in found]
        return [own.maximum(*pair) for pair in zip(scaled, before, strict=True)]

    def _exponentiate(
        self, place: Value, count: Value, largest: list[Value], lessened: list[Value]
    ) -> None:
        """Make shares of the products and add them up."""
        own, code, memory = self._own, self._own.code, self._memory
        totals = self._each(own.at(memory.sums, place))
        minus = [code.fneg(vector) for vector in largest]

        def pair(key: Value, sums: list[Value]) -> list[Value]:
            found = list(sums)
            both = []
            for row in range(2):
                those = self._products(code.add(key, own.count(row)))
                for vector, here in enumerate(those):
                    share = exp2(own, own.fma(own.load(here), self._scale, minus[vector]), COARSE)
                    found[vector] = code.fadd(found[vector], share)
                    both.append(own.rounded(share))
            group = code.mul(code.ashr(key, own.count(5)), own.count(self.width * PAIRED))
            line = code.mul(code.and_(key, own.count(PAIRED - 1)), own.count(SIDE))
            start = own.at(memory.shares, group, line)
            for vector in range(self._vectors):
                those = tiles.paired(own, both[vector], both[self._vectors + vector])
                own.store(those, own.at(start, vector * TILE))
            return found

        sums = [code.fmul(own.load(here), by) for here, by in zip(totals, lessened, strict=True)]
        _, sums = own.loop(own.count(0), filled(own, count, PAIRED), pair, step=2, carried=sums)
        for here, total in zip(totals, sums, strict=True):
            own.store(total, here)

    def _lessen(self, place: Value, lessened: list[Value]) -> None:
        """Multiply what was read by how much less it counts now."""
        own, code = self._own, self._own.code
        read = self._memory.panel(self._memory.read, place)

        def dim(number: Value, _: list[Value]) -> list[Value]:
            line = own.at(read, code.mul(number, own.count(self.width)))
            for here, by in zip(self._each(line), lessened, strict=True):
                own.store(code.fmul(own.load(here), by), here)
            return []

        own.loop(own.count(0), own.count(self._head), dim)

    def _add_values(self, place: Value, count: Value) -> None:
        """Add the values of the keys, each times its share."""
        own, code, memory = self._own, self._own.code, self._memory
        read = memory.panel(memory.read, place)

        def dims(dim: Value, _: list[Value]) -> list[Value]:
            target = own.at(read, code.mul(dim, own.count(self.width)))
            first = own.at(memory.values, code.mul(dim, own.count(KEYS)))

            def some(key: Value, _: list[Value]) -> list[Value]:
                start = own.at(first, code.mul(key, own.count(SIDE)))
                shares = own.at(memory.shares, code.mul(key, own.count(self.width)))
                self._add([start, own.at(start, SIDE * KEYS)], shares)
                return []

            self._each_sum(tiles.load, target)
            own.loop(own.count(0), filled(own, count, PAIRED), some, step=PAIRED)
            self._each_sum(tiles.store, target)
            return []

        own.loop(own.count(0), own.count(self._head), dims, step=PAIRED)
