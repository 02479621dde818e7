"""The stage of masked-language continuation, with whole words hidden (Jina-ColBERT-v2's first)."""

from dataclasses import dataclass, field

from tercet.training.guessing.masked_batches import MaskedBatches
from tercet.training.guessing.objectives import GuessWords
from tercet.training.loop.batching import Batching
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import text_batches
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData

SHARE = 0.15
"""Of a text's tokens that are hidden, as in BERT; the published run's share is not known."""

OPTIMISATION = Optimisation(learning_rate=5e-5, steps=160_000)
"""The published number of steps; the learning rate is our choice."""


@dataclass(frozen=True, slots=True)
class MaskedLM:
    """The settings.

    Positions may be rotary or learned: nothing here depends on them.

    Attributes:
        share: Of a text's tokens that are hidden, word by word.
        batching: How texts are grouped by length.
        optimisation: How it is optimised.
    """

    share: float = SHARE
    batching: Batching = field(default_factory=Batching)
    optimisation: Optimisation = OPTIMISATION

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a backbone to guess words; its heads stay as they are.

        Args:
            model: Trained in place.
            data: Unlabelled texts.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            ValueError: Its tokenizer has no mask.
            TrainingError: Training stopped.
        """
        texts = text_batches(model, data, context, settings=self)
        fit(
            model,
            GuessWords(model),
            MaskedBatches(model, texts, share=self.share, seed=context.seed),
            optimisation=self.optimisation,
            train="all",
            context=context,
        )
        return model
