"""Passages: the parts of a text that a context takes or leaves, and how well each fits a query."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.context.counting import Counter
from tercet.context.sentences import Span, sentence_spans
from tercet.documents import Document
from tercet.embeddings import MultiVectors, Reduction, Representation, TextEncoder
from tercet.encoder import Token
from tercet.errors import MissingViewError
from tercet.given import given_embeddings
from tercet.indexes.base import Index
from tercet.scoring.multi_vector import maxsim


class TokenEncoder(TextEncoder, Protocol):
    """An encoder that tells which character stands behind which token vector."""

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
        """The tokens of documents, one for each row of `multi_vector`."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A document that a context may show.

    Attributes:
        place: Of its hit among those given, from 0.
        document: Its text is shown, its header is not.
        score: Of its hit.
        sentences: Those of its text.
    """

    place: int
    document: Document
    score: float
    sentences: Sequence[Span]

    @classmethod
    def of(cls, place: int, document: Document, score: float) -> "Source":
        """The source with the sentences of its text."""
        return cls(place, document, score, sentence_spans(document.text))

    def whole(self, counter: Counter) -> "Passage":
        """All of it as one passage."""
        return self.passage(0, len(self.sentences), self.score, counter)

    def passage(self, first: int, last: int, score: float, counter: Counter) -> "Passage":
        """The sentences from `first` to before `last`."""
        start, end = self.sentences[first][0], self.sentences[last - 1][1]
        return Passage(self, first, last, score, counter(self.document.text[start:end]))


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences of one document that follow each other.

    Attributes:
        source: The document.
        first: The first sentence.
        last: Behind the last sentence.
        score: What it is chosen by.
        tokens: Of its text alone.
    """

    source: Source
    first: int
    last: int
    score: float
    tokens: int

    def part(self, first: int, last: int, counter: Counter) -> "Passage":
        """Some of its sentences, as good as the whole."""
        if (first, last) == (self.first, self.last):
            return self
        return self.source.passage(first, last, self.score, counter)

    def joined(self, following: "Passage") -> "Passage":
        """This passage and the one that begins where it ends, as good as the better of them."""
        score = max(self.score, following.score)
        tokens = self.tokens + following.tokens
        return Passage(self.source, self.first, following.last, score, tokens)

    @property
    def sentences(self) -> range:
        """The places of its sentences in the document."""
        return range(self.first, self.last)

    @property
    def span(self) -> Span:
        """Its offsets in the document's text."""
        sentences = self.source.sentences
        return sentences[self.first][0], sentences[self.last - 1][1]


def best_passages(
    query: str,
    sources: Sequence[Source],
    encoder: TokenEncoder,
    *,
    index: Index | None,
    counter: Counter,
    most: int,
) -> list[Passage]:
    """The passages of all sources, best first, by late interaction with the query.

    A document is encoded once, whole, so that its token vectors know what stands round them; a
    passage is scored by those of them that stand in it.

    Args:
        query: The question.
        sources: Documents with at least one sentence.
        encoder: Makes token vectors and tells their offsets.
        index: Where it holds a document with the same text, its vectors are used.
        counter: Counts tokens of the language model.
        most: Tokens of a passage, unless its one sentence has more.

    Raises:
        MissingViewError: The encoder gave no token vectors.
        ValueError: Its tokens are not as many as its token vectors.
    """
    documents = [source.document for source in sources]
    view = Representation.MULTI_VECTOR
    stored = given_embeddings(documents, encoder, views=[view], index=index).multi_vector
    asked = encoder.encode_queries([query]).multi_vector
    if stored is None or asked is None:
        raise MissingViewError("the encoder gave no token vectors")
    tokens = encoder.tokens([document.content for document in documents])
    found = []
    for n, source in enumerate(sources):
        passages = _consecutive(source, counter, most)
        ends = _token_ends(tokens[n], rows=len(stored[n]), document=source.document)
        spans = [passage.span for passage in passages]
        scores = passage_scores(asked[0], stored[n], ends, spans, reduction=encoder.spec.reduction)
        found += [
            Passage(source, p.first, p.last, score, p.tokens)
            for p, score in zip(passages, scores, strict=True)
        ]
    return sorted(found, key=lambda passage: -passage.score)  # stable: ties keep their order


def passage_scores(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    ends: NDArray[np.int64],
    spans: Sequence[Span],
    *,
    reduction: Reduction = "sum",
) -> list[float]:
    """Score passages of one document by late interaction.

    Args:
        query: Token vectors of the query, [Q, E].
        vectors: Token vectors of the document, [D, E].
        ends: Offset behind each token; negative where it stands for none of the text, [D].
        spans: The passages, which do not overlap.
        reduction: "mean" divides by Q.

    Returns:
        One score a passage; of one without a token vector, the least that there can be.
    """
    order = np.argsort(ends, kind="stable")  # [D]
    edges = np.searchsorted(ends[order], np.asarray(spans), side="right")  # -> [passages, 2]
    least = -1.0 if reduction == "mean" else -float(len(query))
    scores = np.full(len(spans), least)  # the query's opposite in every token
    seen = edges[:, 1] > edges[:, 0]
    if seen.any():
        rows = np.concatenate([order[start:stop] for start, stop in edges[seen]])
        offsets = np.append(0, np.cumsum(edges[seen, 1] - edges[seen, 0]))
        scores[seen] = maxsim(query, MultiVectors(vectors[rows], offsets), reduction=reduction)
    return [float(score) for score in scores]


def _consecutive(source: Source, counter: Counter, most: int) -> list[Passage]:
    """All sentences in passages as long as allowed, unscored."""
    text = source.document.text
    sizes = [counter(text[start:end]) for start, end in source.sentences]
    passages, first, size = [], 0, 0
    for n, more in enumerate(sizes):
        if n > first and size + more > most:
            passages.append(source.passage(first, n, source.score, counter))
            first, size = n, 0
        size += more
    passages.append(source.passage(first, len(sizes), source.score, counter))
    return passages


def _token_ends(tokens: Sequence[Token], *, rows: int, document: Document) -> NDArray[np.int64]:
    """Where tokens end in the document's text; not above 0 for markers and in the header."""
    if len(tokens) != rows:
        raise ValueError(
            f"document {document.id!r} has {rows} token vectors, but the encoder tells of "
            f"{len(tokens)} tokens: its tokens() must answer for each row of multi_vector"
        )
    ends = [-1 if token.end is None else token.end - len(document.header) for token in tokens]
    return np.asarray(ends, dtype=np.int64)
