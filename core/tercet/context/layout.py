"""The layout of a context: passages to pieces in order, labelled, and the text that joins them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tercet.context.passages import Passage, Source
from tercet.documents import Document

Order = Literal["document", "score"]
"""Documents in the order of their hits, each from its beginning on; or the best piece first."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one document's text, as a context shows it.

    Attributes:
        place: Of the document among the hits given, from 0.
        document_id: Its id.
        start: Offset of the first character in `Document.text`.
        end: Offset behind the last character.
        text: What stands there, unchanged.
        score: What it was chosen by: its own late interaction with the query, or where documents
            are shown whole the hit's score.
        number: Of its citation, from 1 in the order shown.
        label: What stands before it, its citation as a rule.
        cut: Whether it ends within a sentence that was too long.
    """

    place: int
    document_id: str
    start: int
    end: int
    text: str
    score: float
    number: int
    label: str
    cut: bool = False

    @property
    def citation(self) -> dict[str, float | bool]:
        """Where it stands, as JSON: `start`, `end`, `score`, `number` and `cut`."""
        names = ("start", "end", "score", "number", "cut")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pieces of a context are put together.

    Attributes:
        order: "document" or "score".
        separator: Stands between two pieces.
        label: Stands before each, a format string of {number}, {id}, {header} and {metadata}.
    """

    order: Order
    separator: str
    label: str

    def pieces(self, passages: Iterable[Passage]) -> list[Piece]:
        """The pieces of passages; those that follow each other in a document become one."""
        merged: list[Passage] = []
        for passage in sorted(passages, key=lambda p: (p.source.place, p.first)):
            before = merged[-1] if merged else None
            if before and before.source is passage.source and before.last == passage.first:
                merged[-1] = before.joined(passage)
            else:
                merged.append(passage)
        if self.order == "score":
            merged.sort(key=lambda passage: -passage.score)
        return [
            self._piece(passage.source, *passage.span, score=passage.score, number=number)
            for number, passage in enumerate(merged, start=1)
        ]

    def beginning(self, passage: Passage, end: int, *, cut: bool) -> Piece:
        """A passage up to an offset, without white space there, as the only piece.

        Args:
            passage: The passage.
            end: The offset in the document's text.
            cut: Whether a sentence goes on there.
        """
        start, _ = passage.span
        end = start + len(passage.source.document.text[start:end].rstrip())
        return self._piece(passage.source, start, end, score=passage.score, number=1, cut=cut)

    def _piece(
        self, source: Source, start: int, end: int, *, score: float, number: int, cut: bool = False
    ) -> Piece:
        document = source.document
        return Piece(
            place=source.place,
            document_id=document.id,
            start=start,
            end=end,
            text=document.text[start:end],
            score=score,
            number=number,
            label=self._label(document, number),
            cut=cut,
        )

    def text(self, pieces: Sequence[Piece]) -> str:
        """What a language model reads."""
        return self.separator.join(piece.label + piece.text for piece in pieces)

    def before(self, passage: Passage) -> str:
        """What a further piece brings beside its text."""
        return self.separator + self._label(passage.source.document, 1)

    def _label(self, document: Document, number: int) -> str:
        try:
            return self.label.format(
                number=number, id=document.id, header=document.header, metadata=document.metadata
            )
        except (LookupError, AttributeError, ValueError) as error:
            raise ValueError(
                f"the label {self.label!r} cannot be written for document {document.id!r} "
                f"({error}); it may name {{number}}, {{id}}, {{header}} and {{metadata[key]}}"
            ) from error
