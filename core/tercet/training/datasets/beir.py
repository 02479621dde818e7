"""Examples of a collection in BEIR's layout: its queries and the judgements of one split.

What is judged relevant is a positive; what is judged irrelevant, a negative. Only judged documents
are kept in memory.
"""

from collections.abc import Iterator
from pathlib import Path

from tercet.errors import SourceError
from tercet.evaluation.collections import Collection
from tercet.training.datasets.examples import Example, make_example

DEFAULT_SPLIT = "train"


def read_beir(
    path: Path, *, split: str | None, language: str | None
) -> Iterator[tuple[str, Example]]:
    """The examples of a folder, each with its place for messages.

    Args:
        path: The folder.
        split: Whose judgements; None is "train".
        language: Which corpus and queries, where there are several.

    Raises:
        SourceError: A file is missing or malformed, or a judged document has no text.
    """
    judged = qrels_of(path, split or DEFAULT_SPLIT)
    collection = Collection.read(path, corpus=language, queries=language, qrels=judged)
    wanted = {doc_id for judgements in collection.qrels.values() for doc_id in judgements}
    texts = {d.id: d.content for d in collection.documents() if d.id in wanted}
    for query_id, judgements in collection.qrels.items():
        place = f"{judged}, query {query_id!r}"
        lacking = [doc_id for doc_id in judgements if doc_id not in texts]
        if lacking:
            raise SourceError(f"{place}: the document {lacking[0]!r} is not in {collection.corpus}")
        yield (
            place,
            make_example(
                collection.queries[query_id],
                [texts[doc_id] for doc_id, grade in judgements.items() if grade > 0],
                [texts[doc_id] for doc_id, grade in judgements.items() if grade <= 0],
                place=place,
            ),
        )


def qrels_of(path: Path, split: str) -> Path:
    """The file with the judgements of a split: qrels/train.tsv or qrels.train.tsv.

    Raises:
        SourceError: There is none.
    """
    names = [f"qrels/{split}.tsv", f"qrels.{split}.tsv"]
    names += ["qrels.tsv"] if split == "test" else []
    for name in names:
        if (path / name).is_file():
            return path / name
    there = ", ".join(str(p.relative_to(path)) for p in sorted(path.glob("**/*.tsv"))) or "no .tsv"
    raise SourceError(
        f"no judgements of the split {split!r} in {path}: looked for {', '.join(names)}; "
        f"there is: {there}"
    )
