"""Batches of queries and documents, drawn from several kinds of text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training_mini.backbone import TokenStates
from training_mini.student import Read, Student, join

SAMPLE = 150  # documents of each kind whose tokens the first projection is fitted to
HARD = 30  # a query's best documents by dense score, from which its hard one is drawn


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries, the documents that all of them are scored against, and which one is relevant.

    Attributes:
        queries: Collections, and the rows drawn from each.
        documents: The same.
        positives: The column of each query's own document, [N queries].
    """

    queries: Sequence[tuple[TokenStates, list[int]]]
    documents: Sequence[tuple[TokenStates, list[int]]]
    positives: torch.Tensor

    def read(self, student: Student) -> tuple[Read, Read]:
        """Read the queries and the documents."""
        queries, documents = (
            join([student.read(texts, rows) for texts, rows in side])
            for side in (self.queries, self.documents)
        )
        return queries, documents


class Pool:
    """Queries of one kind, their documents, and which of these are hard for them."""

    def __init__(
        self,
        queries: TokenStates,
        documents: TokenStates,
        *,
        rows: Sequence[int],
        positives: Sequence[int],
        candidates: Sequence[int],
    ) -> None:
        """Find each query's hard documents.

        Args:
            queries: Where the queries are.
            documents: Where the documents are.
            rows: Which queries are of this kind, [N].
            positives: The relevant document of each of them, [N].
            candidates: The documents that training may see.
        """
        self.queries, self.documents = queries, documents
        self.rows, self.positives = np.array(rows), np.array(positives)
        self.candidates = np.array(candidates)
        scores = queries.dense()[self.rows] @ documents.dense()[self.candidates].T
        self.hard = self.candidates[scores.topk(HARD, dim=1).indices.numpy()]  # [N, HARD]


class Batches:
    """Draws queries with their relevant document and one that looks like it."""

    def __init__(self, pools: Sequence[Pool], queries: Sequence[int], *, seed: int) -> None:
        """Take the pools to draw from.

        Args:
            pools: Kinds of text.
            queries: How many of each are drawn.
            seed: Of the draws.
        """
        self.pools, self.queries = pools, queries
        self.random = np.random.default_rng(seed)

    def draw(self) -> Batch:
        """Draw queries; every document of the batch is scored against every one of them."""
        queries: list[tuple[TokenStates, list[int]]] = []
        documents: list[tuple[TokenStates, list[int]]] = []
        positives: list[NDArray[np.int64]] = []
        for pool, size in zip(self.pools, self.queries, strict=True):
            chosen = self.random.choice(len(pool.rows), size, replace=False)
            hard = pool.hard[chosen, self.random.integers(0, HARD, size)]
            rows = np.unique(np.concatenate([pool.positives[chosen], hard]))
            seen = sum(len(drawn) for _, drawn in documents)
            positives.append(np.searchsorted(rows, pool.positives[chosen]) + seen)
            queries.append((pool.queries, pool.rows[chosen].tolist()))
            documents.append((pool.documents, rows.tolist()))
        return Batch(queries, documents, torch.from_numpy(np.concatenate(positives)))

    def sample_tokens(self) -> torch.Tensor:
        """Draw document tokens at unit length, each kind of text counting alike, [tokens, 384]."""
        drawn = []
        for pool in self.pools:
            chosen = self.random.choice(pool.candidates, SAMPLE).tolist()
            tokens = torch.cat([pool.documents.upper[pool.documents.rows(text)] for text in chosen])
            states = functional.normalize(tokens.float(), dim=1)
            drawn.append(states / len(states) ** 0.5)
        return torch.cat(drawn)
