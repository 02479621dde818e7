"""Filling a budget: the passages that fit, counted as they will be joined."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from tercet.context.counting import Counter
from tercet.context.layout import Layout, Piece
from tercet.context.passages import Passage, Source
from tercet.context.sentences import character_starts, word_edges

REPEATABLE = 40
"""Characters: a shorter sentence, as "Results.", is shown with each document that has it."""

Proposal = tuple[Passage, list[Passage]]
"""A passage, and the parts of it that no other document shows."""

Shown = dict[str, int]
"""Sentences that are shown, and the place of the document they are shown from."""


class Filling:
    """A context under construction, never over its budget."""

    def __init__(self, layout: Layout, counter: Counter, budget: int) -> None:
        self._layout, self._counter, self._budget = layout, counter, budget
        self._chosen: list[Passage] = []

    @property
    def pieces(self) -> list[Piece]:
        """What was chosen, as it will be shown."""
        return self._layout.pieces(self._chosen)

    def fill(self, passages: Sequence[Passage]) -> list[Passage]:
        """Choose passages in the order given, each if there is room; those left out.

        A joined text has not as many tokens as its parts together. So their sum only proposes
        passages, and as many of them are chosen as fit when all is joined.
        """
        out: list[Passage] = []
        left = list(passages)
        while left:
            proposed, left = self._proposed(left)
            if not proposed:
                break
            count = self._fitting(proposed)
            self._chosen = self._with(proposed[:count])
            out += [passage for passage, _ in proposed[count : count + 1]]
            left = [passage for passage, _ in proposed[count + 1 :]] + left
        rest = {id(passage) for passage in out + left}
        return [passage for passage in passages if id(passage) in rest]

    def begin(self, passage: Passage) -> None:
        """Choose the first sentences of a passage that has no room as a whole, if one has."""
        run = next(new_runs(passage, shown_sentences(self._chosen)), None)
        if run is None:
            return
        first, last = run

        def chosen(count: int) -> list[Passage]:
            return [*self._chosen, passage.part(first, first + count, self._counter)]

        count = largest(last - first, lambda n: self._fits(self._layout.pieces(chosen(n))))
        if count:
            self._chosen = chosen(count)

    def cut(self, passage: Passage) -> Sequence[Piece]:
        """The longest beginning of a passage's first sentence, for when nothing else fits.

        It ends with a word if one fits, else with a character; if not even that fits, there is
        none.
        """
        start, end = passage.source.sentences[passage.first]
        sentence = passage.source.document.text[start:end]
        for edges in (word_edges(sentence), character_starts(sentence)[1:].tolist()):
            cuts = [
                self._layout.beginning(passage, start + edge, cut=edge < len(sentence))
                for edge in edges
            ]
            if longest := self._longest(cuts):
                return longest
        return ()

    def shows(self, passage: Passage) -> bool:
        """Whether other documents show each of its sentences."""
        return not list(new_runs(passage, shown_sentences(self._chosen)))

    def _proposed(self, passages: Sequence[Passage]) -> tuple[list[Proposal], list[Passage]]:
        """The passages that seem to fit, with what is new in them; the other passages."""
        room = self._budget - self._counter(self._layout.text(self.pieces))
        shown = shown_sentences(self._chosen)
        proposed, left = [], []
        for passage in passages:
            new = [passage.part(*run, self._counter) for run in new_runs(passage, shown)]
            cost = sum(run.tokens + self._counter(self._layout.before(run)) for run in new)
            if cost > room:
                left.append(passage)
                continue
            room -= cost
            proposed.append((passage, new))
            shown |= shown_sentences(new)
        return proposed, left

    def _fitting(self, proposed: Sequence[Proposal]) -> int:
        """How many of them fit when all is joined."""
        pieces_of = self._layout.pieces
        return largest(len(proposed), lambda n: self._fits(pieces_of(self._with(proposed[:n]))))

    def _longest(self, cuts: Sequence[Piece]) -> Sequence[Piece]:
        """The longest that fits alone, if one does."""
        count = largest(len(cuts), lambda n: self._fits(cuts[n - 1 : n]))
        return cuts[count - 1 : count] if count else ()

    def _with(self, proposed: Sequence[Proposal]) -> list[Passage]:
        """What was chosen, and what is new in some proposals."""
        return [*self._chosen, *(run for _, new in proposed for run in new)]

    def _fits(self, pieces: Sequence[Piece]) -> bool:
        return self._counter(self._layout.text(pieces)) <= self._budget


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, found by halves; 0 is taken to fit.

    What is returned was tried and fits, even where some smaller number does not.
    """
    low, high, guess = 0, most + 1, most
    while high - low > 1:
        low, high = (guess, high) if fits(guess) else (low, guess)
        guess = (low + high) // 2
    return low


def new_runs(passage: Passage, shown: Shown) -> Iterator[tuple[int, int]]:
    """The sentences of a passage that no other document shows, in runs from first to last."""
    source, start = passage.source, passage.first
    for n in passage.sentences:
        if shown.get(_key(source, n), source.place) != source.place:
            if start < n:
                yield start, n
            start = n + 1
    if start < passage.last:
        yield start, passage.last


def shown_sentences(passages: Iterable[Passage]) -> Shown:
    """The sentences of passages that other documents need not repeat."""
    keys = ((p.source, _key(p.source, n)) for p in passages for n in p.sentences)
    return {key: source.place for source, key in keys if len(key) >= REPEATABLE}


def _key(source: Source, sentence: int) -> str:
    """The words of a sentence, however they are spaced."""
    start, end = source.sentences[sentence]
    return " ".join(source.document.text[start:end].split())
