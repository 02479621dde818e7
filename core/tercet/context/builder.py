"""The builder of contexts: hits to a text within a token budget, with a citation for each piece."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from tercet.context.counting import Counter, token_counter
from tercet.context.filling import Filling
from tercet.context.layout import Layout, Order, Piece
from tercet.context.passages import Passage, Source, TokenEncoder, best_passages
from tercet.documents import Document
from tercet.embeddings import Representation, TextEncoder
from tercet.errors import MissingViewError, check_methods, check_query
from tercet.indexes.base import Index
from tercet.indexes.checks import check_encoder
from tercet.ranking import Hit


@dataclass(frozen=True, slots=True)
class Context:
    """What a language model is given to read.

    Attributes:
        text: The pieces with their labels, joined.
        pieces: In the order shown.
        tokens: Of `text`; never more than the budget.
        budget: What was allowed.
        left_out: Ids of documents of which nothing is shown.
        repeated: Ids of documents whose text other pieces show.
    """

    text: str
    pieces: tuple[Piece, ...]
    tokens: int
    budget: int
    left_out: tuple[str, ...]
    repeated: tuple[str, ...]


class ContextBuilder:
    """Makes the context of a language model from hits.

    If all documents fit, they are shown whole. If not, each is divided at the ends of sentences
    into passages, and those nearest the query by late interaction are shown, whichever document
    they come from, the last of them as far as there is room. Without an encoder, documents are
    shown whole or not at all; only where none fits, the first is shown as far as there is room.
    Nothing is shown twice: neither one text under two ids, nor a sentence that an overlapping
    document has shown.

    Args:
        encoder: Finds passages; one with token vectors and `tokens`, as `Encoder` has them.
        counter: Counts tokens: the name of one of tiktoken's encodings, or a function.
        order: "document": documents as given, each from its beginning on; "score": best first.
        separator: Stands between pieces.
        label: Stands before each piece, as format of {number}, {id}, {header} and
            {metadata[key]}; "" for none.
        passage_tokens: Length of a passage; longer only where a sentence is.
        index: Where it holds the same text under a document's id, its vectors are used.

    Raises:
        TypeError: Something that is no encoder, counter, index or number.
        ValueError: An unknown order or encoding, fewer than 1 token, an index without an encoder.
        MissingViewError: The encoder makes no token vectors.
        MissingExtraError: tiktoken is not installed.
        ModelMismatchError: The index holds the vectors of another model.
    """

    def __init__(
        self,
        encoder: TextEncoder | None = None,
        *,
        counter: Counter | str = "o200k_base",
        order: Order = "document",
        separator: str = "\n\n",
        label: str = "[{number}] ",
        passage_tokens: int = 128,
        index: Index | None = None,
    ) -> None:
        if order not in get_args(Order):
            raise ValueError(f"no order {order!r}; there are: {', '.join(get_args(Order))}")
        self.encoder, self.index = _checked(encoder, index), index
        self.counter = _counter(counter)
        self.layout = Layout(order, separator, label)
        self.passage_tokens = _positive(passage_tokens, "passage_tokens")

    def build(self, query: str, hits: Sequence[Hit | Document], *, budget: int) -> Context:
        """Show as much of the hits as the budget allows, the best first.

        Args:
            query: The question.
            hits: A ranking, hits or documents, best first.
            budget: Most tokens of the text, labels and separators counted.

        Raises:
            TypeError: The query is no string, or hits are something else.
            ValueError: A budget below 1, or a label that cannot be written for a document.
        """
        check_query(query)
        _positive(budget, "budget")
        sources = _sources(hits)
        first = {_words(source): source for source in reversed(sources)}  # of those with one text
        readable = (s for s in sources if s.sentences and first[_words(s)] is s)
        whole = [source.whole(self.counter) for source in readable]
        filling, left = self._filled(query, whole, budget)
        pieces = filling.pieces or (filling.cut(left[0]) if left else ())
        shown = {piece.place for piece in pieces}
        repeated = {s.place for s in sources if first[_words(s)].place in shown - {s.place}}
        repeated |= {p.source.place for p in whole if filling.shows(p)} - shown
        text = self.layout.text(pieces)
        return Context(
            text=text,
            pieces=tuple(pieces),
            tokens=self.counter(text) if pieces else 0,
            budget=budget,
            left_out=_ids(s for s in sources if s.place not in shown | repeated),
            repeated=_ids(s for s in sources if s.place in repeated),
        )

    async def abuild(self, query: str, hits: Sequence[Hit | Document], *, budget: int) -> Context:
        """`build`, without blocking the event loop."""
        return await asyncio.to_thread(self.build, query, hits, budget=budget)

    def _filled(
        self, query: str, whole: Sequence[Passage], budget: int
    ) -> tuple[Filling, Sequence[Passage]]:
        """A context as full as it gets, and the passages for which there was no room."""
        filling = Filling(self.layout, self.counter, budget)
        left = filling.fill(whole)
        if left and self.encoder is not None:
            filling = Filling(self.layout, self.counter, budget)
            passages = best_passages(
                query,
                [passage.source for passage in whole],
                self.encoder,
                index=self.index,
                counter=self.counter,
                most=min(self.passage_tokens, budget),
            )
            left = filling.fill(passages)
        if left and (self.encoder is not None or not filling.pieces):
            filling.begin(left[0])
        return filling, left


def _sources(hits: Sequence[Hit | Document]) -> list[Source]:
    if isinstance(hits, str | Hit | Document) or not isinstance(hits, Sequence):
        raise TypeError(
            f"hits is a {type(hits).__name__}; a ranking or sequence of hits belongs there"
        )
    return [_source(place, hit) for place, hit in enumerate(hits)]


def _source(place: int, hit: object) -> Source:
    if isinstance(hit, Document):
        return Source.of(place, hit, 0.0)
    if not isinstance(hit, Hit):
        raise TypeError(f"hits[{place}] is a {type(hit).__name__}; a Hit or Document belongs there")
    return Source.of(place, hit.document, hit.score)


def _words(source: Source) -> str:
    """The text, however it is spaced."""
    return " ".join(source.document.text.split())


def _ids(sources: Iterable[Source]) -> tuple[str, ...]:
    return tuple(source.document.id for source in sources)


def _counter(given: Counter | str) -> Counter:
    if isinstance(given, str):
        return token_counter(given)
    if not callable(given):
        raise TypeError(f"counter is {given!r}; a function from text to tokens belongs there")
    return given


def _checked(encoder: TextEncoder | None, index: Index | None) -> TokenEncoder | None:
    if encoder is None:
        if index is not None:
            raise ValueError("index= holds vectors for choosing passages: pass encoder= as well")
        return None
    methods = ("encode_queries", "encode_documents", "tokens")
    check_methods(encoder, methods, name="encoder")
    if Representation.MULTI_VECTOR not in encoder.representations:
        raise MissingViewError(
            "passages are found by late interaction, but this encoder makes no token vectors; it "
            f"has {', '.join(encoder.representations)}: leave encoder= out to show documents whole"
        )
    if index is not None:
        check_methods(index, ("get", "embeddings"), name="index")
        check_encoder(encoder.spec, index.spec)
    return cast("TokenEncoder", encoder)


def _positive(number: object, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is {number!r}; a whole number of tokens belongs there")
    if number < 1:
        raise ValueError(f"{name} is {number}; at least 1 token belongs there")
    return number
