"""Relevance: where scores lie between the bounds of the plan that made them, from 0 to 1."""

from collections.abc import Sequence

from tercet.embeddings import EncoderSpec, Reduction, Representation
from tercet.indexes.checks import model_name
from tercet.plans import RRF_K, Plan

ROUNDING = 1e-3
"""By so much may a cosine leave its bounds: float16 on disk rounds as much."""


def relevance(scores: Sequence[float], plan: Plan, spec: EncoderSpec, *, name: str) -> list[float]:
    """Scores of one ranking as numbers from 0 to 1.

    Args:
        scores: Of the hits, [N].
        plan: The plan that found them.
        spec: Of the model that made the vectors.
        name: What messages call the plan.

    Raises:
        ValueError: Nothing bounds the plan's scores, or the model's vectors are not of unit length.
    """
    bounds = score_bounds(plan, spec.reduction)
    if bounds is None:
        raise ValueError(
            f"nothing bounds the scores of plan {name!r}, so relevance from 0 to 1 has no "
            "meaning; plans 'dense' and 'rrf' have bounds, as does any "
            'Plan(..., normalise="min-max")'
        )
    low, high = bounds
    values = [(score - low) / (high - low) for score in scores]
    if any(not -ROUNDING <= value <= 1 + ROUNDING for value in values):
        raise ValueError(
            f"scores of {model_name(spec)} lie outside {low} to {high}: its vectors are not of "
            "unit length, so relevance from 0 to 1 has no meaning"
        )
    return [min(max(value, 0.0), 1.0) for value in values]


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
