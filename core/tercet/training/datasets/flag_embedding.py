"""FlagEmbedding's training files: one example a line of JSON.

    {"query": "...", "pos": ["..."], "neg": ["..."], "pos_scores": [1.0], "neg_scores": [0.2]}

A `prompt` stands before the query, as that library puts it with its own default format; `type`
and keys of other names say nothing to the methods here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tercet.errors import SourceError
from tercet.sources.jsonl import read_lines, read_records, record_text
from tercet.training.datasets.examples import Example, make_example

KEYS = frozenset({"query", "pos"})
"""What each line has at least."""


def read_flag_embedding(path: Path) -> Iterator[tuple[str, Example]]:
    """The examples of a file, each with its place for messages.

    Raises:
        SourceError: A line is malformed.
    """
    for place, record in read_records(read_lines(path), name=str(path)):
        yield place, example_of(record, place=place)


def example_of(record: Mapping[str, Any], *, place: str) -> Example:
    """The example of one line.

    Raises:
        SourceError: A key is missing, or of another type than it should be.
    """
    record_text(record, "type", place=place, default="")
    prompt = record_text(record, "prompt", place=place, default="")
    scores = {key: _listed(record, key, place=place) for key in ("pos_scores", "neg_scores")}
    negatives = _listed(record, "neg", place=place) or []
    positive_scores, negative_scores = scores["pos_scores"], scores["neg_scores"]
    if not negatives and positive_scores is not None and negative_scores is None:
        negative_scores = []
    return make_example(
        prompt + record_text(record, "query", place=place),
        _listed(record, "pos", place=place) or [],
        negatives,
        positive_scores=positive_scores,
        negative_scores=negative_scores,
        place=place,
    )


def line_of(example: Example) -> str:
    """An example as a line of JSON, with its line end."""
    record: dict[str, Any] = {
        "query": example.query,
        "pos": example.positives,
        "neg": example.negatives,
    }
    if example.scores is not None:
        record |= {"pos_scores": example.positive_scores, "neg_scores": example.negative_scores}
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_flag_embedding(examples: Iterable[Example], path: Path) -> int:
    """Write examples to a file; how many there were.

    The file appears when it is whole: what is there before stays until then.
    """
    count = 0
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(line_of(example))
            count += 1
    partial.replace(path)
    return count


def _listed(record: Mapping[str, Any], key: str, *, place: str) -> list[Any] | None:
    """The list under a key; None where there is none, or null."""
    found = record.get(key)
    if found is not None and not isinstance(found, list):
        raise SourceError(f"{place}: {key!r} is {json.dumps(found)[:40]}, not a list")
    return found
