"""Batches of queries and documents, as rows of their token states."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training_mini.backbone import TokenStates

SAMPLE = 50_000  # document tokens drawn from each pool
HARD = 30  # a query's best documents by dense score, from which its hard ones are drawn


@dataclass(frozen=True, slots=True)
class Texts:
    """The tokens of some texts, one text after another.

    Attributes:
        states: Last hidden states, float16, [tokens, 384].
        ids: Token ids, [tokens].
        owner: Which text of the batch a token belongs to, [tokens].
        lengths: Tokens of each text, [N].
    """

    states: torch.Tensor
    ids: torch.Tensor
    owner: torch.Tensor
    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries, the documents that all of them are scored against, and which one is relevant."""

    queries: Texts
    documents: Texts
    positives: torch.Tensor


class Pool:
    """Queries of one kind, their documents, and which of these are hard for them."""

    def __init__(
        self,
        queries: TokenStates,
        documents: TokenStates,
        *,
        positives: NDArray[np.int64],
        candidates: NDArray[np.int64],
    ) -> None:
        """Find each query's hard documents.

        Args:
            queries: The training queries.
            documents: The documents.
            positives: The relevant document of each query, [N].
            candidates: The documents that training may see.
        """
        self.queries, self.documents = queries, documents
        self.positives, self.candidates = positives, candidates
        scores = dense_vectors(queries) @ dense_vectors(documents)[candidates].T
        self.hard = candidates[np.argpartition(-scores, HARD, axis=1)[:, :HARD]]  # [N, HARD]


class Batches:
    """Draws queries with their relevant document and some that look like it."""

    def __init__(self, pools: Sequence[Pool], *, seed: int) -> None:
        """Take the pools to draw from, as many queries from each.

        Args:
            pools: Kinds of text.
            seed: Of the draws.
        """
        self.pools = pools
        self.random = np.random.default_rng(seed)

    def draw(self, size: int, *, hard: int) -> Batch:
        """Draw queries; every document of the batch is scored against every one of them.

        Args:
            size: Queries from each pool.
            hard: Hard documents of each query.
        """
        queries: list[Texts] = []
        documents: list[Texts] = []
        positives: list[NDArray[np.int64]] = []
        for pool in self.pools:
            chosen = self.random.choice(len(pool.queries), size, replace=False)
            columns = self.random.integers(0, HARD, (size, hard))
            drawn = pool.hard[chosen[:, None], columns]
            rows = np.unique(np.concatenate([pool.positives[chosen], drawn.ravel()]))
            seen = sum(len(texts.lengths) for texts in documents)
            positives.append(np.searchsorted(rows, pool.positives[chosen]) + seen)
            queries.append(gather(pool.queries, chosen.tolist()))
            documents.append(gather(pool.documents, rows.tolist()))
        relevant = torch.from_numpy(np.concatenate(positives))
        return Batch(join(queries), join(documents), relevant)


def join(parts: Sequence[Texts]) -> Texts:
    """Put texts behind one another."""
    lengths = [length for part in parts for length in part.lengths]
    return Texts(
        torch.cat([part.states for part in parts]),
        torch.cat([part.ids for part in parts]),
        torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        lengths,
    )


def gather(texts: TokenStates, chosen: Sequence[int]) -> Texts:
    """Copy the tokens of some texts."""
    rows = [texts.rows(text) for text in chosen]
    lengths = [row.stop - row.start for row in rows]
    return Texts(
        torch.from_numpy(np.concatenate([texts.states[row] for row in rows])),
        torch.from_numpy(np.concatenate([texts.ids[row] for row in rows])),
        torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(lengths)),
        lengths,
    )


def sample_tokens(pools: Sequence[Pool], *, seed: int) -> torch.Tensor:
    """Draw as many document tokens from each pool, at unit length, [tokens, 384]."""
    random = np.random.default_rng(seed)
    drawn = []
    for pool in pools:
        chosen = pool.candidates.tolist()
        rows = np.concatenate([np.r_[pool.documents.rows(text)] for text in chosen])
        picked = np.sort(random.choice(rows, SAMPLE))
        drawn.append(torch.from_numpy(pool.documents.states[picked]).float())
    return functional.normalize(torch.cat(drawn), dim=1)


def dense_vectors(texts: TokenStates) -> NDArray[np.float32]:
    """Pool each text as the backbone does: the mean of its states at unit length, [N, 384]."""
    pooled = np.stack(
        [
            texts.states[texts.rows(text)].mean(axis=0, dtype=np.float32)
            for text in range(len(texts))
        ]
    )
    unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return unit
