"""`tercet copy`: from one index to another, of any engine."""

from dataclasses import asdict
from typing import Annotated

import typer

from tercet.cli.console import print_json
from tercet.cli.options import IndexArgument, Json, Quiet
from tercet.indexes.base import Index
from tercet.indexes.copying import copy_index
from tercet.progress import progress


def copy(
    index: IndexArgument,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="Folder or address of the copy, made where there is none."
        ),
    ],
    *,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy INDEX to TARGET with its vectors.

    No model is loaded. Documents that TARGET has already, unchanged, are skipped: after an
    interruption the same command goes on where it stopped.
    """
    with (
        Index.open(index, read_only=True) as source,
        Index.open(target, spec=source.spec, representations=source.representations) as copied,
        progress("copying", total=len(source), show=not quiet) as bar,
    ):
        report = copy_index(source, copied, bar)
        total = len(copied)
    if as_json:
        print_json({"index": index, "target": target, "documents": total, **asdict(report)})
    elif not quiet:
        typer.echo(
            f"{target}: {report.committed:,} documents copied, {report.skipped:,} unchanged, "
            f"{total:,} in all"
        )
