"""Codebooks: centroids of token vectors, trained once on a sample and frozen.

A token's nearest centroid is its cell; a query token looks up several. Segments name the codebook
that their cells belong to.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tercet.errors import IndexCorruptError
from tercet.indexes.clusters import Groups, blocks, clustered
from tercet.kernels.nearest import Nearest, can_find_nearest
from tercet.scoring.products import products

LARGE_DOCUMENTS = 2000
"""With fewer documents all are compared, and there are no cells."""

PROBES = 32
"""Cells that a query token looks up: 16 find less on real token vectors, and 48 no more."""

CELLS = 4096
"""Cells of a codebook at most: more were no better and take longer to train (measured)."""

TOKENS_A_CELL = 8
"""A smaller sample makes fewer cells."""

SAMPLE = 1 << 16
"""Token vectors that centroids are trained on: those of a few hundred documents suffice."""

HELD_OUT = 1 << 12
"""Token vectors that measure the fit, and take no part in the training."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centroids.

    Attributes:
        key: Of its row in the catalogue.
        centroids: Means of similar token vectors, [K, E].
        spread: How far token vectors lie from their centroids in each dimension, [E].
        distortion: Mean of 1 - cosine between token vectors and their centroids, for vectors that
            took no part in the training.
    """

    key: int
    centroids: Vectors
    spread: Vectors
    distortion: float

    @classmethod
    def train(cls, sample: Vectors, *, key: int, held_out: Vectors) -> Self:
        """Train on some token vectors, [tokens, E], and measure the fit on others."""
        centroids = train_centroids(sample)
        cells = Groups.of(centroids).nearest(held_out)
        left = held_out - centroids[cells]
        spread = np.sqrt(np.mean(left * left, axis=0)).astype(np.float32)
        floor = max(float(spread.max()) * 1e-3, float(np.finfo(np.float32).tiny))
        measured = distortion(held_out, cells, centroids)
        return cls(key, centroids, np.maximum(spread, np.float32(floor)), measured)

    def cells_of(self, vectors: Vectors) -> NDArray[np.uint16]:
        """The cell of each token vector: nearly always that of its nearest centroid, [tokens]."""
        return self._groups.nearest(vectors)

    def probes(self, query: Vectors) -> "Probes":
        """The cells that a query looks up, by its token vectors, [Q, E]."""
        if not can_find_nearest(self.centroids.shape[1]):
            return Probes.of(products(query, self.centroids))
        cells, found = self._nearest.of(query, min(PROBES + 1, len(self.centroids)))
        return Probes(cells[:, :-1], found[:, :-1] - found[:, -1:])

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self.centroids)

    @cached_property
    def _groups(self) -> Groups:
        return Groups.of(self.centroids)

    def to_bytes(self) -> bytes:
        """The codebook as a safetensors file."""
        arrays = {
            "centroids": self.centroids,
            "spread": self.spread,
            "distortion": np.asarray([self.distortion]),
        }
        content: bytes = save(arrays)
        return content

    @classmethod
    def from_bytes(cls, content: bytes, *, key: int) -> Self:
        """The codebook that `to_bytes` wrote.

        Raises:
            IndexCorruptError: The bytes are none.
        """
        try:
            arrays = load(content)
            measured = float(arrays["distortion"][0])
            return cls(key, arrays["centroids"], arrays["spread"], measured)
        except (SafetensorError, KeyError) as error:
            raise IndexCorruptError(
                f"codebook {key} of the catalogue is damaged; restore the folder"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """What a query looks up.

    Attributes:
        cells: The nearest centroids of each query token, the nearest first, [Q, probes].
        gains: By how much they beat the best centroid that is not among them, descending,
            [Q, probes].
    """

    cells: NDArray[np.integer[Any]]
    gains: Vectors

    @classmethod
    def of(cls, similarity: Vectors) -> Self:
        """The cells to look up, by the similarity of query tokens to centroids, [Q, K]."""
        probes = min(PROBES, similarity.shape[1] - 1)
        nearest = np.argpartition(-similarity, probes, axis=1)[:, : probes + 1]
        found = np.take_along_axis(similarity, nearest, axis=1)
        order = np.argsort(-found, axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        found = np.take_along_axis(found, order, axis=1)
        return cls(nearest[:, :-1], found[:, :-1] - found[:, -1:])


def train_centroids(sample: Vectors) -> Vectors:
    """The means of clusters of similar token vectors, [K, E], from some, [tokens, E]."""
    return clustered(sample, max(1, min(CELLS, len(sample) // TOKENS_A_CELL)))


def distortion(vectors: Vectors, cells: NDArray[np.uint16], centroids: Vectors) -> float:
    """Mean of 1 - cosine between vectors and their centroids; 0 where there are none."""
    total = 0.0
    lengths = np.linalg.norm(centroids, axis=1)
    for start, block in blocks(vectors):
        own = cells[start : start + len(block)]
        norms = np.linalg.norm(block, axis=1) * lengths[own]
        cosines = np.einsum("te,te->t", block, centroids[own]) / np.maximum(norms, 1e-30)
        total += float((1 - cosines).sum(dtype=np.float64))
    return total / max(1, len(vectors))
