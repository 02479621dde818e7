"""How much of an answer's evidence survives when a long story is cut down to a token budget.

    OMP_NUM_THREADS=1 python benchmarks/context.py [--stories 32] [--model tercet/mini]

For each question about a story of SQuALITY, a context is made from that story alone. Evidence is
what four people wrote who answered the question after reading all of it: the pairs of neighbouring
content words (stemmed, without stop words) of their summaries that stand in the story as well, and
likewise the single words, those of the question left out. What counts is the share of them that
the context still has; the whole story has all. A summary says much in words of its own, so this
compares ways to cut a text and does not say how good an answer would be.

Ways: the beginning of the story; passages at random; chunks of fixed length, each encoded alone
and ranked by late interaction; `ContextBuilder`. All in the order of the text.
"""

import argparse
import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import mean

import bm25s
import Stemmer
import tiktoken

from tercet import ContextBuilder, Document, Encoder, Retriever
from tercet.context.counting import token_counter
from tercet.evaluation.collections import Collection

FOLDER = Path(__file__).parent / "data" / "squality-long-en"
ENCODING = "cl100k_base"
CHUNK_TOKENS = 256
BUDGETS = (1000, 2000, 4000)
COUNT = token_counter(ENCODING)  # sees to it that the encoding is found without network
CODING = tiktoken.get_encoding(ENCODING)
STEMMER = Stemmer.Stemmer("english")

Way = Callable[[str, Document, int], str]
"""From a question, a story and a budget to a context."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the story it is about, and what people answered."""

    text: str
    story: Document
    summaries: Sequence[str]


def main() -> None:
    """Cut, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=32, help="of 127, at even steps")
    parser.add_argument("--model", default="tercet/mini")
    chosen = parser.parse_args()
    questions = read(chosen.stories)
    stories = {question.story.id: question.story for question in questions}
    print(f"{len(stories)} stories, {len(questions)} questions, {chosen.model}, {ENCODING}")
    print("| tokens | " + " | ".join(f"{budget:,}" for budget in BUDGETS) + " |")
    encoder = Encoder.from_pretrained(chosen.model)
    with Retriever.create(encoder=encoder) as whole, Retriever.create(encoder=encoder) as parts:
        whole.add(stories.values())
        parts.add(chunk for story in stories.values() for chunk in chunks(story))
        for name, way in ways(whole, parts).items():
            print(f"| {name} | " + " | ".join(measured(way, questions)) + " |", flush=True)


def measured(way: Way, questions: Sequence[Question]) -> Iterator[str]:
    """For each budget, which part of the evidence survives: of pairs of words, of words."""
    for budget in BUDGETS:
        shares = [surviving(q, way(q.text, q.story, budget)) for q in questions]
        pairs, words = (mean(column) for column in zip(*shares, strict=True))
        yield f"{pairs:.1%} ({words:.1%})"


def read(count: int) -> list[Question]:
    """The questions about some of the stories."""
    collection = Collection.read(FOLDER)
    stories = {story.id: story for story in collection.documents()}
    ids = sorted(stories)
    kept = set(ids[:: max(1, len(ids) // count)][:count])
    with gzip.open(FOLDER / "summaries.jsonl.gz", "rt", encoding="utf-8") as lines:
        summaries = {row["_id"]: row["summaries"] for row in map(json.loads, lines)}
    return [
        Question(collection.queries[query], stories[story], summaries[query])
        for query, judged in collection.qrels.items()
        for story in judged
        if story in kept
    ]


def ways(whole: Retriever, parts: Retriever) -> Mapping[str, Way]:
    """Four ways to cut a story down to a budget; all has been encoded before."""
    builder = ContextBuilder(whole.encoder, counter=COUNT, label="", index=whole.index)

    def beginning(_: str, story: Document, budget: int) -> str:
        return CODING.decode(CODING.encode_ordinary(story.text)[:budget])

    def chance(_: str, story: Document, budget: int) -> str:
        shuffled = chunks(story)
        random.Random(story.id).shuffle(shuffled)  # noqa: S311  no secret
        return joined(shuffled, budget)

    def fixed(question: str, story: Document, budget: int) -> str:
        hits = parts.retrieve(question, k=99, plan="multi_vector", filter={"$parent": story.id})
        return joined([hit.document for hit in hits], budget)

    def passages(question: str, story: Document, budget: int) -> str:
        return builder.build(question, [story], budget=budget).text

    return {
        "the beginning": beginning,
        f"chunks of {CHUNK_TOKENS} at random": chance,
        f"best chunks of {CHUNK_TOKENS}": fixed,
        "ContextBuilder": passages,
    }


def chunks(story: Document) -> list[Document]:
    """The story in parts of as many tokens each."""
    tokens = CODING.encode_ordinary(story.text)
    starts = range(0, len(tokens), CHUNK_TOKENS)
    texts = [CODING.decode(tokens[start : start + CHUNK_TOKENS]) for start in starts]
    return [
        Document(id=f"{story.id}/{n:03}", text=text, parent=story.id)
        for n, text in enumerate(texts)
    ]


def joined(best: Sequence[Document], budget: int) -> str:
    """The best chunks in the order of the text, the last of them cut to fill the budget."""
    room = budget
    shown: dict[str, str] = {}
    for chunk in best:
        tokens = CODING.encode_ordinary(f"{chunk.text}\n\n")[:room]
        shown[chunk.id] = CODING.decode(tokens)
        room -= len(tokens)
    return "".join(shown[id_] for id_ in sorted(shown))


def surviving(question: Question, context: str) -> tuple[float, float]:
    """The shares of the evidence that a context still has: of pairs of words, of words."""
    asked, story, left = map(content_words, (question.text, question.story.text, context))
    answers = [content_words(summary) for summary in question.summaries]
    pairs = {pair for words in answers for pair in pairwise(words)} & set(pairwise(story))
    words = {word for answer in answers for word in answer} & set(story) - set(asked)
    return (
        len(pairs & set(pairwise(left))) / max(1, len(pairs)),
        len(words & set(left)) / max(1, len(words)),
    )


@lru_cache(maxsize=4096)
def content_words(text: str) -> tuple[str, ...]:
    """Stems of the words that are no stop words, in order."""
    (tokens,) = bm25s.tokenize(
        [text], stopwords="en", stemmer=STEMMER, return_ids=False, show_progress=False
    )
    return tuple(tokens)


if __name__ == "__main__":
    main()
