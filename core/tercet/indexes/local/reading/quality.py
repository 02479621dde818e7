"""What a search finds of the exact ranking, and how long both take."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tercet.embeddings import Embeddings, Representation
from tercet.ranking import Ranking

Search = Callable[[Embeddings, Representation, bool], Ranking]
"""The ranking of one query in one view, exact or not."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A view's search beside the exact one over the same stored values.

    Attributes:
        recall: Share of the exact top that a search finds, the mean over queries.
        seconds: Of a search, the median.
        exact_seconds: Of an exact one.
    """

    recall: float
    seconds: float
    exact_seconds: float


def measure(
    queries: Embeddings, views: Sequence[Representation], search: Search
) -> Mapping[Representation, Measurement]:
    """Compare a search with the exact one, in each of some views.

    Raises:
        ValueError: There is no query.
    """
    if not len(queries):
        raise ValueError("there are no queries to measure with: give one at least")
    return {view: _measured(queries, view, search) for view in views}


def _measured(queries: Embeddings, view: Representation, search: Search) -> Measurement:
    recalls, seconds, exact_seconds = [], [], []
    for n in range(len(queries)):
        query = queries.take([n])
        start = time.perf_counter()
        found = search(query, view, False)
        between = time.perf_counter()
        truth = search(query, view, True)
        exact_seconds.append(time.perf_counter() - between)
        seconds.append(between - start)
        wanted = {hit.document.id for hit in truth}
        shared = len(wanted & {hit.document.id for hit in found})
        recalls.append(shared / len(wanted) if wanted else 1.0)
    return Measurement(
        float(np.mean(recalls)), float(np.median(seconds)), float(np.median(exact_seconds))
    )
