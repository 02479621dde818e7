"""Writing a kernel: arguments, loops and vectors, as LLVM's intermediate code."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

FLOAT, HALF, BYTE, INT = ir.FloatType(), ir.HalfType(), ir.IntType(8), ir.IntType(64)
LANE_INT = ir.IntType(32)
BFLOAT = ir.IntType(16)
"""A bfloat16: the upper half of a float's bits."""

FLOATS, INTS, LANE_INTS = FLOAT.as_pointer(), INT.as_pointer(), LANE_INT.as_pointer()
BFLOATS = BFLOAT.as_pointer()

HALF_BITS = 16
"""Of a float, below those of a bfloat16."""

BYTE_PRODUCTS = "vpdpbusd $2, $1, $0"
"""Named as the processor does: LLVM's own name for it takes other types in other releases."""

Value = Any
"""Of llvmlite, which has no types."""


class Kernel:
    """A function that is being written.

    Attributes:
        name: Of the function.
        module: Its code.
        arguments: Pointers and counts, in the order in which they were asked for.
        counts: Which arguments are counts.
        lanes: Floats of a vector.
        vector: The type of one.
        code: Instructions are appended by it; its own methods may be used too.
    """

    def __init__(self, name: str, arguments: Sequence[Any], *, lanes: int) -> None:
        """Begin a function.

        Args:
            name: Of the function.
            arguments: A type each: `INT` for a count, or a pointer.
            lanes: Floats of a vector.
        """
        self.name, self.lanes = name, lanes
        self.module = ir.Module(name)
        self.counts = [kind is INT for kind in arguments]
        kind = ir.FunctionType(ir.VoidType(), arguments)
        self._function = ir.Function(self.module, kind, name)
        self.arguments: list[Value] = list(self._function.args)
        self.code = ir.IRBuilder(self._function.append_basic_block("entry"))
        self.vector = ir.VectorType(FLOAT, lanes)

    def finish(self) -> "Kernel":
        """End the function."""
        self.code.ret_void()
        return self

    def count(self, number: int) -> Value:
        """A whole number."""
        return INT(number)

    def floats(self, number: float) -> Value:
        """A vector of one number."""
        return ir.Constant(self.vector, [number] * self.lanes)

    def loop(
        self,
        start: Value,
        stop: Value,
        body: Callable[[Value, list[Value]], Sequence[Value]],
        *,
        step: int = 1,
        carried: Sequence[Value] = (),
    ) -> tuple[Value, list[Value]]:
        """Repeat as long as a whole step fits before the end.

        Args:
            start: The first place.
            stop: Behind the last one.
            body: Takes the place and what the step before left, and leaves as much.
            step: From place to place.
            carried: What the first step takes.

        Returns:
            The place at which no whole step fits, and what the last step left.
        """
        code = self.code
        head, inside, behind = (self._function.append_basic_block() for _ in range(3))
        before = code.block
        code.branch(head)
        code.position_at_end(head)
        place = code.phi(INT)
        place.add_incoming(start, before)
        taken = [code.phi(value.type) for value in carried]
        for phi, value in zip(taken, carried, strict=True):
            phi.add_incoming(value, before)
        following = code.add(place, INT(step))
        code.cbranch(code.icmp_signed("<=", following, stop), inside, behind)
        code.position_at_end(inside)
        left = body(place, taken)
        place.add_incoming(following, code.block)
        for phi, value in zip(taken, left, strict=True):
            phi.add_incoming(value, code.block)
        code.branch(head)
        code.position_at_end(behind)
        return place, taken

    def at(self, pointer: Value, *places: Value | int) -> Value:
        """The address of the number at the sum of some places."""
        found: Value = INT(0)
        for place in places:
            found = self.code.add(found, INT(place) if isinstance(place, int) else place)
        return self.code.gep(pointer, [found])

    def load(self, address: Value, lanes: int | None = None) -> Value:
        """The vector of numbers that begins at an address; they need not be aligned."""
        kind = ir.VectorType(address.type.pointee, lanes or self.lanes)
        found = self.code.load(self.code.bitcast(address, kind.as_pointer()))
        found.align = 1
        return found

    def store(self, vector: Value, address: Value) -> None:
        """Write a vector to an address."""
        here = self.code.bitcast(address, vector.type.as_pointer())
        self.code.store(vector, here).align = 1

    def splat(self, number: Value) -> Value:
        """A vector of one number."""
        undefined = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        first = self.code.insert_element(undefined, number, LANE_INT(0))
        zeros = ir.Constant(ir.VectorType(LANE_INT, self.lanes), [0] * self.lanes)
        return self.code.shuffle_vector(first, undefined, zeros)

    def byte_products(self, left: Value, right: Value, added: Value) -> Value:
        """The sum of four products of bytes and a number, lane by lane, as x86's VNNI makes it.

        Args:
            left: Four unsigned bytes a lane.
            right: Four signed ones.
            added: A number of 32 bits a lane.
        """
        kind = ir.FunctionType(added.type, [value.type for value in (left, right, added)])
        return self.code.asm(kind, BYTE_PRODUCTS, "=v,v,v,0", [left, right, added], False)

    def fma(self, left: Value, right: Value, added: Value) -> Value:
        """The sum of a product and a number, rounded once."""
        return self.call(f"llvm.fma.{self._suffix(left)}", left, right, added)

    def as_floats(self, numbers: Value) -> Value:
        """Floats of what was loaded, one or a vector."""
        vector = isinstance(numbers.type, ir.VectorType)
        kind = numbers.type.element if vector else numbers.type
        target, bits = FLOAT, LANE_INT
        if vector:
            target, bits = (ir.VectorType(to, numbers.type.count) for to in (FLOAT, LANE_INT))
        if kind == FLOAT:
            return numbers
        if kind == BFLOAT:
            upper = self.code.shl(self.code.zext(numbers, bits), self._half(bits))
            return self.code.bitcast(upper, target)
        return (self.code.fpext if kind == HALF else self.code.sitofp)(numbers, target)

    def rounded(self, numbers: Value) -> Value:
        """The bits of a vector of floats whose upper half is the nearest bfloat16."""
        bits = ir.VectorType(LANE_INT, numbers.type.count)
        half = ir.Constant(bits, [1 << (HALF_BITS - 1)] * bits.count)
        return self.code.add(self.code.bitcast(numbers, bits), half)

    def store_as(self, vector: Value, address: Value) -> None:
        """Write a vector of floats as floats, or as bfloat16, by the type of the address."""
        if address.type.pointee == BFLOAT:
            bits = self.code.lshr(
                self.rounded(vector), self._half(ir.VectorType(LANE_INT, vector.type.count))
            )
            vector = self.code.trunc(bits, ir.VectorType(BFLOAT, vector.type.count))
        self.store(vector, address)

    def _half(self, bits: Any) -> Value:
        """So many bits as half a float has, in each lane."""
        count = getattr(bits, "count", 0)
        return ir.Constant(bits, [HALF_BITS] * count if count else HALF_BITS)

    def maximum(self, left: Value, right: Value) -> Value:
        """The larger one, lane by lane."""
        return self.code.select(self.code.fcmp_ordered(">", left, right), left, right)

    def prefetch(self, address: Value, *, near: bool = True) -> None:
        """Ask for the cache line of an address, which need not be readable.

        Args:
            address: In the line.
            near: Whether it goes to the first cache, or to the second.
        """
        kinds = [BYTE.as_pointer(), LANE_INT, LANE_INT, LANE_INT]
        self.declared("llvm.prefetch.p0", ir.VoidType(), kinds)
        here = self.code.bitcast(address, BYTE.as_pointer())
        function = self.module.get_global("llvm.prefetch.p0")
        place = LANE_INT(3 if near else 2)
        self.code.call(function, [here, LANE_INT(0), place, LANE_INT(1)])  # to read, numbers

    def call(self, intrinsic: str, *arguments: Value) -> Value:
        """An intrinsic function whose result has the type of its first argument."""
        kinds = [value.type for value in arguments]
        return self.code.call(self.declared(intrinsic, kinds[0], kinds), arguments)

    def declared(self, name: str, result: Any, kinds: Sequence[Any]) -> Value:
        """A function from elsewhere, such as an intrinsic one."""
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(result, kinds), name)
        return self.module.get_global(name)

    def _suffix(self, value: Value) -> str:
        return f"v{self.lanes}f32" if isinstance(value.type, ir.VectorType) else "f32"
