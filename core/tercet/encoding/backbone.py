"""The backbone: passes of token ids in, one state for each row out."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from tercet.encoding.add_norm import compile_norms
from tercet.encoding.attention import PACKED
from tercet.encoding.int8 import is_compiled, quantise
from tercet.encoding.kernel_attention import RunsAtOnce, find_kernel
from tercet.encoding.linear import prepack, takes_any_rows
from tercet.encoding.options import Quantize
from tercet.encoding.packing import (
    POSITIONS_BEHIND_PADDING,
    Pass,
    Run,
    alike,
    padded_rows,
    position_ids,
    runs,
)
from tercet.encoding.post_norm import POST_NORM, PostNormModel
from tercet.encoding.transfers import to_device
from tercet.encoding.varlen import Sequences, Varlen, bounds_of, find_varlen
from tercet.errors import MissingTensorError, UnknownLayoutError
from tercet.models.spec import ModelSpec

PACKABLE = frozenset(
    {
        "bert",
        "camembert",
        "distilbert",
        "electra",
        "jina_embeddings_v3",
        "modernbert",
        "nomic_bert",
        "roberta",
        "xlm-roberta",
    }
)
"""Architectures of transformers that take explicit positions and hand arguments to attention."""


def load_backbone(
    spec: ModelSpec,
    tensors: Mapping[str, Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantize: Quantize | None = None,
) -> "PackedBackbone | PaddedBackbone":
    """Build the backbone of a model from the tensors of a checkpoint, none of them drawn at random.

    Args:
        spec: The model; `architecture` and `config` say what is built.
        tensors: Weights under their names; those that the architecture does not know are ignored.
        device: Where it runs.
        dtype: Its arithmetic.
        quantize: What its weights are rounded to.

    Raises:
        ValueError: Weights cannot be rounded for that device.
        UnknownLayoutError: transformers has no such architecture.
        MissingTensorError: Weights are missing.
    """
    if quantize is not None and device.type != "cpu":
        raise ValueError(
            f"quantize={str(quantize)!r} is for the CPU, and the device is {str(device)!r}: there, "
            "dtype='auto' is a half type"
        )
    packs = spec.architecture in PACKABLE
    built = build(spec, tensors, dtype=dtype, attention=PACKED if packs else None)
    config = built.config
    model: nn.Module = PostNormModel(built) if spec.architecture in POST_NORM else built
    model.to(device=device)
    if quantize is not None:
        quantise(model)
    elif device.type == "cpu":
        prepack(model, dtype=dtype)
    compile_norms(model, dtype=dtype)
    if not packs:
        return PaddedBackbone(built, device=device)
    pad = config.pad_token_id if spec.architecture in POSITIONS_BEHIND_PADDING else None
    head = config.hidden_size // config.num_attention_heads
    varlen = find_varlen(
        device=device,
        dtype=dtype,
        head=head,
        windows=getattr(config, "sliding_window", None) is not None,
    )
    kernel = find_kernel(device=device, dtype=dtype, head=head)
    any_rows = takes_any_rows(dtype) if quantize is None else is_compiled(model)
    fills = device.type == "cpu" and not any_rows
    return PackedBackbone(model, device=device, pad=pad, varlen=varlen, kernel=kernel, fills=fills)


def build(
    spec: ModelSpec, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, attention: str | None
) -> PreTrainedModel:
    """The module of transformers, filled with the tensors of a checkpoint.

    Args:
        spec: The model.
        tensors: Weights under their names.
        dtype: Its arithmetic.
        attention: Name of its attention function; None for its own.

    Raises:
        UnknownLayoutError: transformers has no such architecture.
        MissingTensorError: Weights are missing.
    """
    try:
        config = AutoConfig.for_model(spec.architecture, **spec.config)
    except ValueError as error:
        raise UnknownLayoutError(
            f"the installed transformers has no architecture {spec.architecture!r}, which this "
            f"checkpoint needs: a newer release may have it"
        ) from error
    model_class: Any = MODEL_MAPPING[type(config)]
    with _quiet():
        model, report = model_class.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
            **_without_pooler(model_class),
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise MissingTensorError(
            f"{len(missing)} tensors of the {spec.architecture} backbone are not in the "
            f"checkpoint: {', '.join(missing[:5])}"
        )
    built: PreTrainedModel = model.eval()
    return built


def _without_pooler(model_class: Any) -> dict[str, bool]:
    """The argument that leaves out the pooler, which no retriever uses, where it is optional."""
    takes_it = "add_pooling_layer" in inspect.signature(model_class).parameters
    return {"add_pooling_layer": False} if takes_it else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing a bar and a report: what is missing becomes an error."""
    logging: Any = transformers_logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


class PackedBackbone:
    """Runs passes in one row, each seeing itself alone."""

    packs = True

    def __init__(
        self,
        model: nn.Module,
        *,
        device: torch.device,
        pad: int | None,
        varlen: Varlen | None = None,
        kernel: Callable[[Sequence[Run]], RunsAtOnce] | None = None,
        fills: bool = False,
    ) -> None:
        """Take a model whose attention is `packed_attention`.

        Args:
            model: The model.
            device: Where it is.
            pad: Id of the pad token where positions are counted behind it; None where from 0.
            varlen: What computes the attention of a pack at once; None without such an operator.
            kernel: What does so on a CPU; None without.
            fills: Whether packs are filled up to few sizes.
        """
        self._model, self._device, self._pad, self._fills = model, device, pad, fills
        self._varlen, self._kernel = varlen, kernel

    @torch.inference_mode()
    def __call__(self, passes: Sequence[Pass]) -> Tensor:
        """The states of all rows, pass after pass, [rows, H]."""
        stands, ids = runs(passes), self._row([item.ids for item in passes])
        sequences: Sequences | RunsAtOnce | None = None
        if self._kernel is not None:
            sequences = self._kernel(stands)
        elif self._varlen is not None:
            bounds = bounds_of(stands, rows=ids.shape[1], device=self._device)
            sequences = Sequences(bounds, self._varlen)
        states: Tensor = self._model(
            input_ids=ids,
            position_ids=self._row([position_ids(item, pad=self._pad) for item in passes]),
            runs=stands,
            sequences=sequences,
        ).last_hidden_state
        return states[0, : sum(map(len, passes))]  # [1, padded rows, H] -> [rows, H]

    def _row(self, values: Sequence[NDArray[np.int64]]) -> Tensor:
        """The values of all passes and, in a filled pack, zeros that no row reads, [1, rows]."""
        joined = np.concatenate(values)
        rows = padded_rows(len(joined)) if self._fills else len(joined)
        row = np.zeros((1, rows), dtype=np.int64)
        row[0, : len(joined)] = joined
        return to_device(row, self._device)


class PaddedBackbone:
    """Runs passes padded to the longest, for architectures that compute positions themselves."""

    packs = False

    def __init__(self, model: PreTrainedModel, *, device: torch.device) -> None:
        self._model, self._device = model, device

    @torch.inference_mode()
    def __call__(self, passes: Sequence[Pass]) -> Tensor:
        """The states of all rows, pass after pass, [rows, H]."""
        found: dict[int, Tensor] = {}
        for group in alike([len(item) for item in passes]):
            items = [passes[n] for n in group]
            states = self._padded(items)  # [group, longest, H]
            found |= {n: states[place, : len(passes[n])] for place, n in enumerate(group)}
        return torch.cat([found[n] for n in range(len(passes))])  # -> [rows, H]

    def _padded(self, passes: Sequence[Pass]) -> Tensor:
        shape = (len(passes), max(map(len, passes)))
        ids = np.full(shape, self._model.config.pad_token_id or 0, dtype=np.int64)
        seen = np.zeros(shape, dtype=np.int64)
        for n, item in enumerate(passes):
            ids[n, : len(item)] = item.ids
            seen[n, : item.visible] = 1
        states: Tensor = self._model(
            input_ids=to_device(ids, self._device),
            attention_mask=to_device(seen, self._device),
        ).last_hidden_state
        return states
