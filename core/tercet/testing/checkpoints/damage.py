"""Checkpoints with something missing, for tests of what is said about it."""

from pathlib import Path

from safetensors.numpy import load_file

from tercet.testing.checkpoints.tensors import write_safetensors


def drop_tensor(path: Path, name: str) -> None:
    """Take one tensor out of a safetensors file.

    Args:
        path: The file.
        name: The tensor.

    Raises:
        KeyError: The file has no such tensor.
    """
    tensors = load_file(path)
    if name not in tensors:
        raise KeyError(f"{path.name} has no tensor {name!r}; it has: {', '.join(sorted(tensors))}")
    del tensors[name]
    write_safetensors(path, tensors)
