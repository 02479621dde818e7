"""The stage that gives a backbone more positions, and teaches them if asked."""

from dataclasses import dataclass, replace

import torch

from tercet.encoding.tokenizing import Tokenizer
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.positions.learning import LearnPositions, WindowedTexts
from tercet.training.positions.table import extend_positions, first_row, table_name
from tercet.training.recipes.sources import TrainingData

OPTIMISATION = Optimisation(learning_rate=1e-3, steps=500, weight_decay=0.0)


@dataclass(frozen=True, slots=True)
class ExtendPositions:
    """The settings.

    Attributes:
        positions: How many tokens the model reads afterwards, special ones included.
        keep: How many of the first positions stay as they are; the others are drawn out.
        learn: Whether the new positions learn from long texts: a token's state in one pass is to
            be what it is in windows of the model's former length. Nothing else changes then.
        optimisation: How they learn.
    """

    positions: int = 8192
    keep: int = 0
    learn: bool = False
    optimisation: Optimisation = OPTIMISATION

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Stretch the table of learned positions.

        Args:
            model: Changed in place; to learn it needs a head, which stays as it is.
            data: Unlabelled long texts, read only to learn from.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            ValueError: The backbone has no such table, or as many positions already; or no text is
                longer than it read before.
            TrainingError: Training stopped.
        """
        window, name = model.spec.max_tokens, table_name(model.backbone)
        learned = model.backbone.get_parameter(name).detach().clone()
        extend_positions(model.backbone, positions=self.positions, keep=self.keep)
        rows = model.backbone.config.max_position_embeddings
        model.spec = replace(
            model.spec,
            config={**model.spec.config, "max_position_embeddings": rows},
            max_tokens=self.positions,
        )
        model.tokenizer = Tokenizer(model.folder, model.spec)
        if self.learn:
            kept = first_row(model.backbone) + self.keep
            objective = LearnPositions(model, learned=learned, kept=kept)
            self._learn(model, objective, data, context, window=window)
        return model

    def _learn(
        self,
        model: TrainingModel,
        objective: LearnPositions,
        data: TrainingData,
        context: Context,
        *,
        window: int,
    ) -> None:
        """Train the new rows, and put them into the model's table."""
        texts = data.texts()
        batches = WindowedTexts(
            model,
            texts,
            window=window,
            batches=self.optimisation.batches(len(texts)),
            seed=context.seed,
        )
        fit(
            model,
            objective,
            batches,
            optimisation=self.optimisation,
            train="heads",
            context=context,
        )
        with torch.no_grad():
            model.backbone.get_parameter(objective.name).copy_(objective.table)
