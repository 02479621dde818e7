"""The training pairs, and the fixed part of them on which every choice is made."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEV_SHARE = 0.05  # of the English documents


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, its relevant documents and its mined negatives."""

    query_id: str
    source: str
    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Documents by id, and the queries about them.

    Attributes:
        documents: Title and text of every English document.
        train: Pairs whose documents are in no pair of `dev`.
        dev: The pairs of the development documents.
    """

    documents: dict[str, str]
    train: list[Pair]
    dev: list[Pair]


def read_pairs(folder: Path) -> Pairs:
    """Read the English pairs and split them by document.

    Args:
        folder: Holds `passages.jsonl.gz` and `pairs.jsonl.gz`.
    """
    documents: dict[str, str] = {
        row["_id"]: f"{row['title']} {row['text']}".strip()
        for row in _rows(folder / "passages.jsonl.gz")
        if row["lang"] == "en"
    }
    train: list[Pair] = []
    dev: list[Pair] = []
    for row in _rows(folder / "pairs.jsonl.gz"):
        if row["lang"] != "en":
            continue
        pair = Pair(row["_id"], row["source"], row["query"], tuple(row["pos"]), tuple(row["neg"]))
        held_out = {is_dev(documents[doc_id]) for doc_id in pair.positives}
        if len(held_out) == 1:  # a query with documents on both sides is on neither
            (dev if held_out.pop() else train).append(pair)
    return Pairs(documents, train, dev)


def is_dev(document: str) -> bool:
    """Say whether a document is one of the development documents: equal texts go together."""
    return _share(document) < DEV_SHARE


def _share(text: str) -> float:
    """Place a text evenly in [0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
