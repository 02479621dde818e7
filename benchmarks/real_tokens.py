"""Late interaction through cells beside `exact=True`, on real token vectors: bar I1r.

    OMP_NUM_THREADS=1 python benchmarks/real_tokens.py benchmarks/data/scifact-en    some 10 minutes
    OMP_NUM_THREADS=1 python benchmarks/real_tokens.py FOLDER --documents 3000       less

Both ways answer each judged query in turn. With `--index`, the index stays there and is used again.
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from tercet.encoder import Encoder
from tercet.evaluation.collections import Collection
from tercet.evaluation.measures import measure
from tercet.indexes.base import Index
from tercet.ranking import Run

K, BATCH = 10, 500
VIEW = "multi_vector"
WAYS = {"cells": False, "exact": True}


def build(folder: Path, encoder: Encoder, collection: Collection, most: int | None) -> None:
    """Encode and add the documents, and say what that took."""
    spent = [0.0, 0.0]
    with Index.open(folder, spec=encoder.spec, representations=[VIEW]) as index:
        stream = islice(collection.documents(), most)
        while documents := list(islice(stream, BATCH)):
            start = time.process_time()
            embeddings = encoder.encode_documents([document.content for document in documents])
            between = time.process_time()
            index.add(documents, embeddings)
            spent = [spent[0] + between - start, spent[1] + time.process_time() - between]
        index.compact()
    print(f"  encoding {spent[0]:.1f} s of CPU, index {spent[1]:.1f} s", flush=True)


def compare(index: Index, encoder: Encoder, collection: Collection) -> None:
    """Ask all queries both ways."""
    embeddings = encoder.encode_queries(list(collection.queries.values()))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    runs: dict[str, Run] = {way: {} for way in WAYS}
    shared = []
    for n, query_id in enumerate(collection.queries):
        query, found = embeddings.take([n]), {}
        for way, exact in WAYS.items():
            start = time.process_time()
            (ranking,) = index.search(query, k=K, plan=VIEW, exact=exact)
            seconds[way].append(time.process_time() - start)
            found[way] = {hit.document.id: hit.score for hit in ranking}
            runs[way][query_id] = found[way]
        shared.append(len(found["cells"].keys() & found["exact"].keys()) / K)
    p50 = {way: statistics.median(times) for way, times in seconds.items()}
    print(f"  recall@{K} {statistics.mean(shared):.4f}, {len(shared)} queries")
    for way in WAYS:
        ndcg = measure(runs[way], collection.qrels, measures=["nDCG@10"])["nDCG@10"]
        print(
            f"  {way}: p50 {1e3 * p50[way]:.1f} ms of CPU, "
            f"1/{p50['exact'] / p50[way]:.1f} of exact, nDCG@10 {ndcg:.4f}"
        )


def main() -> None:
    """Build, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path, help="a folder in BEIR's layout")
    parser.add_argument("--model", default="tercet/mini")
    parser.add_argument("--documents", type=int, help="the first so many; all else")
    parser.add_argument("--index", type=Path, help="where the index stays; nowhere else")
    chosen = parser.parse_args()
    collection = Collection.read(chosen.collection)
    encoder = Encoder.from_pretrained(chosen.model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.index or Path(temporary) / "index"
        print(f"I1r: {chosen.model} on {collection.name}", flush=True)
        if not folder.exists():
            build(folder, encoder, collection, chosen.documents)
        with Index.open(folder) as index:
            vectors = index.stats().token_vectors
            print(f"  {len(index):,} documents, {vectors}", flush=True)
            compare(index, encoder, collection)


if __name__ == "__main__":
    main()
