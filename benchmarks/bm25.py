"""BM25 on a BEIR-layout collection: the lexical baseline beside which the model's figures stand.

    python benchmarks/bm25.py FOLDER [--language en]

bm25s with k1 = 1.2 and b = 0.75, English stop words and Snowball stemmer, title and text.
"""

import argparse

import bm25s
import Stemmer

from tercet.evaluation.collections import Collection
from tercet.evaluation.measures import measure

DEPTH = 100


def main() -> None:
    """Index, search all judged queries and print the measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--language", help="takes corpus.LANGUAGE and queries.LANGUAGE")
    chosen = parser.parse_args()
    collection = Collection.read(chosen.folder, corpus=chosen.language, queries=chosen.language)
    documents = list(collection.documents())
    ranker = bm25s.BM25(k1=1.2, b=0.75)
    stemmer = Stemmer.Stemmer("english")
    texts = [document.content for document in documents]
    ranker.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False))
    words = bm25s.tokenize(
        list(collection.queries.values()), stopwords="en", stemmer=stemmer, show_progress=False
    )
    found, scores = ranker.retrieve(words, k=min(DEPTH, len(documents)), show_progress=False)
    run = {
        query: {documents[n].id: float(s) for n, s in zip(places, values, strict=True)}
        for query, places, values in zip(collection.queries, found, scores, strict=True)
    }
    for name, value in measure(run, collection.qrels).items():
        print(f"{name:12} {value:.4f}")


if __name__ == "__main__":
    main()
