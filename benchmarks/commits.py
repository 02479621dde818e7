"""Commits, opening and memory beside bare SQLite: bar I6.

    OMP_NUM_THREADS=1 python benchmarks/commits.py                       some 5 minutes
    OMP_NUM_THREADS=1 python benchmarks/commits.py --documents 5000      under a minute

SQLite gets the same rows in one table (texts, JSON, each view as a BLOB), with the same journal and
the same synchronous setting, so that both wait for the same disk. CPU time says more than the clock
where other processes want the same cores: a commit of ours is as long as a slice of their time.
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filters import BATCH, views

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.indexes.base import Index

COMMIT = 20
DIM, TOKENS = 384, 30
SPEC = EncoderSpec(
    family="random", representations=tuple(Representation), model_id="m", document_id="d"
)
OPENING = """
import resource, sys, time
from pathlib import Path
import numpy as np
from tercet.embeddings import Embeddings
from tercet.indexes.base import Index
import tercet.indexes.local.index

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident()
start = time.perf_counter()
index = Index.open(sys.argv[1])
count = len(index)
seconds = time.perf_counter() - start
rows = index.search(Embeddings(dense=np.ones((1, int(sys.argv[2])), np.float32)), plan="dense")
print(seconds, resident() - before, count)
"""
"""A fresh process: how long it takes to open and count, and what memory one search leaves."""


def documents(first: int, count: int) -> list[Document]:
    """Texts of some 500 characters."""
    return [
        Document(f"d{n:08d}", f"text {n} " * 50, {"n": n, "word": f"w{n % 1000}"})
        for n in range(first, first + count)
    ]


def insert(connection: sqlite3.Connection, docs: list[Document], embeddings: Embeddings) -> None:
    """The same rows in one commit of bare SQLite."""
    dense, multi = embeddings.dense, embeddings.multi_vector
    sparse = embeddings.sparse
    if dense is None or multi is None or sparse is None:
        raise ValueError("every view is wanted")
    rows = []
    for n, document in enumerate(docs):
        part = slice(sparse.indptr[n], sparse.indptr[n + 1])
        terms = sparse.ids[part].tobytes() + sparse.weights[part].tobytes()
        tokens = multi[n].astype(np.float16).tobytes()
        metadata = json.dumps(dict(document.metadata))
        rows.append((document.id, document.text, metadata, dense[n].tobytes(), terms, tokens))
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def bare(path: Path) -> sqlite3.Connection:
    """A database with one table."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE documents (id TEXT PRIMARY KEY, text TEXT, metadata TEXT, dense BLOB, "
        "sparse BLOB, tokens BLOB)"
    )
    return connection


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(name: str, ours: list[float], theirs: list[float]) -> None:
    """Print medians, spreads and their ratio, and the means, in which merges count."""
    for system, times in (("tercet", ours), ("SQLite", theirs)):
        print(
            f"  {name:24} {system} median {statistics.median(times) * 1e3:8.2f} ms "
            f"[{min(times) * 1e3:.2f} .. {max(times) * 1e3:.2f}], "
            f"mean {statistics.mean(times) * 1e3:8.2f} ms"
        )
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"  {name:24} {ratio:.2f} x SQLite in the median")


def commits(folder: Path, rounds: int) -> None:
    """Interleave small commits of both."""
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    work_of_ours, work_of_theirs = [], []
    with Index.open(folder / "small", spec=SPEC) as index:
        connection = bare(folder / "small.sqlite")
        for n in range(rounds):
            docs, batch = documents(n * COMMIT, COMMIT), views(rng, COMMIT, dim=DIM, tokens=TOKENS)
            start = time.process_time()
            ours.append(seconds(lambda: index.add(docs, batch)))  # noqa: B023
            between = time.process_time()
            theirs.append(seconds(lambda: insert(connection, docs, batch)))  # noqa: B023
            work_of_ours.append(between - start)
            work_of_theirs.append(time.process_time() - between)
        connection.close()
        told(f"commit of {COMMIT} documents", ours, theirs)
        told("  its CPU time", work_of_ours, work_of_theirs)
        gone = [f"d{n:08d}" for n in range(0, rounds * COMMIT, 7)]
        spent = seconds(lambda: index.delete(gone))
        print(f"  delete of {len(gone)} documents: {spent * 1e3:.1f} ms")


def opening(folder: Path, count: int, rounds: int) -> None:
    """Fill both, then open and count them, each time in a fresh process or connection."""
    rng = np.random.default_rng(1)
    connection = bare(folder / "large.sqlite")
    with Index.open(folder / "large", spec=SPEC) as index:
        spent = 0.0
        for first in range(0, count, BATCH):
            size = min(BATCH, count - first)
            docs, batch = documents(first, size), views(rng, size, dim=DIM, tokens=TOKENS)
            spent += seconds(lambda: index.add(docs, batch))  # noqa: B023
            insert(connection, docs, batch)
        stats = index.stats()
        print(
            f"  added {count:,} documents: {count / spent:,.0f} documents/s, "
            f"{stats.segments} segments, {stats.disk >> 20:,} MiB"
        )
    connection.close()
    ours, theirs, memory = [], [], 0
    for _ in range(rounds):
        opened = subprocess.run(
            [sys.executable, "-c", OPENING, str(folder / "large"), str(DIM)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        ours.append(float(opened[0]))
        memory = int(opened[1])

        def count_rows() -> None:
            database = sqlite3.connect(folder / "large.sqlite")
            database.execute("SELECT count(*) FROM documents").fetchone()
            database.close()

        theirs.append(seconds(count_rows))
    told(f"open and count {count:,}", ours, theirs)
    print(
        f"  resident memory of an open index after a dense search: {memory >> 20:,} MiB "
        f"(its files have {stats.disk >> 20:,} MiB; mapped pages count)"
    )


def main() -> None:
    """Run both halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary one else")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        print("I6")
        commits(Path(folder), chosen.commits)
        opening(Path(folder), chosen.documents, chosen.rounds)


if __name__ == "__main__":
    main()
