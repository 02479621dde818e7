"""The stage of RetroMAE: one vector a text must be enough to rebuild it (BGE-M3's stage 0)."""

from dataclasses import dataclass

from tercet.training.guessing.masked_batches import MaskedBatches, RebuiltBatches
from tercet.training.guessing.objectives import RebuildTexts
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import text_batches
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData

ENCODER_SHARE, DECODER_SHARE = 0.3, 0.5
"""Hidden from the encoder, and from each place of the decoder (the paper's moderate and aggressive
masking, 15 to 30 % and 50 to 70 %)."""

BATCHING = Batching(groups=(LengthGroup(8192, 1),))
OPTIMISATION = Optimisation(learning_rate=7e-5, steps=20_000, accumulate=16)
"""Of BGE-M3 (arXiv 2402.03216v4): 32 devices, 16 batches an update."""


@dataclass(frozen=True, slots=True)
class RetroMAE:
    """The settings.

    Attributes:
        encoder_share: Of a text's tokens hidden from the encoder, word by word.
        decoder_share: Of the tokens that each place of the decoder does not see.
        batching: How texts are grouped by length.
        optimisation: How it is optimised.
    """

    encoder_share: float = ENCODER_SHARE
    decoder_share: float = DECODER_SHARE
    batching: Batching = BATCHING
    optimisation: Optimisation = OPTIMISATION

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a backbone to put a text into one vector; its heads stay as they are.

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
        masked = MaskedBatches(model, texts, share=self.encoder_share, seed=context.seed)
        fit(
            model,
            RebuildTexts(model),
            RebuiltBatches(masked, hidden=self.decoder_share, seed=context.seed),
            optimisation=self.optimisation,
            train="all",
            context=context,
        )
        return model
