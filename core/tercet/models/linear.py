"""Linear layers of heads, as files describe them."""

from dataclasses import replace
from typing import Any

from tercet.errors import CheckpointError
from tercet.models.files import CheckpointFiles, head_file, join, shape_of
from tercet.models.spec import LinearLayer, Residual

DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"
"""Of a Dense module of sentence-transformers that names none."""

IDENTITY = "torch.nn.modules.linear.Identity"


def linear_layer(files: CheckpointFiles, file: str, prefix: str = "") -> LinearLayer:
    """A linear layer as its tensors say.

    Raises:
        MissingTensorError: The file or the weight is not there.
    """
    outputs, inputs = shape_of(files, file, f"{prefix}weight")
    bias = f"{prefix}bias" in files.tensors(file)
    return LinearLayer(inputs, outputs, file, prefix, bias=bias)


def dense_module(files: CheckpointFiles, folder: str) -> LinearLayer:
    """The linear layer of a Dense module of sentence-transformers or PyLate.

    Raises:
        CheckpointError: Its activation function is not one of torch, so that code would be needed.
        MissingTensorError: A tensor that its configuration asks for is not there.
    """
    config = files.json(join(folder, "config.json"))
    file = head_file(files, folder)
    layer = linear_layer(files, file, "linear.")
    if config.get("bias", True) and not layer.bias:
        shape_of(files, file, "linear.bias")
    activation = str(config.get("activation_function", DEFAULT_ACTIVATION))
    if not activation.startswith("torch.nn."):
        raise CheckpointError(
            f"{join(folder, 'config.json')} of {files.place} asks for the activation function "
            f"{activation!r}; only those of torch.nn are used, code from elsewhere is never run"
        )
    return replace(
        layer,
        activation="" if activation == IDENTITY else activation,
        residual=_residual(files, file, layer, config),
    )


def _residual(
    files: CheckpointFiles, file: str, layer: LinearLayer, config: dict[str, Any]
) -> Residual:
    if not config.get("use_residual", False):
        return "none"
    if layer.inputs == layer.outputs:
        return "identity"
    shape_of(files, file, "residual.weight")
    return "linear"
