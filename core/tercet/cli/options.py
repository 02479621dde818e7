"""Arguments and options that several commands have."""

from dataclasses import replace
from typing import Annotated

import typer

from tercet.embeddings import EncoderSpec
from tercet.indexes.base import Index
from tercet.plans import DEFAULT_PLANS, NAMED_PLANS, Plan

IndexArgument = Annotated[
    str,
    typer.Argument(
        metavar="INDEX", help="Folder of the index, or its address: qdrant://host:6333/name."
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks; errors stay.")
]

Device = Annotated[
    str | None,
    typer.Option(
        help="Where the model runs: cpu, cuda, mps; cuda:0,cuda:1 for both.",
        show_default="the best",
    ),
]

Dtype = Annotated[str, typer.Option(help="Arithmetic: auto, float32, bfloat16, float16.")]


def plan_of(given: str) -> str | Plan:
    """The name of a plan as it is, or the plan that a JSON object says.

    Raises:
        typer.BadParameter: There is no such plan.
    """
    if given in NAMED_PLANS:
        return given
    if not given.lstrip().startswith("{"):
        raise typer.BadParameter(f"no plan {given!r}; there are: {', '.join(NAMED_PLANS)}")
    try:
        return Plan.from_json(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"no plan {given!r}: {error}") from error


def stored_spec(index: Index) -> EncoderSpec:
    """The model of an index with the views that are stored, which decide what plans there are."""
    return replace(index.spec, representations=index.representations)


def default_plan(stored: EncoderSpec) -> str:
    """The name of the best plan that some views can serve."""
    return DEFAULT_PLANS[frozenset(stored.representations)]
