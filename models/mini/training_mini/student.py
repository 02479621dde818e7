"""What is trained: the upper layers of the backbone, the sparse head and the token head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import BertModel

from training_mini.backbone import FROZEN_LAYERS, TokenStates

DIM = 128
LIKE = 1.25  # texts whose lengths differ by less are padded together
SLACK = 8  # tokens by which lengths may differ in any case


@dataclass(frozen=True, slots=True)
class Read:
    """Some texts as the student and as the published backbone read them.

    Attributes:
        states: The student's last states, float32, [tokens, 384].
        taught: The published backbone's, float32, [tokens, 384].
        ids: Token ids, [tokens].
        lengths: Tokens of each text, [N].
    """

    states: torch.Tensor
    taught: torch.Tensor
    ids: torch.Tensor
    lengths: list[int]

    @property
    def owner(self) -> torch.Tensor:
        """Which text a token belongs to, [tokens]."""
        return torch.repeat_interleave(torch.arange(len(self.lengths)), torch.tensor(self.lengths))


class Student(nn.Module):
    """The upper layers of a BERT and two heads; the layers below are frozen and run before."""

    def __init__(self, model: BertModel) -> None:
        """Take the layers over.

        Args:
            model: The published backbone, in float32; its upper layers are trained in place.
        """
        super().__init__()
        width = model.config.hidden_size
        self.layers = nn.ModuleList(model.encoder.layer[FROZEN_LAYERS:])
        self.sparse = nn.Linear(width, 1)
        self.tokens = nn.Linear(width, DIM, bias=False)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the upper layers.

        Args:
            states: Above the frozen layers, [N, L, 384].
            mask: Which of them are tokens, [N, L].

        Returns:
            Last states, [N, L, 384].
        """
        for layer in self.layers:
            states = layer(states, attention_mask=mask[:, None, None, :])
        return states

    def read(self, texts: TokenStates, chosen: Sequence[int]) -> Read:
        """Read some texts, those of like length together."""
        parts: dict[int, torch.Tensor] = {}
        for group in _alike(texts, chosen):
            width = texts.length(group[-1])
            lower = torch.zeros(len(group), width, texts.lower.shape[1], dtype=torch.bfloat16)
            mask = torch.zeros(len(group), width, dtype=torch.bool)
            for row, text in enumerate(group):
                lower[row, : texts.length(text)] = texts.lower[texts.rows(text)]
                mask[row, : texts.length(text)] = True
            with torch.autocast("cpu", torch.bfloat16):
                states = self(lower, mask)
            parts.update(
                (text, states[row, : texts.length(text)]) for row, text in enumerate(group)
            )
        rows = [texts.rows(text) for text in chosen]
        return Read(
            torch.cat([parts[text] for text in chosen]).float(),
            torch.cat([texts.upper[row] for row in rows]).float(),
            torch.cat([texts.ids[row] for row in rows]),
            [texts.length(text) for text in chosen],
        )

    def vectors(self, texts: Read) -> torch.Tensor:
        """Give token vectors at unit length, [tokens, 128]."""
        return functional.normalize(self.tokens(texts.states), dim=1)

    def weights(self, texts: Read) -> torch.Tensor:
        """Give the lexical weight of each token, [tokens]."""
        return torch.relu(self.sparse(texts.states)).squeeze(1)


def join(parts: Sequence[Read]) -> Read:
    """Put texts behind one another."""
    return Read(
        torch.cat([part.states for part in parts]),
        torch.cat([part.taught for part in parts]),
        torch.cat([part.ids for part in parts]),
        [length for part in parts for length in part.lengths],
    )


def main_directions(states: torch.Tensor) -> torch.Tensor:
    """Find the directions that hold most of the tokens' energy; centring would hurt.

    Args:
        states: Token states at unit length, [tokens, E].

    Returns:
        Orthonormal rows, [128, E].
    """
    _, directions = torch.linalg.eigh(states.T @ states)
    main: torch.Tensor = directions[:, -DIM:].T.flip(0).contiguous()
    return main


def _alike(texts: TokenStates, chosen: Sequence[int]) -> list[list[int]]:
    """Group texts whose lengths are close, shortest first."""
    ordered = sorted(chosen, key=texts.length)
    lengths = np.array([texts.length(text) for text in ordered])
    groups: list[list[int]] = []
    start = 0
    while start < len(ordered):
        limit = max(lengths[start] * LIKE, lengths[start] + SLACK)
        end = int(np.searchsorted(lengths, limit, side="right"))
        groups.append(ordered[start:end])
        start = end
    return groups
