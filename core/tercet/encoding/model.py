"""A loaded model: one pass of the backbone makes all the views of a batch of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, SparseVectors
from tercet.encoding.backbone import Backbone, load_backbone
from tercet.encoding.heads.dense import DenseView
from tercet.encoding.heads.multi_vector import MultiVectorView, TokenRows
from tercet.encoding.heads.projection import load_projection
from tercet.encoding.heads.sparse import SparseView, lexical_weights
from tercet.encoding.options import Quantize
from tercet.encoding.packing import Pass, pack
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.weights import Weights
from tercet.models.spec import ModelSpec


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What a model makes of N texts; None for a view that it lacks.

    Attributes:
        dense: One vector a text, [N, E].
        sparse: Lexical weights.
        multi_vector: Token vectors.
    """

    dense: NDArray[np.float32] | None
    sparse: SparseVectors | None
    multi_vector: MultiVectors | None


class Model:
    """Backbone and heads."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        dense: DenseView | None,
        sparse: SparseView | None,
        multi_vector: MultiVectorView | None,
    ) -> None:
        """Put a model together; a view that it lacks is None."""
        self.backbone = backbone
        self._dense, self._sparse, self._multi_vector = dense, sparse, multi_vector

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        weights: Weights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        quantize: Quantize | None = None,
    ) -> Self:
        """Build the model from the tensors of a checkpoint.

        Args:
            spec: What it is.
            weights: The tensors.
            device: Where it runs.
            dtype: Its arithmetic; lengths and lexical weights are computed in float32 all the same.
            quantize: What the backbone's weights are rounded to; heads stay as they are.
        """
        dense, sparse, multi_vector = None, None, None
        heads = weights.heads
        if spec.dense is not None:
            layers = load_projection(
                spec.dense.layers, heads, role="dense", device=device, dtype=dtype
            )
            dense = DenseView(spec.dense, layers)
        if spec.sparse is not None:
            bias = heads["sparse.bias"].to(device) if spec.sparse.layer.bias else None
            sparse = SparseView(heads["sparse.weight"].to(device), bias)
        if spec.multi_vector is not None:
            layers = load_projection(
                spec.multi_vector.layers, heads, role="multi_vector", device=device, dtype=dtype
            )
            multi_vector = MultiVectorView(layers, dim=spec.multi_vector.dim)
        backbone = load_backbone(
            spec, weights.backbone, device=device, dtype=dtype, quantize=quantize
        )
        return cls(backbone, dense=dense, sparse=sparse, multi_vector=multi_vector)

    @torch.inference_mode()
    def encode(self, texts: Sequence[TokenisedText], passes: Sequence[Pass]) -> Views:
        """Run all passes, a pack at a time, and join what belongs to one text.

        Args:
            texts: The texts, N.
            passes: Their passes, each text's in order.
        """
        ordered, dense, weights = [], [], []
        rows = None
        if self._multi_vector is not None:
            rows = TokenRows(passes, texts, dim=self._multi_vector.dim)
        for group in pack([len(item) for item in passes]):
            batch = [passes[n] for n in group]
            states = self.backbone(batch)  # [rows, H]
            ordered += batch
            if self._dense is not None:
                dense.append(self._dense.vectors(states, batch, texts))
            if self._sparse is not None:
                weights.append(self._sparse.weights(states))
            if rows is not None and self._multi_vector is not None:
                rows.put(self._multi_vector, states, batch)
        return Views(
            dense=self._dense.join(np.concatenate(dense), ordered, texts=len(texts))
            if self._dense is not None
            else None,
            sparse=lexical_weights(np.concatenate(weights), ordered, texts)
            if self._sparse is not None
            else None,
            multi_vector=None if rows is None else rows.result(),
        )
