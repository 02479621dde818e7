"""The stage of JaColBERTv2.5: many documents a query, ranked as a cross-encoder ranks them."""

from dataclasses import dataclass

from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import fit_examples
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.losses.distillation import MinMax
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.widths.layer import Widths
from tercet.training.widths.objectives import ListDistillation

BATCHING = Batching(
    groups=(LengthGroup(512, 16),),
    documents=32,
    query_tokens=32,
    document_tokens=300,
    shuffle_segments=0.0,
)
"""16 queries a device with 32 documents each; queries are 32 tokens in training, whatever the
model's rule is afterwards (arXiv 2407.20750)."""

OPTIMISATION = Optimisation(
    learning_rate=3e-5, steps=50_000, warmup=0.05, optimiser="schedule_free", clip=0.0
)
"""2,500 of 50,000 steps warm up; gradients are not clipped."""


@dataclass(frozen=True, slots=True)
class NWay:
    """The settings, as the paper's final run has them.

    Post-training is the same stage once more, on other data; the mean of the checkpoints of both
    is what was published (`tercet.training.models.averaging`).

    Attributes:
        train: What of the model learns.
        normalise: Whose scores are stretched to [0, 1]: "both", "teacher" or "none".
        sub_batch_tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None
            keeps the activations of the batch.
        batching: What stands in a batch.
        optimisation: How it is optimised.
    """

    train: Trained = "all"
    normalise: MinMax = "both"
    sub_batch_tokens: int | None = None
    batching: Batching = BATCHING
    optimisation: Optimisation = OPTIMISATION

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a model's late interaction on scored documents.

        Args:
            model: Trained in place.
            data: Examples with a teacher's scores.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            SourceError: An example without scores or negatives.
            TrainingError: A model without token vectors, or training stopped.
        """
        objective = ListDistillation(
            Widths(), normalise=self.normalise, sub_batch=self.sub_batch_tokens
        )
        fit_examples(
            model, objective, data, context, settings=self, demand=Demand(negatives=1, scores=True)
        )
        return model
