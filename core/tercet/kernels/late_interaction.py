"""Late interaction: the best product of each query token in each document, in one pass over memory.

Similarities live in registers and are never written down. Document tokens are read where they are
stored, as float32, float16 or int8 with a scale each; a few tokens at a time become floats, in the
first cache.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.compiling import Machine, machine
from tercet.kernels.late_interaction_loops import DIGIT, Form, kernel
from tercet.kernels.memory import Scratch
from tercet.kernels.tiles import panels

VECTORS = 2
"""Of a panel of query tokens."""

LARGEST, OFFSET = 127, 128
"""The largest digit; what bytes are counted from."""

DIMENSIONS = range(4, 1025, 4)
"""Of tokens that are multiplied as bytes."""

Vectors = NDArray[np.float32]

_scratch = Scratch()


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


def best_products(queries: NDArray[np.float32]) -> Best:
    """What finds the best product of each query token, [Q, E], in documents.

    A document without tokens has minus infinity. A product does not depend, not in its last bit, on
    what it is computed beside.
    """
    here = machine()
    if here is None:
        raise RuntimeError("kernels are off: `can_read` tells")
    return _Search(queries, here)


class _Search:
    """Query tokens, laid out for each kind of numbers that they meet."""

    def __init__(self, queries: Vectors, here: Machine) -> None:
        self._queries, self._machine = queries, here
        self._width = here.lanes * (1 if len(queries) <= here.lanes else VECTORS)
        self._laid_out: dict[tuple[str, bool], tuple[Floats | Digits, Form]] = {}

    def __call__(
        self,
        numbers: NDArray[Any],
        scales: NDArray[np.float32] | None,
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        if len(starts) and not 0 <= starts.min() <= stops.max() <= len(numbers):
            raise ValueError(f"documents reach beyond the {len(numbers)} tokens")
        count, dim = self._queries.shape
        if numbers.shape[1] != dim:
            raise ValueError(f"queries have {dim} dimensions, not {numbers.shape[1]}")
        own = None if scales is None else np.ascontiguousarray(scales, dtype=np.float32)
        if own is not None and len(own) != len(numbers):
            raise ValueError(f"{len(numbers)} tokens, but {len(own)} scales")
        asked, form = self._asked(numbers.dtype.str, scaled=own is not None)
        found = np.empty((len(starts), asked.groups * self._width), dtype=np.float32)
        starts, stops = (np.ascontiguousarray(ends, dtype=np.int64) for ends in (starts, stops))
        kernel(form)(
            asked.panels.ctypes.data, asked.begin.ctypes.data, asked.groups, numbers.ctypes.data,
            numbers.strides[0] // numbers.itemsize, 0 if own is None else own.ctypes.data,
            starts.ctypes.data, stops.ctypes.data, len(starts), found.ctypes.data,
            _scratch.of(form.space),
        )  # fmt: skip
        return asked.measured(found[:, :count])

    def _asked(self, kind: str, *, scaled: bool) -> "tuple[Floats | Digits, Form]":
        """Panels of query tokens, and what machine code is made for."""
        if (kind, scaled) not in self._laid_out:
            here, dim = self._machine, self._queries.shape[1]
            whole = here.bytes and kind == "|i1" and Digits.can_hold(self._queries)
            laid_out = (Digits if whole else Floats)(self._queries, self._width)
            form = Form(here, kind, scaled, whole, self._width // here.lanes, dim)
            self._laid_out[kind, scaled] = laid_out, form
        return self._laid_out[kind, scaled]


class Floats:
    """Query tokens as they are, in panels.

    Attributes:
        panels: [groups, E, width].
        begin: Not needed.
        groups: How many panels there are.
    """

    whole = False
    begin = np.empty(0, dtype=np.int32)

    def __init__(self, queries: Vectors, width: int) -> None:
        self.panels = panels(queries, width)
        self.groups = len(self.panels)

    def measured(self, products: Vectors) -> Vectors:
        """Products with query tokens, [documents, Q], as they are."""
        return products


class Digits:
    """Query tokens as whole numbers of two digits, whose products with bytes are exact.

    A digit has 7 bits: products of unit vectors are off by some 2e-6 at most.

    Attributes:
        panels: Of both digits, four dimensions in a lane, [groups, E / 4, 2, width, 4].
        begin: What undoes that tokens are counted from -128, [groups, 2, width].
        groups: How many panels there are.

    Source: Ozaki et al. 2012, "Error-free transformations of matrix multiplication".
    """

    whole = True

    def __init__(self, queries: Vectors, width: int) -> None:
        count, dim = queries.shape
        largest = np.abs(queries).max(axis=1, keepdims=True)
        steps: Vectors = np.maximum(largest / LARGEST, np.finfo(np.float32).tiny)
        numbers = queries / steps
        high = np.rint(numbers)
        self._steps = (steps[:, 0] / DIGIT).astype(np.float32)  # [Q], above 0
        self.groups = -(-count // width)
        digits = np.zeros((2, self.groups * width, dim), dtype=np.int8)
        digits[0, :count] = high
        digits[1, :count] = np.rint((numbers - high) * DIGIT)
        begin = -OFFSET * digits.sum(axis=2, dtype=np.int32).reshape(2, self.groups, width)
        fours = digits.reshape(2, self.groups, width, dim // 4, 4)
        self.panels = np.ascontiguousarray(fours.transpose(1, 3, 0, 2, 4))
        self.begin = np.ascontiguousarray(begin.transpose(1, 0, 2))

    @staticmethod
    def can_hold(queries: Vectors) -> bool:
        """Whether dimensions come in fours, and so few that sums are whole in a float too."""
        return queries.shape[1] in DIMENSIONS

    def measured(self, products: Vectors) -> Vectors:
        """Products with whole numbers, [documents, Q], as those with query tokens."""
        return products * self._steps
