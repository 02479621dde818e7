"""The triplet stage of Jina-ColBERT-v2: a cross-encoder's ranking, at all widths together."""

from dataclasses import dataclass, field

from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import fit_examples
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.losses.distillation import MinMax
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.widths.layer import JINA_WIDTHS, Widths, give_widths
from tercet.training.widths.models import keep_width
from tercet.training.widths.objectives import ListDistillation

BATCHING = Batching(
    groups=(LengthGroup(8192, 32),), documents=8, document_tokens=300, shuffle_segments=0.0
)
"""32 queries a device, each with a positive and 7 negatives (arXiv 2408.16672)."""


WIDTHS = Widths(JINA_WIDTHS)


@dataclass(frozen=True, slots=True)
class Triplets:
    """The settings; learning rate and length of the published run are not known.

    Attributes:
        train: What of the model learns.
        widths: Lengths of token vectors trained together.
        keep: The width that the model goes on with; each width is written as a checkpoint of its
            own in the stage's folder then. None keeps all of them for the next stage.
        normalise: Whose scores are stretched to [0, 1]: "both", "teacher" or "none".
        sub_batch_tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None
            keeps the activations of the batch.
        batching: What stands in a batch.
        optimisation: How it is optimised.
    """

    train: Trained = "all"
    widths: Widths = WIDTHS
    keep: int | None = 128
    normalise: MinMax = "none"
    sub_batch_tokens: int | None = None
    batching: Batching = BATCHING
    optimisation: Optimisation = field(default_factory=Optimisation)

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a model's late interaction on scored documents.

        Args:
            model: Trained in place; heads of widths that it lacks are added.
            data: Examples with a teacher's scores.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            SourceError: An example without scores or negatives.
            TrainingError: Training stopped.
        """
        give_widths(model, self.widths, seed=context.seed)
        objective = ListDistillation(
            self.widths, normalise=self.normalise, sub_batch=self.sub_batch_tokens
        )
        fit_examples(
            model, objective, data, context, settings=self, demand=Demand(negatives=1, scores=True)
        )
        keep_width(model, self.widths, self.keep, folder=context.folder)
        return model
