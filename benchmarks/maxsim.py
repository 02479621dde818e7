"""Late interaction on given vectors beside FlagEmbedding's loop and numpy: bars S1 and S2.

    OMP_NUM_THREADS=1 python benchmarks/maxsim.py

The peer's arithmetic stands here in full (a product, a maximum and a mean for each document, in
torch), so that no other environment is needed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from tercet.embeddings import MultiVectors
from tercet.scoring.multi_vector import Comparison, maxsim

Codes = tuple[np.ndarray, np.ndarray]

QUERY_TOKENS = 32
SHAPES = {
    "100 documents of 300 tokens, 128-d": (100, 300, 128),
    "1,000 documents of 120 tokens, 128-d": (1000, 120, 128),
    "100 documents of 300 tokens, 1,024-d": (100, 300, 1024),
}


def one_by_one(query: np.ndarray, documents: list[np.ndarray]) -> list[float]:
    """What a loop over `colbert_score` does: one product a document."""
    scores = []
    for document in documents:
        tokens = torch.einsum("in,jn->ij", torch.from_numpy(query), torch.from_numpy(document))
        scores.append(float(tokens.max(-1).values.sum() / len(query)))
    return scores


def by_numpy(query: np.ndarray, documents: MultiVectors) -> np.ndarray:
    """One product, and the best of each document."""
    similarity = query @ documents.vectors.T
    best: np.ndarray = np.maximum.reduceat(similarity, documents.offsets[:-1], axis=1)
    return best.mean(axis=0)


def as_bytes(vectors: np.ndarray) -> Codes:
    """As an index stores tokens: numbers and a scale each."""
    scales = np.abs(vectors).max(axis=1) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def stored(query: np.ndarray, codes: Codes, offsets: np.ndarray) -> np.ndarray:
    """Tokens as they are stored."""
    queries = MultiVectors(query, np.asarray([0, len(query)]))
    scores: np.ndarray = Comparison(queries).stored(*codes, offsets[:-1], offsets[1:])[0]
    return scores


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Interleave both and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    for name, (count, tokens, dim) in SHAPES.items():
        lengths = rng.integers(tokens // 2, tokens * 3 // 2, count)
        vectors = rng.standard_normal((int(lengths.sum()), dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query = vectors[:QUERY_TOKENS].copy()
        documents = MultiVectors(vectors, np.concatenate(([0], np.cumsum(lengths))))
        separate = [documents[n] for n in range(count)]
        np.testing.assert_allclose(
            maxsim(query, documents, reduction="mean"), one_by_one(query, separate), rtol=1e-4
        )
        systems = {
            "tercet": partial(maxsim, query, documents, reduction="mean"),
            "FlagEmbedding's loop": partial(one_by_one, query, separate),
            "numpy": partial(by_numpy, query, documents),
        }
        codes = as_bytes(vectors)
        systems["tercet, int8 as stored"] = partial(stored, query, codes, documents.offsets)
        times: dict[str, list[float]] = {system: [] for system in systems}
        for _ in range(chosen.rounds):
            for system, work in systems.items():
                times[system].append(seconds(work))
        print(f"S1, S2: {name} (ragged), {QUERY_TOKENS} query tokens")
        loop, numpy = (statistics.median(times[peer]) for peer in ("FlagEmbedding's loop", "numpy"))
        for system, values in times.items():
            middle = statistics.median(values)
            spread = f"[{min(values) * 1e3:.2f} .. {max(values) * 1e3:.2f}]"
            ratios = f"{loop / middle:5.2f} x the loop, {numpy / middle:5.2f} x numpy"
            print(f"  {system:24} median {middle * 1e3:8.2f} ms {spread} {ratios}")


if __name__ == "__main__":
    main()
