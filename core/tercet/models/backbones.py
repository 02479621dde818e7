"""What is read of a backbone's configuration: family of architecture, lengths, sizes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tercet.errors import UnknownLayoutError
from tercet.models.files import (
    CheckpointFiles,
    backbone_files,
    embedding_shape,
    headers,
    join,
    license_of,
)
from tercet.models.spec import ModelSpec

NOT_FOR_THE_CLASS = frozenset(
    {
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "dtype",
        "model_type",
        "torch_dtype",
        "transformers_version",
    }
)
"""Keys of a published `config.json` that say nothing about the backbone's arithmetic."""

POSITIONS_BEHIND_PAD = frozenset(
    {
        "camembert",
        "jina_embeddings_v3",  # rotary, but its configuration still counts the two rows
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
    }
)
"""Architectures whose first token stands at position pad + 1: those rows hold no token."""

DEFAULT_LENGTH = 512
"""Of a backbone that says nothing, neither by positions nor by its tokenizer."""

UNLIMITED = 1_000_000
"""transformers writes huge numbers for "no limit"; no model here reads as much."""


def with_backbone(
    family: ModelSpec, files: CheckpointFiles, *, folder: str = "", prefix: str = ""
) -> ModelSpec:
    """A family filled in with what the backbone's own files say.

    Args:
        family: What is known without them.
        files: Of the checkpoint.
        folder: Where the backbone stands in it.
        prefix: Before the backbone's tensor names.

    Raises:
        UnknownLayoutError: The configuration does not name an architecture.
        CheckpointError: Weights are missing or damaged.
    """
    config = files.json(join(folder, "config.json"))
    architecture = family.architecture or config.get("model_type", "")
    if not architecture:
        raise UnknownLayoutError(
            f"config.json of {files.place} names no model_type, and its tensors are of no family "
            "that is known without one; code from a repository is never run"
        )
    weights = backbone_files(files, folder)
    vocabulary, width = embedding_shape(headers(files, weights), files.place)
    arguments = {k: v for k, v in config.items() if k not in NOT_FOR_THE_CLASS}
    arguments |= {"vocab_size": vocabulary, **family.config}
    return replace(
        family,
        architecture=architecture,
        config=arguments,
        weights=weights,
        prefix=prefix,
        hidden=int(arguments.get("hidden_size") or arguments.get("dim") or width),
        vocabulary=vocabulary,
        max_tokens=positions(architecture, arguments) or tokenizer_limit(files, folder),
        license=license_of(files) or family.license,
        tokenizer=replace(
            family.tokenizer,
            folder=folder,
            fast=join(folder, "tokenizer.json") in files.names,
        ),
    )


def positions(architecture: str, config: Mapping[str, Any]) -> int:
    """How many tokens the backbone has positions for; 0 where it does not say."""
    rows = int(config.get("max_position_embeddings") or config.get("n_positions") or 0)
    if architecture in POSITIONS_BEHIND_PAD and rows:
        pad = config.get("pad_token_id")
        return rows - (1 if pad is None else int(pad)) - 1
    return rows


def tokenizer_limit(files: CheckpointFiles, folder: str = "") -> int:
    """The longest text that the tokenizer's configuration allows; 512 where it says none."""
    limit = files.json(join(folder, "tokenizer_config.json")).get("model_max_length")
    if not isinstance(limit, int | float) or limit > UNLIMITED:
        return DEFAULT_LENGTH
    return int(limit)


def shorter(first: int, second: int | None) -> int:
    """The shorter of two lengths, where the second may be unknown."""
    return min(first, second) if second else first
