"""BGE-M3's stage with and without self-knowledge distillation: what becomes of the sparse view.

    OMP_NUM_THREADS=1 python benchmarks/training/self_distillation.py --backbone BGE-SMALL-ZH \
        --pairs DATA/pairs-multi --collection DATA/xquad-12lang --language zh

Both runs start from the same new heads and see the same batches.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.models.opening import Heads, open_model
from tercet.training.monitoring.following import measure_model
from tercet.training.monitoring.judged import Judged
from tercet.training.stages.m3 import M3


class Examples:
    """The pairs of one language that have a mined negative."""

    def __init__(self, folder: Path, *, language: str) -> None:
        """Read them."""
        files = ExampleFiles([folder], split="train", language=language)
        self._examples = [example for example in files if example.negatives]

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        """All of them, whatever is demanded."""
        del demand
        return self._examples


def main() -> None:
    """Train both ways and print nDCG@10 of every view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--queries", type=int, default=400)
    chosen = parser.parse_args()
    judged = Judged.read(chosen.collection, language=chosen.language, queries=chosen.queries)
    data = Examples(chosen.pairs, language=chosen.language)
    print(f"{len(judged.queries)} queries, {len(judged.documents)} documents")
    heads = Heads("cls", sparse=True, multi_vector=128)
    print("before", measure_model(open_model(chosen.backbone, heads=heads), judged), flush=True)
    for distilled in (False, True):
        stage = M3(
            self_distillation=distilled,
            batching=Batching(
                groups=(LengthGroup(512, chosen.batch),), documents=2, document_tokens=160
            ),
            optimisation=Optimisation(
                steps=chosen.steps, learning_rate=chosen.learning_rate, precision="bfloat16"
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            model = open_model(chosen.backbone, heads=heads)
            stage.run(model, data, Context(Path(folder)))
            name = "with" if distilled else "without"
            print(name, "self-distillation", measure_model(model, judged), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
