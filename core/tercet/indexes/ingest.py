"""Ingest: a stream of documents becomes commits of those that are new or have changed."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tercet.documents import AddReport, Document, batches_of, clean, warn_of_surrogates
from tercet.embeddings import Embeddings, concatenate
from tercet.errors import TruncationWarning
from tercet.indexes.base import Index
from tercet.indexes.checks import Vectors, check_vectors
from tercet.progress import Progress

BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 1 << 21
"""A commit holds so many documents, or so many characters: some 500,000 tokens."""


class Ingest:
    """One `add`: batches to encode, their commits, and what is to be said of the whole."""

    def __init__(self, index: Index, bar: Progress, vectors: Vectors | None = None) -> None:
        """Take the index, the bar, and dense vectors that are to equal the model's own."""
        self._index, self._bar, self._vectors = index, bar, vectors or {}
        self._report = AddReport()
        self._seen: set[str] = set()
        self._repaired: list[str] = []
        self._cut = 0
        self._first_cut = ""

    def batches(self, documents: Iterable[Document]) -> Iterator[list[Document]]:
        """The documents that are new or have changed; commit each batch before the next."""
        for given in batches_of(documents, most=BATCH_DOCUMENTS, characters=BATCH_CHARACTERS):
            batch = [clean(document) for document in given]
            self._repaired += [g.id for g, d in zip(given, batch, strict=True) if g is not d]
            if changed := self._changed(batch):
                yield changed

    def commit(self, documents: Sequence[Document], parts: Iterable[Embeddings]) -> None:
        """Write a batch whose views come part by part."""
        taken = []
        for part in parts:
            tokens = 0 if part.tokens_encoded is None else int(part.tokens_encoded.sum())
            self._bar.advance(len(part), tokens=tokens)
            taken.append(part)
        embeddings = concatenate(taken)
        self._compare(documents, embeddings)
        self._note_cuts(documents, embeddings)
        self._report += self._index.add(documents, embeddings)

    def finish(self) -> AddReport:
        """Say what happened to the texts, and tell what was done."""
        warn_of_surrogates(self._repaired, stacklevel=5)
        if self._cut:
            warnings.warn(
                f"{self._cut} documents were cut; the first: {self._first_cut}: load the encoder "
                'with long_documents="windows" to have them encoded whole',
                TruncationWarning,
                stacklevel=4,
            )
        return self._report

    def _changed(self, batch: list[Document]) -> list[Document]:
        last = {document.id: document for document in batch}
        times = Counter(document.id for document in batch)
        repeated = tuple(i for i, count in times.items() if count > 1 or i in self._seen)
        unique = list(last.values())
        same = self._index.unchanged(unique)
        changed = [document for document, s in zip(unique, same, strict=True) if not s]
        known = [d for d, s in zip(unique, same, strict=True) if s and d.id in self._vectors]
        if known:
            self._compare(known, self._index.embeddings([document.id for document in known]))
        self._seen.update(last)
        skipped = len(unique) - len(changed)
        self._report += AddReport(skipped=skipped, duplicate_ids=repeated)
        self._bar.advance(len(batch) - len(changed))
        return changed

    def _compare(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
        """Refuse vectors of another model; without a dense view there is none to compare with."""
        if self._vectors and embeddings.dense is not None:
            check_vectors(documents, embeddings.dense, self._vectors, self._index.spec)

    def _note_cuts(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
        if embeddings.tokens is None or embeddings.tokens_encoded is None:
            return
        cut = np.flatnonzero(embeddings.tokens_encoded < embeddings.tokens)
        if len(cut) and not self._cut:
            n = int(cut[0])
            self._first_cut = (
                f"{documents[n].id!r} has {embeddings.tokens[n]} tokens, of which the encoder read "
                f"{embeddings.tokens_encoded[n]}"
            )
        self._cut += len(cut)
