"""Memory for kernels: where a cache line begins, so that no vector lies in two."""

from threading import local

import numpy as np
from numpy.typing import NDArray

CACHE_LINE, FLOAT_BYTES = 16, 4
"""Floats of a line, and bytes of one."""


def aligned(floats: int) -> NDArray[np.float32]:
    """So many floats of any value."""
    space = np.empty(floats + CACHE_LINE, dtype=np.float32)
    start = -space.ctypes.data // FLOAT_BYTES % CACHE_LINE
    return space[start : start + floats]


class Scratch(local):
    """Memory of a thread, used again by each call."""

    _space = aligned(0)
    _address = 0

    def of(self, floats: int) -> int:
        """The address of so many floats."""
        if len(self._space) < floats:
            self._space = aligned(floats)
            self._address = self._space.ctypes.data
        return self._address
