"""The dense view: token states become one vector a text."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tercet.encoding.heads.pooling import PooledView, shares
from tercet.encoding.heads.projection import Projection
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.transfers import to_device
from tercet.models.spec import DenseHead, Pooling


class DenseView(PooledView):
    """Pools the states of a pass and projects them."""

    def __init__(self, head: DenseHead, projection: Projection) -> None:
        super().__init__(head)
        self._projection = projection

    @torch.inference_mode()
    def vectors(
        self, states: Tensor, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> Tensor:
        """One vector a pass, [P, E].

        Args:
            states: Of all rows, pass after pass, [rows, H].
            passes: What was read.
            texts: Where from.
        """
        pooled = [self._pool(pooling, states, passes, texts) for pooling in self.head.pooling]
        joined = torch.cat(pooled, dim=1)  # [P, H * poolings]
        vectors = self._projection(joined.to(states.dtype)) if self.head.layers else joined
        scaled = functional.normalize(vectors.float(), dim=-1) if self.head.normalise else vectors
        return scaled.float()

    def _pool(
        self,
        pooling: Pooling,
        states: Tensor,
        passes: Sequence[Pass],
        texts: Sequence[TokenisedText],
    ) -> Tensor:
        """One state a pass, [P, H], in float32."""
        chosen = self.rows(pooling, passes, texts)
        if all(len(rows) == 1 for rows in chosen):  # nothing to reduce, so nothing to round
            return states[to_device(np.concatenate(chosen), states.device)].float()
        if pooling == "max":
            picked = [states[to_device(rows, states.device)] for rows in chosen]
            return torch.stack([rows.amax(dim=0) for rows in picked]).float()
        owners, rows, values = (to_device(each, states.device) for each in shares(pooling, chosen))
        weights = torch.zeros(len(chosen), len(states), device=states.device)
        weights[owners, rows] = values
        return weights @ states.float()  # [P, rows] @ [rows, H]
