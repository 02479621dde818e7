"""Token vectors in an index, beside fast-plaid and xtr-warp-rs: bars I1 and I2.

    OMP_NUM_THREADS=1 python benchmarks/late_interaction.py --peers PEERS/bin/python
    OMP_NUM_THREADS=1 python benchmarks/late_interaction.py --documents 2000 --added 200

Each system builds in a process of its own, all answer the same query one after another, then each
is given more documents. Without `--peers`, numpy's brute force alone stands beside ours.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import synthetic
from harness import System, Worker

SCRIPT = Path(__file__).with_name("late_interaction_worker.py")
K = 10


def prepare(folder: Path, documents: int, added: int, queries: int) -> None:
    """Write what all systems read; the documents added later are of the same kind."""
    held = synthetic.tokens(documents + added)
    parts = {
        "build": held.take(np.arange(documents)),
        "add": held.take(np.arange(documents, documents + added)),
    }
    for kind in ("easy", "hard"):
        parts[kind] = synthetic.token_queries(parts["build"], queries, hard=kind == "hard")
    for name, part in parts.items():
        np.savez(folder / f"{name}.npz", vectors=part.vectors, offsets=part.offsets)


def ask(workers: Mapping[str, Worker], queries: int, kind: str) -> None:
    """All systems answer each query in turn; numpy's brute force is the truth and the base."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    shared: dict[str, list[float]] = {name: [] for name in workers}
    for query in range(-1, queries):  # the first is not counted
        truth: set[int] = set()
        for name, worker in workers.items():
            answer = worker.ask({"do": "search", "kind": kind, "query": max(query, 0)})
            found: Sequence[int] = answer["result"]  # type: ignore[assignment]
            truth = truth or set(found)
            if query >= 0:
                seconds[name].append(answer["seconds"])
                shared[name].append(len(truth & set(found)) / K)
    base = statistics.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        middle, last = np.quantile(times, (0.5, 0.95))
        print(
            f"  {kind} queries: {name:12} p50 {1e3 * middle:8.2f} p95 {1e3 * last:8.2f} ms  "
            f"{base / middle:6.2f} x numpy  recall@{K} {np.mean(shared[name]):.3f}",
            flush=True,
        )


def spend(workers: Mapping[str, Worker], what: str, said: str) -> None:
    """Let each system build or add, and print what it took beside ours."""
    ours = workers["tercet"].ask({"do": what})
    for name, worker in workers.items():
        answer = ours if name == "tercet" else worker.ask({"do": what})
        print(
            f"  {said}: {name:12} {answer['seconds']:8.2f} s, {answer['cpu_seconds']:8.2f} s of "
            f"CPU, {answer['cpu_seconds'] / ours['cpu_seconds']:6.2f} x ours",
            flush=True,
        )


def main() -> None:
    """Build, search, add."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--added", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", help="the interpreter that has fast-plaid and xtr-warp-rs")
    parser.add_argument("--systems", nargs="+", default=["fast-plaid", "xtr-warp"])
    chosen = parser.parse_args()
    systems = {"numpy": sys.executable, "tercet": sys.executable}
    if chosen.peers:
        systems |= dict.fromkeys(chosen.systems, chosen.peers)
    with tempfile.TemporaryDirectory() as data:
        prepare(Path(data), chosen.documents, chosen.added, chosen.queries)
        workers = {}
        for name, python in systems.items():
            job = {"data": data, "folder": str(Path(data) / name)}
            workers[name] = Worker(System(name, python, {}, SCRIPT), job, threads=chosen.threads)
        print(f"I1, I2: {chosen.documents:,} documents of token vectors", flush=True)
        spend(workers, "build", "build")
        for kind in ("easy", "hard"):
            ask(workers, chosen.queries, kind)
        spend(workers, "add", f"add {chosen.added:,}")
        ask(workers, min(5, chosen.queries), "hard")
        for worker in workers.values():
            worker.close()


if __name__ == "__main__":
    main()
