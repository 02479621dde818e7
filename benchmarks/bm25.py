"""BM25 on a BEIR-layout collection: the lexical baseline beside which the model's figures stand.

    python benchmarks/bm25.py FOLDER [--language en]

bm25s with k1 = 1.2 and b = 0.75, title and text: English stop words and Snowball stemmer, or
pairs of characters where a text is Japanese.
"""

import argparse
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import bm25s
import Stemmer

from tercet.evaluation.collections import Collection
from tercet.evaluation.measures import measure

DEPTH = 100
JAPANESE = re.compile("[\u3040-\u30ff]")
"""Kana: a text that has them puts no spaces between words."""

PIECE = r"\S+"
"""What stands between spaces."""


def main() -> None:
    """Index, search all judged queries and print the measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--language", help="takes corpus.LANGUAGE and queries.LANGUAGE")
    chosen = parser.parse_args()
    collection = Collection.read(chosen.folder, corpus=chosen.language, queries=chosen.language)
    documents = {document.id: document.content for document in collection.documents()}
    run = rank(documents, collection.queries)
    for name, value in measure(run, collection.qrels).items():
        print(f"{name:12} {value:.4f}")


def rank(documents: Mapping[str, str], queries: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The scores of the best documents for each query, all by id.

    Text without spaces between words, as Japanese, is read as pairs of characters.
    """
    ranker = bm25s.BM25(k1=1.2, b=0.75)
    ranker.index(_words(list(documents.values())))
    found, scores = ranker.retrieve(
        _words(list(queries.values())), k=min(DEPTH, len(documents)), show_progress=False
    )
    ids = list(documents)
    return {
        query: {ids[n]: float(s) for n, s in zip(places, values, strict=True)}
        for query, places, values in zip(queries, found, scores, strict=True)
    }


def _words(texts: list[str]) -> Any:
    if any(map(JAPANESE.search, texts)):
        pairs = [["".join(pair) for pair in pairwise(text)] for text in texts]
        return bm25s.tokenize(
            [" ".join(p) for p in pairs], token_pattern=PIECE, show_progress=False
        )
    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)


if __name__ == "__main__":
    main()
