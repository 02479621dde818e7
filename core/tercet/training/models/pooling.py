"""Token states of padded texts as one state a text, differentiable."""

import torch
from torch import Tensor

from tercet.models.spec import Pooling
from tercet.training.models.texts import TokenBatch


def pool(kind: Pooling, states: Tensor, batch: TokenBatch) -> Tensor:
    """One state a text, [N, H], in float32; the same numbers as the encoder's dense view.

    Args:
        kind: How.
        states: Token states, [N, L, H].
        batch: The texts.
    """
    if kind == "cls":
        return states[:, 0].float()
    if kind == "last":
        places = torch.arange(states.shape[1], device=states.device)
        last = (batch.attended * places).argmax(dim=1)  # [N]
        return states[torch.arange(len(batch), device=states.device), last].float()
    if kind == "max":
        return states.masked_fill(~batch.pooled.unsqueeze(-1), -torch.inf).amax(dim=1).float()
    weights = batch.pooled.float()  # [N, L]
    if kind == "weighted_mean":  # by position from 1, as in SGPT
        weights = weights * weights.cumsum(dim=1)
    total = weights.sum(dim=1, keepdim=True)
    shares = weights / (total.sqrt() if kind == "mean_sqrt" else total)
    return torch.einsum("nl,nlh->nh", shares, states.float())
