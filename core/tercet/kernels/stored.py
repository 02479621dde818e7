"""Numbers that kernels read where and as they are stored."""

from typing import Any

from numpy.typing import NDArray

from tercet.kernels.building import BYTE, FLOAT, HALF
from tercet.kernels.compiling import machine

KINDS: dict[str, Any] = {"<f4": FLOAT, "<f2": HALF, "|i1": BYTE}
"""By numpy's name of their type."""


def can_read(numbers: NDArray[Any]) -> bool:
    """Whether rows stored like this, [rows, E], are read here: by kernels, if there are any."""
    to_next, within = numbers.strides
    in_rows = within == numbers.itemsize and to_next >= 0 and to_next % numbers.itemsize == 0
    return machine() is not None and numbers.dtype.str in KINDS and (in_rows or not numbers.size)
