from typing import Any

import numpy as np
import pytest

from tercet.embeddings import Representation
from tercet.fusion import Candidates, best_first, fuse
from tercet.plans import Plan

DENSE, SPARSE, MULTI_VECTOR = Representation


def found(**views: Any) -> Candidates:
    scores = {Representation(v): np.asarray(s, np.float32) for v, s in views.items()}
    count = len(next(iter(scores.values())))
    ranks = {v: np.argsort(np.argsort(-s)) + 1 for v, s in scores.items()}
    return Candidates([f"d{i}" for i in range(count)], scores, ranks)


def plan(*, fusion: Any = "sum", normalise: Any = "none", **weights: Any) -> Plan:
    return Plan(dict.fromkeys(weights, 10), weights, fusion, normalise)


def test_a_sum_weighs_every_view() -> None:
    fused = fuse(found(dense=[1, 2], sparse=[4, 0]), plan(dense=1.0, sparse=0.5))
    assert fused.tolist() == [3.0, 2.0]


def test_a_view_without_weight_adds_nothing() -> None:
    fused = fuse(found(dense=[1, 2], sparse=[4, 0]), plan(dense=1.0, sparse=0.0))
    assert fused.tolist() == [1.0, 2.0]


def test_min_max_maps_to_0_and_1() -> None:
    fused = fuse(found(dense=[2, 4, 3]), plan(dense=2.0, normalise="min-max"))
    assert fused.tolist() == [0.0, 2.0, 1.0]


def test_z_scores_have_mean_0_and_deviation_1() -> None:
    fused = fuse(found(dense=[1, 2, 3]), plan(dense=1.0, normalise="z-score"))
    assert fused.mean() == pytest.approx(0)
    assert fused.std() == pytest.approx(1)


@pytest.mark.parametrize("normalise", ["min-max", "z-score"])
def test_a_constant_list_gives_one_half(normalise: Any) -> None:
    assert fuse(found(dense=[3, 3]), plan(dense=1.0, normalise=normalise)).tolist() == [0.5, 0.5]
    assert not len(fuse(found(dense=[]), plan(dense=1.0, normalise=normalise)))


def test_reciprocal_ranks_start_at_60_and_absence_counts_nothing() -> None:
    candidates = Candidates(
        ["a", "b"],
        {DENSE: np.zeros(2, np.float32), SPARSE: np.zeros(2, np.float32)},
        {DENSE: np.asarray([1, 2]), SPARSE: np.asarray([0, 1])},
    )
    fused = fuse(candidates, plan(dense=1.0, sparse=2.0, fusion="rrf"))
    assert fused.tolist() == [1 / 61, 1 / 62 + 2 / 61]


def test_equal_scores_are_ordered_by_id() -> None:
    order = best_first(np.asarray([1.0, 2.0, 1.0, 2.0]), ["b", "d", "a", "c"])
    assert order.tolist() == [3, 1, 2, 0]
