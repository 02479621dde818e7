"""The embedded index on a GPU beside itself on the CPU, and beside faiss's flat index on the GPU.

    python benchmarks/search_gpu.py                            some minutes on a GPU
    python benchmarks/search_gpu.py --documents 1000000 --view dense
    python benchmarks/search_gpu.py --device cpu --documents 500 --queries 2 --rounds 1

Each view on made-up documents: dense vectors compared exactly there (by codes on the CPU, from
50,000 on), sparse search on the CPU for the whole picture, token vectors exactly and through cells.
Systems answer in turn; one query a call (median and 95th percentile) and all of them in one,
with recall@10 against exact search on the CPU. faiss's part needs tercet[faiss-gpu] in place of
tercet[faiss-cpu], and is left out without it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import synthetic
import torch

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.indexes.base import Index

K = 10
ADDED = 20_000
Found = list[set[int]]
Search = Callable[[Embeddings], Found]
"""The ten best documents of each query."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Made-up documents and queries of one view."""

    documents: Embeddings
    queries: Embeddings

    @classmethod
    def of(cls, view: Representation, count: int, queries: int) -> "Collection":
        """So many of each."""
        if view is Representation.DENSE:
            held, asked = synthetic.dense(count), synthetic.dense(queries, seed=1)
        elif view is Representation.SPARSE:
            held = synthetic.sparse(count)
            asked = synthetic.sparse_queries(held, queries)
        else:
            held = synthetic.tokens(count)
            asked = synthetic.token_queries(held, queries, hard=True)
        return cls(
            Embeddings(**{view.value: held}, model_id="m", document_id="d"),
            Embeddings(**{view.value: asked}, model_id="m"),
        )


def filled(folder: Path, view: Representation, documents: Embeddings) -> None:
    """An index of them in one segment."""
    spec = EncoderSpec("synthetic", representations=(view,), model_id="m", document_id="d")
    with Index.open(folder, spec=spec) as index:
        for start in range(0, len(documents), ADDED):
            rows = range(start, min(start + ADDED, len(documents)))
            index.add([Document(str(n), "") for n in rows], documents.take(rows))
        index.compact()


def searching(index: Index, view: Representation, *, exact: bool) -> Search:
    """A search of ours."""

    def search(queries: Embeddings) -> Found:
        rankings = index.search(queries, k=K, plan=view.value, exact=exact)
        return [{int(hit.document.id) for hit in ranking} for ranking in rankings]

    return search


def flat(documents: Embeddings, device: str) -> Search | None:
    """The exact comparison of faiss on the device, if that faiss is installed."""
    if find_spec("faiss") is None:
        print("  without faiss: pip install 'tercet[faiss-gpu]'")
        return None
    import faiss

    held = np.asarray(documents.dense)
    index = faiss.IndexFlatIP(held.shape[1])
    index.add(held)
    if device != "cpu":
        if not hasattr(faiss, "StandardGpuResources"):
            print("  this faiss has no part for GPUs: install tercet[faiss-gpu] in its place")
            return None
        number = torch.device(device).index or 0
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, index)

    def search(queries: Embeddings) -> Found:
        _, rows = index.search(np.ascontiguousarray(queries.dense), K)
        return [set(row.tolist()) for row in rows]

    return search


def systems(
    view: Representation, plain: Index, moved: Index, documents: Embeddings, device: str
) -> dict[str, Search]:
    """All that answer; the first is exact."""
    found = {"host, exact": searching(plain, view, exact=True)}
    if view is Representation.SPARSE:  # always exact, and never on a device
        return found
    found["host"] = searching(plain, view, exact=False)
    found[f"{device}, exact"] = searching(moved, view, exact=True)
    if view is Representation.MULTI_VECTOR:
        found[f"{device}, cells"] = searching(moved, view, exact=False)
    elif (peer := flat(documents, device)) is not None:
        found[f"{device}, faiss flat"] = peer
    return found


def compare(contenders: Mapping[str, Search], queries: Embeddings, rounds: int) -> None:
    """Interleave them and print what they take and find."""
    one = [queries.take([n]) for n in range(len(queries))]
    alone: dict[str, list[float]] = {name: [] for name in contenders}
    together: dict[str, list[float]] = {name: [] for name in contenders}
    found: dict[str, Found] = {}
    for name, search in contenders.items():
        seconds, _ = timed(search, one[0])
        print(f"  {name:24} first query {seconds:8.3f} s, vectors on their way included")
    for _ in range(rounds):
        for name, search in contenders.items():
            seconds, found[name] = timed(search, queries)
            together[name].append(seconds / len(queries))
        for query in one:
            for name, search in contenders.items():
                alone[name].append(timed(search, query)[0])
    truth = found["host, exact"]
    for name in contenders:
        p50, p95 = 1e3 * np.quantile(alone[name], (0.5, 0.95))
        batch = 1e3 * float(np.median(together[name]))
        recall = np.mean([len(a & b) / len(a) for a, b in zip(truth, found[name], strict=True)])
        print(
            f"  {name:24} p50 {p50:8.2f} p95 {p95:8.2f} ms; {len(queries)} at once {batch:8.2f} ms "
            f"each; recall@10 {recall:.3f}",
            flush=True,
        )


def timed(search: Search, queries: Embeddings) -> tuple[float, Found]:
    """Seconds, and what was found."""
    start = time.perf_counter()
    found = search(queries)
    return time.perf_counter() - start, found


def machine(device: str) -> str:
    """What computes: the GPU and the CPU beside it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = f"{next(iter(names), 'CPU')}, {torch.get_num_threads()} threads"
    gpu = "" if device == "cpu" else f"{torch.cuda.get_device_name(device)} beside "
    return f"{gpu}{cpu}; torch {torch.__version__}"


def main() -> None:
    """Fill an index a view and open it twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--view", type=Representation, choices=list(Representation))
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.device != "cpu" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu tries the script without one")
    print(machine(chosen.device))
    for view in [chosen.view] if chosen.view else list(Representation):
        print(f"{view}, {chosen.documents} documents", flush=True)
        made = Collection.of(view, chosen.documents, chosen.queries)
        with tempfile.TemporaryDirectory() as folder:
            filled(Path(folder) / "index", view, made.documents)
            with (
                Index.open(Path(folder) / "index") as plain,
                Index.open(Path(folder) / "index", device=chosen.device) as moved,
            ):
                contenders = systems(view, plain, moved, made.documents, chosen.device)
                compare(contenders, made.queries, chosen.rounds)
    if chosen.device != "cpu":
        print(f"at most {torch.cuda.max_memory_allocated(chosen.device) / 2**20:.0f} MiB there")


if __name__ == "__main__":
    main()
