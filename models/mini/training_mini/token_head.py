"""The token-vector head: 128 dimensions that keep what late interaction sees in 384."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from training_mini.batches import Batch, Batches, Texts
from training_mini.schedule import cosine

GRAM_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class TokenHeadRecipe:
    """How the head is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Queries of a step from each pool.
        hard: Hard documents drawn for each query.
        learning_rate: The peak; a cosine takes it to 0.
        teacher_temperature: Divides the teacher's scores, means of cosines over the query tokens.
        contrast: Weight of InfoNCE with the labels.
        contrast_temperature: Divides the student's scores in InfoNCE.
        gram: Weight of the squared error of inner products between tokens drawn at random.
    """

    steps: int = 400
    batch: int = 6
    hard: int = 3
    learning_rate: float = 5e-4
    teacher_temperature: float = 0.01
    contrast: float = 0.0
    contrast_temperature: float = 0.02
    gram: float = 100.0
    dim: int = 128


def svd_projection(states: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Find the directions that hold most of the tokens' energy; centring would hurt.

    Args:
        states: Token states at unit length, [tokens, E].
        dim: How many directions.

    Returns:
        Orthonormal rows, [dim, E].
    """
    _, directions = torch.linalg.eigh(states.T @ states)
    projection: torch.Tensor = directions[:, -dim:].T.flip(0).contiguous()
    return projection


def train_token_head(
    batches: Batches, sample: torch.Tensor, recipe: TokenHeadRecipe
) -> torch.Tensor:
    """Distil late interaction over the full states into a projection.

    The teacher's score of a query and a document is the mean over query tokens of the best
    cosine among document tokens, in 384 dimensions; the student's is the same after the
    projection. The loss is the divergence of their softmax over the documents of a batch, plus
    the error of inner products between tokens of any text, which holds the projection in place
    where the training queries say nothing.

    Args:
        batches: Where queries and documents come from.
        sample: Token states at unit length from all kinds of text, [tokens, E].
        recipe: The settings.

    Returns:
        The projection, [dim, E].
    """
    weight = svd_projection(sample, dim=recipe.dim).requires_grad_()
    sharpness = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([weight, sharpness], lr=recipe.learning_rate)
    schedule = cosine(optimiser, steps=recipe.steps)
    for _ in range(recipe.steps):
        batch = batches.draw(recipe.batch, hard=recipe.hard)
        loss = _distillation(batch, weight, sharpness, recipe)
        loss = loss + recipe.gram * _gram_error(sample, weight)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    return weight.detach()


def _distillation(
    batch: Batch, weight: torch.Tensor, sharpness: torch.Tensor, recipe: TokenHeadRecipe
) -> torch.Tensor:
    teacher = functional.log_softmax(
        late_interaction(batch.queries, batch.documents) / recipe.teacher_temperature, dim=1
    )
    scores = late_interaction(batch.queries, batch.documents, weight)  # [N queries, N documents]
    student = functional.log_softmax(scores * sharpness.exp() / recipe.teacher_temperature, dim=1)
    loss = functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
    if recipe.contrast:
        scaled = scores * sharpness.exp() / recipe.contrast_temperature
        loss = loss + recipe.contrast * functional.cross_entropy(scaled, batch.positives)
    return loss


def _gram_error(sample: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    tokens = sample[torch.randint(len(sample), (GRAM_TOKENS,))]
    projected = functional.normalize(tokens @ weight.T, dim=1)
    return (projected @ projected.T - tokens @ tokens.T).square().mean()


def late_interaction(
    queries: Texts, documents: Texts, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Score every query against every document, the mean over query tokens of their best match.

    Args:
        queries: The queries.
        documents: The documents.
        weight: The projection, [dim, E]; None compares the states themselves.

    Returns:
        Scores, [N queries, N documents].
    """
    query = _project(queries.states, weight)  # [Q, dim]
    document = _project(documents.states, weight)  # [D, dim]
    similarity = query @ document.T  # [Q, D]
    starts = np.cumsum([0, *documents.lengths[:-1]]).tolist()
    parts = torch.split(similarity.detach(), documents.lengths, dim=1)
    best = [part.argmax(dim=1) + start for part, start in zip(parts, starts, strict=True)]
    pairs = similarity.gather(1, torch.stack(best, dim=1))  # -> [Q, N documents]
    total = torch.zeros(len(queries.lengths), pairs.shape[1]).index_add(0, queries.owner, pairs)
    return total / torch.tensor(queries.lengths)[:, None]


def _project(states: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Give token vectors at unit length, [tokens, dim]."""
    states = states.float()
    return functional.normalize(states if weight is None else states @ weight.T, dim=1)
