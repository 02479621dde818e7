"""RetroMAE's decoder: one layer that rebuilds a text from one vector and a few of its words."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOWEST = 10_000.0
"""Base of the sinusoids: the longest wave is this many positions times 2 pi (Vaswani et al.)."""


class EnhancedDecoder(nn.Module):
    """One layer of attention in which each place asks with the text's vector and its position.

    Queries are h + p_i, keys and values the vector and the embedded tokens, each with its
    position; which tokens a place sees differs from place to place (`visible_tokens`). Dropped
    after training.

    From the paper: the two streams, the mask of each place, one layer, and the loss over all
    tokens of the text. Our choices: positions are fixed sinusoids, so that backbones with rotary
    positions are served too and any length is; the layer starts at random.

    Source: Xiao et al. 2022, "RetroMAE", arXiv 2205.12035, "enhanced decoding".
    """

    def __init__(self, *, hidden: int, heads: int, intermediate: int) -> None:
        """Start afresh.

        Args:
            hidden: H of the backbone.
            heads: Attention heads.
            intermediate: Width of the feed-forward part.
        """
        super().__init__()
        self.heads = heads
        self.entry = nn.LayerNorm(hidden)
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.attended = nn.LayerNorm(hidden)
        self.feed = nn.Sequential(
            nn.Linear(hidden, intermediate), nn.GELU(), nn.Linear(intermediate, hidden)
        )
        self.fed = nn.LayerNorm(hidden)

    def forward(self, vector: Tensor, embedded: Tensor, visible: Tensor) -> Tensor:
        """Rebuild the states of texts.

        Args:
            vector: One a text, from the encoder, [N, H].
            embedded: The tokens' input embeddings, [N, L, H].
            visible: Which tokens each place sees, [N, L, L].

        Returns:
            [N, L, H].
        """
        places = sinusoids(embedded.shape[1], embedded.shape[2]).to(embedded)  # [L, H]
        context = torch.cat([vector[:, None], embedded[:, 1:]], dim=1)
        keys = self.entry(context + places)
        asked = self.entry(vector[:, None] + places)  # [N, L, H]
        mixed = functional.scaled_dot_product_attention(
            self._split(self.query(asked)),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=visible[:, None],
        )
        joined = mixed.transpose(1, 2).reshape(embedded.shape)
        states: Tensor = self.attended(asked + self.out(joined))
        rebuilt: Tensor = self.fed(states + self.feed(states))
        return rebuilt

    def _split(self, x: Tensor) -> Tensor:
        """[N, L, H] -> [N, heads, L, H / heads]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def visible_tokens(real: Tensor, *, hidden: float, generator: torch.Generator) -> Tensor:
    """Draw what each place of a decoder sees: never its own token, always the text's vector.

    Args:
        real: Which rows are tokens, not padding, [N, L].
        hidden: Share of the other tokens that a place does not see.
        generator: Draws.

    Returns:
        [N, L, L]; row i is what place i sees, and column 0 is the vector.
    """
    texts, rows = real.shape
    drawn = torch.rand(texts, rows, rows, generator=generator) >= hidden
    drawn = drawn.to(real.device) & real[:, None, :]
    drawn &= ~torch.eye(rows, dtype=torch.bool, device=real.device)
    drawn[:, :, 0] = True
    return drawn


def sinusoids(rows: int, hidden: int) -> Tensor:
    """Fixed positions, sines beside cosines, [rows, hidden]; hidden is even."""
    waves = torch.exp(torch.arange(0, hidden, 2) * (-math.log(SLOWEST) / hidden))
    angles = torch.arange(rows)[:, None] * waves
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
