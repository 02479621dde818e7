"""The stage that makes a late interaction model of a backbone; those that follow train it."""

from dataclasses import dataclass

from tercet.training.loop.context import Context
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.widths.conventions import Family, adopt


@dataclass(frozen=True, slots=True)
class LateInteractionStage:
    """The settings.

    Attributes:
        family: Whose markers, expansion of queries and skiplist the model takes on.
        dim: Length of a token vector.
    """

    family: Family = "colbert"
    dim: int = 128

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Give a model the ways of a published family; nothing is trained.

        Args:
            model: Changed in place; its other views are dropped.
            data: Not read.
            context: Where a tokenizer with new markers is written, and the seed of their
                embeddings.

        Returns:
            The same model.
        """
        del data
        folder = context.folder / "tokenizer"
        adopt(model, self.family, dim=self.dim, seed=context.seed, folder=folder)
        return model
