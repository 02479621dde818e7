"""Scores that differ by no more than rounding are equal, so that ties are broken by id."""

import numpy as np
from numpy.typing import NDArray

NEAR = 1e-6
"""Scores this near, relative to the largest, are equal: a matrix product rounds by place."""


def level(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores, those that differ by no more than rounding made equal."""
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    step = NEAR * max(map(abs, descending[[0, -1]].tolist())) if len(scores) else 0.0
    near = descending[:-1] - descending[1:] <= step
    if not near.any():
        return scores
    for place in np.flatnonzero(near).tolist():
        if descending[place] - descending[place + 1] <= step:
            descending[place + 1] = descending[place]
    levelled = np.empty_like(scores)
    levelled[order] = descending
    return levelled
