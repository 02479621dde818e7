"""Low-rank adapters on the linear layers of a backbone, by the `peft` library.

    y = W x + (alpha / rank) B A x,   A: [rank, inputs], B: [outputs, rank], B = 0 at first

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", equation 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tercet.errors import require

ADAPTER = "default"
"""peft's name of the one adapter that a model has."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """The settings of the adapters.

    Attributes:
        rank: Rows of A.
        alpha: Scales what the adapters add, over the rank.
        dropout: Share of the inputs of A that are dropped in training.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0


def add_adapters(backbone: nn.Module, settings: LowRank, *, seed: int) -> None:
    """Put an adapter beside every linear layer; from then on, only they are trained.

    Args:
        backbone: Changed in place.
        settings: Of the adapters.
        seed: Of the random numbers in A.
    """
    peft = require("peft", extra="train")
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=[
            name for name, module in backbone.named_modules() if type(module) is nn.Linear
        ],
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, backbone)


def merge_adapters(backbone: nn.Module) -> None:
    """Add the adapters to the layers that they stand beside, and take them away."""
    for name, layer in list(_adapted(backbone)):
        layer.merge()
        parent, _, own = name.rpartition(".")
        setattr(backbone.get_submodule(parent), own, layer.get_base_layer())


def merged_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a backbone as if its adapters were merged; it stays as it is."""
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in backbone.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in _adapted(backbone):
        state[f"{name}.weight"] = state[f"{name}.weight"] + layer.get_delta_weight(ADAPTER)
    return state


def _adapted(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers with an adapter, by name."""
    for name, module in backbone.named_modules():
        if hasattr(module, "lora_A"):
            yield name, module
