"""A checkpoint: found, recognised and checked; its tensors are read when they are asked for."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tercet.encoding.checkpoint_files import FolderFiles
from tercet.encoding.fingerprint import model_id
from tercet.encoding.sources import Source, find
from tercet.errors import CheckpointError
from tercet.models.files import join
from tercet.models.layouts import detect
from tercet.models.registry import PUBLISHED
from tercet.models.spec import ModelSpec
from tercet.models.tercet_mini import SETTINGS

if TYPE_CHECKING:
    from tercet.encoding.weights import Weights

MADE_FROM = "made_from"
"""In `tercet.json` of an exported graph: the fingerprint of the model whose vectors it makes."""

TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""Files of which a tokenizer needs at least one."""

GRAPH = ".onnx"
"""Suffix of exported graphs."""

_WARNED: set[str] = set()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files of one model.

    Attributes:
        source: Where they came from, and where they are.
        spec: What they say.
        model_id: What they are, as one sha256.
    """

    source: Source
    spec: ModelSpec
    model_id: str

    @classmethod
    def open(cls, source: str | Path, *, revision: str | None = None) -> Self:
        """Find a checkpoint, recognise its layout and check that nothing is missing.

        Args:
            source: `tercet/mini`, a folder, or a hub id.
            revision: Branch, tag or commit of a hub repository.

        Raises:
            CheckpointError: It cannot be found, recognised or used; the message says why.
        """
        found = find(source, revision=revision)
        files = FolderFiles(found.folder)
        spec = _licensed(detect(files), found)
        _check_tokenizer(files, spec)
        _warn_of_license(spec, found)
        made_from = files.json(SETTINGS).get(MADE_FROM)
        return cls(found, spec, str(made_from or model_id(found, spec, files.names)))

    @property
    def folder(self) -> Path:
        """Where the files are on this machine."""
        return self.source.folder

    @property
    def revision(self) -> str | None:
        """Commit of the hub's repository; None for folders."""
        return self.source.revision

    @property
    def is_graph(self) -> bool:
        """Whether it is an exported graph, not weights."""
        return any(name.endswith(GRAPH) for name in self.spec.weights)

    def read(self) -> "Weights":
        """The tensors of the backbone and the heads.

        Raises:
            CheckpointError: A file is damaged, or lacks a tensor; or it is an exported graph.
        """
        if self.is_graph:
            raise CheckpointError(
                f"{self.folder} is an exported graph, without tensors to compute with or to save: "
                "use the model that it was exported from"
            )
        from tercet.encoding.weights import read_weights  # noqa: PLC0415  loads torch

        return read_weights(self.folder, self.spec)


def _licensed(spec: ModelSpec, found: Source) -> ModelSpec:
    """The model with its published licence where its own files name none."""
    published = {family.source: family.license for family in PUBLISHED}
    return replace(spec, license=spec.license or published.get(found.name, ""))


def _check_tokenizer(files: FolderFiles, spec: ModelSpec) -> None:
    names = [join(spec.tokenizer.folder, name) for name in TOKENIZERS]
    if not files.names & set(names):
        raise CheckpointError(
            f"no tokenizer in {files.place}: one of {', '.join(names)} is needed; repositories of "
            "intermediate checkpoints often lack it, copy it from the published model"
        )


def _warn_of_license(spec: ModelSpec, found: Source) -> None:
    """Say once a process that a licence forbids commercial use."""
    if spec.forbids_commercial_use and found.name not in _WARNED:
        _WARNED.add(found.name)
        warnings.warn(
            f"the licence of {found.name} is {spec.license}: it forbids commercial use",
            UserWarning,
            stacklevel=3,
        )
