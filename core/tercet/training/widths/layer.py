"""Matryoshka widths: several heads of token vectors in one layer, trained together, taken singly.

The heads of all widths stand one below the other in the rows of one linear layer, so a model with
six heads is an ordinary model while it is trained: its batches, cached gradients and checkpoints
need to know nothing of widths. A width's vectors are the columns of its head, at unit length.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tercet.encoding.heads.projection import load_projection
from tercet.models.spec import LateInteraction, LinearLayer
from tercet.training.models.model import TokenVectors, TrainingModel

JINA_WIDTHS = (64, 96, 128, 256, 512, 768)
"""Of Jina-ColBERT-v2 (arXiv 2408.16672)."""


@dataclass(frozen=True, slots=True)
class Widths:
    """Which lengths of token vectors are trained together.

    Attributes:
        dims: The lengths, ascending; none trains the model's own head alone.
        heads: "separate", a head each, or "tied": each width is the first columns of the widest.
        weights: What the loss of each width counts; none counts them alike.
    """

    dims: tuple[int, ...] = ()
    heads: Literal["separate", "tied"] = "separate"
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check that widths ascend, and that each has its weight."""
        if list(self.dims) != sorted(set(self.dims)) or any(dim < 1 for dim in self.dims):
            raise ValueError(f"widths are {list(self.dims)}; ascending lengths belong there")
        if self.weights and len(self.weights) != len(self.dims):
            raise ValueError(f"{len(self.weights)} weights for {len(self.dims)} widths")

    @property
    def total(self) -> int:
        """Rows of the layer that holds all heads."""
        return max(self.dims) if self.heads == "tied" else sum(self.dims)

    def columns(self, dim: int) -> slice:
        """Where the vectors of one width stand among those of all heads."""
        if self.heads == "tied":
            return slice(0, dim)
        start = sum(other for other in self.dims if other < dim)
        return slice(start, start + dim)

    def weight(self, dim: int) -> float:
        """What the loss of one width counts."""
        return self.weights[self.dims.index(dim)] if self.weights else 1.0

    def views(self, vectors: TokenVectors) -> dict[int, TokenVectors]:
        """The token vectors of each width; those of the model's own head where there is none.

        Args:
            vectors: Of all heads, as the model gives them, [N, L, total].
        """
        if not self.dims:
            return {vectors.vectors.shape[2]: vectors}
        parts = {dim: vectors.vectors[..., self.columns(dim)] for dim in self.dims}
        return {
            dim: TokenVectors(functional.normalize(part, dim=-1), vectors.mask)
            for dim, part in parts.items()
        }


def give_widths(model: TrainingModel, widths: Widths, *, seed: int) -> None:
    """Give a model the heads of all widths; nothing happens where it has them already.

    A head of one of the widths that the model has (of one layer without bias) is where that width
    starts, or the first columns of tied heads; the rest is drawn at random.

    Args:
        model: Changed in place.
        widths: The widths.
        seed: Of the random numbers.
    """
    late = model.spec.multi_vector or LateInteraction(0)
    if not widths.dims or late.dim == widths.total:
        return
    weight = draw_weight(widths.total, model.spec.hidden, seed=seed)
    known = token_weight(model)
    if known is not None and len(known) in widths.dims:
        weight[widths.columns(len(known))] = known
    set_token_head(model, weight)


def draw_weight(outputs: int, inputs: int, *, seed: int) -> Tensor:
    """A fresh layer as torch draws its own, [outputs, inputs]."""
    bound = 1 / math.sqrt(inputs)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)


def take_width(model: TrainingModel, widths: Widths, dim: int) -> None:
    """Leave a model the head of one width, as a model of its own.

    Args:
        model: Changed in place.
        widths: Those that it has.
        dim: The one that stays.

    Raises:
        ValueError: It is none of them.
    """
    if dim not in widths.dims:
        raise ValueError(f"no head of {dim} dimensions was trained; there are {list(widths.dims)}")
    weight = token_weight(model)
    if weight is None or len(weight) != widths.total:
        raise ValueError("the model's head is not that of these widths")
    set_token_head(model, weight[widths.columns(dim)].clone())


def token_weight(model: TrainingModel) -> Tensor | None:
    """The one layer without bias that makes a model's token vectors, [E, H]; else None."""
    layers = () if model.spec.multi_vector is None else model.spec.multi_vector.layers
    plain = len(layers) == 1 and replace(layers[0], file="", prefix="") == LinearLayer(
        layers[0].inputs, layers[0].outputs, bias=False
    )
    if not plain or model.multi_vector_layers is None:
        return None
    weight: Tensor = next(model.multi_vector_layers.parameters()).detach()
    return weight


def set_token_head(model: TrainingModel, weight: Tensor) -> None:
    """Let one layer without bias make a model's token vectors.

    Args:
        model: Changed in place; its conventions of late interaction stay.
        weight: [E, H].
    """
    outputs, inputs = weight.shape
    layers = (LinearLayer(inputs, outputs, bias=False),)
    late = model.spec.multi_vector or LateInteraction(outputs, reduction="mean")
    model.spec = replace(model.spec, multi_vector=replace(late, dim=outputs, layers=layers))
    model.multi_vector_layers = load_projection(
        layers,
        {"multi_vector.0.weight": weight.detach().clone()},
        role="multi_vector",
        device=model.device,
        dtype=torch.float32,
        packed=False,
    )
