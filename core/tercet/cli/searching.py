"""`tercet search`: ask an index a question."""

import sys
from typing import Annotated, Any

import typer

from tercet.cli.conditions import filter_of
from tercet.cli.console import one_line, print_json, print_table, say
from tercet.cli.options import (
    Device,
    Dtype,
    IndexArgument,
    Json,
    Quiet,
    default_plan,
    plan_of,
    stored_spec,
)
from tercet.plans import NAMED_PLANS, Plan, resolve_plan
from tercet.ranking import Hit, Ranking
from tercet.retriever import Retriever

SNIPPET = 160
"""Characters of a text that a table shows."""


def search(
    index: IndexArgument,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="The question; - reads it from stdin.")
    ],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="How many documents.")] = 5,
    plan: Annotated[
        str | None,
        typer.Option(
            help=f"How the views are used: {', '.join(NAMED_PLANS)}, or a plan as JSON.",
            show_default="the best that the index has",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FIELD=VALUE",
            help="Only documents whose metadata pass: lang=en, year>=2020, title~brain, or a "
            "filter as JSON. Several must all hold.",
        ),
    ] = None,
    exact: Annotated[bool, typer.Option(help="Rank every document, skip no candidate.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    device: Device = None,
    dtype: Dtype = "auto",
) -> None:
    """Find the documents of INDEX that answer QUERY best."""
    chosen = None if plan is None else plan_of(plan)
    condition = filter_of(filters or [])
    question = _question(query)
    with Retriever.open(index, device=device, dtype=dtype) as retriever:
        stored = stored_spec(retriever.index)
        used = chosen or default_plan(stored)
        hits = retriever.retrieve(
            question, k=k, plan=resolve_plan(used, stored), filter=condition, exact=exact
        )
    if as_json:
        print_json(_as_json(question, used, hits))
    elif hits:
        _print_hits(hits)
    elif not quiet:
        say("no document found" + (": none passes the filter" if condition is not None else ""))


def _question(given: str) -> str:
    question = sys.stdin.read().strip() if given == "-" else given
    if not question.strip():
        raise typer.BadParameter("the query is empty")
    return question


def _print_hits(hits: Ranking) -> None:
    views = list(hits[0].scores)
    print_table(
        ["rank", "score", *views, "id", "text"],
        [
            [
                str(hit.rank),
                f"{hit.score:.4f}",
                *(f"{hit.scores[view]:.4f}" if view in hit.scores else "" for view in views),
                hit.document.id,
                _snippet(hit),
            ]
            for hit in hits
        ],
    )


def _snippet(hit: Hit) -> str:
    text = one_line(hit.document.content)
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rstrip() + "…"


def _as_json(query: str, plan: str | Plan, hits: Ranking) -> dict[str, Any]:
    return {
        "query": query,
        "plan": plan if isinstance(plan, str) else plan.to_json(),
        "hits": [
            {
                "rank": hit.rank,
                "score": hit.score,
                "scores": dict(hit.scores),
                "id": hit.document.id,
                "text": hit.document.text,
                "metadata": dict(hit.document.metadata),
            }
            for hit in hits
        ],
    }
