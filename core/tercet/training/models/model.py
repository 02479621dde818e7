"""The model that is trained: a backbone of transformers and the heads, all differentiable."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tercet.encoding.heads.projection import Projection, stored_tensors, unit
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizing import Tokenizer
from tercet.encoding.weights import Weights
from tercet.models.spec import ModelSpec
from tercet.training.models.low_rank import merged_state
from tercet.training.models.pooling import pool
from tercet.training.models.texts import TokenBatch, pad_texts


@dataclass(frozen=True, slots=True, eq=False)
class LexicalWeights:
    """One weight a token of N texts.

    Attributes:
        weights: 0 where a token has none, [N, L].
        ids: Term ids, [N, L].
    """

    weights: Tensor
    ids: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One vector a token of N texts.

    Attributes:
        vectors: At unit length, [N, L, D].
        mask: Which tokens have one, [N, L].
    """

    vectors: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What a model makes of N texts; None for a view that it lacks.

    Attributes:
        dense: One vector a text, [N, E].
        sparse: Lexical weights.
        multi_vector: Token vectors.
    """

    dense: Tensor | None
    sparse: LexicalWeights | None
    multi_vector: TokenVectors | None


class TrainingModel(nn.Module):
    """Backbone and heads of one `ModelSpec`, fed by that model's own tokenizer.

    Attributes:
        spec: What it is; a stage that changes the model puts another in its place.
        folder: The checkpoint that its tokenizer comes from.
        in_bfloat16: Whether it computes in bfloat16; weights, views and scores are float32.
    """

    def __init__(
        self,
        spec: ModelSpec,
        folder: Path,
        *,
        backbone: PreTrainedModel,
        dense: Projection | None,
        sparse: nn.Linear | None,
        multi_vector: Projection | None,
    ) -> None:
        """Put a model together.

        Args:
            spec: What it is; a stage that changes the model puts another in its place.
            folder: The checkpoint that its tokenizer comes from.
            backbone: Makes token states.
            dense: Layers behind the pooling; None for none.
            sparse: From a token state to one number; None without that view.
            multi_vector: From a token state to a token vector; None without that view.
        """
        super().__init__()
        self.spec, self.folder, self.in_bfloat16 = spec, folder, False
        self.tokenizer = Tokenizer(folder, spec)
        self.backbone = backbone
        self.dense_layers, self.sparse_layer = dense, sparse
        self.multi_vector_layers = multi_vector

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """The layers that are not the backbone."""
        found = (self.dense_layers, self.sparse_layer, self.multi_vector_layers)
        return tuple(head for head in found if head is not None)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.backbone.parameters()).device

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  torch's signature
        """Switch dropout on or off; a backbone that is not trained has none."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.train(mode=False)
        return self

    def query_batch(self, texts: Sequence[str], *, tokens: int | None = None) -> TokenBatch:
        """Queries as the model writes them.

        Args:
            texts: The queries.
            tokens: Length at which they are cut; None for the published one.
        """
        expands = self.spec.multi_vector is not None and self.spec.multi_vector.expansion
        longest = self.spec.max_tokens
        limit = tokens if expands else min(tokens or self.spec.query.tokens or longest, longest)
        return self._batch(self.tokenizer.queries(texts, limit=limit))

    def document_batch(self, texts: Sequence[str], *, tokens: int | None = None) -> TokenBatch:
        """Documents as the model writes them.

        Args:
            texts: The documents.
            tokens: Length at which they are cut; None for the published one.
        """
        longest = self.spec.max_tokens
        limit = min(tokens or self.spec.document.tokens or longest, longest)
        return self._batch(self.tokenizer.documents(texts, limit=limit))

    def states(self, batch: TokenBatch) -> Tensor:
        """The last hidden states, [N, L, H]."""
        with self._arithmetic():
            states: Tensor = self.backbone(
                input_ids=batch.ids, attention_mask=batch.attended.long()
            ).last_hidden_state
        return states

    def views(self, states: Tensor, batch: TokenBatch) -> Views:
        """All views of a batch, in float32.

        Args:
            states: Its token states, [N, L, H].
            batch: The texts.
        """
        with self._arithmetic():
            return Views(
                dense=self._dense(states, batch),
                sparse=self._sparse(states, batch),
                multi_vector=self._multi_vector(states, batch),
            )

    def forward(self, batch: TokenBatch) -> Views:
        """Make all views of a batch."""
        return self.views(self.states(batch), batch)

    def checkpoint_layers(self) -> None:
        """Let layers of the backbone keep their input alone, and run again when it is needed."""
        newer = getattr(self.backbone, "activation_checkpointing_enable", None)  # of 5.23
        enable = newer or self.backbone.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def weights(self) -> Weights:
        """The tensors, adapters merged, on the CPU, where they may share the model's memory."""
        named: dict[str, Tensor] = {}
        for role, layers in (
            ("dense", self.dense_layers),
            ("multi_vector", self.multi_vector_layers),
        ):
            if layers is not None:
                named |= stored_tensors(layers, role=role)
        if self.sparse_layer is not None:
            found = self.sparse_layer.state_dict()
            named |= {f"sparse.{name}": tensor for name, tensor in found.items()}
        backbone = merged_state(self.backbone)
        return Weights(
            {name: tensor.detach().cpu() for name, tensor in backbone.items()},
            {name: tensor.detach().cpu() for name, tensor in named.items()},
        )

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16)

    def _batch(self, texts: Sequence[TokenisedText]) -> TokenBatch:
        dense = self.spec.dense
        return pad_texts(
            texts,
            pad=self.tokenizer.pad_id or 0,
            include_prompt=dense is None or dense.include_prompt,
        )

    def _dense(self, states: Tensor, batch: TokenBatch) -> Tensor | None:
        head = self.spec.dense
        if head is None:
            return None
        pooled = torch.cat([pool(kind, states, batch) for kind in head.pooling], dim=-1)
        vectors = pooled if self.dense_layers is None else self.dense_layers(pooled)
        return unit(vectors) if head.normalise else vectors.float()

    def _sparse(self, states: Tensor, batch: TokenBatch) -> LexicalWeights | None:
        if self.sparse_layer is None:
            return None
        raw = self.sparse_layer(states).squeeze(-1).float()  # [N, L]
        return LexicalWeights(torch.relu(raw) * batch.lexical, batch.ids)

    def _multi_vector(self, states: Tensor, batch: TokenBatch) -> TokenVectors | None:
        if self.multi_vector_layers is None:
            return None
        return TokenVectors(unit(self.multi_vector_layers(states)), batch.kept)
