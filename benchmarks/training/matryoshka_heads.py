"""Jina-ColBERT-v2's pair stage, small: six separate heads beside tied ones, before and after.

    OMP_NUM_THREADS=1 python benchmarks/training/matryoshka_heads.py --backbone BGE-SMALL-ZH \
        --pairs DATA/pairs-multi --collection DATA/xquad-12lang --language zh

Both kinds start from the same seed and see the same batches. Every document is compared.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tercet.evaluation.measures import measure
from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.losses.scores import multi_vector_scores
from tercet.training.models.model import TokenVectors, TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.models.texts import TokenBatch
from tercet.training.monitoring.judged import Judged
from tercet.training.stages.late_interaction import LateInteractionStage
from tercet.training.stages.pairs import Pairs
from tercet.training.widths.layer import JINA_WIDTHS, Widths, give_widths

TEXTS_AT_ONCE = 16


class Examples:
    """The pairs of one language."""

    def __init__(self, folder: Path, *, language: str) -> None:
        """Read them; their negatives are not needed."""
        found = ExampleFiles([folder], split="train", language=language)
        self._examples = [replace(example, negatives=()) for example in found]

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        """All of them; what is demanded, they have."""
        del demand
        return self._examples


def parts(batch: TokenBatch) -> Iterator[TokenBatch]:
    """A few texts at a time."""
    for start in range(0, len(batch), TEXTS_AT_ONCE):
        yield batch.take(torch.arange(start, min(start + TEXTS_AT_ONCE, len(batch))))


@torch.no_grad()
def vectors_of(model: TrainingModel, batch: TokenBatch) -> list[TokenVectors]:
    """Token vectors of all heads, a few texts at a time."""
    found = [model.eval()(part).multi_vector for part in parts(batch)]
    return [views for views in found if views is not None]


def score(model: TrainingModel, widths: Widths, judged: Judged) -> dict[int, float]:
    """nDCG@10 of each width."""
    queries = vectors_of(model, model.query_batch(list(judged.queries.values())))
    documents = vectors_of(model, model.document_batch([d.text for d in judged.documents]))
    tables: dict[int, list[torch.Tensor]] = {dim: [] for dim in widths.dims}
    for some in queries:
        asked = widths.views(some)
        rows = [
            {
                dim: multi_vector_scores(asked[dim], view, reduction="sum")
                for dim, view in widths.views(those).items()
            }
            for those in documents
        ]
        for dim, table in tables.items():
            table.append(torch.cat([row[dim] for row in rows], dim=1))
    return {dim: ndcg(torch.cat(table), judged) for dim, table in tables.items()}


def ndcg(scores: torch.Tensor, judged: Judged) -> float:
    """nDCG@10 of scores, [Q, N]."""
    ids = [document.id for document in judged.documents]
    run = {
        query_id: dict(zip(ids, row, strict=True))
        for query_id, row in zip(judged.queries, scores.tolist(), strict=True)
    }
    return round(measure(run, judged.qrels, measures=["nDCG@10"])["nDCG@10"], 4)


def main() -> None:
    """Train both kinds and print what each width scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--queries", type=int, default=200)
    chosen = parser.parse_args()
    judged = Judged.read(chosen.collection, language=chosen.language, queries=chosen.queries)
    data = Examples(chosen.pairs, language=chosen.language)
    print(f"{len(judged.queries)} queries, {len(judged.documents)} documents")
    for widths in (Widths(JINA_WIDTHS), Widths(JINA_WIDTHS, heads="tied")):
        stage = Pairs(
            widths=widths,
            batching=Batching(
                groups=(LengthGroup(512, chosen.batch),),
                documents=1,
                document_tokens=160,
                shuffle_segments=0.0,
            ),
            optimisation=Optimisation(
                steps=chosen.steps, learning_rate=chosen.learning_rate, precision="bfloat16"
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            context = Context(Path(folder))
            model = open_model(chosen.backbone)
            LateInteractionStage("jina-colbert").run(model, None, context.part("family"))
            give_widths(model, widths, seed=context.part("pairs").seed)
            print(widths.heads, "before", score(model, widths, judged), flush=True)
            stage.run(model, data, context.part("pairs"))
            print(widths.heads, "after", score(model, widths, judged), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
