"""Late interaction: how token vectors are compared.

Documents are never padded. Work goes in blocks of whole documents whose token vectors fit a small
budget, so that similarities stay in the cache and never grow to [Q, all tokens].
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, Reduction
from tercet.scoring.codes import Codes, Digits
from tercet.scoring.products import Multiply, products, tiled_products
from tercet.scoring.threads import Buffer, in_parallel, in_turn, thread_count

LEAST_TOKENS = 512
"""Document tokens of a block, however long the vectors."""

Vectors = NDArray[np.float32]

Load = Callable[[int, int], Vectors]
"""Gives the token vectors from one position to another, [tokens, E]; each thread of its own."""

LoadCodes = Callable[[int, int], Codes]
"""The same as they are stored."""

Block = TypeVar("Block")

Best = Callable[[Block, NDArray[np.int64]], Vectors]
"""Tokens of documents, and where each document starts, [d], to the best products, [Q, d]."""


_similarity = Buffer()  # fresh memory costs as much as the product itself


def _by_products(multiply: Multiply) -> Callable[[Vectors], Best[Vectors]]:
    """Compare query tokens, [Q, E], with blocks of token vectors, [tokens, E]."""

    def prepare(queries: Vectors) -> Best[Vectors]:
        def best(documents: Vectors, starts: NDArray[np.int64]) -> Vectors:
            out = _similarity.take((len(queries), len(documents)))
            similarity = multiply(queries, documents, out=out)
            found: Vectors = np.maximum.reduceat(similarity, starts, axis=1)
            return found

        return best

    return prepare


@dataclass(frozen=True, slots=True)
class _Way(Generic[Block]):
    """How blocks are compared.

    Attributes:
        prepare: Query tokens to what finds their best products.
        spread: Does the work of each run of documents.
        block_bytes: Float32 token vectors of a block.
        query_rows: Query tokens of a block, whose similarities stay in the caches too.
    """

    prepare: Callable[[Vectors], Best[Block]]
    spread: Callable[[Callable[[tuple[int, int]], None], Sequence[tuple[int, int]]], None]
    block_bytes: int
    query_rows: int


AT_HAND = _Way(_by_products(products), in_turn, 1 << 25, 32)
"""Few large products, for documents in memory: fastest where the machine is free."""

IN_TURN = _Way(_by_products(products), in_turn, 1 << 21, 128)
"""The same of documents that are loaded, and stay in the caches meanwhile."""

IN_PARALLEL = _Way(_by_products(tiled_products), in_parallel, 1 << 20, 32)
"""Many small ones on threads of ours, for scans: fast on a busy machine too."""

IN_INTEGERS: _Way[Codes] = _Way(lambda queries: Digits(queries).best, in_turn, 1 << 20, 32)
"""Of vectors that are stored as int8."""


def maxsim(
    query: NDArray[np.float32], documents: MultiVectors, *, reduction: Reduction = "sum"
) -> NDArray[np.float32]:
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
    scores: NDArray[np.float32] = _sums(
        alone, lambda start, stop: documents.vectors[start:stop], documents.offsets, way=AT_HAND
    )[0]  # [1, N] -> [N]
    if reduction == "mean":
        scores /= len(query)
    return scores


def maxsim_loaded(
    queries: MultiVectors, load: Load, offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Score documents whose token vectors are loaded block by block, once for all queries.

    Args:
        queries: Token vectors of M queries.
        load: Gives the documents' token vectors.
        offsets: Document n owns the tokens offsets[n] to offsets[n + 1], [N + 1].

    Returns:
        Sums over query tokens, [M, N].
    """
    return _sums(queries, load, offsets, way=IN_PARALLEL if thread_count() > 1 else IN_TURN)


def maxsim_coded(
    queries: MultiVectors, load: LoadCodes, offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The same of tokens that are stored as int8, where `codes.in_integers` says that it pays."""
    return _sums(queries, load, offsets, way=IN_INTEGERS)


def _sums(
    queries: MultiVectors,
    load: Callable[[int, int], Block],
    offsets: NDArray[np.int64],
    *,
    way: _Way[Block],
) -> NDArray[np.float32]:
    scores = np.zeros((len(queries), len(offsets) - 1), dtype=np.float32)
    if queries.dim == 0 or not len(queries.vectors):
        return scores
    budget = max(LEAST_TOKENS, way.block_bytes // (4 * queries.dim))  # 4 bytes a float32

    groups = [
        (slice(row, row + way.query_rows), way.prepare(queries.vectors[row : row + way.query_rows]))
        for row in range(0, len(queries.vectors), way.query_rows)
    ]

    def score_run(run: tuple[int, int]) -> None:
        first, last = run
        best = np.full((len(queries.vectors), last - first), -np.inf, dtype=np.float32)
        stop = int(offsets[last])
        for start in range(int(offsets[first]), stop, budget):  # one step, but for giants
            block = load(start, min(start + budget, stop))
            starts = np.maximum(offsets[first:last] - start, 0)
            for rows, best_of in groups:
                np.maximum(best[rows], best_of(block, starts), out=best[rows])
        scores[:, first:last] = np.add.reduceat(best, queries.offsets[:-1], axis=0)  # -> [M, n]

    way.spread(score_run, list(runs(offsets, budget)))
    return scores


def runs(offsets: NDArray[np.int64], budget: int) -> Iterator[tuple[int, int]]:
    """Cut documents into runs [first, last) within the budget; a giant is a run of its own."""
    first, count = 0, len(offsets) - 1
    while first < count:
        last = int(np.searchsorted(offsets, offsets[first] + budget, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last
