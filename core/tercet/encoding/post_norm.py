"""BERT's layers in few steps, for models that differ in their embeddings alone.

One product makes queries, keys and values. A short query takes the time in which weights are read,
and these drive from the caches what Python needs for its steps: those of transformers, some thirty
modules a layer, took a quarter of it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from tercet.encoding.add_norm import AddedNorm
from tercet.encoding.attention import packed_attention
from tercet.encoding.kernel_attention import RunsAtOnce
from tercet.encoding.packing import Run
from tercet.encoding.varlen import Sequences

POST_NORM = frozenset({"bert", "camembert", "roberta", "xlm-roberta"})
"""Architectures of transformers whose layers these are."""

ROWS_AT_ONCE = 2048
"""Most rows that are widened together: a long text's wide states would be its peak of memory."""

Read = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What each row reads, from queries, keys and values, all [T, heads, head]."""


class PostNormLayer(nn.Module):
    """Attention and a network of two layers, each added to what it read and normalised after."""

    def __init__(self, layer: Any, *, heads: int) -> None:
        """Take the weights of a layer.

        Args:
            layer: transformers' own.
            heads: Of its attention.
        """
        super().__init__()
        asks, joins, ends = layer.attention.self, layer.attention.output, layer.output
        self._heads = heads
        self.ask = _stacked([asks.query, asks.key, asks.value])
        self.join, self.join_norm = joins.dense, AddedNorm(joins.LayerNorm)
        self.widen, self.activation = (
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
        )
        self.narrow, self.norm = ends.dense, AddedNorm(ends.LayerNorm)

    def forward(self, states: Tensor, read: Read) -> Tensor:
        """The next states.

        Args:
            states: [T, H].
            read: Attention.
        """
        joined = self.join_norm(self.join(self._attend(states, read)), states)
        following: Tensor = self.norm(self._widen(joined), joined)
        return following

    def _attend(self, states: Tensor, read: Read) -> Tensor:
        """What each row reads, [T, H]; queries, keys and values are gone when it is there."""
        asked = self.ask(states).view(len(states), 3, self._heads, -1)
        return read(*asked.unbind(1)).flatten(1)  # [T, heads, head] -> [T, H]

    def _widen(self, joined: Tensor) -> Tensor:
        """The second half, some rows after others: wide states are four times as long."""
        parts = torch.split(joined, ROWS_AT_ONCE)
        found = [self.narrow(self.activation(self.widen(part))) for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)


class PostNormModel(nn.Module):
    """Embeddings as transformers has them, and such layers."""

    def __init__(self, model: Any) -> None:
        """Take the weights of a model of transformers, layer after layer: memory stays flat."""
        super().__init__()
        self._heads: int = model.config.num_attention_heads
        self.embeddings, self.layers, own = model.embeddings, nn.ModuleList(), model.encoder.layer
        for n in range(len(own)):
            self.layers.append(PostNormLayer(own[n], heads=self._heads))
            own[n] = nn.Identity()

    def forward(
        self,
        *,
        input_ids: Tensor,
        position_ids: Tensor,
        runs: Sequence[Run],
        sequences: Sequences | RunsAtOnce | None,
    ) -> BaseModelOutput:
        """The last states of a pack, as `packed_attention` reads it.

        Args:
            input_ids: [1, T].
            position_ids: [1, T].
            runs: What stands where in the pack.
            sequences: The same for what computes all runs at once; None where nothing does.
        """
        states = self.embeddings(input_ids=input_ids, position_ids=position_ids)[0]
        head = states.shape[1] // self._heads
        read: Read = (
            partial(_read_runs, runs=runs)
            if sequences is None
            else partial(sequences, scale=head**-0.5, window=None)
        )
        for layer in self.layers:
            states = layer(states, read)
        return BaseModelOutput(last_hidden_state=states[None])


def _read_runs(query: Tensor, key: Tensor, value: Tensor, *, runs: Sequence[Run]) -> Tensor:
    """Attention run by run."""
    asked, known, told = (each.transpose(0, 1)[None] for each in (query, key, value))
    return packed_attention(nn.Identity(), asked, known, told, None, runs=runs)[0][0]


def _stacked(parts: Sequence[nn.Linear]) -> nn.Linear:
    """Layers that read the same as one, their outputs one behind another."""
    whole = nn.Linear(1, 1, device="meta")
    whole.in_features = parts[0].in_features
    whole.out_features = sum(part.out_features for part in parts)
    whole.weight = nn.Parameter(torch.cat([part.weight for part in parts]).detach())
    whole.bias = nn.Parameter(torch.cat([part.bias for part in parts]).detach())
    return whole.eval()
