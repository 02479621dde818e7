"""Guessing tokens: from a state to the vocabulary, with the backbone's own embedding table."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tercet.training.guessing.masking import UNSCORED

ROWS_AT_ONCE = 1024
"""States whose scores over the vocabulary are in memory together."""


class VocabularyHead(nn.Module):
    """BERT's head for masked words: a layer, then the inner product with each token's embedding.

    It is used in training alone and is not part of the model that is saved.
    """

    def __init__(self, *, vocabulary: int, hidden: int) -> None:
        """Start afresh.

        Args:
            vocabulary: V, rows of the backbone's embedding table.
            hidden: H.
        """
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """Score every token of the vocabulary.

        Args:
            states: [M, H].
            table: The backbone's token embeddings, [V, H].

        Returns:
            [M, V].
        """
        guessed = self.norm(functional.gelu(self.dense(states)))
        return functional.linear(guessed, table, self.bias)

    def loss(self, states: Tensor, labels: Tensor, table: Tensor) -> Tensor:
        """Mean cross-entropy over the tokens guessed; 0 where none is.

        Scores over the vocabulary are computed some rows at a time, forward and backward, so that
        memory does not grow with the length of the texts.

        Args:
            states: [N, L, H].
            labels: Ids of the tokens guessed, -100 elsewhere, [N, L].
            table: The backbone's token embeddings, [V, H].

        Returns:
            A scalar.
        """
        chosen = labels != UNSCORED
        picked, targets = states[chosen], labels[chosen]  # [M, H], [M]
        total = states.new_zeros(())
        for start in range(0, len(targets), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            part: Tensor = checkpoint(
                self._sum, picked[rows], targets[rows], table, use_reentrant=False
            )
            total = total + part
        return total / max(len(targets), 1)

    def _sum(self, states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
        return functional.cross_entropy(self(states, table), targets, reduction="sum")
