"""Ingest: a stream of documents becomes commits of those that are new or have changed."""

import asyncio
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tercet.documents import AddReport, Document, batches_of, clean, warn_of_surrogates
from tercet.embeddings import Embeddings, concatenate
from tercet.errors import TruncationWarning
from tercet.indexes.base import Index
from tercet.indexes.checks import Vectors, check_vectors
from tercet.progress import Progress

BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 1 << 21
"""A commit holds so many documents, or so many characters: some 500,000 tokens."""


Encode = Callable[[list[str]], Iterable[Embeddings]]
"""The views of N texts, part by part."""


def ingest(
    index: Index,
    documents: Iterable[Document],
    encode: Encode,
    bar: Progress,
    vectors: Vectors | None = None,
) -> AddReport:
    """Write what is new or has changed, batch by batch.

    Args:
        index: Takes the documents.
        documents: Read as a stream.
        encode: Makes their views.
        bar: Is told how far it has come.
        vectors: Dense vectors that are to equal the model's own, by id.
    """
    run = _Ingest(index, bar, vectors)
    for batch in run.batches(documents):
        same = index.unchanged(batch)
        if known := run.known(batch, same):
            run.compare(known, index.embeddings([document.id for document in known]))
        if changed := run.changed(batch, same):
            parts = encode([document.content for document in changed])
            run.note(index.add(changed, run.gathered(changed, parts)))
    return run.finish()


async def aingest(
    index: Index,
    documents: Iterable[Document],
    encode: Encode,
    bar: Progress,
    vectors: Vectors | None = None,
) -> AddReport:
    """`ingest` in an event loop: one thread reads and encodes, the index has its own way."""
    run = _Ingest(index, bar, vectors)
    batches = run.batches(documents)
    loop, reading = asyncio.get_running_loop(), ThreadPoolExecutor(1, "tercet-read")
    try:
        while batch := await loop.run_in_executor(reading, next, batches, None):
            same = await index.aunchanged(batch)
            if known := run.known(batch, same):
                run.compare(known, await index.aembeddings([document.id for document in known]))
            if changed := run.changed(batch, same):
                parts = encode([document.content for document in changed])
                views = await loop.run_in_executor(reading, run.gathered, changed, parts)
                run.note(await index.aadd(changed, views))
        return run.finish()
    finally:
        reading.shutdown(wait=False)


class _Ingest:
    """One `add`: batches, and what is to be said of the whole."""

    def __init__(self, index: Index, bar: Progress, vectors: Vectors | None = None) -> None:
        """Take the index, the bar, and dense vectors that are to equal the model's own."""
        self._index, self._bar, self._vectors = index, bar, vectors or {}
        self._report = AddReport()
        self._seen: set[str] = set()
        self._repaired: list[str] = []
        self._cut = 0
        self._first_cut = ""

    def batches(self, documents: Iterable[Document]) -> Iterator[list[Document]]:
        """The documents, batch by batch; of several with one id in a batch the last."""
        for given in batches_of(documents, most=BATCH_DOCUMENTS, characters=BATCH_CHARACTERS):
            batch = [clean(document) for document in given]
            self._repaired += [g.id for g, d in zip(given, batch, strict=True) if g is not d]
            last = {document.id: document for document in batch}
            times = Counter(document.id for document in batch)
            repeated = tuple(i for i, count in times.items() if count > 1 or i in self._seen)
            self._seen.update(last)
            self._report += AddReport(duplicate_ids=repeated)
            self._bar.advance(len(batch) - len(last))
            yield [*last.values()]

    def known(self, batch: Sequence[Document], same: NDArray[np.bool_]) -> list[Document]:
        """Those that stand in the index, and came with vectors to compare."""
        return [d for d, s in zip(batch, same, strict=True) if s and d.id in self._vectors]

    def changed(self, batch: Sequence[Document], same: NDArray[np.bool_]) -> list[Document]:
        """Those that are new or have changed."""
        skipped = int(same.sum())
        self._report += AddReport(skipped=skipped)
        self._bar.advance(skipped)
        return [document for document, s in zip(batch, same, strict=True) if not s]

    def gathered(self, documents: Sequence[Document], parts: Iterable[Embeddings]) -> Embeddings:
        """The views of a batch, which come part by part."""
        taken = []
        for part in parts:
            tokens = 0 if part.tokens_encoded is None else int(part.tokens_encoded.sum())
            self._bar.advance(len(part), tokens=tokens)
            taken.append(part)
        embeddings = concatenate(taken)
        self.compare(documents, embeddings)
        self._note_cuts(documents, embeddings)
        return embeddings

    def note(self, report: AddReport) -> None:
        """Take what the index says of a batch."""
        self._report += report

    def finish(self) -> AddReport:
        """Say what happened to the texts, and tell what was done."""
        warn_of_surrogates(self._repaired, stacklevel=6)
        if self._cut:
            warnings.warn(
                f"{self._cut} documents were cut; the first: {self._first_cut}: load the encoder "
                'with long_documents="windows" to have them encoded whole',
                TruncationWarning,
                stacklevel=5,
            )
        return self._report

    def compare(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
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
