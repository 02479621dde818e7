"""Where the tokens of a document lie beside their centroids, in the mean: one short vector each.

A cell does not tell what sets a token apart from its centroid. Much of that is common to all tokens
of a document, as its topic is; so one vector a document says more than many more cells would.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.columns.shortlists import Scores
from tercet.indexes.local.columns.tokens import SCALES, TOKENS, Arrays, Int8
from tercet.indexes.local.files.segments import Column, Segment
from tercet.scoring.dense import inner_product_stored

VECTORS, LENGTHS = (f"multi_vector.residual_{name}" for name in ("vectors", "scales"))
RESIDUALS_OF = "int8, residuals of codebook "
"""How the codec starts; the codebook's key follows."""

Vectors = NDArray[np.float32]
Block = tuple[Vectors, NDArray[np.uint16], NDArray[np.int64]]
"""Token vectors of some documents, their cells, and how many each document has."""


class MeanResiduals:
    """The mean residual of each document of a segment, int8 with a scale each."""

    def __init__(self, vectors: NDArray[np.int8], scales: Vectors) -> None:
        self._vectors, self._scales = vectors, scales
        self._every = np.arange(len(scales))

    @classmethod
    def of(cls, vectors: Vectors) -> "MeanResiduals":
        """From vectors, [N, E]."""
        arrays = Int8().encode(vectors, None)
        return cls(arrays[TOKENS], arrays[SCALES])

    @classmethod
    def stored(cls, segment: Segment, codebook: int) -> "MeanResiduals | None":
        """Those of a segment; none where an earlier version wrote it."""
        codec = f"{RESIDUALS_OF}{codebook}"
        if VECTORS not in segment.arrays:
            return None
        return cls(segment.array(VECTORS, codec), segment.array(LENGTHS, codec))

    def columns(self, codebook: int) -> dict[str, Column]:
        """The arrays of a new segment."""
        codec = f"{RESIDUALS_OF}{codebook}"
        return {
            VECTORS: Column.of(codec, self._vectors),
            LENGTHS: Column.of(codec, self._scales),
        }

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """Those of some documents, [R, E]."""
        arrays: Arrays = {TOKENS: self._vectors[rows], SCALES: self._scales[rows]}
        return Int8().decode(arrays)

    def along(self, direction: Vectors) -> Scores:
        """Inner products with a vector, [N]."""
        stored = self._vectors, self._scales, self._every
        found: Scores = inner_product_stored(direction[None], *stored)[0]
        return found


def mean_residuals(blocks: Iterable[Block], centroids: Vectors) -> Vectors:
    """For each document the mean over its tokens of what their centroids, [K, E], leave, [N, E]."""
    found = [np.empty((0, centroids.shape[1]), dtype=np.float32)]
    for vectors, cells, lengths in blocks:
        left = vectors - centroids[cells]
        means: Vectors = np.add.reduceat(left, np.cumsum(lengths) - lengths, axis=0)
        means /= lengths[:, None].astype(np.float32)
        found.append(means)
    return np.concatenate(found)
