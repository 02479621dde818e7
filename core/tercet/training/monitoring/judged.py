"""What a model is measured on while it is trained: documents, queries and judgements in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tercet.documents import Document
from tercet.errors import SourceError
from tercet.evaluation.collections import Collection
from tercet.ranking import Qrels
from tercet.sources.beir import choices
from tercet.training.datasets import pairs
from tercet.training.datasets.beir import qrels_of

DEV = "dev"
"""The split of a folder of pairs that nothing is trained on."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A small collection.

    Attributes:
        name: What plots and cards call it.
        documents: Among which is searched.
        queries: Texts by query_id.
        qrels: The judgements.
    """

    name: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Qrels

    @classmethod
    def read(
        cls,
        folder: Path,
        *,
        split: str | None = None,
        language: str | None = None,
        queries: int | None = None,
        documents: int | None = None,
    ) -> "Judged":
        """Read a collection, or a part of it.

        Args:
            folder: In BEIR's layout, or a folder of pairs.
            split: Whose judgements; None is "test" in BEIR's layout, and "dev" of pairs.
            language: Of a collection in several languages: only this one.
            queries: At most so many queries; None is all.
            documents: Beside the judged documents at most so many others; None is all.

        Raises:
            SourceError: A file is missing or malformed.
        """
        if choices(folder, pairs.PAIRS) and choices(folder, pairs.DOCUMENTS):
            whole = _of_pairs(folder, split or DEV, language)
        else:
            whole = _of_beir(folder, split or "test", language)
        return _part(whole, queries=queries, documents=documents)


def _of_beir(folder: Path, split: str, language: str | None) -> Judged:
    found = Collection.read(
        folder, corpus=language, queries=language, qrels=qrels_of(folder, split)
    )
    return Judged(found.name, tuple(found.documents()), found.queries, found.qrels)


def _of_pairs(folder: Path, split: str, language: str | None) -> Judged:
    texts = pairs.read_documents(folder, language=language)
    found = list(pairs.pairs_of(folder, texts, split=split, language=language))
    return Judged(
        f"{folder.resolve().name} ({split})",
        tuple(Document(id=doc_id, text=text) for doc_id, text in texts.items()),
        {pair.query_id: pair.query for pair in found},
        {pair.query_id: dict.fromkeys(pair.positives, 1) for pair in found},
    )


def _part(whole: Judged, *, queries: int | None, documents: int | None) -> Judged:
    """A sample of the queries, their judged documents, and a sample of the others."""
    chosen = _sample(whole.qrels, queries)
    qrels = {query_id: whole.qrels[query_id] for query_id in chosen}
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    others = _sample([d.id for d in whole.documents if d.id not in judged], documents)
    kept = tuple(d for d in whole.documents if d.id in judged or d.id in others)
    if not judged & {document.id for document in kept}:
        raise SourceError(f"{whole.name}: no judged document is in the corpus")
    texts = {query_id: whole.queries[query_id] for query_id in chosen}
    return Judged(whole.name, kept, texts, qrels)


def _sample(ids: Iterable[str], count: int | None) -> dict[str, None]:
    """Some ids in their order, always the same ones."""
    known = list(ids)
    if count is None or count >= len(known):
        return dict.fromkeys(known)
    rows = np.random.default_rng(0).choice(len(known), size=count, replace=False)
    return dict.fromkeys(known[row] for row in sorted(rows.tolist()))
