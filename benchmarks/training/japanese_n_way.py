"""JaColBERTv2.5's stage on Japanese pairs, small: nDCG@10 on Japanese questions, before and after.

    OMP_NUM_THREADS=1 python benchmarks/training/japanese_n_way.py --backbone BGE-SMALL-ZH \
        --pairs DATA/pairs-multi --collection DATA/jsquad-ja

No Japanese cross-encoder is in reach here. `--teacher labels` scores a list 1 for the positive and
0 for its mined negatives; `--teacher full` by late interaction over the backbone's whole token
states, before training. Neither is the published teacher. The learning rate is higher than the
paper's, because a run of minutes takes a thousandth of its steps.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.heads.distillation import full_width
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.losses.scores import multi_vector_scores
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.monitoring.following import measure_model
from tercet.training.monitoring.judged import Judged
from tercet.training.stages.late_interaction import LateInteractionStage
from tercet.training.stages.n_way import NWay

DOCUMENT_TOKENS = 160


class Lists:
    """Some of the Japanese pairs with their mined negatives, scored."""

    def __init__(
        self, folder: Path, *, ways: int, count: int, score: Callable[[Example], list[float]]
    ) -> None:
        """Read them.

        Args:
            folder: Of pairs-multi.
            ways: Documents of a list.
            count: Lists, drawn at random.
            score: The teacher.
        """
        files = ExampleFiles([folder], split="train", language="ja")
        whole = [
            replace(example, positives=example.positives[:1])
            for example in files
            if len(example.negatives) == ways - 1
        ]
        rows = np.random.default_rng(0).permutation(len(whole))[:count].tolist()
        self._examples = [whole[row].scored(score(whole[row])) for row in rows]

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        """All of them; what is demanded, they have."""
        del demand
        return self._examples


def label(example: Example) -> list[float]:
    """1 for the positive, 0 for the others."""
    return [1.0, *[0.0] * len(example.negatives)]


def full_width_of(model: TrainingModel) -> Callable[[Example], list[float]]:
    """Late interaction over the whole token states of a model."""

    @torch.no_grad()
    def score(example: Example) -> list[float]:
        queries = model.query_batch([example.query])
        documents = model.document_batch(example.documents, tokens=DOCUMENT_TOKENS)
        asked = full_width(model.states(queries), queries)
        read = full_width(model.states(documents), documents)
        found: list[float] = multi_vector_scores(asked, read, reduction="sum")[0].tolist()
        return found

    return score


def main() -> None:
    """Measure, train, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--teacher", default="labels", choices=["labels", "full"])
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
            document_tokens=DOCUMENT_TOKENS,
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
        LateInteractionStage("jacolbert").run(model, None, context.part("family"))
        data = Lists(
            chosen.pairs,
            ways=stage.batching.documents,
            count=chosen.steps * chosen.batch,
            score=label if chosen.teacher == "labels" else full_width_of(model),
        )
        print("before", measure_model(model, judged), flush=True)
        stage.run(model, data, context.part("n_way"))
        print("after", measure_model(model, judged), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
