"""Collections in BEIR's layout: a corpus, queries, and judgements of which documents answer them.

corpus.jsonl     {"_id": "4983", "title": "...", "text": "..."}      perhaps corpus.en.jsonl.gz
queries.jsonl    {"_id": "1", "text": "..."}                         perhaps queries.en.jsonl.gz
qrels.tsv        query-id, corpus-id, score                          or qrels/test.tsv
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from tercet.documents import Document
from tercet.errors import SourceError
from tercet.evaluation.trec import read_qrels
from tercet.ranking import Qrels
from tercet.sources.beir import choices, find_choice
from tercet.sources.files import DocumentFiles
from tercet.sources.jsonl import read_lines, read_records, record_id, record_text

QRELS = ("qrels.tsv", "qrels/test.tsv")


@dataclass(frozen=True, slots=True)
class Collection:
    """What a retrieval system is measured on.

    Attributes:
        name: The folder's.
        corpus: The file of the documents.
        queries: Texts of the judged queries, by query_id.
        qrels: The judgements.
    """

    name: str
    corpus: Path
    queries: Mapping[str, str]
    qrels: Qrels

    @classmethod
    def read(
        cls,
        folder: str | PathLike[str],
        *,
        corpus: str | None = None,
        queries: str | None = None,
        qrels: str | PathLike[str] | None = None,
    ) -> "Collection":
        """Read queries and judgements, and find the corpus.

        Args:
            folder: In BEIR's layout.
            corpus: Which corpus, where there are several: "en" is corpus.en.jsonl.
            queries: Which queries, where there are several.
            qrels: File of the judgements, from the working folder or from `folder`.

        Raises:
            SourceError: A file is missing or malformed, or a judged query has no text.
        """
        root = Path(folder)
        if not root.is_dir():
            raise SourceError(f"no folder {str(folder)!r}")
        judgements = read_qrels(_find_qrels(root, qrels))
        source = find_choice(root, "queries", queries)
        texts = read_queries(source)
        missing = [query_id for query_id in judgements if query_id not in texts]
        if missing:
            raise SourceError(
                f"{source} lacks {len(missing)} of {len(judgements)} judged queries, "
                f"{missing[0]!r} for one"
            )
        return cls(
            name=root.resolve().name,
            corpus=_find_corpus(root, corpus, queries),
            queries={query_id: texts[query_id] for query_id in judgements},
            qrels=judgements,
        )

    def documents(self) -> Iterator[Document]:
        """The documents of the corpus, read as a stream."""
        return iter(DocumentFiles([self.corpus]))


def read_queries(path: Path) -> dict[str, str]:
    """Texts by query_id.

    Raises:
        SourceError: A line is no JSON object with an id and a text.
    """
    return {
        record_id(record, place=place): record_text(record, "text", place=place)
        for place, record in read_records(read_lines(path), name=str(path))
    }


def _find_qrels(root: Path, given: str | PathLike[str] | None) -> Path:
    names = QRELS if given is None else (given,)
    # a given path counts from the working folder first; root / absolute is the absolute one
    places = [] if given is None else [Path(given)]
    for path in (*places, *(root / name for name in names)):
        if path.is_file():
            return path
    there = ", ".join(str(p.relative_to(root)) for p in sorted(root.glob("**/*.tsv"))) or "no .tsv"
    raise SourceError(
        f"no judgements in {root}: no {' or '.join(map(str, names))}; there is: {there}"
    )


def _find_corpus(root: Path, corpus: str | None, queries: str | None) -> Path:
    """The corpus asked for, else the one in the language of the queries, else the only one."""
    if corpus is None and queries in choices(root, "corpus"):
        corpus = queries
    return find_choice(root, "corpus", corpus)
