"""Measures of a ranking, computed by `ir-measures` as the tools of TREC define them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tercet.errors import require
from tercet.ranking import Qrels, Run

MEASURES = ("nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP@100")

SYNONYMS = {"recall": "R", "MRR": "RR", "MAP": "AP"}
"""Our words for measures that `ir-measures` calls otherwise."""


def measure(run: Run, qrels: Qrels, *, measures: Sequence[str] = MEASURES) -> dict[str, float]:
    """The means of some measures over all judged queries.

    A query that the run lacks counts 0. Documents of equal score are taken in the run's own order,
    best first, and not by the rule of trec_eval, which would look at their ids.

    Args:
        run: Scores by query and document.
        qrels: The judgements.
        measures: As "nDCG@10", "recall@100", "MRR@10", "MAP@100", or names of `ir-measures`.

    Raises:
        MissingExtraError: `ir-measures` is not installed.
        ValueError: A measure is unknown.
    """
    library = require("ir_measures", extra="evaluate")
    parsed = {name: _parse(library, name) for name in measures}
    judged = {query_id: _by_place(run.get(query_id, {})) for query_id in qrels}
    values = library.calc_aggregate(list(parsed.values()), qrels, judged)
    return {name: float(values[found]) for name, found in parsed.items()}


def _parse(library: Any, name: str) -> Any:
    word, at, cut = name.partition("@")
    try:
        return library.parse_measure(SYNONYMS.get(word, word) + at + cut)
    except (NameError, ValueError) as error:
        raise ValueError(
            f"no measure {name!r}; there are: {', '.join(MEASURES)}, P@5, ..."
        ) from error


def _by_place(scores: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(scores, key=lambda doc_id: -scores[doc_id])
    return {doc_id: float(len(ordered) - place) for place, doc_id in enumerate(ordered)}
