"""Shortlists: the rows that may be among the best of a view, with their exact scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Representation
from tercet.indexes.ties import NEAR

GROUPS = 16
"""Groups for each score that is looked for, of which only the best one counts."""

MARGIN = 2 * NEAR
"""Scores this far below the last of a shortlist may tie with it, relative to the largest."""

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Allowed = NDArray[np.bool_] | None
"""Which rows of a segment may be found, [rows]; None where all may."""


@dataclass(frozen=True, slots=True, eq=False)
class Shortlist:
    """Some rows for one query.

    Attributes:
        rows: Which, none twice, [R].
        scores: Their exact scores over what is stored, [R].
    """

    rows: Rows
    scores: Scores

    def cut(self, depth: int) -> "Shortlist":
        """The best rows, and all that tie with the last of them."""
        places = best_places(self.scores, depth)
        return Shortlist(self.rows[places], self.scores[places])

    def positive(self) -> "Shortlist":
        """The rows that score above 0."""
        return Shortlist(self.rows[self.scores > 0], self.scores[self.scores > 0])


def shortlist(view: Representation, rows: Rows, scores: Scores, depth: int) -> Shortlist:
    """The best of some rows; a document that shares no term with a query is no sparse candidate."""
    found = Shortlist(rows, scores).cut(depth)
    return found.positive() if view is Representation.SPARSE else found


def joined(parts: Sequence[Shortlist], depth: int) -> Shortlist:
    """The best rows of several shortlists that share none."""
    if not parts:
        return Shortlist(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    rows, scores = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("rows", "scores")
    )
    return Shortlist(rows, scores).cut(depth)


def best_of_all(scores: Scores, depth: int, allowed: Allowed) -> list[Shortlist]:
    """The best of the allowed rows for each query, from the scores of all rows, [M, rows]."""
    if allowed is None:
        rows = np.arange(scores.shape[1])
    else:
        rows = np.flatnonzero(allowed)
        scores = scores[:, rows]
    return [Shortlist(rows, row).cut(depth) for row in scores]


def best_places(scores: Scores, depth: int) -> Rows:
    """Places of the best scores, and of all that tie with the last of them, ascending."""
    if depth >= len(scores):
        return np.arange(len(scores))
    many = len(scores) >= 2 * GROUPS * depth
    kept = scores[scores >= at_most_kth(scores, depth)] if many else scores
    least = np.partition(kept, len(kept) - depth)[len(kept) - depth]
    margin = np.float32(MARGIN * float(np.abs(scores).max()))
    return np.flatnonzero(scores >= least - margin)


def at_most_kth(values: NDArray[np.float32], k: int) -> float:
    """A number that is not above the k-th largest, and near it: far cheaper than a partition.

    The k-th largest of the best in each of many groups.

    Args:
        values: More than k numbers, [N].
        k: From 1.
    """
    groups = GROUPS * k
    size = len(values) // groups
    if size < 2:
        return float(np.partition(values, len(values) - k)[len(values) - k])
    best = values[: groups * size].reshape(groups, size).max(axis=1)
    return float(np.partition(best, groups - k)[groups - k])
