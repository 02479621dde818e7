"""The development sets: nDCG@10 of each view, and the weights of their sum."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from training_mini.backbone import TokenStates
from training_mini.scoring import dense_vectors, late_interaction, lexical_scores
from training_mini.student import Student

CANDIDATES = 200  # of the dense and of the sparse ranking, as in the plan `hybrid`
DEPTH = 10
BLOCK = 48  # documents scored at a time
SPARSE_WEIGHTS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
MULTI_VECTOR_WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """Questions about one collection, and what answers them.

    Attributes:
        queries: Where the questions are.
        rows: Which of them are asked, [N queries].
        documents: Where the documents are.
        candidates: Which of them are searched, [N documents].
        relevant: Which candidates answer a question, [N queries, N documents].
    """

    queries: TokenStates
    rows: list[int]
    documents: TokenStates
    candidates: list[int]
    relevant: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Views:
    """Scores of every query against every document, each [N queries, N documents]."""

    dense: NDArray[np.float32]
    sparse: NDArray[np.float32]
    multi_vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HybridWeights:
    """What each view's raw score counts in the sum."""

    dense: float
    sparse: float
    multi_vector: float


@torch.inference_mode()
def score_views(student: Student, judged: Judged) -> Views:
    """Score all queries against all documents in the three views."""
    asked = student.read(judged.queries, judged.rows)
    vectors, weights = student.vectors(asked), student.weights(asked)
    pooled = dense_vectors(asked.states, asked)
    scores: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for start in range(0, len(judged.candidates), BLOCK):
        block = student.read(judged.documents, judged.candidates[start : start + BLOCK])
        similarity = vectors @ student.vectors(block).T
        scores.append(
            (
                pooled @ dense_vectors(block.states, block).T,
                lexical_scores(asked, weights, block, student.weights(block)),
                late_interaction(similarity, asked, block),
            )
        )
    return Views(*(torch.cat(view, dim=1).numpy() for view in zip(*scores, strict=True)))


def hybrid(views: Views, weights: HybridWeights) -> NDArray[np.float32]:
    """Sum the views over the candidates that dense and sparse bring; the others get -inf."""
    total = (
        weights.dense * views.dense
        + weights.sparse * views.sparse
        + weights.multi_vector * views.multi_vector
    )
    candidates = _top(views.dense, CANDIDATES) | _top(views.sparse, CANDIDATES)
    scores: NDArray[np.float32] = np.where(candidates, total, -np.inf).astype(np.float32)
    return scores


def choose_weights(judged: Sequence[tuple[Views, NDArray[np.bool_]]]) -> HybridWeights:
    """Take the weights with the best nDCG@10; the dense view's is 1.

    Args:
        judged: Scores and relevance of several sets of queries, which count alike.
    """
    grid = [
        HybridWeights(dense=1.0, sparse=sparse, multi_vector=multi_vector)
        for sparse, multi_vector in product(SPARSE_WEIGHTS, MULTI_VECTOR_WEIGHTS)
    ]

    def quality(weights: HybridWeights) -> float:
        return sum(ndcg(hybrid(views, weights), relevant) for views, relevant in judged)

    return max(grid, key=quality)


def ndcg(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> float:
    """Measure nDCG@10 over all queries.

    Args:
        scores: [N queries, N documents].
        relevant: Which documents answer a query, at least one each, [N queries, N documents].
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    gains = np.take_along_axis(relevant, best, axis=1) @ discounts
    counts = np.minimum(relevant.sum(axis=1), DEPTH)
    return float(np.mean(gains / np.cumsum(discounts)[counts - 1]))


def _top(scores: NDArray[np.float32], depth: int) -> NDArray[np.bool_]:
    marks = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(marks, np.argpartition(-scores, depth, axis=1)[:, :depth], True, axis=1)
    return marks
