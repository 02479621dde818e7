"""Late interaction in large segments: cells bring candidates, stored token vectors decide."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from tercet.indexes.codebooks import Probes
from tercet.indexes.local.columns.cells import CellLists
from tercet.indexes.local.columns.mean_residuals import MeanResiduals
from tercet.indexes.local.columns.shortlists import Allowed, Rows, Scores, Shortlist

STEP = 64
"""Candidates that are compared at once, at most.

These numbers and `PROBES` were chosen on 100 training queries of scifact-en (tercet/mini, 5,183
documents, 1.7 million token vectors) and on 80 made-up ones that no benchmark asks.
"""

MOST = 512
"""Candidates that are compared at most, or four times as many as are looked for."""

DEVIATIONS = 2.5
"""A candidate is worth comparing while it may lie so far above what its estimate says.

The distance between scores and estimates is measured on the candidates compared before.
"""

RESIDUAL_SHARE = 0.5
"""How much of a document's mean residual counts.

The token that answers best lies nearer to its centroid than the mean does: of 0.4 to 1, the half
found most on real token vectors, and from the half on all is alike on made-up ones.
"""

Score = Callable[[Rows, Rows], Scores]
"""Compares rows in full, given by the part that holds them and their place in it, [R]."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedPart:
    """A segment with cells, and which of its rows may be found."""

    cells: CellLists
    residuals: MeanResiduals
    allowed: Allowed


def search_cells(
    parts: Sequence[CodedPart], query: Scores, depth: int, score: Score, *, step: int = STEP
) -> list[Shortlist]:
    """The best rows of each part for one query; the parts share a codebook.

    A score is estimated for every row, and the most promising are compared in full:
        estimate(q, d) = sum_i max_{c in cells of d} <q_i, c> + share <sum_i q_i, residual of d>

    Args:
        parts: The segments.
        query: Token vectors, [Q, E].
        depth: How many rows are looked for.
        score: Compares stored token vectors.
        step: How many it compares at once.
    """
    probes = parts[0].cells.codebook.probes(query)
    direction = np.float32(RESIDUAL_SHARE) * query.sum(axis=0)
    found = [_estimates(part, probes, direction) for part in parts]
    estimates = found[0] if len(found) == 1 else np.concatenate(found)
    bases = np.asarray(list(accumulate(map(len, found), initial=0)))
    best = _best(estimates, max(MOST, 4 * depth))
    owners = np.searchsorted(bases, best, side="right") - 1
    rows = best - bases[owners]
    exact = _score_while_worth(
        estimates[best],
        depth,
        lambda start, stop: score(owners[start:stop], rows[start:stop]),
        step=step,
    )
    owners, rows = owners[: len(exact)], rows[: len(exact)]
    return [Shortlist(rows[owners == n], exact[owners == n]) for n in range(len(parts))]


def _estimates(part: CodedPart, probes: Probes, direction: Scores) -> Scores:
    estimates = part.cells.gains(probes)
    estimates += part.residuals.along(direction)
    if part.allowed is not None:
        estimates[~part.allowed] = -np.inf
    return estimates


def _best(estimates: Scores, limit: int) -> Rows:
    """Places of the highest, in order; what may not be found is left out."""
    falling = -estimates
    if limit < len(estimates):
        places = falling.argpartition(limit)[:limit]
    else:
        places = np.arange(len(estimates))
    found = falling[places]
    order = found.argsort(kind="stable")
    return places[order[np.isfinite(found[order])]]


def _score_while_worth(
    estimates: Scores, depth: int, score: Callable[[int, int], Scores], *, step: int
) -> Scores:
    """Score candidates, most promising first, as long as the next may be among the best."""
    scores = np.empty(len(estimates), dtype=np.float32)
    falling = -estimates
    done, following = 0, max(step, depth)
    while True:
        stop = min(following, len(estimates))
        scores[done:stop] = score(done, stop)
        if stop == len(estimates):
            return scores
        done = stop
        worth = _worth(falling, scores[:done], depth)
        if worth <= done:
            return scores[:done]
        following = min(done + step, worth)


def _worth(falling: Scores, scores: Scores, depth: int) -> int:
    """How many candidates may be among the best, by those compared.

    Args:
        falling: What was estimated of all, negative: the most promising first.
        scores: Of the first ones.
        depth: How many are looked for.
    """
    count = len(scores)
    distance = scores + falling[:count]
    mean = float(np.add.reduce(distance)) / count
    distance -= np.float32(mean)
    deviation = math.sqrt(float(distance.dot(distance)) / count)
    ordered = scores.copy()
    ordered.partition(count - depth)  # numpy's functions would take five times as long
    lowest = float(ordered[count - depth]) - mean - DEVIATIONS * deviation
    return int(falling.searchsorted(np.float32(-lowest), side="right"))
