"""Pairs, triplets and tuples as sentence-transformers trains on them: JSON lines, CSV or TSV.

    anchor,positive                                  pairs
    anchor,positive,negative                         triplets
    anchor,positive,negative_1,negative_2,scores     with a teacher's: [positive, negative, ...]

As in that library the order of the columns counts: the query, one positive, then negatives. A
column called label, labels, score or scores holds a list with one score a document.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tercet.errors import SourceError
from tercet.sources.jsonl import JSONL_SUFFIXES, decoded, read_lines, read_records, record_text
from tercet.training.datasets.examples import Example, make_example

QUERIES = frozenset({"anchor", "query", "question"})
POSITIVES = frozenset({"positive", "answer", "document", "passage", "response"})
LABELS = ("scores", "score", "labels", "label")
"""Names of columns by which a file is recognised, and of those that hold no text."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}

Row = tuple[str, dict[str, Any]]


def recognised(columns: list[str]) -> bool:
    """Whether the columns of a file are those of pairs, triplets or tuples."""
    return len(columns) > 1 and columns[0] in QUERIES and columns[1] in POSITIVES


def read_columns(path: Path) -> Iterator[tuple[str, Example]]:
    """The examples of a file, each with its place for messages.

    Raises:
        SourceError: A line is malformed, or has other columns than the first.
    """
    columns: list[str] = []
    for place, row in rows_of(path):
        columns = columns or list(row)
        if row.keys() != set(columns):
            raise SourceError(
                f"{place}: the columns are {', '.join(row)}; those of the first line are "
                f"{', '.join(columns)}"
            )
        yield place, _example(row, columns, place=place)


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines, CSV or TSV by their columns, each with its place.

    Raises:
        SourceError: The file is malformed.
    """
    if path.name.lower().endswith((*JSONL_SUFFIXES, ".json")):
        yield from read_records(read_lines(path), name=str(path))
    else:
        yield from _table(path, DELIMITERS[Path(path.name.removesuffix(".gz")).suffix.lower()])


def _table(path: Path, delimiter: str) -> Iterator[Row]:
    lines = (
        decoded(line, place=f"{path}, line {number}")
        for number, line in enumerate(read_lines(path), start=1)
    )
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = next(rows, [])
        if len(set(columns)) < len(columns):
            raise SourceError(f"{path}, line 1: two columns have one name: {', '.join(columns)}")
        for fields in rows:
            place = f"{path}, line {rows.line_num}"
            if fields and len(fields) != len(columns):
                raise SourceError(
                    f"{place}: {len(fields)} fields; there are {len(columns)} columns: "
                    f"{', '.join(columns)}"
                )
            if fields:
                yield place, dict(zip(columns, fields, strict=True))
    except csv.Error as error:
        raise SourceError(
            f"{path}, line {rows.line_num}: {error}; JSON lines need no quoting and have no limit"
        ) from error


def _example(row: Mapping[str, Any], columns: list[str], *, place: str) -> Example:
    texts = [column for column in columns if column not in LABELS]
    if len(texts) < 2:
        raise SourceError(f"{place}: the columns are {', '.join(columns)}; a query and a positive")
    query, positive, *negatives = (record_text(row, column, place=place) for column in texts)
    label = next((column for column in LABELS if column in columns), None)
    if label is None:
        return make_example(query, [positive], negatives, place=place)
    scores = _scores(row[label], label, place=place)
    return make_example(
        query,
        [positive],
        negatives,
        positive_scores=scores[:1],
        negative_scores=scores[1:],
        place=place,
    )


def _scores(found: Any, column: str, *, place: str) -> list[Any]:
    """One score a document: a list, in tables its JSON."""
    try:
        scores = json.loads(found) if isinstance(found, str) else found
    except json.JSONDecodeError:
        scores = found
    if not isinstance(scores, list):
        raise SourceError(
            f"{place}: {column!r} is {found!r}; a list belongs there, with one score for the "
            "positive and for each negative (similarities of pairs are not trained on here)"
        )
    return scores
