"""Maximal marginal relevance: relevant documents that differ from each other."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tercet.ranking import Ranking
from tercet.scoring.dense import inner_product


def maximal_marginal_relevance(
    relevance: NDArray[np.floating],
    similarity: NDArray[np.floating],
    *,
    k: int,
    diversity: float = 0.5,
) -> NDArray[np.int64]:
    """Choose documents one by one, each relevant and unlike those chosen before.

    next = argmax over d not chosen of (1 - diversity) * relevance(d) - diversity * max over
    chosen c of similarity(d, c). Equals go to the one that stands first.

    Args:
        relevance: How well each document answers, on the scale of `similarity`, [N].
        similarity: How alike two documents are, [N, N].
        k: How many to choose; all where there are fewer.
        diversity: 0 ranks by relevance alone, 1 by difference alone.

    Returns:
        Positions of the chosen, in the order of choice, [min(k, N)].

    Source: Carbonell & Goldstein 1998, "The use of MMR"; their lambda is 1 - diversity.
    """
    if not 0.0 <= diversity <= 1.0:
        raise ValueError(f"diversity is {diversity}; it lies between 0 and 1")
    count = len(relevance)
    if similarity.shape != (count, count):
        raise ValueError(f"similarity has shape {similarity.shape}, not {(count, count)}")
    gain = (1.0 - diversity) * relevance.astype(np.float64)  # [N]
    closest = np.zeros(count)  # to any chosen document; no term before the first choice
    chosen: list[int] = []
    for _ in range(min(k, count)):
        margin = gain - diversity * closest
        margin[chosen] = -np.inf
        best = int(margin.argmax())
        closest = np.maximum(closest, similarity[best]) if chosen else similarity[best]
        chosen.append(best)
    return np.asarray(chosen, dtype=np.int64)


def diversified(
    found: Ranking,
    query: NDArray[np.float32],
    documents: NDArray[np.float32],
    *,
    k: int,
    diversity: float,
) -> Ranking:
    """The hits that maximal marginal relevance on the dense view chooses, ranked anew.

    Args:
        found: N hits.
        query: The dense vector of the query, [1, E].
        documents: Those of the hits, [N, E].
        k: How many to choose; all where there are fewer.
        diversity: 0 ranks by relevance alone, 1 by difference alone.

    Raises:
        ValueError: A diversity that is not between 0 and 1.
    """
    order = maximal_marginal_relevance(
        inner_product(query, documents)[0],
        inner_product(documents, documents),
        k=k,
        diversity=diversity,
    )
    return Ranking(tuple(replace(found[n], rank=r) for r, n in enumerate(order.tolist(), start=1)))
