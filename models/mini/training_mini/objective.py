"""What the student learns: the published backbone's own late interaction, in fewer dimensions."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from training_mini.batches import Batch
from training_mini.scoring import dense_vectors, late_interaction, lexical_scores
from training_mini.student import Read, Student

PAIRS = 768  # document tokens whose inner products are compared
ALIKE = 0.5  # inner products above it count more, since late interaction reads the largest
LEAST = 0.05  # weight of all others


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the student is trained.

    Attributes:
        steps: Optimiser steps.
        queries: Queries of a step from each kind of text.
        learning_rate: Of the layers, the peak; a cosine takes it to 0.
        head_learning_rate: Of the heads.
        temperature: Divides the teacher's late interaction, means of cosines over query tokens.
        lexical_temperature: Divides lexical scores.
        tokens: Weight of the squared error of inner products between tokens.
        dense: Weight of one minus the cosine of the dense vectors to the published ones.
        sparse: Weight of all that concerns the lexical weights.
        price: Weight of the documents' mean lexical weight, which pushes words to 0.
        clip: The largest norm of a gradient.
    """

    steps: int = 500
    queries: tuple[int, ...] = (5, 4, 3, 4, 5)
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    temperature: float = 0.01
    lexical_temperature: float = 0.1
    tokens: float = 20.0
    dense: float = 20.0
    sparse: float = 0.5
    price: float = 0.3
    clip: float = 2.0


class Objective(nn.Module):
    """The loss of a batch, and the two sharpnesses that it learns."""

    def __init__(self, recipe: Recipe) -> None:
        """Begin at the temperatures of the recipe."""
        super().__init__()
        self.recipe = recipe
        self.sharpness = nn.Parameter(torch.zeros(2))

    def forward(self, student: Student, batch: Batch) -> torch.Tensor:
        """Compare the student with its teacher on some queries and documents.

        The teacher is late interaction over all 384 dimensions of the published states. Both the
        token vectors and the lexical weights learn its softmax over the documents of the batch;
        the lexical weights learn the labels too (InfoNCE).

        Args:
            student: What learns.
            batch: The texts.

        Returns:
            A scalar.
        """
        recipe = self.recipe
        queries, documents = batch.read(student)
        found = student.vectors(documents)
        similarity = student.vectors(queries) @ found.T
        with torch.no_grad():
            wide = functional.normalize(documents.taught, dim=1)
            taught = functional.normalize(queries.taught, dim=1) @ wide.T
            teacher = late_interaction(taught, queries, documents) / recipe.temperature
        own = late_interaction(similarity, queries, documents) / recipe.temperature
        weights = student.weights(documents)
        lexical = lexical_scores(queries, student.weights(queries), documents, weights)
        lexical = lexical * self.sharpness[1].exp() / recipe.lexical_temperature
        return (
            divergence(own * self.sharpness[0].exp(), teacher)
            + recipe.tokens * token_error(similarity, taught)
            + recipe.tokens * pair_error(found, wide)
            + recipe.dense * sum(dense_error(texts) for texts in (queries, documents))
            + recipe.sparse
            * (
                divergence(lexical, teacher)
                + functional.cross_entropy(lexical, batch.positives)
                + recipe.price * weights.mean()
            )
        )


def divergence(scores: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Divergence of the scores' softmax over documents from the teacher's, mean over queries."""
    return functional.kl_div(
        functional.log_softmax(scores, dim=1),
        functional.log_softmax(teacher, dim=1),
        log_target=True,
        reduction="batchmean",
    )


def token_error(similarity: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Squared error of query-to-document inner products, the large ones counting more."""
    weight = torch.relu(taught - ALIKE) + LEAST
    return ((similarity - taught).square() * weight).sum() / weight.sum()


def pair_error(found: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
    """Squared error of inner products among document tokens drawn at random."""
    drawn = torch.randint(len(found), (PAIRS,))
    return (found[drawn] @ found[drawn].T - wide[drawn] @ wide[drawn].T).square().mean()


def dense_error(texts: Read) -> torch.Tensor:
    """One minus the cosine of the dense vector to the published one, mean over texts."""
    own, published = (dense_vectors(states, texts) for states in (texts.states, texts.taught))
    return (1 - (own * published).sum(dim=1)).mean()
