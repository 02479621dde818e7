"""The embedded index on a device of torch's beside the same on the CPU by numpy.

    python benchmarks/devices.py --device cuda             with a GPU
    python benchmarks/devices.py --device cpu --documents 2000

Exact and approximate search in the dense and the multi-vector view, one query a call and 32 at
once, in turn; the rankings are compared. No GPU could be had when this was written: figures wait.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import synthetic

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.indexes.local.index import LocalIndex

VIEWS = (Representation.DENSE, Representation.MULTI_VECTOR)
BATCH = 32


def filled(folder: Path, count: int) -> None:
    """An index of made-up documents, in one segment."""
    spec = EncoderSpec("synthetic", representations=VIEWS, model_id="m", document_id="d")
    dense, tokens = synthetic.dense(count), synthetic.tokens(count)
    with LocalIndex.open(folder, spec=spec) as index:
        documents = [Document(str(n), "") for n in range(count)]
        views = Embeddings(dense=dense, multi_vector=tokens, model_id="m", document_id="d")
        index.add(documents, views)
        index.compact()


def answered(index: LocalIndex, queries: Embeddings, plan: str, *, exact: bool) -> list[set[str]]:
    """The ten best of each query."""
    rankings = index.search(queries, k=10, plan=plan, exact=exact)
    return [{hit.document.id for hit in ranking} for ranking in rankings]


def compare(systems: dict[str, LocalIndex], queries: Embeddings, rounds: int) -> None:
    """Interleave systems and print medians, and how much the rankings share."""
    for plan in VIEWS:
        for exact in (False, True):
            for size in (1, BATCH):
                some = queries.take(range(size))
                times: dict[str, list[float]] = {name: [] for name in systems}
                found = {}
                for turn in range(rounds + 1):  # the first is not counted
                    for name, index in systems.items():
                        start = time.perf_counter()
                        found[name] = answered(index, some, plan.value, exact=exact)
                        if turn:
                            times[name].append((time.perf_counter() - start) / size)
                first, second = found.values()
                shared = np.mean([len(a & b) / 10 for a, b in zip(first, second, strict=True)])
                said = ", ".join(f"{n} {1e3 * statistics.median(t):.2f}" for n, t in times.items())
                kind = "exact" if exact else "approximate"
                print(f"{plan} {kind}, {size} a call: ms a query: {said}; {shared:.3f} shared")


def main() -> None:
    """Fill an index once and open it twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    tokens = synthetic.token_queries(synthetic.tokens(2000), BATCH, hard=True)
    queries = Embeddings(dense=synthetic.dense(BATCH, seed=1), multi_vector=tokens, model_id="m")
    with tempfile.TemporaryDirectory() as folder:
        filled(Path(folder) / "index", chosen.documents)
        plain, moved = (LocalIndex.open(Path(folder) / "index") for _ in range(2))
        if isinstance(plain, LocalIndex) and isinstance(moved, LocalIndex):
            moved.move_to(chosen.device)
            compare({"numpy": plain, chosen.device: moved}, queries, chosen.rounds)
        plain.close()
        moved.close()


if __name__ == "__main__":
    main()
