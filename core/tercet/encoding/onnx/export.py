"""Exports a model as graphs for ONNX Runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from tercet.encoding.attention import no_mask
from tercet.encoding.backbone import PACKABLE, build
from tercet.encoding.checkpoint import MADE_FROM, Checkpoint
from tercet.encoding.heads.projection import load_projection, unit
from tercet.encoding.onnx.session import DENSE, GRAPH, INPUTS, OUTPUTS
from tercet.encoding.saving import at_home, begin, copy_tokenizer, write_json
from tercet.encoding.weights import Weights
from tercet.errors import require
from tercet.models.saved import spec_to_json
from tercet.models.spec import ModelSpec
from tercet.models.tercet_mini import FORMAT, SETTINGS

MASKED = "tercet_masked"
"""Name under which transformers finds the attention below."""

TENSORS = f"{GRAPH}.data"
"""Where the graph keeps its weights: one file of a graph holds 2 GB at most."""

CPU = torch.device("cpu")

EXAMPLE = (2, 6)
"""Passes and rows that the graph is traced with; it takes any number of either."""


def masked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    seen: Tensor,
    places: Tensor,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention in operators that every run time has.

    Args:
        module: The layer that asks; its interface, not needed.
        query: [B, heads, L, head].
        key: As the query.
        value: As the query.
        attention_mask: Always None: `seen` says it.
        seen: Which row (third axis) sees which (last axis), [B, 1, L, L].
        places: Position of each row, [B, L].
        scaling: Factor of the products; None is 1 / sqrt(head).
        sliding_window: Rows at this distance or farther are not seen; None where all are.
        unused: What other attention functions ask for.

    Returns:
        What each row read, [B, L, heads, head].
    """
    del module, attention_mask, unused
    if sliding_window is not None:
        near = (places[:, :, None] - places[:, None, :]).abs() < sliding_window  # [B, L, L]
        seen = seen & (near | _padding(seen))[:, None]
    products = query @ key.transpose(-1, -2) * (scaling or query.shape[-1] ** -0.5)
    shares = products.masked_fill(~seen, -torch.inf).softmax(dim=-1)
    return (shares @ value).transpose(1, 2), None


def _padding(seen: Tensor) -> Tensor:
    """Which pairs are of rows that nobody sees: those may see far, so that they see something."""
    return ~seen[:, 0].any(dim=1)[:, :, None]  # [B, L, 1]


AttentionInterface.register(MASKED, masked_attention)
AttentionMaskInterface.register(MASKED, no_mask)


class Graph(nn.Module):
    """What one call of the run time makes of every row."""

    def __init__(self, model: PreTrainedModel, spec: ModelSpec, weights: Weights) -> None:
        super().__init__()
        self._model, self._states = model, spec.dense is not None
        self.pad: int | None = model.config.pad_token_id
        self._project: nn.Module | None = None
        if spec.multi_vector is not None:
            self._project = _layers(spec.multi_vector.layers, weights, role="multi_vector")
        self._weigh: nn.Linear | None = None
        if spec.sparse is not None:
            self._weigh = nn.Linear(spec.hidden, 1, bias=spec.sparse.layer.bias)
            self._weigh.weight = nn.Parameter(weights.heads["sparse.weight"].float())
            if spec.sparse.layer.bias:
                self._weigh.bias = nn.Parameter(weights.heads["sparse.bias"].float())

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Build what is exported of a checkpoint.

        Raises:
            ValueError: The backbone takes no explicit positions.
        """
        spec = checkpoint.spec
        if spec.architecture not in PACKABLE:
            raise ValueError(
                f"a {spec.architecture} backbone cannot be exported; those that can are: "
                f"{', '.join(sorted(PACKABLE))}"
            )
        weights = checkpoint.read()
        model = build(spec, weights.backbone, dtype=torch.float32, attention=MASKED)
        return cls(model, spec, weights).eval()

    @property
    def outputs(self) -> list[str]:
        """Their names, in order."""
        made = (self._states, self._project is not None, self._weigh is not None)
        return [name for name, there in zip(OUTPUTS, made, strict=True) if there]

    def forward(self, ids: Tensor, positions: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
        """What is made of every row of some passes, in the order of `outputs`.

        Args:
            ids: Token ids, [B, L].
            positions: Their positions, as the backbone counts them, [B, L].
            seen: Which row sees which, [B, L, L].
        """
        states = self._model(
            input_ids=ids, position_ids=positions, places=positions, seen=seen[:, None]
        ).last_hidden_state  # [B, L, H]
        made = [states] if self._states else []
        if self._project is not None:
            made.append(unit(self._project(states)))  # [B, L, E]
        if self._weigh is not None:
            made.append(self._weigh(states)[..., 0].relu())  # [B, L]
        return tuple(made)


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint as a folder of graphs, with its tokenizer and its description.

    Args:
        checkpoint: The model.
        folder: Where to; made if missing.

    Raises:
        FileExistsError: The folder has files already.
        MissingExtraError: What exports graphs is not installed.
        ValueError: The backbone takes no explicit positions.
    """
    spec, graph = checkpoint.spec, Graph.of(checkpoint)
    require("onnxscript", extra="onnx")
    begin(folder)
    example = (
        torch.full(EXAMPLE, 3),
        torch.arange(EXAMPLE[1]).expand(EXAMPLE) + 2,
        torch.ones(*EXAMPLE, EXAMPLE[1], dtype=torch.bool),
    )
    batch, rows = torch.export.Dim("passes"), torch.export.Dim("rows")
    pairs = {0: batch, 1: rows, 2: rows}
    axes: dict[str, Any] = dict(zip(INPUTS, ({0: batch, 1: rows},) * 2 + (pairs,), strict=True))
    _write(graph, example, axes, graph.outputs, folder / GRAPH)
    if spec.dense is not None and spec.dense.layers:
        layers = _layers(spec.dense.layers, checkpoint.read(), role="dense")
        pooled = torch.zeros(EXAMPLE[0], spec.dense.layers[0].inputs)
        _write(layers, (pooled,), {"x": {0: batch}}, ["vectors"], folder / DENSE, inputs=["pooled"])
    copy_tokenizer(checkpoint.folder / checkpoint.spec.tokenizer.folder, folder)
    config = {**spec.config, "pad_token_id": graph.pad}
    home = at_home(replace(spec, config=config), weights=(GRAPH, TENSORS), heads=GRAPH)
    told = {"format": FORMAT, MADE_FROM: checkpoint.model_id, "model": spec_to_json(home)}
    write_json(folder / SETTINGS, told)


def _layers(layers: Any, weights: Weights, *, role: str) -> nn.Module:
    return load_projection(
        layers, weights.heads, role=role, device=CPU, dtype=torch.float32, packed=False
    )


def _write(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    axes: dict[str, Any],
    outputs: list[str],
    path: Path,
    *,
    inputs: list[str] | None = None,
) -> None:
    """Trace a module and write its graph."""
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            verbose=False,
            input_names=inputs or list(axes),
            output_names=outputs,
            dynamic_shapes=axes,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no program")
        program.save(str(path), external_data=path.name == GRAPH)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, warnings and logs to itself: nobody can act on them."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
