"""The sums of two matrices, each row normalised: what stands behind each half of a layer.

Source: Ba et al. 2016, "Layer Normalization" (arXiv 1607.06450), equations 3 and 4.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import FLOAT, FLOATS, INT, Kernel, Value
from tercet.kernels.compiling import Compiled, Machine, compiled, machine, made_once
from tercet.kernels.layer import Matrix
from tercet.kernels.memory import aligned

Floats = NDArray[np.float32]


class Form(NamedTuple):
    """Rows that machine code is written for.

    Attributes:
        here: The processor.
        dims: Numbers of a row, a multiple of its lanes.
        epsilon: What is added to the variance.
    """

    here: Machine
    dims: int
    epsilon: float


class AddNorm:
    """y = (a + b - mean) / sqrt(variance + epsilon) * weight + bias, over each row, in float32."""

    def __init__(self, weight: Floats, bias: Floats, *, epsilon: float) -> None:
        """Keep what rows are multiplied with.

        Args:
            weight: [K].
            bias: [K].
            epsilon: What is added to the variance.

        Raises:
            RuntimeError: There is no kernel for such rows: `can_normalise` tells.
        """
        here = machine()
        if here is None or not can_normalise(len(weight)):
            raise RuntimeError(f"no kernel normalises rows of {len(weight)}: `can_normalise` tells")
        self.dims, self._factors = len(weight), aligned(2 * len(weight))
        self._factors[: self.dims], self._factors[self.dims :] = weight, bias
        self._factors_at = self._factors.ctypes.data
        self._run = kernel(Form(here, self.dims, epsilon))

    def run(self, a: Matrix, b: Matrix, out: Matrix) -> None:
        """Add two matrices and normalise the rows.

        Args:
            a: [rows, K].
            b: [rows, K].
            out: Where results go, [rows, K].

        Raises:
            ValueError: The matrices are not of one such shape, or not float32.
        """
        shape = a.rows, self.dims
        if any((each.rows, each.columns) != shape or each.half for each in (a, b, out)):
            raise ValueError(
                f"rows of {self.dims} float32 are added, and there are {a}, {b}, {out}"
            )
        self._run(
            a.address, a.stride, b.address, b.stride, self._factors_at,
            out.address, out.stride, a.rows,
        )  # fmt: skip


def can_normalise(dims: int) -> bool:
    """Whether there is such a kernel for the processor at hand and rows of so many numbers."""
    here = machine()
    return here is not None and dims > 0 and dims % here.lanes == 0


@made_once
def kernel(form: Form) -> Compiled:
    """Machine code for all rows of a form."""
    return compiled(Rows(form).finish(), speed_level=0)


class Rows:
    """Writes the loop over rows: their sums, the sums of their squares, the results."""

    def __init__(self, form: Form) -> None:
        self._form = form
        kinds = [FLOATS, INT, FLOATS, INT, FLOATS, FLOATS, INT, INT]
        self._own = Kernel("add_norm", kinds, lanes=form.here.lanes)

    def finish(self) -> Kernel:
        """All of it."""
        own = self._own
        own.loop(own.count(0), own.arguments[-1], self._row)
        return own.finish()

    def _row(self, row: Value, _: list[Value]) -> list[Value]:
        own, code = self._own, self._own.code
        a, a_stride, b, b_stride, factors, y, y_stride, _ = own.arguments
        first, second, target = (
            own.at(start, code.mul(row, stride))
            for start, stride in ((a, a_stride), (b, b_stride), (y, y_stride))
        )

        def add(dim: Value) -> Value:
            whole = code.fadd(own.load(own.at(first, dim)), own.load(own.at(second, dim)))
            own.store(whole, own.at(target, dim))
            return whole

        mean = own.splat(self._mean_of(add))

        def square(dim: Value) -> Value:
            distance = code.fsub(own.load(own.at(target, dim)), mean)
            return code.fmul(distance, distance)

        variance = code.fadd(self._mean_of(square), FLOAT(self._form.epsilon))
        scale = own.splat(code.fdiv(FLOAT(1.0), own.call("llvm.sqrt.f32", variance)))

        def finish(dim: Value, _: list[Value]) -> list[Value]:
            weight, bias = (own.load(own.at(factors, dim, n)) for n in (0, self._form.dims))
            distance = code.fsub(own.load(own.at(target, dim)), mean)
            own.store(own.fma(code.fmul(distance, scale), weight, bias), own.at(target, dim))
            return []

        own.loop(own.count(0), own.count(self._form.dims), finish, step=own.lanes)
        return []

    def _mean_of(self, numbers: Value) -> Value:
        """The mean over a row of what is written for each place."""
        own, code = self._own, self._own.code

        def some(dim: Value, sums: list[Value]) -> list[Value]:
            return [code.fadd(sums[0], numbers(dim))]

        end = own.count(self._form.dims)
        _, (sums,) = own.loop(own.count(0), end, some, step=own.lanes, carried=[own.floats(0.0)])
        name = f"llvm.vector.reduce.fadd.v{own.lanes}f32"
        total = own.code.call(own.declared(name, FLOAT, [FLOAT, sums.type]), [FLOAT(0.0), sums])
        return code.fmul(total, FLOAT(1 / self._form.dims))
