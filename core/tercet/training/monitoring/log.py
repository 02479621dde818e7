"""The log of a training run: one line of JSON a step that was reported or measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.sources.jsonl import read_lines, read_records

Figures = Mapping[str, Mapping[str, float]]
"""Values by collection and plan."""


@dataclass(frozen=True, slots=True)
class Log:
    """A file of records, each with its step.

    Attributes:
        path: The file.
    """

    path: Path

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one more record; it has a "step"."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order of their writing.

        Raises:
            SourceError: A line is malformed.
        """
        if not self.path.exists():
            return []
        return [record for _, record in read_records(read_lines(self.path), name=str(self.path))]

    def go_back(self, step: int) -> None:
        """Forget what came behind a step, from which a run goes on."""
        kept = [record for record in self.records() if record["step"] <= step]
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        partial.replace(self.path)


def first_and_last(logs: Sequence[Log], key: str) -> tuple[Figures, Figures]:
    """What was measured before the first step of a run, and behind its last one.

    Args:
        logs: Of its stages, in order.
        key: The measure; a record has the collection's name beside it.
    """
    found = [record for log in logs for record in log.records() if key in record]
    if not found:
        return {}, {}
    before, after = found[0], found[-1]
    return {before["collection"]: before[key]}, {after["collection"]: after[key]}


def curves(records: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[tuple[int, float]]]:
    """The values of a key by step; those of a table of values by the name of each."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        value = record.get(key)
        named = value if isinstance(value, Mapping) else {} if value is None else {key: value}
        for name, number in named.items():
            found.setdefault(name, []).append((record["step"], float(number)))
    return found
