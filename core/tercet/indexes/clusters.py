"""Clusters of similar vectors (k-means), and the nearest centroid of each vector.

Thousands of centroids stand in groups of near ones, so that a vector is compared with those of a
few groups. That finds nearly always the nearest one, and else one about as near.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tercet.scoring.products import products

ROUNDS = 5
"""Of k-means."""

LAST_ROUNDS = 2
"""Rounds over all clusters, once each group has found its own: more gain little (measured)."""

FEW = 512
"""So many centroids are compared with every vector: groups would not pay."""

GROUPS = 128
PROBED = 8
"""Groups that a vector looks into."""

HEADS_SAMPLE = 1 << 13
"""Vectors that the groups are found with."""

BLOCK = 1024
"""Vectors that are compared with all centroids at once."""

WIDE_BLOCK = 16_384
"""Vectors that look into groups at once, so that each group has many of them."""

Vectors = NDArray[np.float32]


def clustered(vectors: Vectors, count: int, *, seed: int = 0) -> Vectors:
    """The means of clusters of similar vectors (k-means, Lloyd 1982), [count, E].

    Many clusters are found in two steps: a few large ones first, then those inside of each.

    Args:
        vectors: At least `count` of them, [N, E].
        count: How many clusters.
        seed: Of the first centroids, which are some of the vectors.
    """
    rng = np.random.default_rng(seed)
    if count <= FEW:
        return _moved(vectors, _drawn(vectors, count, rng), rng, rounds=ROUNDS)
    found = []
    for own, size in _parts(vectors, _owners(vectors, _heads(vectors, rng)), count):
        found.append(_moved(own, _drawn(own, size, rng), rng, rounds=ROUNDS))
    return _moved(vectors, np.concatenate(found), rng, rounds=LAST_ROUNDS)


def nearest_cells(vectors: Vectors, centroids: Vectors) -> NDArray[np.uint16]:
    """The nearest centroid of each vector by distance, from a comparison with all, [N]."""
    return Groups.one(centroids).nearest(vectors)


class Groups:
    """Centroids in groups of near ones.

    Args:
        centroids: All of them, [K, E].
        heads: The direction of each group, [G, E].
        members: The centroids of each group.
    """

    def __init__(
        self, centroids: Vectors, heads: Vectors, members: Sequence[NDArray[np.intp]]
    ) -> None:
        self._heads, self._members = heads, members
        self._centroids = [centroids[own] for own in members]
        self._halves = [np.einsum("ke,ke->k", c, c) / np.float32(2) for c in self._centroids]

    @classmethod
    def one(cls, centroids: Vectors) -> Self:
        """All in one group."""
        return cls(centroids, centroids[:1], [np.arange(len(centroids))])

    @classmethod
    def of(cls, centroids: Vectors) -> Self:
        """Groups of near ones; few centroids are one group."""
        if len(centroids) <= FEW:
            return cls.one(centroids)
        heads = _heads(centroids, np.random.default_rng(0))
        owners = _owners(centroids, heads)
        members = [np.flatnonzero(owners == n) for n in range(GROUPS)]
        held = [n for n, own in enumerate(members) if len(own)]
        return cls(centroids, heads[held], [members[n] for n in held])

    def nearest(self, vectors: Vectors) -> NDArray[np.uint16]:
        """The nearest centroid of each vector among those of the nearest groups, [N]."""
        cells = np.empty(len(vectors), dtype=np.uint16)
        for start, block in blocks(vectors, WIDE_BLOCK if len(self._members) > 1 else BLOCK):
            cells[start : start + len(block)] = self._of_block(block)
        return cells

    def _of_block(self, block: Vectors) -> NDArray[np.uint16]:
        best = np.full(len(block), -np.inf, dtype=np.float32)
        cells = np.zeros(len(block), dtype=np.uint16)
        for group, rows in enumerate(self._visitors(block)):
            closeness = products(block[rows], self._centroids[group])
            closeness -= self._halves[group]
            places = closeness.argmax(axis=1)
            found = closeness[np.arange(len(rows)), places]
            better = found > best[rows]
            own = rows[better]
            best[own] = found[better]
            cells[own] = self._members[group][places[better]]
        return cells

    def _visitors(self, block: Vectors) -> Iterator[NDArray[np.intp]]:
        """For each group, the vectors that look into it."""
        closeness = products(block, self._heads)
        probed = min(PROBED, len(self._heads))
        least = np.partition(closeness, -probed, axis=1)[:, -probed]
        looks = np.ascontiguousarray((closeness >= least[:, None]).T)
        return (np.flatnonzero(row) for row in looks)


def blocks(vectors: Vectors, size: int = BLOCK) -> Iterator[tuple[int, Vectors]]:
    """Where each block of vectors starts, and the block."""
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]


def _drawn(vectors: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    return vectors[rng.choice(len(vectors), count, replace=False)]


def _heads(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    """The directions of a few large clusters.

    Directions, not means: a mean in the midst of all would be the nearest one to most.
    """
    directions = _unit(vectors[rng.permutation(len(vectors))[:HEADS_SAMPLE]])
    heads = _drawn(directions, GROUPS, rng)
    for _ in range(ROUNDS):
        heads = _unit(_moved(directions, heads, rng, rounds=1))
    return heads


def _owners(vectors: Vectors, heads: Vectors) -> NDArray[np.intp]:
    owners = np.empty(len(vectors), dtype=np.intp)
    for start, block in blocks(vectors, WIDE_BLOCK):
        owners[start : start + len(block)] = products(block, heads).argmax(axis=1)
    return owners


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return directions


def _parts(vectors: Vectors, owners: NDArray[np.intp], count: int) -> Iterator[tuple[Vectors, int]]:
    """The vectors of each large cluster, and its share of all clusters."""
    sizes = np.bincount(owners)
    shares = np.diff(np.rint(np.cumsum(sizes) * count / len(vectors)).astype(np.int64), prepend=0)
    for n, share in enumerate(shares.tolist()):
        if share:
            yield vectors[owners == n], share


def _moved(
    vectors: Vectors, centroids: Vectors, rng: np.random.Generator, *, rounds: int
) -> Vectors:
    """Centroids after some rounds of k-means."""
    count = len(centroids)
    for _ in range(rounds):
        cells = Groups.of(centroids).nearest(vectors)
        order = np.argsort(cells, kind="stable")
        sizes = np.bincount(cells, minlength=count)
        held = np.flatnonzero(sizes)
        sums = np.add.reduceat(vectors[order], (np.cumsum(sizes) - sizes)[held], axis=0)
        centroids = _drawn(vectors, count, rng)  # for empty cells
        centroids[held] = sums / sizes[held, None].astype(np.float32)
    return centroids
