"""The back end that computes with ONNX Runtime: neither torch nor transformers is imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.heads.pooling import PooledView, shares, unit_length
from tercet.encoding.model import Model, Replica
from tercet.encoding.onnx.session import DENSE, GRAPH, Rows, Session, open_session
from tercet.encoding.options import Quantize
from tercet.encoding.outbox import ArraysAtOnce
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.models.spec import DenseHead, Pooling


def load(
    checkpoint: Checkpoint, *, device: str | None, dtype: str, quantize: Quantize | None
) -> Model[Rows, NDArray[np.float32]]:
    """Open the graphs of an exported folder.

    Args:
        checkpoint: What and where it is.
        device: None or "cpu".
        dtype: "auto" or "float32".
        quantize: None.

    Raises:
        CheckpointError: A graph is damaged.
        MissingExtraError: ONNX Runtime is not installed.
        ValueError: Another device or arithmetic is asked for.
    """
    for name, asked, there in (
        ("device", device, (None, "cpu")),
        ("dtype", dtype, ("auto", "float32")),
        ("quantize", quantize, (None,)),
    ):
        if asked not in there:
            raise ValueError(
                f"{name} is {asked!r}, and an exported graph has "
                f"{' or '.join(map(repr, there))}: load the model itself for others"
            )
    spec = checkpoint.spec
    dense = None if spec.dense is None else DenseGraph(spec.dense, checkpoint.folder)
    late = spec.multi_vector
    graph = Replica(
        backbone=Session(open_session(checkpoint.folder / GRAPH), spec),
        dense=dense,
        sparse=None if spec.sparse is None else LexicalRows(),
        multi_vector=None if late is None else TokenRowsOfGraph(late.dim),
        outbox=ArraysAtOnce,
    )
    return Model([graph], where="backend='onnx', device='cpu', dtype='float32'")


class DenseGraph(PooledView):
    """Pools token states on numpy; linear layers behind the pooling are a graph of their own."""

    def __init__(self, head: DenseHead, folder: Path) -> None:
        super().__init__(head)
        self._layers: Any = open_session(folder / DENSE) if head.layers else None

    def vectors(
        self, states: Rows, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> NDArray[np.float32]:
        """One vector a pass, [P, E]."""
        pooled = [
            _pool(pooling, states.states, self.rows(pooling, passes, texts))
            for pooling in self.head.pooling
        ]
        joined: NDArray[np.float32] = np.concatenate(pooled, axis=1)  # [P, H * poolings]
        if self._layers is not None:
            joined = self._layers.run(None, {"pooled": joined})[0]
        return unit_length(joined) if self.head.normalise else joined


def _pool(
    pooling: Pooling, states: NDArray[np.float32], chosen: Sequence[NDArray[np.int64]]
) -> NDArray[np.float32]:
    """One state a pass, [P, H]."""
    if all(len(rows) == 1 for rows in chosen):
        return states[np.concatenate(chosen)]
    if pooling == "max":
        return np.stack([states[rows].max(axis=0) for rows in chosen])
    owners, rows, values = shares(pooling, chosen)
    weights = np.zeros((len(chosen), len(states)), dtype=np.float32)
    weights[owners, rows] = values
    pooled: NDArray[np.float32] = weights @ states  # [P, rows] @ [rows, H]
    return pooled


class LexicalRows:
    """The graph weighs tokens itself."""

    def weights(self, states: Rows) -> NDArray[np.float32]:
        """One weight a row, [rows]."""
        return states.lexical


class TokenRowsOfGraph:
    """The graph makes token vectors itself."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def vectors(self, states: Rows, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of some rows, [chosen, E]."""
        return states.tokens[rows]
