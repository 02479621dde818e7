"""The files of a checkpoint in a folder: listing, JSON, headers of tensors."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercet.encoding.safetensors_header import read_header
from tercet.errors import CheckpointError, MissingTensorError
from tercet.models.files import TensorHeader

if TYPE_CHECKING:
    import torch

DEEPEST = 3
"""Parts of the longest relative path that a layout names: `1_Dense/model.safetensors` has two."""

PICKLED_DTYPES = {
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float64": "F64",
    "torch.int64": "I64",
    "torch.int8": "I8",
}


class FolderFiles:
    """A checkpoint's files, each read at most once."""

    def __init__(self, folder: Path) -> None:
        """List the files of a folder.

        Raises:
            CheckpointError: There is no such folder.
        """
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is no folder; a checkpoint is a folder of files")
        self.folder = folder
        self._names = frozenset(_names(folder, DEEPEST))
        self._tensors: dict[str, Mapping[str, TensorHeader]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The files that are there, relative, with slashes."""
        return self._names

    @property
    def place(self) -> str:
        """The folder, for messages."""
        return str(self.folder)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is no such file."""
        content = self._json(name)
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.folder / name} is no JSON object: the file is damaged")
        return content

    def json_list(self, name: str) -> list[dict[str, Any]]:
        """A JSON list of objects; empty where there is no such file."""
        content = self._json(name)
        if content is None:
            return []
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise CheckpointError(
                f"{self.folder / name} is no JSON list of objects: the file is damaged"
            )
        return content

    def text(self, name: str) -> str:
        """A text, bytes that are no UTF-8 replaced; empty where there is no such file."""
        if name not in self._names:
            return ""
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")

    def tensors(self, name: str) -> Mapping[str, TensorHeader]:
        """The tensors of a weights file.

        Raises:
            MissingTensorError: The file is not there.
            CheckpointError: It is damaged.
        """
        if name not in self._names:
            raise MissingTensorError(
                f"{name} is not in {self.folder}, and its tensors with it; the checkpoint is "
                "incomplete, download it again"
            )
        if name not in self._tensors:
            path = self.folder / name
            self._tensors[name] = (
                read_header(path) if path.suffix == ".safetensors" else _pickled_header(path)
            )
        return self._tensors[name]

    def _json(self, name: str) -> Any:
        if name not in self._names:
            return None
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{self.folder / name} is no JSON: {error}") from error


def load_pickled(path: Path, *, device: str = "cpu") -> "dict[str, torch.Tensor]":
    """The tensors of a pickled state dict; code in it is refused.

    Raises:
        CheckpointError: The file is damaged, holds more than tensors, or no state dict.
    """
    import torch  # noqa: PLC0415  every other layout is recognised without it

    try:
        state = torch.load(
            path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(  # torch's own message advises to run the file's code
            f"{path} cannot be read as pickled tensors ({type(error).__name__}): it is damaged, or "
            "holds code, which is never run; download or copy it again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not tensors by name")
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _pickled_header(path: Path) -> dict[str, TensorHeader]:
    found = {}
    for name, tensor in load_pickled(path, device="meta").items():
        dtype = str(tensor.dtype)
        found[name] = TensorHeader(tuple(tensor.shape), PICKLED_DTYPES.get(dtype, dtype))
    return found


def _names(folder: Path, depth: int, start: str = "") -> list[str]:
    names = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue  # version control and download caches
        if path.is_file():
            names.append(start + path.name)
        elif path.is_dir() and depth > 1:
            names += _names(path, depth - 1, f"{start}{path.name}/")
    return names
