"""Late interaction: how token vectors are compared.

Documents are never padded, similarities never written down where kernels run, and tokens are read
as they are stored.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, Reduction
from tercet.kernels.late_interaction import Best, best_products
from tercet.kernels.stored import can_read
from tercet.ragged import ragged_items
from tercet.scoring.products import products
from tercet.scoring.threads import in_parallel, thread_count

LEAST_TOKENS, MOST_TOKENS = 1 << 12, 1 << 16
"""Document tokens of a piece of work: so few that a scan can be interrupted, and enough to pay."""

DECODED_BYTES = 1 << 20
"""Of token vectors that are decoded at once, and stay in the caches meanwhile."""

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

Load = Callable[[int, int], Vectors]
"""Gives the token vectors from one position to another, [tokens, E]; each thread of its own."""


def maxsim(query: Vectors, documents: MultiVectors, *, reduction: Reduction = "sum") -> Vectors:
    """Score documents against one query by late interaction.

    Each query token takes its most similar document token; the maxima are summed:
        score(q, d) = sum_i max_j <q_i, d_j>
    Documents are never padded, so a score does not depend on the others in the batch.

    Args:
        query: Token vectors of one query, unit length, [Q, E].
        documents: Token vectors of the documents, unit length.
        reduction: "mean" divides by Q, as BGE-M3 does.

    Returns:
        One score a document, [N].

    Source: Khattab & Zaharia 2020, "ColBERT", equation 3.
    """
    if query.ndim != 2 or query.shape[1] != documents.dim or not len(query):
        raise ValueError(f"token vectors of a query are [Q, {documents.dim}], not {query.shape}")
    alone = MultiVectors(query, np.asarray([0, len(query)], dtype=np.int64))
    starts, stops = documents.offsets[:-1], documents.offsets[1:]
    scores: Vectors = Comparison(alone).stored(documents.vectors, None, starts, stops)[0]
    if reduction == "mean":
        scores /= len(query)
    return scores


class Comparison:
    """Queries that are compared with documents, laid out once for all of them.

    Args:
        queries: Token vectors of M queries.
    """

    def __init__(self, queries: MultiVectors) -> None:
        self.queries = queries
        self._by_numpy = _by_numpy(queries.vectors)

    def stored(
        self, numbers: NDArray[Any], scales: Vectors | None, starts: Places, stops: Places
    ) -> Vectors:
        """Score documents whose token vectors are numbers in memory, or in a mapped file.

        Args:
            numbers: Of all tokens: float32, float16 or int8, [tokens, E].
            scales: What each token is multiplied with, [tokens]; None leaves it.
            starts: The first token of each document, [N].
            stops: The token behind its last one, [N].

        Returns:
            Sums over query tokens, [M, N].
        """
        best = self._best(numbers)

        def of_run(first: int, last: int) -> Vectors:
            return best(numbers, scales, starts[first:last], stops[first:last])

        tokens = int(stops.sum() - starts.sum())
        budget = min(max(tokens // thread_count(), LEAST_TOKENS), MOST_TOKENS)
        if tokens <= budget:
            return self._sums(of_run, [(0, len(starts))])
        ends = np.concatenate(([0], np.cumsum(stops - starts)))
        return self._sums(of_run, list(runs(ends, budget)))

    def loaded(self, load: Load, offsets: Places) -> Vectors:
        """Score documents whose token vectors are decoded block by block, once for all queries.

        Args:
            load: Gives the documents' token vectors.
            offsets: Document n owns the tokens offsets[n] to offsets[n + 1], [N + 1].

        Returns:
            Sums over query tokens, [M, N].
        """
        count, dim = self.queries.vectors.shape
        best = self._best(np.empty((0, dim), dtype=np.float32))
        budget = max(LEAST_TOKENS, DECODED_BYTES // (4 * max(dim, 1)))  # 4 bytes a float32

        def of_run(first: int, last: int) -> Vectors:
            found = np.full((last - first, count), -np.inf, dtype=np.float32)
            for start in range(int(offsets[first]), int(offsets[last]), budget):  # one as a rule
                block = load(start, min(start + budget, int(offsets[last])))
                ends = np.clip(offsets[first : last + 1] - start, 0, len(block))
                np.maximum(found, best(block, None, ends[:-1], ends[1:]), out=found)
            return found

        return self._sums(of_run, list(runs(offsets, budget)))

    def _best(self, numbers: NDArray[Any]) -> Best:
        return self._by_kernel if can_read(numbers) else self._by_numpy

    @cached_property
    def _by_kernel(self) -> Best:
        return best_products(self.queries.vectors)

    def _sums(
        self, of_run: Callable[[int, int], Vectors], pieces: Sequence[tuple[int, int]]
    ) -> Vectors:
        """Add up the best products, [documents, Q], of runs of documents, one after another."""
        queries = self.queries
        count = pieces[-1][1] if pieces else 0
        if not queries.dim or not len(queries.vectors):
            return np.zeros((len(queries), count), dtype=np.float32)
        starts = queries.offsets[:-1]
        if len(pieces) == 1:
            alone: Vectors = np.add.reduceat(of_run(0, count), starts, axis=1).T
            return alone
        scores = np.empty((len(queries), count), dtype=np.float32)

        def score_run(run: tuple[int, int]) -> None:
            first, last = run
            best = of_run(first, last)
            scores[:, first:last] = np.add.reduceat(best, starts, axis=1).T

        in_parallel(score_run, pieces)
        return scores


def _by_numpy(queries: Vectors) -> Best:
    """The same without kernels."""

    def best(
        numbers: NDArray[Any], scales: Vectors | None, starts: Places, stops: Places
    ) -> Vectors:
        found = np.full((len(starts), len(queries)), -np.inf, dtype=np.float32)
        some = np.flatnonzero(stops > starts)
        if len(some):
            tokens, offsets = ragged_items(starts[some], stops[some])
            own = numbers[tokens].astype(np.float32)
            vectors = own if scales is None else own * scales[tokens, None]
            similarity = products(queries, vectors)  # [Q, tokens]
            found[some] = np.maximum.reduceat(similarity, offsets[:-1], axis=1).T
        return found

    return best


def runs(offsets: Places, budget: int) -> Iterator[tuple[int, int]]:
    """Cut documents into runs [first, last) within the budget; a giant is a run of its own."""
    first, count = 0, len(offsets) - 1
    while first < count:
        last = int(np.searchsorted(offsets, offsets[first] + budget, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last
