"""Fusion: the scores of several views of the same candidates become one score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Embeddings, Reduction, Representation
from tercet.plans import RRF_K, Plan

Scores = NDArray[np.float64]

CONSTANT = 0.5
"""What each candidate gets from a view whose scores are all equal."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What an engine collected for one query: the union of a plan's candidates.

    Attributes:
        ids: Their document ids, none twice, [U].
        scores: For each view of the plan, the exact scores of all of them, [U]; late interaction
            as the sum over query tokens.
        ranks: For each view that brought candidates, the place in that view's own list, from 1;
            0 where the list does not hold the document, [U].
    """

    ids: Sequence[str]
    scores: Mapping[Representation, NDArray[np.float32]]
    ranks: Mapping[Representation, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)


def fuse(candidates: Candidates, plan: Plan) -> Scores:
    """Score the candidates of one query as the plan says, [U].

    sum:  score(d) = sum over views of w * norm(s(d)), norm over U
    rrf:  score(d) = sum over views of w / (60 + rank of d in the view's own list)
          (Cormack, Clarke & Buettcher 2009, "Reciprocal Rank Fusion")
    """
    total = np.zeros(len(candidates), dtype=np.float64)
    for view in plan.scored:
        if plan.fusion == "rrf":
            contribution = reciprocal_ranks(candidates.ranks[view])
        else:
            contribution = NORMALISATIONS[plan.normalise](
                candidates.scores[view].astype(np.float64)
            )
        total += plan.weights[view] * contribution
    return total


def reciprocal_ranks(ranks: NDArray[np.int64]) -> Scores:
    """1 / (60 + rank) of ranks from 1; 0 for rank 0, a document that the list lacks."""
    contributions: Scores = np.where(ranks > 0, 1.0 / (RRF_K + ranks), 0.0)
    return contributions


def min_max(scores: Scores) -> Scores:
    """(s - min) / (max - min), in 0 to 1; a constant list gives 0.5."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    return np.full_like(scores, CONSTANT) if high == low else (scores - low) / (high - low)


def z_score(scores: Scores) -> Scores:
    """(s - mean) / standard deviation; a constant list gives 0.5."""
    if not len(scores):
        return scores
    constant = scores.min() == scores.max()  # the deviation of equal numbers may round to more
    return np.full_like(scores, CONSTANT) if constant else (scores - scores.mean()) / scores.std()


NORMALISATIONS: Mapping[str, Callable[[Scores], Scores]] = {
    "none": lambda scores: scores,
    "min-max": min_max,
    "z-score": z_score,
}


def best_first(scores: NDArray[np.floating], ids: Sequence[str]) -> NDArray[np.int64]:
    """Positions from the highest score to the lowest; equal scores by id, [U]."""
    by_id = np.argsort(np.asarray(ids, dtype=object), kind="stable")
    order: NDArray[np.int64] = by_id[np.argsort(-scores[by_id], kind="stable")]
    return order


def query_tokens(queries: Embeddings) -> NDArray[np.int64]:
    """Token vectors of each query, [M]; 1 where there is no such view."""
    if queries.multi_vector is None:
        return np.ones(len(queries), dtype=np.int64)
    lengths: NDArray[np.int64] = np.diff(queries.multi_vector.offsets)
    return lengths


def reduced(found: Candidates, query_tokens: int, reduction: Reduction) -> Candidates:
    """The candidates with late interaction as `reduction` asks; engines answer with sums."""
    if reduction == "sum" or Representation.MULTI_VECTOR not in found.scores:
        return found
    means = (found.scores[Representation.MULTI_VECTOR] / np.float32(query_tokens)).astype(
        np.float32
    )
    return replace(found, scores={**found.scores, Representation.MULTI_VECTOR: means})


def cut(found: Candidates, plan: Plan, k: int) -> list[tuple[str, float, dict[str, float]]]:
    """Id, score and views' scores of the k best, best first."""
    fused = fuse(found, plan)
    best = best_first(fused, found.ids)[:k]
    of_views = {view.value: found.scores[view][best].tolist() for view in plan.views}
    return [
        (found.ids[place], score, {view: scores[n] for view, scores in of_views.items()})
        for n, (place, score) in enumerate(zip(best.tolist(), fused[best].tolist(), strict=True))
    ]
