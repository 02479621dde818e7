"""Dense vectors as a segment stores them: float32, float16, or int8 with a scale each."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.errors import IndexFormatError
from tercet.indexes.local.columns.shortlists import Rows
from tercet.indexes.local.columns.tokens import SCALES, TOKENS, Arrays, Half, Int8
from tercet.indexes.local.files.segments import Column, Segment

PLAIN = "float32"
CODECS: Mapping[str, Half | Int8] = {"float16": Half(), "int8": Int8()}
NAMES: Mapping[str, str] = {TOKENS: "dense", SCALES: "dense.scales"}
"""What the arrays of a codec are called here."""

Vectors = NDArray[np.float32]
Blocks = Callable[[], Iterator[Vectors]]
"""Goes over all vectors; each call begins anew."""


class DenseRows:
    """The stored vectors of a segment."""

    def __init__(self, segment: Segment) -> None:
        name = segment.codecs.get(NAMES[TOKENS], "nothing")
        if name != PLAIN and name not in CODECS:
            raise IndexFormatError(
                f"segment {segment.path} stores dense vectors as {name!r}, which this version does "
                "not read: upgrade tercet"
            )
        self._codec = CODECS.get(name)
        arrays = (TOKENS,) if self._codec is None else self._codec.dtypes
        self._arrays: Arrays = {a: segment.array(NAMES[a], name) for a in arrays}

    def __len__(self) -> int:
        return len(self._arrays[TOKENS])

    @property
    def dim(self) -> int:
        """E."""
        return int(self._arrays[TOKENS].shape[1])

    @property
    def stored(self) -> tuple[NDArray[Any], Vectors | None]:
        """What is stored, [N, E], and what each row is multiplied with, [N], if anything."""
        return self._arrays[TOKENS], self._arrays.get(SCALES)

    def take(self, rows: Rows) -> Vectors:
        """Some vectors, [R, E]."""
        some = {name: array[rows] for name, array in self._arrays.items()}
        plain: Vectors = some[TOKENS]
        return plain if self._codec is None else self._codec.decode(some)


def dense_columns(codec: str, blocks: Blocks, rows: int, dim: int) -> dict[str, Column]:
    """The arrays of a new segment."""
    if codec == PLAIN:
        shape = (rows, dim)
        return {NAMES[TOKENS]: Column(codec, np.dtype("<f4"), shape, blocks())}

    def pieces(name: str) -> Iterator[NDArray[Any]]:
        for block in blocks():
            yield CODECS[codec].encode(block, None)[name]

    return {
        NAMES[name]: Column(codec, dtype, (rows, dim) if name == TOKENS else (rows,), pieces(name))
        for name, dtype in CODECS[codec].dtypes.items()
    }
