"""JSON lines: one record a line, read as a stream, with the line's number in every error.

    {"id": "a", "text": "...", "metadata": {"lang": "en"}}

`_id` may be said for `id`. A `title` stands before the text when it is encoded and is kept in the
metadata, as are keys of other names.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tercet.documents import Document
from tercet.errors import SourceError

JSONL_SUFFIXES = (".jsonl", ".jsonl.gz")
OWN_KEYS = frozenset({"_id", "id", "text", "metadata"})


def documents_of(lines: Iterable[bytes], *, name: str) -> Iterator[Document]:
    """The documents of lines of JSON.

    Args:
        lines: As a file opened in binary gives them.
        name: What errors call the file.

    Raises:
        SourceError: A line is no JSON object with an id and a text.
    """
    for place, record in read_records(lines, name=name):
        title = record_text(record, "title", place=place, default="")
        more = {k: v for k, v in record.items() if k not in OWN_KEYS and (k != "title" or title)}
        metadata = record.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise SourceError(f"{place}: metadata is {_shown(metadata)}, not an object")
        yield make_document(
            record_id(record, place=place),
            record_text(record, "text", place=place),
            place=place,
            metadata={**more, **metadata},
            header=f"{title} " if title else "",
        )


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, unpacked if its name ends in .gz.

    Raises:
        SourceError: The packed file is damaged.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            yield from file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"{path} is damaged: {error}") from error


def read_records(lines: Iterable[bytes], *, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of lines of JSON, each with its place for messages; empty lines are left out.

    Raises:
        SourceError: A line is no JSON object.
    """
    for number, line in enumerate(lines, start=1):
        place = f"{name}, line {number}"
        text = decoded(line, place=place)
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise SourceError(f"{place}: no JSON: {error.msg}, column {error.colno}") from error
        except (ValueError, RecursionError) as error:  # a number too long, or nested too deep
            raise SourceError(f"{place}: {error}") from error
        if not isinstance(record, dict):
            raise SourceError(f"{place}: {_shown(record)} is no JSON object")
        yield place, record


def record_id(record: Mapping[str, Any], *, place: str) -> str:
    """The id of a line of JSON, `_id` or `id`; a whole number is written out.

    Raises:
        SourceError: There is none.
    """
    found = record.get("_id", record.get("id"))
    if isinstance(found, bool) or not isinstance(found, str | int):
        keys = ", ".join(record) or "no key"
        raise SourceError(f"{place}: an id is needed, under 'id' or '_id'; there is: {keys}")
    return str(found)


def record_text(
    record: Mapping[str, Any], key: str, *, place: str, default: str | None = None
) -> str:
    """The string under a key of a line of JSON; null counts as missing.

    Raises:
        SourceError: It is no string, or missing without a default.
    """
    found = record.get(key)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise SourceError(f"{place}: {key!r} is {_shown(found)}, not a string")
    return found


def make_document(
    identity: str,
    text: str,
    *,
    place: str,
    metadata: Mapping[str, Any] | None = None,
    header: str = "",
) -> Document:
    """A document whose errors say where it stands.

    Raises:
        SourceError: The id or the metadata cannot be used.
    """
    try:
        return Document(id=identity, text=text, metadata=metadata or {}, header=header)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{place}: {error}") from error


def decoded(content: bytes, *, place: str) -> str:
    """The text of some bytes, without a byte order mark.

    Raises:
        SourceError: They are not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{place}: byte {content[error.start]:#04x} at position {error.start} is not UTF-8: "
            "convert the file"
        ) from error


def _shown(value: object) -> str:
    return f"{json.dumps(value)[:40]}"
