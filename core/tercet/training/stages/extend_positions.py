"""The stage that gives a backbone more positions; those that follow may train them."""

from dataclasses import dataclass, replace

from tercet.encoding.tokenizing import Tokenizer
from tercet.training.context import Context
from tercet.training.model import TrainingModel
from tercet.training.positions import extend_positions
from tercet.training.sources import TrainingData


@dataclass(frozen=True, slots=True)
class ExtendPositions:
    """The settings.

    Attributes:
        positions: How many tokens the model reads afterwards, special ones included.
        keep: How many of the first positions stay as they are; the others are drawn out.
    """

    positions: int = 8192
    keep: int = 0

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Stretch the table of learned positions; nothing is trained.

        Args:
            model: Changed in place.
            data: Not read.
            context: Not needed.

        Returns:
            The same model.

        Raises:
            ValueError: The backbone has no such table, or as many positions already.
        """
        del data, context
        extend_positions(model.backbone, positions=self.positions, keep=self.keep)
        rows = model.backbone.config.max_position_embeddings
        model.spec = replace(
            model.spec,
            config={**model.spec.config, "max_position_embeddings": rows},
            max_tokens=self.positions,
        )
        model.tokenizer = Tokenizer(model.folder, model.spec)
        return model
