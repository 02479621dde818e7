"""The pair stage of Jina-ColBERT-v2: queries and documents find one another, at all widths."""

from dataclasses import dataclass, field

from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import fit_examples
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.widths.layer import JINA_WIDTHS, Widths, give_widths
from tercet.training.widths.models import keep_width
from tercet.training.widths.objectives import PairContrast

BATCHING = Batching(
    groups=(LengthGroup(8192, 32),), documents=1, document_tokens=300, shuffle_segments=0.0
)
"""A pair's negatives are the other documents of the batch."""


WIDTHS = Widths(JINA_WIDTHS)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The settings; learning rate, temperature and batch of the published run are not known.

    Attributes:
        train: What of the model learns.
        widths: Lengths of token vectors trained together.
        keep: The width that the model goes on with; each width is written as a checkpoint of its
            own in the stage's folder then. None keeps all of them for the next stage.
        temperature: Divides scores, which are means over the query's tokens.
        sub_batch_tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None
            keeps the activations of the batch.
        batching: What stands in a batch; one document a query.
        optimisation: How it is optimised.
    """

    train: Trained = "all"
    widths: Widths = WIDTHS
    keep: int | None = None
    temperature: float = 0.02
    sub_batch_tokens: int | None = None
    batching: Batching = BATCHING
    optimisation: Optimisation = field(default_factory=Optimisation)

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a model's late interaction on pairs.

        Args:
            model: Trained in place; heads of widths that it lacks are added.
            data: Examples; their negatives are left aside.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            TrainingError: Training stopped.
        """
        give_widths(model, self.widths, seed=context.seed)
        objective = PairContrast(
            self.widths, temperature=self.temperature, sub_batch=self.sub_batch_tokens
        )
        fit_examples(model, objective, data, context, settings=self, demand=Demand())
        keep_width(model, self.widths, self.keep, folder=context.folder)
        return model
