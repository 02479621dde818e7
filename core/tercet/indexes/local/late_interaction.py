"""Late interaction in large segments: cells bring candidates, stored token vectors decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.cells import CellLists, Probes
from tercet.indexes.local.shortlists import Allowed, Rows, Scores, Shortlist
from tercet.scoring.products import products

CANDIDATES = 1000
"""Documents that cells bring."""

FIRST = 64
"""Candidates that are scored in any case."""

STEP = 32
"""Candidates that are scored at once after them."""

MOST = 400
"""Candidates that are scored at most, or twice as many as are looked for."""

DEVIATIONS = 2.5
"""A candidate is worth scoring while it may lie so far above what its gain says.

The distance between scores and gains is measured on the candidates that were scored before.
"""

Score = Callable[[NDArray[np.int64], Rows], Scores]
"""Exact scores of rows, of which part each."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedPart:
    """A segment with cells, and which of its rows may be found."""

    cells: CellLists
    allowed: Allowed


def search_cells(
    parts: Sequence[CodedPart], query: Scores, depth: int, score: Score
) -> list[Shortlist]:
    """The best rows of each part for one query; the parts share a codebook.

    Args:
        parts: The segments.
        query: Token vectors, [Q, E].
        depth: How many rows are looked for.
        score: Scores candidates by their stored token vectors.
    """
    probes = Probes.of(products(query, parts[0].cells.codebook.centroids))
    limit = max(CANDIDATES, 4 * depth)
    found = [part.cells.candidates(probes, limit, part.allowed) for part in parts]
    owners = np.repeat(np.arange(len(parts)), [len(rows) for rows, _ in found])
    rows = np.concatenate([rows for rows, _ in found])
    gains = np.concatenate([gains for _, gains in found])
    order = np.argsort(-gains, kind="stable")[:limit]
    scores = _score_while_worth(owners[order], rows[order], gains[order], depth, score)
    scored = order[: len(scores)]
    return [
        Shortlist(rows[scored[owners[scored] == n]], scores[owners[scored] == n])
        for n in range(len(parts))
    ]


def _score_while_worth(
    owners: NDArray[np.int64], rows: Rows, gains: Scores, depth: int, score: Score
) -> Scores:
    """Score candidates, most promising first, as long as the next may be among the best."""
    scores = np.empty(0, dtype=np.float32)
    stop = max(FIRST, depth)
    most = min(len(rows), max(MOST, 2 * depth))
    while True:
        start, stop = len(scores), min(stop, most)
        scores = np.append(scores, score(owners[start:stop], rows[start:stop]))
        if stop == most:
            return scores
        distance = scores - gains[:stop]
        least = np.partition(scores, stop - depth)[stop - depth]
        if gains[stop] + distance.mean() + DEVIATIONS * distance.std() < least:
            return scores
        stop += STEP
