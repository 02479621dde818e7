"""Tokenised texts as one batch of tensors, padded to the longest."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tercet.encoding.tokenised import TokenisedText


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """N texts of at most L tokens; False and the pad id stand behind shorter ones.

    Attributes:
        ids: Token ids, [N, L].
        attended: Keys that every row sees, [N, L].
        kept: Rows that have a token vector, at least one a text, [N, L].
        lexical: Rows that may have a lexical weight, [N, L].
        pooled: Rows that a mean reads, at least one a text, [N, L].
    """

    ids: Tensor
    attended: Tensor
    kept: Tensor
    lexical: Tensor
    pooled: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each text, expansion included, [N]."""
        behind = torch.arange(1, self.ids.shape[1] + 1, device=self.ids.device)
        return ((self.attended | self.kept) * behind).amax(dim=1)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of it, in the order of the attributes."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def to(self, device: torch.device) -> Self:
        """The same texts elsewhere."""
        return type(self)(*(tensor.to(device) for tensor in self.tensors))

    def take(self, rows: Tensor) -> Self:
        """Some of the texts, padded to the longest of them.

        Args:
            rows: Which ones, in order, [chosen].
        """
        longest = int(self.lengths[rows].max())
        return type(self)(*(tensor[rows, :longest] for tensor in self.tensors))


def pad_texts(texts: Sequence[TokenisedText], *, pad: int, include_prompt: bool) -> TokenBatch:
    """Put texts into one batch.

    Args:
        texts: The texts, N; each is read in one pass.
        pad: Id of the pad token.
        include_prompt: Whether a mean reads the prompt's tokens too.
    """
    pooled = []
    for text in texts:
        own = text.attended.copy()
        own[: 0 if include_prompt else text.prompt] = False
        pooled.append(own if own.any() else text.attended)
    return TokenBatch(
        ids=_padded([text.ids for text in texts], pad),
        attended=_padded([text.attended for text in texts], 0),
        kept=_padded([_some(text.keep) for text in texts], 0),
        lexical=_padded([text.lexical for text in texts], 0),
        pooled=_padded(pooled, 0),
    )


def _some(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The rows kept; the first one where there is none, as the encoder has it."""
    return keep if keep.any() else np.arange(len(keep)) < 1


def _padded(rows: Sequence[NDArray[np.generic]], fill: int) -> Tensor:
    """The rows one below the other, [N, longest]."""
    batch = np.full((len(rows), max(map(len, rows))), fill, dtype=rows[0].dtype)
    for n, row in enumerate(rows):
        batch[n, : len(row)] = row
    return torch.from_numpy(batch)
