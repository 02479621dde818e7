"""Texts of one role, encoded batch after batch: cleaned, reported, in the order given."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, TypeVar

from tercet.embeddings import Embeddings, EncoderSpec
from tercet.encoding.gathering import Gathering, no_texts
from tercet.encoding.packing import chunks
from tercet.encoding.reporting import TextReport
from tercet.errors import check_texts
from tercet.progress import progress

if TYPE_CHECKING:
    from tercet.encoding.model import Views
    from tercet.encoding.pipeline import Pipeline, Prepared

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Role:
    """How the texts of one role, queries or documents, are encoded.

    Attributes:
        pipeline: What encodes them.
        prepare: Tokenises texts and lays out their passes.
        spec: The encoder that they are encoded for.
        document_id: What marks their vectors; None for queries.
        remedy: What a caller may do to have texts encoded whole.
    """

    pipeline: "Pipeline"
    prepare: "Callable[[Sequence[str]], Prepared]"
    spec: EncoderSpec
    document_id: str | None
    remedy: str

    def report(self) -> TextReport:
        """What is to be said of the texts of one call."""
        return TextReport(self.pipeline.options.on_truncation, remedy=self.remedy)

    def whole(self, texts: Sequence[str], *, show_progress: bool) -> Embeddings:
        """Encode all texts and join their batches."""
        check_texts(texts)
        report, found = self.report(), Gathering()
        for batch in self._batches(texts, report, show_progress=show_progress):
            found.add(batch)
        report.warn(stacklevel=3)
        return found.result() if len(texts) else no_texts(self.spec, self.document_id)

    def stream(self, texts: Iterable[str], *, show_progress: bool) -> Iterator[Embeddings]:
        """Encode texts as they are asked for."""
        report = self.report()
        yield from self._batches(texts, report, show_progress=show_progress)
        report.warn(stacklevel=2)

    def _batches(
        self, texts: Iterable[str], report: TextReport, *, show_progress: bool
    ) -> Iterator[Embeddings]:
        """Encode some texts at a time; nothing is locked while a caller holds a batch."""
        total = len(texts) if isinstance(texts, Sized) else None
        with progress("encoding", total=total, show=show_progress) as bar:
            for ready, views in self._views(texts, report):
                bar.advance(len(ready.texts), tokens=int(ready.tokens_encoded.sum()))
                yield Embeddings(
                    dense=views.dense,
                    sparse=views.sparse,
                    multi_vector=views.multi_vector,
                    tokens=ready.tokens,
                    tokens_encoded=ready.tokens_encoded,
                    model_id=self.spec.model_id,
                    document_id=self.document_id,
                )

    def _views(
        self, texts: Iterable[str], report: TextReport
    ) -> "Iterator[tuple[Prepared, Views]]":
        """What was read and what was made of it, chunk by chunk.

        Where the model computes behind our back, one chunk is tokenised while it reads the one
        before and hands over the one before that.
        """

        def prepare(batch: Sequence[str]) -> "tuple[list[str], Prepared]":
            cleaned = report.clean(batch)
            return cleaned, self.prepare(cleaned)

        def begin(cleaned: list[str], ready: "Prepared") -> "Callable[[], tuple[Prepared, Views]]":
            report.lengths(cleaned, ready.tokens, ready.tokens_encoded)
            finish = self.pipeline.start(ready)
            return lambda: (ready, finish())

        waiting = chunks(texts, scale=self.pipeline.scale)
        if self.pipeline.runs_ahead:
            return one_behind(starmap(begin, one_ahead(prepare, waiting)))
        return (finish() for finish in starmap(begin, map(prepare, waiting)))


def one_ahead(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Work on each item in a thread, the next one while the caller has what came of one."""
    with ThreadPoolExecutor(1) as thread:
        begun: Future[Found] | None = None
        for item in items:
            following = thread.submit(work, item)
            if begun is not None:
                yield begun.result()
            begun = following
        if begun is not None:
            yield begun.result()


def one_behind(begun: Iterable[Callable[[], Found]]) -> Iterator[Found]:
    """Finish what has begun, each when the next one has begun too."""
    waiting: Callable[[], Found] | None = None
    for finish in begun:
        if waiting is not None:
            yield waiting()
        waiting = finish
    if waiting is not None:
        yield waiting()
