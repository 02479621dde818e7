"""A model of 512 learned positions reads long texts in one pass, beside windows.

    OMP_NUM_THREADS=1 python benchmarks/training/extended_positions.py --source tercet/mini \
        --collection DATA/squality-long-en --stories 10

Documents and questions are a selection for development: the first stories in the order of a seed,
with the questions about them. With `--learn STEPS --pairs DATA/pairs-multi` the new positions learn
from whole fairy tales, whose passages are joined again.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tercet.embeddings import Representation
from tercet.encoder import Encoder
from tercet.evaluation.comparison import evaluate
from tercet.retriever import Retriever
from tercet.training.loop.context import Context
from tercet.training.models.opening import open_model
from tercet.training.models.saving import save_model
from tercet.training.monitoring.judged import Judged
from tercet.training.stages.extend_positions import ExtendPositions


def selection(folder: Path, *, stories: int, seed: int) -> Judged:
    """Some long documents and the questions about them."""
    whole = Judged.read(folder)
    drawn = np.random.default_rng(seed).permutation(len(whole.documents))[:stories]
    documents = tuple(whole.documents[row] for row in sorted(drawn.tolist()))
    ids = {document.id for document in documents}
    qrels = {query: grades for query, grades in whole.qrels.items() if set(grades) <= ids}
    return Judged(whole.name, documents, {q: whole.queries[q] for q in qrels}, qrels)


class Stories:
    """Fairy tales, each in one piece."""

    def __init__(self, pairs: Path, *, words: int) -> None:
        """Join the passages of a title.

        Args:
            pairs: The folder of pairs-multi.
            words: Of the shortest story that is kept.
        """
        passages: dict[str, list[str]] = {}
        with gzip.open(pairs / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
            for passage in map(json.loads, lines):
                if passage["source"] == "fairytaleqa":
                    passages.setdefault(passage["title"], []).append(passage["text"])
        joined = ["\n".join(parts) for parts in passages.values()]
        self._texts = [text for text in joined if len(text.split()) >= words]

    def texts(self) -> Sequence[str]:
        """All of them."""
        return self._texts


def report(name: str, encoder: Encoder, judged: Judged) -> None:
    """Print nDCG@10 of each view."""
    start = time.perf_counter()
    with Retriever.create(encoder=encoder) as retriever:
        retriever.add(judged.documents)
        found = evaluate(
            retriever,
            judged.queries,
            judged.qrels,
            plans=[view.value for view in Representation if view in encoder.representations],
            measures=["nDCG@10"],
            k=10,
            exact=True,
        )
    figures = {row.plan: round(row.measures["nDCG@10"], 4) for row in found}
    print(f"{name:28} {figures}  {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    """Measure windows, then one pass at several stretches of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="tercet/mini")
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--stories", type=int, default=10)
    parser.add_argument("--positions", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--keep", type=int, nargs="+", default=[0, 256])
    parser.add_argument("--learn", type=int, default=0, help="steps; 0 for none")
    parser.add_argument("--pairs", type=Path, help="the folder of pairs-multi, to learn from")
    parser.add_argument("--words", type=int, default=1200)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    judged = selection(chosen.collection, stories=chosen.stories, seed=chosen.seed)
    print(f"{len(judged.queries)} questions, {len(judged.documents)} stories")
    report("windows", Encoder.from_pretrained(chosen.source), judged)
    stories = Stories(chosen.pairs, words=chosen.words) if chosen.learn else None
    optimisation = replace(
        ExtendPositions().optimisation,
        steps=chosen.learn or None,
        learning_rate=chosen.learning_rate,
        precision="bfloat16",
    )
    for positions in chosen.positions:
        for keep in chosen.keep:
            with tempfile.TemporaryDirectory() as folder:
                model = open_model(chosen.source)
                stage = ExtendPositions(
                    positions=positions,
                    keep=keep,
                    learn=chosen.learn > 0,
                    optimisation=optimisation,
                )
                stage.run(model, stories, Context(Path(folder) / "run"))
                save_model(model, Path(folder) / "model")
                encoder = Encoder.from_pretrained(Path(folder) / "model")
                report(f"{positions} positions, {keep} kept", encoder, judged)


if __name__ == "__main__":
    main()
