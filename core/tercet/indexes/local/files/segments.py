"""Segments: immutable safetensors files that hold the views of some documents.

An array's codec stands in the file's metadata under `codec.<name>`, the number of documents under
`rows`. Arrays are little-endian and memory-mapped when read. A small segment is no file of its own:
its bytes stand in the catalogue, where the commit that names it syncs them, too.
"""

import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from tercet.errors import IndexCorruptError, IndexFormatError
from tercet.indexes.codebooks import Codebook

NAMES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
}
"""The element types of safetensors that segments use."""

KEYS, KEYS_CODEC = "keys", "int64"
"""Every segment says which document of the catalogue each of its rows belongs to."""

LENGTH_BYTES = 8
"""A safetensors file starts with the length of its JSON header, as one little-endian word."""

MAX_HEADER = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """An array on its way into a segment, piece by piece.

    Attributes:
        codec: How values are encoded.
        dtype: Type of its elements.
        shape: Of the whole.
        pieces: Arrays that make the whole, in order along the first axis.
    """

    codec: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]

    @classmethod
    def of(cls, codec: str, values: NDArray[Any]) -> Self:
        """An array that is there already."""
        return cls(codec, values.dtype.newbyteorder("<"), values.shape, (values,))

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Written:
    """A segment that is not live yet.

    Attributes:
        file: Its name.
        rows: How many documents it holds.
        size: Its bytes.
        sha256: Its hash.
        content: All of it, for the catalogue; None where it was written to its file and synced.
    """

    file: str
    rows: int
    size: int
    sha256: str
    content: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment, mapped.

    Attributes:
        path: The file that holds it: its own, or the catalogue.
        rows: How many documents it holds.
        arrays: Its arrays by name, read-only.
        codecs: How each of them is encoded.
        codebook: What its token vectors refer to, if they do.
        device: Where torch compares its vectors; None leaves that to the CPU.
    """

    path: Path
    rows: int
    arrays: Mapping[str, NDArray[Any]]
    codecs: Mapping[str, str]
    codebook: Codebook | None = None
    device: str | None = None

    def array(self, name: str, codec: str) -> NDArray[Any]:
        """An array of this segment.

        Raises:
            IndexCorruptError: The segment lacks it.
            IndexFormatError: It is encoded in a way that this version does not read.
        """
        if name not in self.arrays:
            raise IndexCorruptError(f"segment {self.path} has no array {name!r}; restore the file")
        if self.codecs.get(name) != codec:
            raise IndexFormatError(
                f"segment {self.path} stores {name!r} as {self.codecs.get(name)!r}; this version "
                f"reads {codec!r}: upgrade tercet"
            )
        return self.arrays[name]


def write_segment(path: Path, columns: Mapping[str, Column], *, rows: int) -> Written:
    """Write a segment and sync it and its folder; on failure nothing stays behind."""
    try:
        with path.open("xb") as file:
            digest = _put(file, columns, rows)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        sync_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(path.name, rows, size, digest)


def pack_segment(name: str, columns: Mapping[str, Column], *, rows: int) -> Written:
    """A segment in memory, for the catalogue."""
    file = BytesIO()
    digest = _put(file, columns, rows)
    content = file.getvalue()
    return Written(name, rows, len(content), digest, content)


def _put(file: IO[bytes], columns: Mapping[str, Column], rows: int) -> str:
    """Write a segment; its hash."""
    # Wide elements come first, so that each array is aligned to its own without holes.
    ordered = sorted(columns, key=lambda name: (-columns[name].dtype.itemsize, name))
    header = _header(columns, ordered, rows)
    digest = hashlib.sha256(header)
    file.write(header)
    for name in ordered:
        for piece in columns[name].pieces:
            whole = np.ascontiguousarray(piece, dtype=columns[name].dtype)
            content = whole.reshape(-1).view(np.uint8).data
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def _header(columns: Mapping[str, Column], ordered: Sequence[str], rows: int) -> bytes:
    names = {dtype: name for name, dtype in NAMES.items()}
    metadata = {f"codec.{name}": columns[name].codec for name in ordered} | {"rows": str(rows)}
    header: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name in ordered:
        column = columns[name]
        header[name] = {
            "dtype": names[column.dtype],
            "shape": list(column.shape),
            "data_offsets": [start, start + column.nbytes],
        }
        start += column.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_segment(path: Path, *, rows: int) -> Segment:
    """Map the file of a segment.

    Args:
        path: Its file.
        rows: How many documents the catalogue says it holds.

    Raises:
        FileNotFoundError: No such file.
        IndexCorruptError: The file is truncated, or is no segment of that many documents.
    """
    with path.open("rb") as file:
        content: mmap.mmap | bytes = b""
        if os.fstat(file.fileno()).st_size:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return parse_segment(content, path, rows=rows)


def parse_segment(content: mmap.mmap | bytes, path: Path, *, rows: int) -> Segment:
    """A segment from all of its bytes.

    Args:
        content: The bytes.
        path: The file that they stand in.
        rows: How many documents the catalogue says it holds.

    Raises:
        IndexCorruptError: They are truncated, or are no segment of that many documents.
    """
    try:
        header, start = _parse_header(content)
        metadata = header.pop("__metadata__")
        arrays = {name: _map(content, start, entry) for name, entry in header.items()}
        found = int(metadata["rows"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexCorruptError(
            f"segment {path} is damaged or truncated ({len(content)} bytes: {error}); restore the "
            "file"
        ) from error
    if found != rows:
        raise IndexCorruptError(
            f"segment {path} holds {found} documents, the catalogue says {rows}; restore the file"
        )
    codecs = {name: metadata.get(f"codec.{name}", "") for name in arrays}
    return Segment(path, rows, arrays, codecs)


def _parse_header(content: mmap.mmap | bytes) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + length
    if not 0 < length <= MAX_HEADER or start > len(content):
        raise ValueError(f"a header of {length} bytes")
    return json.loads(content[LENGTH_BYTES:start]), start


def _map(content: mmap.mmap | bytes, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = NAMES[entry["dtype"]], tuple(entry["shape"])
    count = math.prod(shape)
    begin, end = entry["data_offsets"]
    if end - begin != count * dtype.itemsize or start + end > len(content):
        raise ValueError(f"an array of shape {shape} in bytes {begin} to {end}")
    values: NDArray[Any] = np.frombuffer(content, dtype, count, start + begin).reshape(shape)
    return values
