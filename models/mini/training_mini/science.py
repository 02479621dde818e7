"""Science text: articles and abstracts that make the heads know more than tales and manuals."""

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
PASSAGE = 1800  # characters of a passage, about
LONGEST = 2400  # characters, from which a paragraph is divided
SHORTEST = 200  # characters of a passage that is kept
PARAGRAPH = 40  # characters: less is a heading
ASKED = (40, 220)  # characters of a sentence that is asked as a question
EVERY = 2  # passages of an article, of which one is taken
SENTENCES = 2  # asked of a passage
SUMMARIES = 2  # taken of an abstract
ARTICLES = ("craft", "plos")
ABSTRACTS = "scitldr"

# Articles that the collection scifact-en holds too: found once, by nine words in a row or a title.
EXCLUDED = frozenset(
    {
        "craft-11897010",
        "craft-15921521",
        "craft-16221973",
        "plos-journal.pmed.1001080",
    }
)


@dataclass(slots=True)
class Science:
    """Passages by id, and questions with the passage that answers each.

    Attributes:
        documents: Title and text of each passage; its id begins with the source's name.
        queries: Questions: summaries of abstracts, sentences of articles.
        answers: The passage of each question.
        held_out: Abstracts kept for development, with their questions.
    """

    documents: dict[str, str] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    held_out: set[str] = field(default_factory=set)


def read_science(folder: Path, *, seed: int) -> Science:
    """Read the articles of CRAFT and PLOS and the abstracts of SciTLDR.

    Args:
        folder: Holds checkouts of the three repositories that `DATA_LICENSES.md` names, as
            `CRAFT`, `allofplos` and `scitldr`.
        seed: Draws the sentences that are asked.
    """
    drawn = random.Random(seed)  # noqa: S311 - no secret
    science = Science()
    for key, title, paragraphs in _articles(folder):
        if key in EXCLUDED:
            continue
        for number, passage in enumerate(cut_passages(paragraphs)[::EVERY]):
            doc_id = f"{key}-{number}"
            science.documents[doc_id] = f"{title} {passage}".strip()
            sentences = [text for text in SENTENCE_END.split(passage) if _may_be_asked(text)]
            for sentence in drawn.sample(sentences, min(SENTENCES, len(sentences))):
                science.queries.append(sentence)
                science.answers.append(doc_id)
    for split in ("train", "dev", "test"):
        for row in _lines(folder / "scitldr" / "SciTLDR-Data" / "SciTLDR-A" / f"{split}.jsonl"):
            doc_id = f"{ABSTRACTS}-{row['paper_id']}"
            text = " ".join(row["source"])
            science.documents[doc_id] = f"{row.get('title') or ''} {text}".strip()
            for summary in row["target"][:SUMMARIES]:
                science.queries.append(summary)
                science.answers.append(doc_id)
            if split != "train":
                science.held_out.add(doc_id)
    return science


def cut_passages(paragraphs: Iterable[str]) -> list[str]:
    """Join short paragraphs and divide long ones at ends of sentences."""
    passages: list[str] = []
    current = ""
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        if len(text) < PARAGRAPH:
            continue
        if len(current) >= SHORTEST and len(current) + len(text) > PASSAGE:
            passages.append(current)
            current = ""
        current = f"{current} {text}".strip()
        while len(current) > LONGEST:
            head, current = _divide(SENTENCE_END.split(current))
            passages.append(head)
    if len(current) >= SHORTEST:
        passages.append(current)
    return passages


def _divide(sentences: Sequence[str]) -> tuple[str, str]:
    taken = 1
    while taken < len(sentences) and len(" ".join(sentences[:taken])) < PASSAGE:
        taken += 1
    return " ".join(sentences[:taken]), " ".join(sentences[taken:])


def _articles(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give the key, the title and the paragraphs of each article."""
    for path in sorted((folder / "CRAFT" / "articles" / "txt").glob("*.txt")):
        title, *paragraphs = path.read_text(encoding="utf-8").strip().split("\n")
        yield f"craft-{path.stem}", title, paragraphs
    for path in sorted((folder / "allofplos" / "allofplos" / "starter_corpus").glob("*.xml")):
        root = ET.parse(path).getroot()  # noqa: S314 - a checkout of a known commit
        headline = root.find(".//article-title")
        found = [*root.iterfind(".//abstract//p"), *root.iterfind(".//body//p")]
        paragraphs = ["".join(paragraph.itertext()) for paragraph in found]
        title = "" if headline is None else "".join(headline.itertext())
        yield f"plos-{path.stem}", title, paragraphs


def _may_be_asked(sentence: str) -> bool:
    return ASKED[0] <= len(sentence) <= ASKED[1]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
