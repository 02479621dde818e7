"""Several widths of token vectors, trained together."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def matryoshka_sum(losses: Mapping[int, Tensor], *, weights: Mapping[int, float]) -> Tensor:
    """The weighted sum of one loss at several widths: sum_d c_d L_d.

    Args:
        losses: The loss at each width, scalars.
        weights: c of each width; a width that is not named weighs 1.

    Relations:
        Each L_d is any other loss, on scores of the vectors of width d. Jina-ColBERT-v2 makes them
        by a linear layer each; `prefix` makes those of tied heads.

    Returns:
        A scalar.

    Raises:
        ValueError: A weight for a width that is not trained.

    Source: Kusupati et al. 2022, "Matryoshka Representation Learning", arXiv 2205.13147, equation
        1, as Jina-ColBERT-v2 takes it, arXiv 2408.16672.
    """
    stray = sorted(set(weights) - set(losses))
    if stray:
        raise ValueError(f"weights for the widths {stray}, but those trained are {sorted(losses)}")
    return torch.stack([weights.get(dim, 1.0) * loss for dim, loss in losses.items()]).sum()


def prefix(vectors: Tensor, *, dim: int) -> Tensor:
    """The first numbers of each vector, at unit length again: what a tied head gives.

    Args:
        vectors: Token vectors of the widest head, before they are scaled, [..., E].
        dim: How many numbers to keep.

    Returns:
        Vectors of unit length, [..., dim].

    Source: MRL-E of arXiv 2205.13147.
    """
    return functional.normalize(vectors[..., :dim], dim=-1)
