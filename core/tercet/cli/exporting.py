"""`tercet export`: a model as a folder of its own."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tercet.cli.console import print_json
from tercet.cli.options import Json, Quiet

MIB = 2**20


class Format(StrEnum):
    """What a model is written as."""

    ONNX = "onnx"
    FOLDER = "folder"


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="tercet/mini, a hub id, or a folder.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="An empty folder, made where there is none.")
    ],
    *,
    format: Annotated[  # noqa: A002  the option's name
        Format,
        typer.Option(
            help="onnx: graphs that run without torch (needs the onnx extra). folder: weights as "
            "this library and sentence-transformers open them."
        ),
    ] = Format.ONNX,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub repository.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write MODEL to TARGET.

    Graphs make the model's own views in float32, and have its ids: an index that the model built
    can be searched with them. `--model TARGET` or `Encoder.from_pretrained(TARGET)` opens either.
    """
    from tercet.encoding.checkpoint import Checkpoint  # noqa: PLC0415  slow to import

    checkpoint = Checkpoint.open(model, revision=revision)
    if format is Format.ONNX:
        from tercet.encoding.onnx.export import export as write  # noqa: PLC0415  loads torch
    else:
        from tercet.encoding.saving import save as write  # noqa: PLC0415  loads torch
    write(checkpoint, target)
    files = {path.name: path.stat().st_size for path in sorted(target.iterdir()) if path.is_file()}
    if as_json:
        views = [view.value for view in checkpoint.spec.representations]
        print_json({"model": model, "target": str(target), "views": views, "files": files})
    elif not quiet:
        typer.echo(f"{target}: {model}, {sum(files.values()) / MIB:,.0f} MiB in {len(files)} files")
