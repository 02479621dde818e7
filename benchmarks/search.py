"""Search beside the libraries that one would use directly: bars I1, I3 and I4.

    OMP_NUM_THREADS=1 python benchmarks/search.py --view sparse --sizes 10000 100000 1000000
    OMP_NUM_THREADS=1 python benchmarks/search.py --view dense --sizes 10000 100000 1000000
    OMP_NUM_THREADS=1 python benchmarks/search.py --view dense --sizes 1000000 --filtered
    OMP_NUM_THREADS=1 python benchmarks/search.py --view multi_vector --sizes 1000 10000

Systems answer the same query one after another; medians, and recall@10 against brute force. Needs
scipy, faiss-cpu and usearch. A million documents take about ten minutes and 6 GiB a view;
`growth.py` draws how medians grow.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import synthetic

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation, SparseVectors
from tercet.indexes.base import Index

K = 10
ADDED = 20_000
ONE_IN = 20
"""With `--filtered`, one document in so many may be found."""
Found = np.ndarray
Search = Callable[[int], Found]
"""The ten best documents of the query of this number."""


@dataclass(frozen=True, slots=True)
class System:
    """A contender, ready to search."""

    search: Search
    build_seconds: float = 0.0
    bytes: int = 0


def ours(
    view: Representation,
    documents: object,
    queries: Embeddings,
    folder: Path,
    size: int,
    *,
    filtered: bool,
) -> System:
    """The embedded index, opened anew after its build."""
    spec = EncoderSpec(family="synthetic", representations=(view,), model_id="m", document_id="d")
    start = time.perf_counter()
    with Index.open(folder, spec=spec) as index:
        for first in range(0, size, ADDED):
            rows = np.arange(first, min(first + ADDED, size))
            part = documents[rows] if view == "dense" else documents.take(rows)  # type: ignore[index,attr-defined]
            docs = [
                Document(str(n), "", {"class": n % ONE_IN} if filtered else {})
                for n in rows.tolist()
            ]
            index.add(docs, Embeddings(**{view.value: part}, model_id="m", document_id="d"))
        index.compact()
    built = time.perf_counter() - start
    start = time.perf_counter()
    index = Index.open(folder)
    len(index)
    print(f"  cold open {1e3 * (time.perf_counter() - start):.1f} ms")
    one = [queries.take([n]) for n in range(len(queries))]

    def search(n: int) -> Found:
        chosen = {"class": 0} if filtered else None
        ranking = index.search(one[n], k=K, plan=view.value, filter=chosen)[0]
        return np.asarray([int(hit.document.id) for hit in ranking])

    stored = sum(size for name, size in index.stats().bytes.items() if name != "catalog")
    return System(search, built, stored)


def filtered_peers(documents: np.ndarray, queries: np.ndarray) -> Iterator[tuple[str, System]]:
    """The documents that pass, given to numpy apart."""
    kept = np.ascontiguousarray(documents[::ONE_IN])

    def brute(n: int) -> Found:
        scores = kept @ queries[n]
        return np.argpartition(-scores, K)[:K] * ONE_IN

    yield "numpy, those that pass", System(brute, 0.0, kept.nbytes)


def dense_peers(documents: np.ndarray, queries: np.ndarray) -> Iterator[tuple[str, System]]:
    """numpy, faiss with the structure that we use and exact re-scoring, usearch."""
    import faiss
    from usearch.index import Index as Graph

    def brute(n: int) -> Found:
        scores = documents @ queries[n]
        return np.argpartition(-scores, K)[:K]

    yield "numpy brute force", System(brute, 0.0, documents.nbytes)
    start = time.perf_counter()
    codes = faiss.IndexPQFastScan(
        documents.shape[1], documents.shape[1] // 4, 4, faiss.METRIC_INNER_PRODUCT
    )
    codes.train(documents[:: max(1, len(documents) >> 16)])
    codes.add(documents)
    flat = faiss.IndexFlatIP(documents.shape[1])
    flat.add(documents)
    refined = faiss.IndexRefine(codes, flat)
    refined.k_factor = 20
    built = time.perf_counter() - start
    yield (
        "faiss PQ fast-scan + refine",
        System(lambda n: refined.search(queries[n : n + 1], K)[1][0], built, documents.nbytes),
    )
    if len(documents) <= 100_000:  # its build takes hours beyond
        start = time.perf_counter()
        graph = Graph(ndim=documents.shape[1], metric="ip", dtype="f16")
        graph.add(np.arange(len(documents)), documents)
        built = time.perf_counter() - start
        yield (
            "usearch HNSW f16",
            System(
                lambda n: np.asarray(graph.search(queries[n], K).keys), built, graph.memory_usage
            ),
        )


def sparse_peers(documents: SparseVectors, queries: SparseVectors) -> Iterator[tuple[str, System]]:
    """scipy: every row times the query."""
    from scipy.sparse import csr_matrix

    shape = (len(documents), synthetic.VOCABULARY)
    matrix = csr_matrix((documents.weights, documents.ids, documents.indptr), shape=shape)
    vectors = []
    for row in queries.to_dicts():
        vector = np.zeros(synthetic.VOCABULARY, dtype=np.float32)
        vector[list(row)] = list(row.values())
        vectors.append(vector)

    def search(n: int) -> Found:
        scores = matrix @ vectors[n]
        return np.argpartition(-scores, K)[:K]

    yield "scipy CSR", System(search, 0.0, matrix.data.nbytes + matrix.indices.nbytes)


def token_peers(documents: MultiVectors, queries: MultiVectors) -> Iterator[tuple[str, System]]:
    """numpy: one product, and the best of each document."""

    def search(n: int) -> Found:
        similarity = queries[n] @ documents.vectors.T
        scores = np.maximum.reduceat(similarity, documents.offsets[:-1], axis=1).sum(axis=0)
        return np.argpartition(-scores, K)[:K]

    yield "numpy brute force", System(search, 0.0, documents.vectors.nbytes)


def compared(systems: Mapping[str, System], queries: int) -> dict[str, np.ndarray]:
    """Print what each system takes and finds; seconds by system, of each query."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    shared: dict[str, list[float]] = {name: [] for name in systems}
    for n in range(queries):
        truth: set[int] | None = None  # the first system is exact
        for name, system in systems.items():
            start = time.perf_counter()
            found = system.search(n)
            seconds[name].append(time.perf_counter() - start)
            truth = set(found.tolist()) if truth is None else truth
            shared[name].append(len(truth & set(found.tolist())) / K)
    base = float(np.median(next(iter(seconds.values()))))
    for name, system in systems.items():
        p50, p95 = np.quantile(seconds[name], (0.5, 0.95))
        print(
            f"  {name:28} build {system.build_seconds:7.1f} s {system.bytes / 2**20:8.1f} MiB  p50 "
            f"{1e3 * p50:8.2f} p95 {1e3 * p95:8.2f} ms  {base / p50:6.2f} x  recall@10 "
            f"{np.mean(shared[name]):.3f}"
        )
    return {name: np.asarray(values) for name, values in seconds.items()}


def measured(
    view: Representation, size: int, count: int, *, hard: bool, filtered: bool = False
) -> dict[str, float]:
    """Build all systems at one size and compare them; median seconds by system."""
    print(f"{view}, {size} documents{', hard queries' if hard else ''}", flush=True)
    if view == "dense":
        documents, queries = synthetic.dense(size), synthetic.dense(count, seed=1)
        peers = dict((filtered_peers if filtered else dense_peers)(documents, queries))
        asked = Embeddings(dense=queries, model_id="m")
    elif view == "sparse":
        documents = synthetic.sparse(size)
        queries = synthetic.sparse_queries(documents, count)
        peers, asked = (
            dict(sparse_peers(documents, queries)),
            Embeddings(sparse=queries, model_id="m"),
        )
    else:
        documents = synthetic.tokens(size)
        queries = synthetic.token_queries(documents, count, hard=hard)
        peers = dict(token_peers(documents, queries))
        asked = Embeddings(multi_vector=queries, model_id="m")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "index"
        index = ours(view, documents, asked, place, size, filtered=filtered)
        systems = {**peers, "tercet": index}
        for system in systems.values():
            system.search(0)
        found = compared(systems, count)
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    """Compare at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--view", type=Representation, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--hard", action="store_true", help="token queries with distractors")
    parser.add_argument("--filtered", action="store_true", help="dense, one document in 20 passes")
    chosen = parser.parse_args()
    if chosen.filtered and chosen.view != "dense":
        parser.error("--filtered is for --view dense")
    for size in chosen.sizes:
        measured(chosen.view, size, chosen.queries, hard=chosen.hard, filtered=chosen.filtered)


if __name__ == "__main__":
    main()
