"""Comparing plans: the same queries on the same index, measured for each plan."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tercet.embeddings import Embeddings
from tercet.errors import check_k
from tercet.evaluation.measures import MEASURES, measure
from tercet.indexes.base import Index
from tercet.plans import Plan, plans_of, resolve_plan
from tercet.progress import Progress, progress
from tercet.ranking import Qrels, Run
from tercet.retriever import Retriever

DEPTH = 100
"""Documents a query: what recall@100 and MAP@100 need."""

BATCH = 64
"""Queries that are searched at once."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a plan did.

    Attributes:
        plan: Its name, or its JSON where it has none.
        measures: Means over the judged queries, by the measure's name.
        run: What it found, with scores.
        seconds: Time of all its searches, without encoding.
    """

    plan: str
    measures: Mapping[str, float]
    run: Run
    seconds: float


def evaluate(
    retriever: Retriever,
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    plans: Sequence[str | Plan] | None = None,
    measures: Sequence[str] = MEASURES,
    k: int = DEPTH,
    exact: bool = False,
    show_progress: bool = False,
) -> list[Evaluation]:
    """Search all judged queries with each plan and measure what comes out.

    Queries are encoded once, all plans use the same vectors.

    Args:
        retriever: Holds the collection's documents.
        queries: Texts by query_id.
        qrels: The judgements; queries without any are left out.
        plans: Names or plans; None is every named plan that the index can serve.
        measures: As "nDCG@10", or names of `ir-measures`.
        k: Documents a query.
        exact: Rank exhaustively over the stored vectors.
        show_progress: Draw progress bars on stderr.

    Raises:
        ValueError: No query is judged, or a plan or a measure is unknown.
        MissingViewError: The index lacks a view of a plan.
        MissingExtraError: `ir-measures` is not installed.
    """
    check_k(k)
    index = retriever.index
    spec = replace(index.spec, representations=index.representations)
    chosen = plans_of(spec) if plans is None else list(plans)
    resolved = [(_name(plan), resolve_plan(plan, spec)) for plan in chosen]
    judged = {query_id: qrels[query_id] for query_id in queries if query_id in qrels}
    if not judged:
        raise ValueError("no query is judged: queries and qrels have no id in common")
    measure({}, judged, measures=measures)  # an unknown measure shows before the work
    texts = [queries[query_id] for query_id in judged]
    embeddings = retriever.encoder.encode_queries(texts, show_progress=show_progress)
    total = len(resolved) * len(judged)
    with progress("searching", total=total, unit="queries", show=show_progress) as bar:
        return [
            _evaluate(
                retriever.index,
                name,
                plan,
                embeddings,
                judged,
                measures=measures,
                k=k,
                exact=exact,
                bar=bar,
            )
            for name, plan in resolved
        ]


def _evaluate(
    index: Index,
    name: str,
    plan: Plan,
    queries: Embeddings,
    qrels: Qrels,
    *,
    measures: Sequence[str],
    k: int,
    exact: bool,
    bar: Progress,
) -> Evaluation:
    run: dict[str, dict[str, float]] = {}
    query_ids = list(qrels)
    start = time.perf_counter()
    for first in range(0, len(query_ids), BATCH):
        rows = np.arange(first, min(first + BATCH, len(query_ids)))
        rankings = index.search(queries.take(rows), k=k, plan=plan, exact=exact)
        for row, ranking in zip(rows.tolist(), rankings, strict=True):
            run[query_ids[row]] = {hit.document.id: hit.score for hit in ranking}
        bar.advance(len(rows))
    seconds = time.perf_counter() - start
    return Evaluation(name, measure(run, qrels, measures=measures), run, seconds)


def _name(plan: str | Plan) -> str:
    return plan if isinstance(plan, str) else plan.to_json()
