"""Clusters: as good as plain k-means, and cells found by way of groups."""

import numpy as np
import pytest

from tercet.indexes import clusters
from tercet.indexes.clusters import Groups, clustered, nearest_cells

Vectors = np.ndarray


def on_topics(count: int, *, seed: int) -> Vectors:
    """Vectors of unit length around 300 of different spread."""
    fixed = np.random.default_rng(1)
    topics, spreads = fixed.standard_normal((300, 16)), fixed.uniform(0.1, 0.6, 300)
    rng = np.random.default_rng(seed)
    own = rng.integers(0, len(topics), count)
    vectors = topics[own] + spreads[own, None] * rng.standard_normal((count, 16))
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def error(vectors: Vectors, centroids: Vectors, cells: Vectors) -> float:
    return float(((vectors - centroids[cells]) ** 2).sum(axis=1).mean())


@pytest.fixture
def _grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "FEW", 64)
    monkeypatch.setattr(clusters, "GROUPS", 24)


def test_the_nearest_cell_is_the_one_of_least_distance() -> None:
    vectors, centroids = on_topics(200, seed=2), on_topics(30, seed=3) * 2
    distances = np.linalg.norm(vectors[:, None] - centroids, axis=2)
    assert nearest_cells(vectors, centroids).tolist() == distances.argmin(axis=1).tolist()
    assert Groups.of(centroids).nearest(vectors).tolist() == distances.argmin(axis=1).tolist()
    assert nearest_cells(vectors[:0], centroids).tolist() == []


def test_one_step_of_clustering_finds_what_is_apart() -> None:
    centres = np.eye(4, dtype=np.float32)
    vectors = np.repeat(centres, 50, axis=0) + np.float32(0.01)
    found = clustered(vectors, 4, seed=1)
    assert len(found) == 4
    assert error(vectors, found, nearest_cells(vectors, found)) < 0.7


@pytest.mark.usefixtures("_grouped")
def test_groups_find_nearly_always_the_nearest_centroid() -> None:
    vectors, centroids = on_topics(3000, seed=4), on_topics(600, seed=5)
    found, truth = Groups.of(centroids).nearest(vectors), nearest_cells(vectors, centroids)
    assert (found == truth).mean() > 0.95
    assert error(vectors, centroids, found) < 1.05 * error(vectors, centroids, truth)


def test_two_steps_of_clustering_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, fresh = on_topics(4000, seed=6), on_topics(1000, seed=7)
    plain = clustered(vectors, 500)
    monkeypatch.setattr(clusters, "FEW", 64)
    monkeypatch.setattr(clusters, "GROUPS", 24)
    stepwise = clustered(vectors, 500)
    assert stepwise.shape == plain.shape
    assert np.isfinite(stepwise).all()
    plain_error, its_error = (error(fresh, c, nearest_cells(fresh, c)) for c in (plain, stepwise))
    assert its_error < 1.05 * plain_error


@pytest.mark.usefixtures("_grouped")
def test_equal_vectors_and_vectors_of_zeros_are_clustered_too() -> None:
    vectors = np.zeros((500, 16), dtype=np.float32)
    vectors[:100] = 1
    centroids = clustered(vectors, 100)
    assert centroids.shape == (100, 16)
    cells = Groups.of(centroids).nearest(vectors)
    assert error(vectors, centroids, cells) == 0
