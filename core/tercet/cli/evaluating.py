"""`tercet evaluate`: how well each plan finds what judges found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tercet.cli.console import print_json, print_table, say
from tercet.cli.options import Device, Dtype, IndexArgument, Json, Quiet, plan_of
from tercet.errors import SourceError
from tercet.evaluation.collections import Collection
from tercet.evaluation.comparison import Evaluation, evaluate
from tercet.evaluation.measures import MEASURES, measure
from tercet.evaluation.trec import write_run
from tercet.indexes.base import Index
from tercet.retriever import Retriever


def evaluate_plans(
    index: IndexArgument,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="BEIR folder: queries.jsonl and qrels.tsv.")
    ],
    *,
    plans: Annotated[
        list[str] | None,
        typer.Option("--plan", help="Only this plan; may be repeated.", show_default="all"),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Which queries: en is queries.en.jsonl.")
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(help="File of the judgements.", show_default="qrels.tsv, qrels/test.tsv"),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            "--measure", help="As nDCG@10; may be repeated.", show_default=", ".join(MEASURES)
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Write what was found as a TREC run; of several plans, a file each."),
    ] = None,
    exact: Annotated[bool, typer.Option(help="Rank every document, skip no candidate.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    device: Device = None,
    dtype: Dtype = "auto",
) -> None:
    """Measure INDEX on the queries and judgements of FOLDER."""
    chosen = [plan_of(plan) for plan in plans or []] or None
    names = measures or list(MEASURES)
    collection = Collection.read(folder, queries=language, qrels=qrels)
    measure({}, collection.qrels, measures=names)  # what is wrong shows before the model is loaded
    with Retriever.open(index, device=device, dtype=dtype) as retriever:
        _check_judged(retriever.index, collection)
        done = evaluate(
            retriever,
            collection.queries,
            collection.qrels,
            plans=chosen,
            measures=names,
            exact=exact,
            show_progress=not quiet,
        )
        documents = len(retriever.index)
    if run is not None:
        _write_runs(done, run)
    if as_json:
        print_json(_as_json(index, collection, documents, done))
        return
    if not quiet:
        say(f"{collection.name}: {len(collection.queries):,} queries, {documents:,} documents")
    print_table(
        ["plan", *names, "ms/query"],
        [
            [e.plan, *(f"{e.measures[name]:.4f}" for name in names), f"{_milliseconds(e):.1f}"]
            for e in done
        ],
    )


def _check_judged(index: Index, collection: Collection) -> None:
    """Say which judged documents the index lacks: they count as not found."""
    judged = {doc_id for documents in collection.qrels.values() for doc_id in documents}
    found = len(index.get(sorted(judged)))
    if not found:
        raise SourceError(
            f"the index holds none of the {len(judged):,} documents that {collection.name} judges: "
            f"index its corpus first, {collection.corpus}"
        )
    if found < len(judged):
        say(
            f"warning: {len(judged) - found:,} of {len(judged):,} judged documents are not in the "
            "index and count as not found"
        )


def _write_runs(done: Sequence[Evaluation], path: Path) -> None:
    for number, evaluation in enumerate(done, start=1):
        named = not evaluation.plan.startswith("{")
        tag = evaluation.plan.replace(">", "-") if named else f"plan-{number}"
        target = path if len(done) == 1 else path.with_name(f"{path.stem}.{tag}{path.suffix}")
        write_run(evaluation.run, target, tag=tag)


def _as_json(
    index: str, collection: Collection, documents: int, done: Sequence[Evaluation]
) -> Mapping[str, Any]:
    return {
        "index": index,
        "collection": collection.name,
        "queries": len(collection.queries),
        "documents": documents,
        "plans": [
            {
                "plan": e.plan,
                "measures": dict(e.measures),
                "milliseconds_per_query": _milliseconds(e),
            }
            for e in done
        ],
    }


def _milliseconds(evaluation: Evaluation) -> float:
    return 1000 * evaluation.seconds / max(len(evaluation.run), 1)
