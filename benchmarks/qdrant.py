"""A Qdrant server beside the embedded index: adding, disk, and searching with each plan.

    OMP_NUM_THREADS=1 python benchmarks/qdrant.py --documents 10000
    OMP_NUM_THREADS=1 python benchmarks/qdrant.py --documents 100000 --tokens 16 --queries 10
    python benchmarks/qdrant.py --address qdrant://host:6333             # a server of one's own

Without --address it starts the server that the tests use, on loopback. Both engines hold the same
made-up documents; rankings are compared with the embedded index's exact ones. Searches begin when
the server has built its graph.
"""

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import synthetic

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.indexes.base import Index
from tercet.indexes.storage import Storage

PLANS = ("dense", "sparse", "dense>multi_vector", "hybrid", "rrf", "multi_vector")
BATCH = 500
K = 10


def collection(
    documents: int, queries: int, dim: int, length: int
) -> tuple[EncoderSpec, Embeddings, Embeddings]:
    """A spec, the views of all documents and of the queries."""
    spec = EncoderSpec(
        family="synthetic",
        representations=tuple(Representation),
        model_id="synthetic",
        document_id="synthetic",
        dense_dim=dim,
        multi_vector_dim=128,
        vocabulary=synthetic.VOCABULARY,
    )
    dense = synthetic.dense(documents + queries, dim=dim)
    sparse, tokens = synthetic.sparse(documents), synthetic.tokens(documents, length=length)
    views = Embeddings(
        dense=dense[:documents],
        sparse=sparse,
        multi_vector=tokens,
        model_id=spec.model_id,
        document_id=spec.document_id,
    )
    asked = Embeddings(
        dense=dense[documents:],
        sparse=synthetic.sparse_queries(sparse, queries),
        multi_vector=synthetic.token_queries(tokens, queries, hard=True),
        model_id=spec.model_id,
    )
    return spec, views, asked


@contextmanager
def server(address: str | None, folder: Path, *, grpc: bool) -> Iterator[tuple[str, str]]:
    """The address of a server and its options: the one given, or one that lives as long as this."""
    if address is not None:
        yield address, ""
        return
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "servers"))
    from qdrant_servers import QdrantServer

    with QdrantServer(folder / "qdrant") as started:
        yield f"qdrant://{started.host}", f"?grpc={started.grpc}" if grpc else ""


def fill(index: Index, views: Embeddings) -> float:
    """Add all documents; documents a second."""
    count, start = len(views), time.perf_counter()
    for first in range(0, count, BATCH):
        rows = range(first, min(first + BATCH, count))
        index.add([Document(f"{n:07d}", f"text {n}", {"n": n}) for n in rows], views.take(rows))
    return count / (time.perf_counter() - start)


def settle(address: str) -> float:
    """Wait until a server has built its graph; the seconds."""
    from qdrant_client import QdrantClient

    url, _, name = address.partition("?")[0].removeprefix("qdrant://").rpartition("/")
    client, start = (
        QdrantClient(url=f"http://{url}", check_compatibility=False),
        time.perf_counter(),
    )
    while client.get_collection(name).status != "green":
        time.sleep(0.5)
    client.close()
    return time.perf_counter() - start


def disk(folder: Path) -> int:
    """Bytes of the files in a folder, as the file system has them: files may have holes."""
    return sum(512 * file.stat().st_blocks for file in folder.rglob("*") if file.is_file())


def computed(views: Embeddings) -> float:
    """Bytes a document by the README's arithmetic, without text and metadata."""
    assert views.dense is not None
    assert views.sparse is not None
    assert views.multi_vector is not None
    numbers = views.multi_vector.vectors.size
    # As many cells as token vectors at most; neighbours share them.
    cells = 0.85 * len(views.multi_vector.vectors)
    whole = 16 * len(views.sparse.ids) + 2 * numbers + 16 * cells
    return 4 * views.dense.shape[1] + 140 + whole / len(views)


def search(index: Index, queries: Embeddings, plan: str) -> tuple[list[float], list[set[str]]]:
    """Seconds of each query, one a call, and the ids that it found."""
    seconds, found = [], []
    for n in range(len(queries)):
        query = queries.take([n])
        start = time.perf_counter()
        ranking = index.search(query, k=K, plan=plan)[0]
        seconds.append(time.perf_counter() - start)
        found.append({hit.document.id for hit in ranking})
    return seconds, found


def main() -> None:
    """Run both engines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--dense-dim", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=80, help="of a document, about")
    parser.add_argument("--grpc", action="store_true", help="in place of REST")
    parser.add_argument("--address", help="qdrant://host:6333, without a collection")
    parser.add_argument("--options", default="", help="of the address, as ?grpc=6334&shards=3")
    given = parser.parse_args()
    sizes = (given.documents, given.queries, given.dense_dim, given.tokens)
    spec, views, queries = collection(*sizes)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(given.address, Path(folder), grpc=given.grpc) as (host, options),
    ):
        local = Index.open(Path(folder) / "index", spec=spec, storage=Storage(tokens="float16"))
        name = f"{host}/benchmark-{uuid.uuid4().hex[:8]}{options or given.options}"
        with local, Index.open(name, spec=spec) as remote:
            for label, index in (("embedded", local), ("qdrant", remote)):
                print(f"{label}: {fill(index, views):,.0f} documents/s")
            local.compact()
            print(f"qdrant: graph built after another {settle(name):.0f} s")
            found = {"embedded": Path(folder) / "index", "qdrant": Path(folder) / "qdrant"}
            for label, where in found.items():
                if where.exists():
                    print(f"{label}: {disk(where) / given.documents:,.0f} bytes a document on disk")
            print(f"README's arithmetic: {computed(views):,.0f} bytes a document and its text")
            print(f"{'plan':20} {'':9} {'p50 ms':>8} {'p95 ms':>8} {'overlap@10 with exact':>22}")
            for plan in PLANS:
                exact = local.search(queries, k=K, plan=plan, exact=True)
                wanted = [{hit.document.id for hit in ranking} for ranking in exact]
                for label, index in (("embedded", local), ("qdrant", remote)):
                    search(index, queries.take(range(3)), plan)
                    seconds, found = search(index, queries, plan)
                    same = [len(f & w) / max(1, len(w)) for f, w in zip(found, wanted, strict=True)]
                    p95 = float(np.quantile(seconds, 0.95))
                    print(
                        f"{plan:20} {label:9} {statistics.median(seconds) * 1e3:8.1f} "
                        f"{p95 * 1e3:8.1f} {statistics.mean(same):22.3f}"
                    )


if __name__ == "__main__":
    main()
