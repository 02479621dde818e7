"""Late interaction in large segments: cells bring candidates, stored token vectors decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.cells import CellLists, Probes
from tercet.indexes.local.shortlists import Allowed, Rows, Scores, Shortlist
from tercet.scoring.products import products

CANDIDATES = 1500
"""Documents that cells bring.

These numbers and `PROBES` were chosen on 100 training queries of scifact-en (tercet/mini, 5,183
documents, 1.7 million token vectors). On 260 of its test queries the search finds 0.992 of the
exact ten best in a fourteenth of the time; nDCG@10 is 0.719, and 0.721 where all is compared.
"""

STEP = 96
"""Candidates that are scored at once, by their tokens in the query's cells."""

MOST = 1000
"""Candidates that are scored at most, or four times as many as are looked for."""

FINALISTS = 64
"""Candidates that are scored by all their tokens, or twice as many as are looked for."""

DEVIATIONS = 2.6
"""A candidate is worth scoring while it may lie so far above what its gain says.

The distance between scores and gains is measured on the candidates that were scored before.
"""


class Scorer(Protocol):
    """Scores rows, given by the part that holds them and their place in it."""

    def near(self, owners: Rows, rows: Rows, cells: NDArray[np.bool_]) -> Scores:
        """By their tokens in some cells alone, [R]."""
        ...

    def exact(self, owners: Rows, rows: Rows) -> Scores:
        """By all their tokens, [R]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CodedPart:
    """A segment with cells, and which of its rows may be found."""

    cells: CellLists
    allowed: Allowed


def search_cells(
    parts: Sequence[CodedPart], query: Scores, depth: int, scorer: Scorer
) -> list[Shortlist]:
    """The best rows of each part for one query; the parts share a codebook.

    Cells bring candidates and an order; their tokens in the query's cells, a fraction of all, tell
    nearly all of the score; the best are compared in full.

    Args:
        parts: The segments.
        query: Token vectors, [Q, E].
        depth: How many rows are looked for.
        scorer: Compares stored token vectors.
    """
    centroids = parts[0].cells.codebook.centroids
    probes = Probes.of(products(query, centroids))
    limit = max(CANDIDATES, 4 * depth)
    found = [part.cells.candidates(probes, limit, part.allowed) for part in parts]
    owners = np.repeat(np.arange(len(parts)), [len(rows) for rows, _ in found])
    rows = np.concatenate([rows for rows, _ in found])
    gains = np.concatenate([gains for _, gains in found])
    order = np.argsort(-gains, kind="stable")[:limit]
    owners, rows = owners[order], rows[order]
    near = np.zeros(len(centroids), dtype=np.bool_)
    near[probes.cells] = True

    def score(start: int, stop: int) -> Scores:
        return scorer.near(owners[start:stop], rows[start:stop], near)

    scores = _score_while_worth(gains[order], depth, score)
    best = np.argsort(-scores, kind="stable")[: max(FINALISTS, 2 * depth)]
    owners, rows = owners[best], rows[best]
    exact = scorer.exact(owners, rows)
    return [Shortlist(rows[owners == n], exact[owners == n]) for n in range(len(parts))]


def _score_while_worth(gains: Scores, depth: int, score: Callable[[int, int], Scores]) -> Scores:
    """Score candidates, most promising first, as long as the next may be among the best."""
    scores = np.empty(0, dtype=np.float32)
    stop, most = max(STEP, depth), min(len(gains), max(MOST, 4 * depth))
    while True:
        stop = min(stop, most)
        scores = np.append(scores, score(len(scores), stop))
        if stop == most:
            return scores
        distance = scores - gains[:stop]
        least = np.partition(scores, stop - depth)[stop - depth]
        if gains[stop] + distance.mean() + DEVIATIONS * distance.std() < least:
            return scores
        stop += STEP
