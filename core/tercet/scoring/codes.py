"""Inner products with vectors that are stored as int8 with a scale each, made in integers.

A query is split into two digits of 7 bits, so that a product of bytes, which CPUs with units for it
make several times as fast as one of floats, loses no more than a float32's rounding does. What is
stored is never turned into floats.

Source of the split: Ozaki et al. 2012, "Error-free transformations of matrix multiplication".
"""

import sys
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.threads import Buffer, thread_count

DIGIT = 128
"""What the higher digit counts, and the largest absolute value of the lower one times two."""

LARGEST = 127
"""Of a byte."""

DIMENSIONS = range(2, 1025)
"""Sums of both digits' products stay within 32 bits; torch 2.13 fails on vectors of one number."""

Vectors = NDArray[np.float32]

Codes = tuple[NDArray[np.int8], NDArray[np.float32]]
"""Numbers of each vector, [n, E], and what they are multiplied with, [n]."""


_sums, _similarity = Buffer(), Buffer()  # fresh memory costs as much as the product itself


class Digits:
    """Queries in two digits.

    Args:
        queries: Any vectors, [Q, E].
    """

    def __init__(self, queries: Vectors) -> None:
        largest = np.abs(queries).max(axis=1, keepdims=True)
        steps = np.where(largest > 0, largest / LARGEST, 1)
        high = np.rint(queries / steps)
        low = np.rint((queries / steps - high) * DIGIT)
        self._digits = np.concatenate((high, low)).astype(np.int8)  # [2 Q, E]
        self._steps = (steps / DIGIT).astype(np.float32)  # [Q, 1], above 0

    def best(self, codes: Codes, starts: NDArray[np.int64]) -> Vectors:
        """The best product of each query in each document.

        Args:
            codes: Of the documents' vectors.
            starts: Where each document starts among them, [d].

        Returns:
            Products, [Q, d].
        """
        numbers, scales = codes
        own = numbers if numbers.flags.writeable else numbers.copy()  # else torch warns
        sums = _sums.take((len(self._digits), len(own))).view(np.int32)
        torch = sys.modules["torch"]
        digits, vectors = torch.from_numpy(self._digits), torch.from_numpy(own)
        torch._int_mm(digits, vectors.T, out=torch.from_numpy(sums))
        high, low = sums[: len(self._steps)], sums[len(self._steps) :]
        np.multiply(high, DIGIT, out=high)
        np.add(high, low, out=high)
        similarity = _similarity.take(high.shape)
        np.copyto(similarity, high, casting="unsafe")  # and then: faster than at once (measured)
        np.multiply(similarity, scales, out=similarity)
        found: Vectors = np.maximum.reduceat(similarity, starts, axis=1) * self._steps
        return found


def in_integers(dim: int) -> bool:
    """Whether vectors of so many dimensions are compared in integers here.

    That takes torch, which is not loaded for it, and units of the CPU for products of bytes. With
    several threads scans are cut into tiles instead (`products.py` says why).
    """
    torch = sys.modules.get("torch")
    return torch is not None and dim in DIMENSIONS and thread_count() == 1 and _units(torch)


@cache
def _units(torch: Any) -> bool:
    """Whether torch multiplies bytes with the CPU's own units, and never rounds sums down."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if supported is None or not supported():
        return False
    extreme = np.full((2, 64), LARGEST, dtype=np.int8)
    extreme[1] = -LARGEST
    try:
        found = torch._int_mm(torch.from_numpy(extreme), torch.from_numpy(extreme).T)
    except (AttributeError, RuntimeError):  # another release of torch
        return False
    exact = extreme.astype(np.int32) @ extreme.astype(np.int32).T
    return bool((found.numpy() == exact).all())
