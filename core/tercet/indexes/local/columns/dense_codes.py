"""Short codes of dense vectors that bring candidates in large segments: faiss alone is named here.

Product quantisation in 4 bits, scanned in registers: a code of a byte for 8 dimensions. Flat, since
that is fast to a million vectors, needs no lists to tune, and loses nothing to a filter.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.errors import IndexCorruptError, MissingExtraError, require
from tercet.indexes.local.columns.shortlists import Rows, Scores
from tercet.indexes.local.files.segments import Column, Segment

NAME, CODEC = "dense.codes", "faiss, 4-bit products, sha256 "

LARGE = 50_000
"""Rows from which on a segment has codes: fewer are compared one by one."""

SAMPLE = 1 << 16
"""Rows that the codes are learned on."""

DIMENSIONS_A_CODE = 4
"""Of a sub-vector; two of them take one byte."""

BITS = 4

Vectors = NDArray[np.float32]
Blocks = Callable[[], Iterator[Vectors]]


def build_codes(blocks: Blocks, rows: int, dim: int) -> dict[str, Column]:
    """The array of a new segment; none where codes do not pay, or faiss is not installed.

    Args:
        blocks: Goes over all vectors; each call begins anew.
        rows: How many there are.
        dim: Their length.
    """
    if rows < LARGE or dim % DIMENSIONS_A_CODE:
        return {}
    faiss = _faiss(f"{rows} dense vectors are searched one by one")
    if faiss is None:
        return {}
    parts = dim // DIMENSIONS_A_CODE
    index = faiss.IndexPQFastScan(dim, parts, BITS, faiss.METRIC_INNER_PRODUCT)
    stride = max(1, rows // SAMPLE)
    index.train(np.concatenate([block[::stride] for block in blocks()]))
    for block in blocks():
        index.add(block)
    content: NDArray[np.uint8] = faiss.serialize_index(index)
    return {NAME: Column.of(CODEC + hashlib.sha256(content.data).hexdigest(), content)}


class DenseCodes:
    """The codes of a segment."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def candidates(self, queries: Vectors, limit: int) -> tuple[Rows, Scores]:
        """The most promising rows of each query, [M, limit], -1 where there are no more."""
        scores, rows = self._index.search(np.ascontiguousarray(queries), limit)
        return rows, scores


def open_codes(segment: Segment) -> DenseCodes | None:
    """The codes of a segment; none where it has none, or faiss is not installed.

    faiss trusts the sizes in what it reads: only what has our hash is given to it.

    Raises:
        IndexCorruptError: The codes are not those that were written.
    """
    content = segment.arrays.get(NAME)
    if content is None:
        return None
    faiss = _faiss(f"segment {segment.path} is searched without its codes")
    if faiss is None:
        return None
    if segment.codecs[NAME] != CODEC + hashlib.sha256(content.data).hexdigest():
        raise IndexCorruptError(f"segment {segment.path} has damaged codes; restore the file")
    index = faiss.deserialize_index(np.array(content))
    if index.ntotal != segment.rows:
        raise IndexCorruptError(
            f"segment {segment.path} has codes of {index.ntotal} rows, and {segment.rows} rows"
        )
    return DenseCodes(index)


def _faiss(consequence: str) -> ModuleType | None:
    try:
        return require("faiss", extra="faiss-cpu")
    except MissingExtraError as error:
        warnings.warn(f"{consequence}, which is slow: {error}", stacklevel=2)
        return None
