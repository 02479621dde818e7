"""Filters: what they cost, and whether they find what brute force finds: bar I5.

    OMP_NUM_THREADS=1 python benchmarks/filters.py                        some 15 minutes
    OMP_NUM_THREADS=1 python benchmarks/filters.py --documents 5000       under a minute

Every document has `one` (true in 1 % of them), `half`, a `number` of its own, and a word.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation, SparseVectors
from tercet.filters import F, parse_filter
from tercet.indexes.base import Index

BATCH = 1000
TERMS = 5000
K = 10
PLANS = ("dense", "sparse", "multi_vector")


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random directions."""
    vectors = rng.standard_normal(shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def views(rng: np.random.Generator, count: int, *, dim: int, tokens: int) -> Embeddings:
    """Random views of `count` texts; terms follow Zipf's law as words do."""
    lengths = rng.integers(tokens // 2, tokens * 3 // 2 + 1, count)
    terms = [np.unique(rng.zipf(1.3, 20) % TERMS) for _ in range(count)]
    return Embeddings(
        dense=unit(rng, (count, dim)),
        sparse=SparseVectors.from_dicts(
            [dict(zip(t.tolist(), rng.random(len(t)).tolist(), strict=True)) for t in terms]
        ),
        multi_vector=MultiVectors(
            unit(rng, (int(lengths.sum()), 64)), np.concatenate(([0], np.cumsum(lengths)))
        ),
    )


def fill(index: Index, rng: np.random.Generator, count: int, *, dim: int, tokens: int) -> float:
    """Add documents; seconds."""
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        documents = [
            Document(
                f"d{n:08d}",
                f"text {n}",
                {"one": n % 100 == 7, "half": n % 2 == 0, "number": n, "word": f"w{n % 1000}"},
            )
            for n in range(first, first + size)
        ]
        index.add(documents, views(rng, size, dim=dim, tokens=tokens))
    return time.perf_counter() - start


def milliseconds(work: Callable[[], object], rounds: int) -> str:
    """Median and spread of some calls, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return f"{statistics.median(times):9.2f}  [{min(times):.2f} .. {max(times):.2f}]"


def recall(index: Index, queries: Embeddings, plan: str, given: Mapping[str, Any]) -> float:
    """Share of the exact ranking that the usual search finds, and that brute force has too."""
    found = index.search(queries, k=K, plan=plan, filter=given)
    exact = index.search(queries, k=K, plan=plan, filter=given, exact=True)
    ids = index.ids(given)
    scores = index.score(queries, ids)[Representation(plan)]
    shares = []
    for n in range(len(queries)):
        best = np.sort(scores[n])[::-1][:K]
        same = [h.score >= best[-1] - 1e-4 for h in exact[n]]
        if plan != "sparse" and not (len(same) == min(K, len(ids)) and all(same)):
            raise SystemExit(f"{plan}: exact search differs from brute force")
        shares.append(
            len({h.document.id for h in found[n]} & {h.document.id for h in exact[n]})
            / max(1, len(exact[n]))
        )
    return float(np.mean(shares))


def main() -> None:
    """Fill an index and print what each filter costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    spec = EncoderSpec(
        family="random", representations=tuple(Representation), model_id="m", document_id="d"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.open(Path(folder) / "index", spec=spec) as index,
    ):
        seconds = fill(index, rng, chosen.documents, dim=chosen.dim, tokens=chosen.tokens)
        print(f"{chosen.documents:,} documents added in {seconds:.1f} s")
        queries = views(rng, 8, dim=chosen.dim, tokens=16)
        one = queries.take([0])
        print("I5: milliseconds of one query, median [fastest .. slowest]")
        for plan in PLANS:
            filters = {"no filter": None, "1 %": {"one": True}, "50 %": {"half": True}}
            for name, given in filters.items():
                search = partial(index.search, one, k=K, plan=plan, filter=given)
                print(f"  {plan:14} {name:10} {milliseconds(search, chosen.rounds)}")
            share = recall(index, queries, plan, {"one": True})
            print(f"  {plan:14} recall@10 at 1 % against exact {share:.3f}")
        print("the filter alone, asked for the first time after a commit")
        asked = {
            "equality, 1 match": {"number": 17},
            "range, 10 matches": (F("number") >= 20) & (F("number") < 30),
            "in, 1000 values": {"word": [f"w{n}" for n in range(1000)]},
            "boolean, half": {"half": True},
        }
        for name, given in asked.items():

            def select(given: Any = given) -> None:
                with index.reading() as reader:
                    reader.snapshot.passing.clear()  # type: ignore[attr-defined]
                    reader.select(parse_filter(given))  # type: ignore[attr-defined]

            print(f"  {name:20} {milliseconds(select, chosen.rounds)}")


if __name__ == "__main__":
    main()
