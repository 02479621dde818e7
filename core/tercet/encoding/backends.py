"""What models compute with: a table of back ends, each loaded when it is asked for."""

from importlib import import_module
from typing import Any

from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.model import Model
from tercet.encoding.options import Quantize

BACKENDS = {
    "torch": "tercet.encoding.torch_model",
    "onnx": "tercet.encoding.onnx.model",
}
"""Modules with a function `load`; ONNX Runtime needs no torch."""


def load_model(
    checkpoint: Checkpoint,
    *,
    backend: str | None,
    device: str | None,
    dtype: str,
    quantize: Quantize | None,
) -> Model[Any, Any]:
    """Load a model with the back end that its files are for.

    Args:
        checkpoint: What and where it is.
        backend: The back end wanted; None takes the one that fits.
        device: Where it runs, or several such places; None for the best there is.
        dtype: Its arithmetic, or "auto".
        quantize: What the backbone's weights are rounded to.

    Raises:
        ValueError: No such back end, or not for these files.
    """
    fits = "onnx" if checkpoint.is_graph else "torch"
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend is {backend!r}; there are: {', '.join(BACKENDS)}")
    if backend not in (None, fits):
        remedy = "" if fits == "onnx" else "; Encoder.save_onnx writes a folder for onnx"
        raise ValueError(
            f"backend is {backend!r}, but {checkpoint.source.name} is for {fits}{remedy}"
        )
    model: Model[Any, Any] = import_module(BACKENDS[fits]).load(
        checkpoint, device=device, dtype=dtype, quantize=quantize
    )
    return model
