"""The sparse head: one lexical weight a token, in BGE-M3's form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from training_mini.batches import Batches, Pool, Texts
from training_mini.schedule import cosine

DROPPED = (0, 100, 101, 102)  # [PAD], [UNK], [CLS], [SEP]
VOCABULARY = 30_522
WIDTH = 384
RIDGE = 1e-3  # of the mean square of a state's dimension


@dataclass(frozen=True, slots=True)
class SparseHead:
    """A linear map from a token state to its lexical weight, before the ReLU.

    Attributes:
        weight: [384].
        bias: A scalar.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Give each token its weight, [tokens]."""
        return torch.relu(states.float() @ self.weight + self.bias)


@dataclass(frozen=True, slots=True)
class SparseHeadRecipe:
    """How the head is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Queries of a step from each pool.
        hard: Hard documents drawn for each query.
        learning_rate: The peak; a cosine takes it to 0.
        temperature: Divides lexical scores.
        sparsity: Weight of the documents' mean lexical weight, which pushes words to 0.
    """

    steps: int = 250
    batch: int = 10
    hard: int = 3
    learning_rate: float = 1e-3
    temperature: float = 0.1
    sparsity: float = 0.5


def regress_rarity(pools: Sequence[Pool]) -> SparseHead:
    """Start from rarity: the head whose weights are nearest to the square root of the IDF.

    Lexical weights of query and document are multiplied, so each side gets a root. Rarity is
    counted over the documents of all pools that training may see.

    Returns:
        The solution of the ridge regression.
    """
    chosen = [(pool.documents, int(doc)) for pool in pools for doc in pool.candidates]
    counts = np.zeros(VOCABULARY)
    for documents, doc in chosen:
        counts[np.unique(documents.ids[documents.rows(doc)])] += 1
    rarity = np.log1p((len(chosen) - counts + 0.5) / (counts + 0.5))  # as BM25 in Lucene
    normal = np.zeros((WIDTH + 1, WIDTH + 1))
    moment = np.zeros(WIDTH + 1)
    for documents, doc in chosen:
        ids = documents.ids[documents.rows(doc)]
        kept = ~np.isin(ids, DROPPED)
        states = documents.states[documents.rows(doc)][kept].astype(np.float32)
        states = np.pad(states, ((0, 0), (0, 1)), constant_values=1)  # the bias's column
        normal += states.T @ states
        moment += states.T @ np.sqrt(rarity[ids[kept]] / rarity.max())
    ridge = RIDGE * np.trace(normal) / len(normal)
    solution = np.linalg.solve(normal + ridge * np.eye(len(normal)), moment)
    weights = torch.from_numpy(solution).float()
    return SparseHead(weights[:-1], weights[-1])


def train_sparse_head(batches: Batches, start: SparseHead, recipe: SparseHeadRecipe) -> SparseHead:
    """Teach the head which words matter, by InfoNCE and a price on every weight.

    Args:
        batches: Where queries and documents come from.
        start: The head to begin with; it is left as it is.
        recipe: The settings.
    """
    head = SparseHead(start.weight.clone().requires_grad_(), start.bias.clone().requires_grad_())
    sharpness = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([head.weight, head.bias, sharpness], lr=recipe.learning_rate)
    schedule = cosine(optimiser, steps=recipe.steps)
    for _ in range(recipe.steps):
        batch = batches.draw(recipe.batch, hard=recipe.hard)
        scores = lexical_scores(batch.queries, batch.documents, head)
        logits = scores * sharpness.exp() / recipe.temperature
        loss = functional.cross_entropy(logits, batch.positives)
        loss = loss + recipe.sparsity * head(batch.documents.states).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    return SparseHead(head.weight.detach(), head.bias.detach())


def lexical_scores(queries: Texts, documents: Texts, head: SparseHead) -> torch.Tensor:
    """Sum the products of the weights that a query and a document give to the same token id.

    Args:
        queries: The queries.
        documents: The documents.
        head: Gives a token its weight.

    Returns:
        Scores, [N queries, N documents].
    """
    terms = torch.unique(queries.ids)
    terms = terms[~torch.isin(terms, torch.tensor(DROPPED))]
    return _weigh(queries, head, terms) @ _weigh(documents, head, terms).T


def _weigh(texts: Texts, head: SparseHead, terms: torch.Tensor) -> torch.Tensor:
    """Give each text the largest weight of each of the terms, [N, terms]."""
    column = torch.searchsorted(terms, texts.ids).clamp(max=len(terms) - 1)
    known = terms[column] == texts.ids
    cells = texts.owner[known] * len(terms) + column[known]
    empty = torch.zeros(len(texts.lengths) * len(terms))
    weights: torch.Tensor = empty.scatter_reduce(0, cells, head(texts.states[known]), "amax")
    return weights.reshape(len(texts.lengths), len(terms))
