"""`tercet index` and `tercet delete`: what goes into an index and out of it."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from typing import Annotated

import typer

from tercet.cli.console import print_json, say
from tercet.cli.options import Device, Dtype, IndexArgument, Json, Quiet
from tercet.documents import AddReport, Document
from tercet.embeddings import Representation
from tercet.encoding.long_documents import LongDocuments
from tercet.errors import IndexNotFoundError
from tercet.indexes.base import Index
from tercet.retriever import DEFAULT_MODEL, Retriever
from tercet.sources.files import DocumentFiles
from tercet.sources.jsonl import documents_of

STDIN = "-"
SHOWN_IDS = 5
INTERRUPTED = 130


def index(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Text, Markdown or JSON-lines files, folders of them, BEIR folders; "
            "- reads JSON lines from stdin.",
        ),
    ],
    *,
    to: Annotated[
        str,
        typer.Option(
            help="Folder of the index, or its address as qdrant://host:6333/name; made where "
            "there is none."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Hub id, local folder or tercet/mini.",
            show_default=f"the model of the index, for a new one {DEFAULT_MODEL}",
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Which corpus of a BEIR folder: en is corpus.en.jsonl."),
    ] = None,
    representations: Annotated[
        list[Representation] | None,
        typer.Option("--view", help="Keep this view only; may be repeated.", show_default="all"),
    ] = None,
    long_documents: Annotated[
        LongDocuments | None,
        typer.Option(help="How texts are encoded that are long.", show_default="auto"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    device: Device = None,
    dtype: Dtype = "auto",
) -> None:
    """Encode documents and put them into an index.

    Documents that are there already, unchanged, are skipped: after an interruption the same
    command goes on where it stopped.
    """
    documents = _documents(paths, corpus=corpus)
    start = time.perf_counter()
    with _open(
        to,
        model=model,
        representations=representations,
        long_documents=long_documents,
        device=device,
        dtype=dtype,
    ) as retriever:
        report = _add(retriever, documents, show_progress=not quiet)
        total = len(retriever.index)
    _warn_of_duplicates(report)
    seconds = time.perf_counter() - start
    if as_json:
        print_json({"index": to, "documents": total, **asdict(report), "seconds": seconds})
    elif not quiet:
        typer.echo(
            f"{to}: {report.committed:,} documents indexed ({report.replaced:,} of them replaced), "
            f"{report.skipped:,} unchanged, {total:,} in all; {seconds:,.1f} s"
        )


def delete(
    index: IndexArgument,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of documents.")],
    *,
    quiet: Quiet = False,
) -> None:
    """Delete documents from INDEX."""
    with Index.open(index) as opened:
        deleted = opened.delete(ids)
    if not quiet:
        typer.echo(f"{index}: {deleted:,} of {len(set(ids)):,} documents deleted")


def _documents(paths: list[str], *, corpus: str | None) -> Iterable[Document]:
    files = DocumentFiles([path for path in paths if path != STDIN], corpus=corpus)
    if STDIN not in paths:
        return files
    return chain(files, documents_of(sys.stdin.buffer, name="stdin"))


def _open(
    to: str,
    *,
    model: str | None,
    representations: list[Representation] | None,
    long_documents: LongDocuments | None,
    device: str | None,
    dtype: str,
) -> Retriever:
    """The index with its own model where nothing else is asked for, else with the one asked."""
    if (model, representations, long_documents) == (None, None, None):
        with suppress(IndexNotFoundError):
            return Retriever.open(to, device=device, dtype=dtype)
    return Retriever.create(
        to,
        model=model or DEFAULT_MODEL,
        representations=representations,
        device=device,
        dtype=dtype,
        long_documents=long_documents or LongDocuments.AUTO,
    )


def _add(retriever: Retriever, documents: Iterable[Document], *, show_progress: bool) -> AddReport:
    try:
        return retriever.add(documents, show_progress=show_progress)
    except KeyboardInterrupt:
        say(
            f"interrupted: {len(retriever.index):,} documents are committed; "
            "run the same command again to go on"
        )
        raise typer.Exit(INTERRUPTED) from None


def _warn_of_duplicates(report: AddReport) -> None:
    ids = report.duplicate_ids
    if ids:
        more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
        shown = ", ".join(ids[:SHOWN_IDS]) + more
        say(f"warning: ids given more than once, of which the last document counts: {shown}")
