"""The dense view: token states become one vector a text."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tercet.encoding.heads.projection import Projection
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.models.spec import DenseHead, Pooling


class DenseView:
    """Pools the states of a pass, projects them, and joins the passes of a text."""

    def __init__(self, head: DenseHead, projection: Projection) -> None:
        self._head, self._projection = head, projection

    def vectors(
        self, states: Tensor, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> NDArray[np.float32]:
        """One vector a pass, [P, E].

        Args:
            states: Of all rows, pass after pass, [rows, H].
            passes: What was read.
            texts: Where from.
        """
        pooled = [self._pool(pooling, states, passes, texts) for pooling in self._head.pooling]
        joined = torch.cat(pooled, dim=1)  # [P, H * poolings]
        vectors = self._projection(joined.to(states.dtype)) if self._head.layers else joined
        return self._scaled(vectors.float()).numpy(force=True)

    def join(
        self, vectors: NDArray[np.float32], passes: Sequence[Pass], *, texts: int
    ) -> NDArray[np.float32]:
        """One vector a text: the mean of its passes' vectors, weighted by their own tokens, [N, E].

        A text of one pass keeps that pass's vector to the last bit.
        """
        owners = np.asarray([item.text for item in passes])
        of_text = np.bincount(owners, minlength=texts)
        own = np.asarray([item.owned.sum() for item in passes], dtype=np.float32)
        several = of_text[owners] > 1
        weights = np.where(several, own, np.float32(1))
        joined = np.zeros((texts, vectors.shape[1]), dtype=np.float32)
        np.add.at(joined, owners, vectors * weights[:, None])
        many = of_text > 1
        if many.any():
            sums = np.bincount(owners, weights=weights, minlength=texts)[many, None]
            mean = torch.from_numpy(joined[many] / sums.astype(np.float32))
            joined[many] = self._scaled(mean).numpy()
        return joined

    def _scaled(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=-1) if self._head.normalise else vectors

    def _pool(
        self,
        pooling: Pooling,
        states: Tensor,
        passes: Sequence[Pass],
        texts: Sequence[TokenisedText],
    ) -> Tensor:
        """One state a pass, [P, H], in float32."""
        starts = np.cumsum([0, *map(len, passes)])[:-1]
        chosen = [
            start + _rows(pooling, item, self._prompt(texts[item.text]))
            for start, item in zip(starts, passes, strict=True)
        ]
        if all(len(rows) == 1 for rows in chosen):  # nothing to reduce, so nothing to round
            return states[torch.from_numpy(np.concatenate(chosen)).to(states.device)].float()
        if pooling == "max":
            picked = [states[torch.from_numpy(rows).to(states.device)] for rows in chosen]
            return torch.stack([rows.amax(dim=0) for rows in picked]).float()
        shares = np.zeros((len(passes), len(states)), dtype=np.float32)
        for n, rows in enumerate(chosen):
            shares[n, rows] = _shares(pooling, len(rows))
        return torch.from_numpy(shares).to(states.device) @ states.float()  # [P, rows] @ [rows, H]

    def _prompt(self, text: TokenisedText) -> int:
        return 0 if self._head.include_prompt else text.prompt


def _rows(pooling: Pooling, item: Pass, prompt: int) -> NDArray[np.int64]:
    """Rows of a pass that a pooling reads."""
    if pooling == "cls":
        return item.pooled
    if pooling == "last":
        return np.asarray([item.visible - 1])
    rows = np.flatnonzero(item.rows[: item.visible] >= prompt)
    return rows if len(rows) else np.arange(item.visible)


def _shares(pooling: Pooling, rows: int) -> NDArray[np.float64]:
    """What each of the rows read adds to the pooled state."""
    if pooling == "weighted_mean":  # by position from 1, as in SGPT
        places = np.arange(1, rows + 1)
        shares: NDArray[np.float64] = places / places.sum()
        return shares
    return np.full(rows, 1 / math.sqrt(rows) if pooling == "mean_sqrt" else 1 / rows)
