"""Matrix units (AMX): registers that hold tiles of 16 rows, and products of bfloat16 in them.

A float32 is the exact sum of three bfloat16, its upper, middle and lower eight bits. Of the nine
products of two such sums six are made, and added in float32: what is left out is under 2^-21 of a
product, so a result is as near to the exact one as that of float32's own units.

Source of the scheme: Henry, Tang & Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence
Datatype For Higher-Precision Computations".
"""

from collections.abc import Callable, Sequence

from llvmlite import ir

from tercet.kernels.building import BFLOAT, BYTE, LANE_INT, Kernel, Value
from tercet.kernels.memory import FLOAT_BYTES

SIDE = 16
"""Rows of a tile, and its float32 columns; of bfloat16 it holds pairs."""

PAIRED = 2 * SIDE
"""Dimensions that one product sums over."""

PARTS = 3
"""Of a number."""

TILE = SIDE * PAIRED
"""Parts that one holds."""

LINE_BYTES = 64
"""Of a tile's row."""

REGISTERS = 8
"""There are."""

CONFIGURATION = [1, *[0] * 15, *[LINE_BYTES, 0] * REGISTERS, *[0] * 16, *[SIDE] * REGISTERS]
"""Of all of them: each row whole, each tile whole; 1 is the only kind of layout there is."""


Moving = Callable[[Kernel, int, Value, Value], None]
"""Fills a tile, or writes it."""


def configure(own: Kernel) -> None:
    """Begin to use the tiles; a thread that has done so ends by `release`."""
    bytes_ = [*CONFIGURATION, *[0] * (LINE_BYTES - len(CONFIGURATION))]
    kind = ir.ArrayType(BYTE, LINE_BYTES)
    place = own.code.alloca(kind)
    own.code.store(ir.Constant(kind, bytes_), place)
    _call(own, "ldtilecfg", own.code.bitcast(place, BYTE.as_pointer()))


def release(own: Kernel) -> None:
    """End to use the tiles."""
    _call(own, "tilerelease")


def load(own: Kernel, tile: int, start: Value, stride: Value) -> None:
    """Fill a tile with rows, so many bytes from one to the next."""
    here = own.code.bitcast(start, BYTE.as_pointer())
    _call(own, "tileloadd64", BYTE(tile), here, stride)


def store(own: Kernel, tile: int, start: Value, stride: Value) -> None:
    """Write the rows of a tile, so many bytes from one to the next."""
    here = own.code.bitcast(start, BYTE.as_pointer())
    _call(own, "tilestored64", BYTE(tile), here, stride)


def clear(own: Kernel, tile: int) -> None:
    """Make a tile of zeros."""
    _call(own, "tilezero", BYTE(tile))


def add_products(own: Kernel, sums: int, left: int, right: int) -> None:
    """Add to a tile of float32 the product of a tile of rows and one of paired columns."""
    _call(own, "tdpbf16ps", BYTE(sums), BYTE(left), BYTE(right))


def add_byte_products(own: Kernel, sums: int, left: int, right: int) -> None:
    """The same for integers: of unsigned bytes and of signed ones, four of each column together."""
    _call(own, "tdpbusd", BYTE(sums), BYTE(left), BYTE(right))


def each_sum(own: Kernel, do: Moving, start: Value, stride: Value) -> None:
    """Read or write four tiles of sums, two beside each other, so many floats from row to row."""
    lines = own.code.mul(stride, own.count(FLOAT_BYTES))
    for number in range(4):
        row, tile = divmod(number, 2)
        first = own.code.mul(stride, own.count(row * SIDE))
        do(own, number, own.at(start, first, tile * SIDE), lines)


def parts(own: Kernel, numbers: Value) -> list[Value]:
    """The three parts of each number of a vector, the largest first, as bits of float32."""
    code = own.code
    kind = ir.VectorType(LANE_INT, own.lanes)
    found = []
    for _ in range(PARTS - 1):
        found.append(code.and_(code.bitcast(numbers, kind), _upper(kind)))
        numbers = code.fsub(numbers, code.bitcast(found[-1], own.vector))
    return [*found, code.bitcast(numbers, kind)]


def side_by_side(own: Kernel, first: Value, second: Value) -> Value:
    """The upper halves of a vector's lanes, and behind them those of a second one's."""
    kind = ir.VectorType(BFLOAT, 2 * own.lanes)
    uppers = ir.Constant(ir.VectorType(LANE_INT, kind.count), list(range(1, 2 * kind.count, 2)))
    first, second = (own.code.bitcast(value, kind) for value in (first, second))
    return own.code.shuffle_vector(first, second, uppers)


def paired(own: Kernel, first: Value, second: Value) -> Value:
    """Lane by lane the upper half of a vector, and above it that of a second one."""
    code = own.code
    half = ir.Constant(first.type, [SIDE] * own.lanes)
    both = code.or_(code.lshr(first, half), code.and_(second, _upper(second.type)))
    return code.bitcast(both, ir.VectorType(BFLOAT, 2 * own.lanes))


def _upper(kind: Value) -> Value:
    """The upper halves of lanes."""
    return ir.Constant(kind, [0xFFFF0000] * kind.count)


def _call(own: Kernel, name: str, *arguments: Value) -> None:
    kinds: Sequence[Value] = [argument.type for argument in arguments]
    own.code.call(own.declared(f"llvm.x86.{name}", ir.VoidType(), kinds), arguments)
