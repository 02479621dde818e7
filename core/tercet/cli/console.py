"""What the commands print: results on stdout, everything else on stderr.

On a terminal a table has colours and fits the width. In a pipe it is plain text, a row a line,
nothing cut, so that other programs can read it.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Justify = Literal["left", "right"]

CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], " ")
"""Control characters of a text would move the cursor, or worse."""

GAP = "  "

NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")


def say(message: str) -> None:
    """Print one line on stderr."""
    typer.echo(one_line(message), err=True)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; columns of numbers are set right."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    sides: list[Justify] = [
        "right" if all(_is_number(row[n]) for row in cells) else "left" for n in range(len(columns))
    ]
    console = Console(highlight=False)
    if not console.is_terminal:
        for line in _aligned([list(columns), *cells], sides):
            typer.echo(line)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, side in zip(columns, sides, strict=True):
        table.add_column(name, justify=side, overflow="fold", no_wrap=side == "right")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values on stdout, a line each."""
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:{width}}{GAP}{one_line(value)}")


def one_line(text: str) -> str:
    """A text without line breaks and control characters, runs of blanks as one."""
    return " ".join(text.translate(CONTROLS).split())


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print warnings as one line each, without the place in the code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _aligned(rows: list[list[str]], sides: Sequence[Justify]) -> Iterator[str]:
    widths = [max(cell_len(row[n]) for row in rows) for n in range(len(sides))]
    for row in rows:
        padded = [
            _padded(cell, width, side) for cell, width, side in zip(row, widths, sides, strict=True)
        ]
        yield GAP.join(padded).rstrip()


def _padded(cell: str, width: int, side: Justify) -> str:
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if side == "right" else cell + blanks


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or NUMBER.fullmatch(cell) is not None
