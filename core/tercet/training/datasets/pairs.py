"""Folders of pairs: documents in one file, queries with the ids of their documents in another.

passages.jsonl    {"_id": "d1", "lang": "en", "title": "...", "text": "..."}       perhaps .jsonl.gz
pairs.jsonl       {"_id": "q1", "lang": "en", "query": "...", "pos": ["d1"], "neg": ["d7"]}

Such a folder has a fixed split: documents are held out by the hash of their text, so that equal
texts go together, and a query goes with its positives. All documents are kept in memory.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tercet.errors import SourceError
from tercet.sources.beir import find_choice
from tercet.sources.jsonl import read_lines, read_records, record_id, record_text
from tercet.training.datasets.examples import Example, make_example

DOCUMENTS, PAIRS = "passages", "pairs"

DEV_SHARE = 0.05
"""Of the documents: what settings are chosen on, and nothing is trained on."""

Side = Literal["train", "dev", "neither"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and the ids of its documents."""

    query_id: str
    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    place: str


def read_pairs(
    path: Path, *, split: str | None, language: str | None
) -> Iterator[tuple[str, Example]]:
    """The examples of a folder, each with its place for messages.

    Args:
        path: The folder.
        split: "train" or "dev"; None is both.
        language: Only those in this language.

    Raises:
        SourceError: A line is malformed, or names a document that there is not.
    """
    documents = read_documents(path, language=language)
    for pair in pairs_of(path, documents, split=split, language=language):
        positives = [documents[doc_id] for doc_id in pair.positives]
        negatives = [documents[doc_id] for doc_id in pair.negatives]
        yield pair.place, make_example(pair.query, positives, negatives, place=pair.place)


def read_documents(path: Path, *, language: str | None) -> dict[str, str]:
    """Title and text of the documents of a folder, by their ids.

    Raises:
        SourceError: A line is malformed.
    """
    source = find_choice(path, DOCUMENTS, None)
    documents = {}
    for place, record in read_records(read_lines(source), name=str(source)):
        if language in (None, record.get("lang")):
            title = record_text(record, "title", place=place, default="")
            text = record_text(record, "text", place=place)
            documents[record_id(record, place=place)] = f"{title} {text}".strip()
    return documents


def pairs_of(
    path: Path, documents: Mapping[str, str], *, split: str | None, language: str | None
) -> Iterator[Pair]:
    """The pairs of a folder that belong to a split.

    Args:
        path: The folder.
        documents: Texts by id.
        split: "train" or "dev"; None is both.
        language: Only those in this language.

    Raises:
        SourceError: A line is malformed or names a document that there is not, or no pair is left.
    """
    check_split(path, split)
    source = find_choice(path, PAIRS, None)
    left = False
    for place, record in read_records(read_lines(source), name=str(source)):
        if language not in (None, record.get("lang")):
            continue
        pair = Pair(
            record_id(record, place=place),
            record_text(record, "query", place=place),
            _known(record, "pos", documents, place=place),
            _known(record, "neg", documents, place=place),
            place,
        )
        if not pair.positives:
            raise SourceError(f"{place}: no positive: 'pos' names no document")
        if split in (None, side_of([documents[doc_id] for doc_id in pair.positives])):
            left = True
            yield pair
    if not left:
        raise SourceError(f"{source} has no pairs of split {split!r} in the language {language!r}")


def check_split(path: Path, split: str | None) -> None:
    """Refuse the name of a split that folders of pairs do not have.

    Raises:
        SourceError: It is neither "train" nor "dev".
    """
    if split not in (None, "train", "dev"):
        raise SourceError(f"{path} has no split {split!r}; there are: train, dev")


def side_of(positives: list[str]) -> Side:
    """The side of the split on which a query is; neither, where its documents are on both."""
    held_out = {is_held_out(text) for text in positives}
    if len(held_out) > 1:
        return "neither"
    return "dev" if held_out.pop() else "train"


def is_held_out(document: str, *, share: float = DEV_SHARE) -> bool:
    """Whether a document is kept for development, the same on every machine."""
    place = int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") / 2**64
    return place < share


def _known(
    record: Mapping[str, Any], key: str, documents: Mapping[str, str], *, place: str
) -> tuple[str, ...]:
    ids = record.get(key) or []
    if not isinstance(ids, list):
        raise SourceError(f"{place}: {key!r} is {ids!r}, not a list of ids")
    for doc_id in ids:
        if doc_id not in documents:
            raise SourceError(f"{place}: {key!r} names {doc_id!r}, which is no document there")
    return tuple(ids)
