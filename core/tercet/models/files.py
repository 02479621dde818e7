"""The files of a checkpoint as layouts see them: names, JSON, and the headers of tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tercet.errors import CheckpointError, MissingTensorError


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What a file says about a tensor before it is read.

    Attributes:
        shape: Its shape.
        dtype: Its type, as safetensors writes it: `F32`, `F16`, `BF16`, `I8`, ...
    """

    shape: tuple[int, ...]
    dtype: str


class CheckpointFiles(Protocol):
    """The files of one checkpoint; paths are relative, with slashes."""

    @property
    def names(self) -> frozenset[str]:
        """The files that are there."""
        ...

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        ...

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is no such file."""
        ...

    def json_list(self, name: str) -> list[dict[str, Any]]:
        """A JSON list of objects; empty where there is no such file."""
        ...

    def text(self, name: str) -> str:
        """A text; empty where there is no such file."""
        ...

    def tensors(self, name: str) -> Mapping[str, TensorHeader]:
        """The tensors of a weights file."""
        ...


WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Names of weights files, the one to prefer first."""


def join(folder: str, name: str) -> str:
    """The path of a file in a folder of the checkpoint, "" being the checkpoint's own."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def backbone_files(files: CheckpointFiles, folder: str = "") -> tuple[str, ...]:
    """The weights files of a backbone.

    Raises:
        CheckpointError: There is none, or an index of shards names a file that is not there.
    """
    for name in WEIGHTS:
        path = join(folder, name)
        if path not in files.names:
            continue
        if not path.endswith(".index.json"):
            return (path,)
        shards = sorted(set(files.json(path).get("weight_map", {}).values()))
        paths = tuple(join(folder, shard) for shard in shards)
        lacking = [shard for shard in paths if shard not in files.names]
        if lacking or not paths:
            raise CheckpointError(
                f"{path} of {files.place} names weights that are not there: {listed(lacking)}; "
                "the checkpoint is incomplete, download it again"
            )
        return paths
    raise CheckpointError(
        f"no weights in {join(files.place, folder)}: looked for {', '.join(WEIGHTS)}, "
        f"found {listed(sorted(files.names))}"
    )


def head_file(files: CheckpointFiles, folder: str) -> str:
    """The weights file of a module with a folder of its own.

    Raises:
        CheckpointError: There is none.
    """
    return backbone_files(files, folder)[0]


def headers(files: CheckpointFiles, paths: Iterable[str]) -> dict[str, TensorHeader]:
    """The tensors of several files together."""
    return {name: header for path in paths for name, header in files.tensors(path).items()}


def shape_of(files: CheckpointFiles, path: str, name: str) -> tuple[int, ...]:
    """The shape of a tensor that must be there.

    Raises:
        MissingTensorError: It is not.
    """
    found = files.tensors(path)
    if name not in found:
        raise MissingTensorError(
            f"{path} of {files.place} lacks the tensor {name!r}; it has {listed(sorted(found))}"
        )
    return found[name].shape


def embedding_shape(tensors: Mapping[str, TensorHeader], place: str) -> tuple[int, int]:
    """Rows (V, the vocabulary) and columns of the table of token embeddings.

    Raises:
        MissingTensorError: No table of token embeddings is among the tensors.
    """
    for name, header in tensors.items():
        if _EMBEDDINGS.search(name) and len(header.shape) == 2:
            return header.shape[0], header.shape[1]
    raise MissingTensorError(
        f"no table of token embeddings in {place} "
        f"(a tensor like embeddings.word_embeddings.weight); found {listed(sorted(tensors))}"
    )


def license_of(files: CheckpointFiles) -> str:
    """The licence that the model card's header names; "" where there is none."""
    header = _CARD_HEADER.match(files.text("README.md"))
    found = _LICENSE.search(header.group(1)) if header else None
    return found.group(1).strip("'\"").lower() if found else ""


_EMBEDDINGS = re.compile(r"(word_embeddings|tok_embeddings|embed_tokens|^wte|shared)\.weight$")
_CARD_HEADER = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)
_LICENSE = re.compile(r"^license:\s*(\S+)\s*$", re.MULTILINE)
_LISTED = 12


def listed(names: list[str]) -> str:
    """Some names for a message."""
    if not names:
        return "nothing"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
