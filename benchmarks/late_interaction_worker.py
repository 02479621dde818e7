"""One index of token vectors in one process: builds, adds and searches when told to.

Runs in the environment of its system; of this repository it needs nothing but itself (the row
`tercet` needs the library). Numbers of documents are their ids.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Engine(Protocol):
    """What a system offers."""

    def build(self, documents: list[np.ndarray]) -> None:
        """Index documents."""
        ...

    def add(self, documents: list[np.ndarray]) -> None:
        """Add more, under the following numbers."""
        ...

    def search(self, query: np.ndarray) -> list[int]:
        """The ten best."""
        ...


class Tercet:
    """Ours, with its defaults."""

    def __init__(self, folder: str) -> None:
        from tercet.embeddings import EncoderSpec, Representation
        from tercet.indexes.base import Index

        views = (Representation.MULTI_VECTOR,)
        spec = EncoderSpec("vectors", representations=views, model_id="m", document_id="d")
        self._index = Index.open(folder, spec=spec)

    def build(self, documents: list[np.ndarray]) -> None:
        """Index documents."""
        self.add(documents)
        self._index.compact()

    def add(self, documents: list[np.ndarray]) -> None:
        """Add more."""
        from tercet.documents import Document
        from tercet.embeddings import Embeddings, MultiVectors

        first = len(self._index)
        offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        tokens = MultiVectors(np.concatenate(documents), offsets)
        self._index.add(
            [Document(str(first + n), "") for n in range(len(documents))],
            Embeddings(multi_vector=tokens, model_id="m", document_id="d"),
        )

    def search(self, query: np.ndarray) -> list[int]:
        """The ten best."""
        from tercet.embeddings import Embeddings, MultiVectors

        tokens = MultiVectors(query, np.asarray([0, len(query)], dtype=np.int64))
        asked = Embeddings(multi_vector=tokens, model_id="m")
        (ranking,) = self._index.search(asked, k=10, plan="multi_vector")
        return [int(hit.document.id) for hit in ranking]


class BruteForce:
    """numpy: one product, and the best of each document."""

    def __init__(self, folder: str) -> None:
        del folder
        self._documents: list[np.ndarray] = []

    def build(self, documents: list[np.ndarray]) -> None:
        """Index documents."""
        self.add(documents)

    def add(self, documents: list[np.ndarray]) -> None:
        """Add more."""
        self._documents += documents
        self._vectors = np.concatenate(self._documents)
        self._starts = np.cumsum([0, *map(len, self._documents[:-1])])

    def search(self, query: np.ndarray) -> list[int]:
        """The ten best."""
        similarity = query @ self._vectors.T
        scores = np.maximum.reduceat(similarity, self._starts, axis=1).sum(axis=0)
        best = np.argpartition(-scores, 10)[:10]
        return [int(n) for n in best]


class FastPlaid:
    """fast-plaid, 4 bits, with its own search defaults (8 probes, 4,096 full scores)."""

    def __init__(self, folder: str) -> None:
        from fast_plaid.search import FastPlaid as Engine

        self._engine = Engine(folder, device="cpu")

    def build(self, documents: list[np.ndarray]) -> None:
        """Index documents."""
        self._engine.create(documents_embeddings=tensors(documents), nbits=4)

    def add(self, documents: list[np.ndarray]) -> None:
        """Add more."""
        self._engine.update(documents_embeddings=tensors(documents))

    def search(self, query: np.ndarray) -> list[int]:
        """The ten best."""
        (found,) = self._engine.search(tensors([query])[0][None], top_k=10, show_progress=False)
        return [number for number, _ in found]


class XtrWarp:
    """xtr-warp-rs, 4 bits, 32 probes (its own choice finds less)."""

    def __init__(self, folder: str) -> None:
        from xtr_warp import XTRWarp

        self._engine = XTRWarp(folder, device="cpu")

    def build(self, documents: list[np.ndarray]) -> None:
        """Index documents."""
        self._engine.create(tensors(documents), device="cpu", nbits=4, show_progress=False)
        self._engine.load("cpu")

    def add(self, documents: list[np.ndarray]) -> None:
        """Add more."""
        self._engine.add(tensors(documents), show_progress=False)

    def search(self, query: np.ndarray) -> list[int]:
        """The ten best."""
        asked = tensors([query])[0][None]
        (found,) = self._engine.search(asked, top_k=10, nprobe=32, show_progress=False)
        return [number for number, _ in found]


def tensors(arrays: list[np.ndarray]) -> list[Any]:
    """As torch has them."""
    import torch

    return [torch.from_numpy(array) for array in arrays]


SYSTEMS: dict[str, Callable[[str], Engine]] = {
    "tercet": Tercet,
    "numpy": BruteForce,
    "fast-plaid": FastPlaid,
    "xtr-warp": XtrWarp,
}


def rows(path: Path) -> list[np.ndarray]:
    """The texts of a file of token vectors."""
    with np.load(path) as held:
        vectors, offsets = held["vectors"], held["offsets"]
    return [vectors[a:b].copy() for a, b in pairwise(offsets)]


def measured(work: Callable[[], object]) -> dict[str, Any]:
    """What it returned, its seconds and its CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": spent, "result": result}


def main() -> None:
    """Read a job, then do what each further line says."""
    job = json.loads(sys.stdin.readline())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(job["threads"])
    data = Path(job["data"])
    engine = SYSTEMS[job["system"]](job["folder"])
    queries = {kind: rows(data / f"{kind}.npz") for kind in ("easy", "hard")}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "search":
            query = queries[asked["kind"]][asked["query"]]
            answer = measured(lambda: engine.search(query))  # noqa: B023
        else:
            texts = rows(data / f"{asked['do']}.npz")
            act = engine.build if asked["do"] == "build" else engine.add
            answer = measured(lambda: act(texts))  # noqa: B023
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
