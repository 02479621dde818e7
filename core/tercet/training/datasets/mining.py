"""Hard negatives: documents that a retriever finds for a query, and that do not answer it.

Found documents are taken from a window of ranks. Left out are those that may answer the query all
the same: equal to a positive, holding one or held by one, or scored nearer to it than a margin.

Source: Xiong et al. 2021, "Approximate nearest neighbor negative contrastive learning" (ANCE), for
negatives from the model's own index and their refreshing; Moreira et al. 2024, "NV-Retriever", for
margins to the positive.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tercet.documents import Document
from tercet.embeddings import Embeddings, TextEncoder
from tercet.fusion import Candidates, fuse
from tercet.plans import Plan, resolve_plan
from tercet.progress import progress
from tercet.ranking import Hit
from tercet.retriever import Retriever
from tercet.scoring.views import view_scores
from tercet.training.datasets.examples import Example
from tercet.training.datasets.flag_embedding import write_flag_embedding
from tercet.training.datasets.teachers import Teacher

BATCH = 64
"""Queries that are searched at once."""


@dataclass(frozen=True, slots=True)
class MiningRule:
    """Which documents that were found become negatives.

    Attributes:
        first: First rank of the window, from 1.
        last: Last rank of the window.
        count: Negatives an example; fewer where the window does not hold as many.
        margin: A negative scores at least so much less than the positive.
        relative_margin: A negative scores at most (1 - this) times what the positive does; 0.05 is
            NV-Retriever's.
        seed: Chooses among the documents of the window; each query for itself, so that other
            examples in the file change nothing.
    """

    first: int = 1
    last: int = 100
    count: int = 7
    margin: float | None = None
    relative_margin: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the window and the margins."""
        if not 1 <= self.first <= self.last:
            raise ValueError(f"ranks {self.first} to {self.last} are no window: 1 <= first <= last")
        if self.count < 1:
            raise ValueError(f"count is {self.count}; at least 1 negative must be asked for")
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise ValueError(f"relative_margin is {self.relative_margin}; it is from 0 to below 1")

    @property
    def compares(self) -> bool:
        """Whether a margin is asked for."""
        return self.margin is not None or self.relative_margin is not None

    def ceiling(self, positive: float) -> float:
        """The highest score of a negative, given the positive's."""
        absolute = positive - (self.margin or 0.0)
        return min(absolute, positive - (self.relative_margin or 0.0) * abs(positive))


@dataclass(frozen=True, slots=True)
class MiningReport:
    """What was mined.

    Attributes:
        examples: How many have negatives and were written.
        negatives: How many negatives they have together.
        without: How many examples were left out, since no document of the window is a negative.
    """

    examples: int = 0
    negatives: int = 0
    without: int = 0


def mine(
    retriever: Retriever,
    examples: Iterable[Example],
    rule: MiningRule,
    *,
    plan: str | Plan | None = None,
    judge: Teacher | None = None,
    show_progress: bool = False,
) -> Iterator[Example]:
    """The same examples with other negatives, none where the window holds none; unscored.

    Args:
        retriever: Holds the documents among which negatives are looked for.
        examples: Read as a stream.
        rule: Which documents become negatives.
        plan: How is searched; None is the model's default.
        judge: Whose scores the margins compare; None is the plan's own.
        show_progress: Draw a bar on stderr.

    Raises:
        ValueError: A margin on a plan whose scores depend on the other candidates.
    """
    resolved = resolve_plan(plan, retriever.index.spec)
    if rule.compares and judge is None and (resolved.fusion, resolved.normalise) != ("sum", "none"):
        raise ValueError(
            f"the scores of the plan {plan!r} depend on what else was found, so that a margin to "
            "the positive says nothing: use a plan without normalisation, or a judge"
        )
    miner = _Miner(retriever, rule, resolved, judge)
    with progress("mining", unit="queries", show=show_progress) as bar:
        for part in _parts(examples):
            yield from miner.mine(part)
            bar.advance(len(part))


def mine_to_file(
    retriever: Retriever,
    examples: Iterable[Example],
    path: Path,
    rule: MiningRule,
    *,
    plan: str | Plan | None = None,
    judge: Teacher | None = None,
    show_progress: bool = False,
) -> MiningReport:
    """Mine, and write the examples that have negatives to a file of FlagEmbedding's layout.

    Args:
        retriever: Holds the documents among which negatives are looked for.
        examples: Read as a stream.
        path: The file; one that is there is replaced when the new one is whole.
        rule: Which documents become negatives.
        plan: How is searched; None is the model's default.
        judge: Whose scores the margins compare; None is the plan's own.
        show_progress: Draw a bar on stderr.
    """
    report = MiningReport()

    def counted() -> Iterator[Example]:
        nonlocal report
        for example in mine(
            retriever, examples, rule, plan=plan, judge=judge, show_progress=show_progress
        ):
            if not example.negatives:
                report = replace(report, without=report.without + 1)
                continue
            report = replace(
                report,
                examples=report.examples + 1,
                negatives=report.negatives + len(example.negatives),
            )
            yield example

    write_flag_embedding(counted(), path)
    return report


def refresh(
    encoder: TextEncoder,
    texts: Iterable[str],
    examples: Iterable[Example],
    path: Path,
    rule: MiningRule,
    *,
    plan: str | Plan | None = None,
    judge: Teacher | None = None,
    show_progress: bool = False,
) -> MiningReport:
    """Mine between two rounds of training: encode all documents anew, then as `mine_to_file`.

    Args:
        encoder: The checkpoint of the last round.
        texts: The documents among which negatives are looked for; equal ones count once.
        examples: Those of the round that comes.
        path: The file of examples.
        rule: Which documents become negatives; another seed a round brings other ones.
        plan: How is searched; None is the model's default.
        judge: Whose scores the margins compare; None is the plan's own.
        show_progress: Draw bars on stderr.
    """
    documents = (Document(id=_identity(text), text=text) for text in texts)
    with Retriever.create(encoder=encoder) as retriever:
        retriever.add(documents, show_progress=show_progress)
        return mine_to_file(
            retriever, examples, path, rule, plan=plan, judge=judge, show_progress=show_progress
        )


class _Miner:
    def __init__(
        self, retriever: Retriever, rule: MiningRule, plan: Plan, judge: Teacher | None
    ) -> None:
        self._encoder, self._index = retriever.encoder, retriever.index
        self._rule, self._plan, self._judge = rule, plan, judge

    def mine(self, examples: Sequence[Example]) -> Iterator[Example]:
        """Mine for a batch of examples."""
        queries = self._encoder.encode_queries([example.query for example in examples])
        rankings = self._index.search(queries, k=self._rule.last, plan=self._plan)
        windows = [
            [hit for hit in ranking[self._rule.first - 1 :] if not _answers(hit, example)]
            for ranking, example in zip(rankings, examples, strict=True)
        ]
        if self._rule.compares and self._judge is not None:
            windows = self._judged(examples, windows, self._judge)
        elif self._rule.compares:
            ceilings = map(self._rule.ceiling, self._positives(examples, queries))
            windows = [
                [hit for hit in window if hit.score <= ceiling]
                for window, ceiling in zip(windows, ceilings, strict=True)
            ]
        for example, window in zip(examples, windows, strict=True):
            texts = dict.fromkeys(hit.document.content for hit in window)  # equal texts count once
            negatives = _chosen(list(texts), example.query, self._rule)
            yield Example(example.query, example.positives, tuple(negatives))

    def _positives(self, examples: Sequence[Example], queries: Embeddings) -> list[float]:
        """The plan's score of each example's lowest positive: found or not, it is scored here."""
        texts = [text for example in examples for text in example.positives]
        documents = self._encoder.encode_documents(texts)
        reduction = self._plan.reduction(self._index.spec.reduction)
        lowest, end = [], 0
        for row, example in enumerate(examples):
            rows = range(end, end := end + len(example.positives))
            query, positives = queries.take([row]), documents.take(rows)
            scores = {
                view: view_scores(view, query, positives, reduction=reduction)
                for view in self._plan.scored
            }
            fused = fuse(Candidates(example.positives, scores, {}), self._plan)
            lowest.append(float(fused.min()))
        return lowest

    def _judged(
        self, examples: Sequence[Example], windows: list[list[Hit]], judge: Teacher
    ) -> list[list[Hit]]:
        """What stays of the windows by the scores of a judge."""
        pairs = [
            (example.query, text)
            for example, window in zip(examples, windows, strict=True)
            for text in (*example.positives, *(hit.document.content for hit in window))
        ]
        scores = iter(judge(pairs))
        left = []
        for example, window in zip(examples, windows, strict=True):
            ceiling = self._rule.ceiling(min(next(scores) for _ in example.positives))
            left.append([hit for hit in window if next(scores) <= ceiling])
        return left


def _answers(hit: Hit, example: Example) -> bool:
    """Whether a document is a positive: the same text, one that holds it, or a part of it."""
    found = {_normal(hit.document.content), _normal(hit.document.text)}
    positives = {_normal(text) for text in example.positives}
    return any(one in other or other in one for one in found for other in positives)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _chosen(texts: list[str], query: str, rule: MiningRule) -> list[str]:
    """Some texts at random, in the order of their ranks; the same for the same seed and query."""
    if len(texts) <= rule.count:
        return texts
    digest = hashlib.sha256(query.encode()).digest()
    rng = np.random.default_rng([rule.seed, int.from_bytes(digest[:8], "big")])
    rows = rng.choice(len(texts), size=rule.count, replace=False)
    return [texts[row] for row in sorted(rows.tolist())]


def _identity(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _parts(examples: Iterable[Example]) -> Iterator[list[Example]]:
    part: list[Example] = []
    for example in examples:
        part.append(example)
        if len(part) == BATCH:
            yield part
            part = []
    if part:
        yield part
