"""`tercet check`: whether an index is as it was committed."""

from dataclasses import asdict
from pathlib import Path

import typer

from tercet.cli.console import one_line, print_json
from tercet.cli.options import IndexArgument, Json, Quiet
from tercet.errors import IndexCorruptError
from tercet.indexes.base import SCHEME, TIMEOUT
from tercet.indexes.local.upkeep.folder import check_folder


def check(index: IndexArgument, *, as_json: Json = False, quiet: Quiet = False) -> None:
    """Compare every byte of INDEX with its hashes.

    Damage is listed, and is exit code 1. It takes no lock: others may search and write meanwhile.
    """
    if SCHEME.match(index):
        raise ValueError(f"{index} is no folder; the hashes of an index in a folder are compared")
    report = check_folder(Path(index), timeout=TIMEOUT)
    if as_json:
        print_json({"index": index, **asdict(report)})
    else:
        for damage in report.damage:
            typer.echo(one_line(f"{damage.place}: {damage.what}"))
    if report.damage:
        raise IndexCorruptError(
            f"{index} is damaged in {len(report.damage):,} places: restore it from a backup, or "
            "delete and add what is damaged"
        )
    if not (as_json or quiet):
        typer.echo(
            f"{index} is as it was committed: {report.documents:,} documents, "
            f"{report.segments:,} segments of {report.bytes:,} bytes"
        )
