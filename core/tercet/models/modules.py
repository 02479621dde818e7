"""`modules.json`: the parts of a model that sentence-transformers or PyLate saved."""

import re
from dataclasses import dataclass
from typing import Any

from tercet.errors import CheckpointError, UnknownLayoutError
from tercet.models.files import CheckpointFiles, join, listed

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
TRANSFORMER_SETTINGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Names under which versions of the library saved the settings of the Transformer module."""

CONFIGURED = frozenset({"Dense", "MultiVectorMask", "Pooling"})
"""Modules that are always saved with a `config.json`; a Normalize may have none."""

_SAVED_MODULE = re.compile(r"\d+_[A-Z]\w*/")


@dataclass(frozen=True, slots=True)
class Module:
    """One row of `modules.json`.

    Attributes:
        kind: Name of its class, without the package: `Transformer`, `Dense`, `Pooling`, ...
        folder: Where its files are, relative to the checkpoint; "" for the checkpoint's own.
        package: First part of its dotted name: `sentence_transformers`, `pylate`, ...
    """

    kind: str
    folder: str
    package: str


def modules_of(files: CheckpointFiles) -> tuple[Module, ...]:
    """The modules of a checkpoint, in order; none where there is no `modules.json`."""
    return tuple(
        Module(
            kind=str(row.get("type", "")).rpartition(".")[2],
            folder=str(row.get("path", "")).strip("/"),
            package=str(row.get("type", "")).partition(".")[0],
        )
        for row in files.json_list(MODULES)
    )


def refuse_others(
    files: CheckpointFiles, modules: tuple[Module, ...], known: frozenset[str]
) -> None:
    """Refuse modules that the encoder would have to leave out.

    Raises:
        UnknownLayoutError: A module is of another kind than the known ones.
    """
    others = sorted({module.kind for module in modules} - known)
    if others or modules[0].kind != "Transformer":
        raise UnknownLayoutError(
            f"{MODULES} of {files.place} lists {[module.kind for module in modules]}; read are a "
            f"Transformer and then {', '.join(sorted(known - {'Transformer'}))}"
        )


def require_configs(files: CheckpointFiles, modules: tuple[Module, ...]) -> None:
    """Refuse modules without their configuration: defaults would make another model.

    Raises:
        CheckpointError: A module's `config.json` is not there.
    """
    for module in modules:
        path = join(module.folder, "config.json")
        if module.kind in CONFIGURED and path not in files.names:
            raise CheckpointError(
                f"{path} is not in {files.place}, though {MODULES} lists a {module.kind} there; "
                f"found {listed(sorted(files.names))}: the checkpoint is incomplete, download it "
                "again"
            )


def refuse_remains(files: CheckpointFiles) -> None:
    """Refuse the remains of a model whose `modules.json` is gone: which model, nothing says.

    Raises:
        CheckpointError: Files of modules are there, and no list of them.
    """
    if modules_of(files):
        return
    remains = [name for name in files.names if name == SETTINGS or _SAVED_MODULE.match(name)]
    if remains:
        raise CheckpointError(
            f"{MODULES} of {files.place} is missing or empty, though {listed(sorted(remains))} "
            "belong to modules that it lists: the checkpoint is incomplete, download it again"
        )


def transformer_settings(files: CheckpointFiles, folder: str) -> dict[str, Any]:
    """The settings of the Transformer module; empty where it has none."""
    for name in TRANSFORMER_SETTINGS:
        if join(folder, name) in files.names:
            return files.json(join(folder, name))
    return {}


def lowercases(files: CheckpointFiles, folder: str) -> bool:
    """Whether the Transformer module lower-cases texts, whatever its tokenizer does."""
    return bool(transformer_settings(files, folder).get("do_lower_case", False))
