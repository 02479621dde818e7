"""The header of a safetensors file, read without its tensors and without torch."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tercet.errors import CheckpointError
from tercet.models.files import TensorHeader

LENGTH = struct.Struct("<Q")
"""The file starts with the length of its header: 8 bytes, little-endian."""

LONGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""


def read_header(path: Path) -> dict[str, TensorHeader]:
    """The tensors that a safetensors file holds.

    Raises:
        CheckpointError: The file is cut short or is no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(LENGTH.size)
        length = LENGTH.unpack(start)[0] if len(start) == LENGTH.size else LONGEST_HEADER + 1
        if length > min(LONGEST_HEADER, size - LENGTH.size):
            raise CheckpointError(
                f"{path} is no safetensors file, or only the start of one ({size} bytes): "
                "download or copy it again"
            )
        header = _parsed(path, file.read(length))
    header.pop("__metadata__", None)
    try:
        tensors = {
            name: TensorHeader(tuple(row["shape"]), str(row["dtype"]))
            for name, row in header.items()
        }
        end = max((int(row["data_offsets"][1]) for row in header.values()), default=0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the header of {path} is damaged: {error!r}") from error
    _check_size(path, size, expected=LENGTH.size + length + end)
    return tensors


def _parsed(path: Path, raw: bytes) -> dict[str, Mapping[str, Any]]:
    try:
        header = json.loads(raw)
    except ValueError as error:
        raise CheckpointError(f"the header of {path} is no JSON: the file is damaged") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"the header of {path} is no JSON object: the file is damaged")
    return header


def _check_size(path: Path, size: int, *, expected: int) -> None:
    if size < expected:
        raise CheckpointError(
            f"{path} is cut short: its header promises {expected} bytes, there are {size}; "
            "download or copy it again"
        )
