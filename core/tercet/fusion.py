"""Fusion: the scores of several views of the same candidates become one score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Reduction, Representation
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


def score_bounds(plan: Plan, own: Reduction) -> tuple[float, float] | None:
    """Between which numbers the scores of a plan lie; None where nothing bounds them.

    Lexical match, late interaction as a sum over query tokens and z-scores have no bounds. Inner
    products have those of vectors at unit length.

    Args:
        plan: The plan.
        own: The model's own reduction of late interaction.
    """
    summed = Representation.MULTI_VECTOR in plan.scored and plan.reduction(own) == "sum"
    if plan.fusion == "rrf":
        low, high = 0.0, 1.0 / (RRF_K + 1)
    elif plan.normalise == "min-max":
        low, high = 0.0, 1.0
    elif plan.normalise == "none" and Representation.SPARSE not in plan.scored and not summed:
        low, high = -1.0, 1.0
    else:
        return None
    ends = [(weight * low, weight * high) for weight in plan.weights.values()]
    return sum(map(min, ends)), sum(map(max, ends))


def best_first(scores: NDArray[np.floating], ids: Sequence[str]) -> NDArray[np.int64]:
    """Positions from the highest score to the lowest; equal scores by id, [U]."""
    by_id = np.argsort(np.asarray(ids, dtype=object), kind="stable")
    order: NDArray[np.int64] = by_id[np.argsort(-scores[by_id], kind="stable")]
    return order
