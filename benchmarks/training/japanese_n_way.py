"""JaColBERTv2.5's stage on Japanese pairs, small: nDCG@10 on Japanese questions, before and after.

    OMP_NUM_THREADS=1 python benchmarks/training/japanese_n_way.py --backbone BGE-SMALL-ZH \
        --pairs DATA/pairs-multi --collection DATA/jsquad-ja

No Japanese cross-encoder is in reach here, so the lists' scores are the labels, 1 and 0: this shows
that the stage learns, not what the published teacher gives. The learning rate is higher than the
paper's, because a run of minutes takes a thousandth of its steps.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tercet.training.batching import Batching, LengthGroup
from tercet.training.context import Context
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.examples import Example
from tercet.training.monitoring.following import measure_model
from tercet.training.monitoring.judged import Judged
from tercet.training.opening import open_model
from tercet.training.stages.late_interaction import LateInteractionStage
from tercet.training.stages.n_way import NWay


class Lists:
    """Examples whose teacher is their label."""

    def __init__(self, folder: Path, *, ways: int) -> None:
        """Read the Japanese pairs that have enough negatives."""
        files = ExampleFiles([folder], split="train", language="ja")
        scores = [1.0, *[0.0] * (ways - 1)]
        self._examples = [
            replace(example, positives=example.positives[:1]).scored(scores)
            for example in files
            if len(example.negatives) == ways - 1
        ]

    def examples(self) -> Sequence[Example]:
        """All of them."""
        return self._examples


def main() -> None:
    """Measure, train, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--normalise", default="both", choices=["both", "teacher", "none"])
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--documents", type=int, default=300)
    chosen = parser.parse_args()
    judged = Judged.read(chosen.collection, queries=chosen.queries, documents=chosen.documents)
    print(f"{len(judged.queries)} queries, {len(judged.documents)} documents")
    published = NWay()
    stage = NWay(
        normalise=chosen.normalise,
        batching=Batching(
            groups=(LengthGroup(512, chosen.batch),),
            documents=5,
            query_tokens=32,
            document_tokens=160,
            shuffle_segments=0.0,
        ),
        optimisation=replace(
            published.optimisation,
            steps=chosen.steps,
            learning_rate=chosen.learning_rate,
            precision="bfloat16",
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder))
        model = open_model(chosen.backbone)
        data = Lists(chosen.pairs, ways=stage.batching.documents)
        LateInteractionStage("jacolbert").run(model, data, context.part("family"))
        print("before", measure_model(model, judged), flush=True)
        stage.run(model, data, context.part("n_way"))
        print("after", measure_model(model, judged), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
