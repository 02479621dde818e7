"""What a backbone is trained for without queries: to guess hidden words, and to rebuild texts."""

from torch import Tensor, nn

from tercet.training.guessing.enhanced_decoding import EnhancedDecoder
from tercet.training.guessing.masked_batches import MaskedBatch, RebuiltBatch
from tercet.training.guessing.masking import UNSCORED
from tercet.training.guessing.vocabulary_head import VocabularyHead
from tercet.training.models.model import TrainingModel
from tercet.training.models.pooling import pool


class GuessWords(nn.Module):
    """Masked-language modelling with a head of its own, which is dropped afterwards."""

    def __init__(self, model: TrainingModel) -> None:
        """Start the head afresh.

        Args:
            model: Whose backbone is trained.
        """
        super().__init__()
        self.guess = VocabularyHead(vocabulary=model.spec.vocabulary, hidden=model.spec.hidden)

    def forward(self, model: TrainingModel, batch: MaskedBatch) -> Tensor:
        """Mean cross-entropy of the hidden words."""
        states = model.states(batch.texts)
        return self.guess.loss(states.float(), batch.labels, token_table(model))


class RebuildTexts(nn.Module):
    """RetroMAE: the encoder guesses hidden words, a weak decoder rebuilds all from its vector.

    The loss is the sum of both cross-entropies, and both guess with one head. The vector is the
    pooled state as the model's dense view reads it, before it is scaled; a model without that view
    gives its first state.

    Source: Xiao et al. 2022, "RetroMAE", arXiv 2205.12035; as in BGE-M3's stage 0.
    """

    def __init__(self, model: TrainingModel) -> None:
        """Start decoder and head afresh.

        Args:
            model: Whose backbone is trained.
        """
        super().__init__()
        config, hidden = model.backbone.config, model.spec.hidden
        self.guess = VocabularyHead(vocabulary=model.spec.vocabulary, hidden=hidden)
        self.decoder = EnhancedDecoder(
            hidden=hidden,
            heads=config.num_attention_heads,
            intermediate=config.intermediate_size,
        )

    def forward(self, model: TrainingModel, batch: RebuiltBatch) -> Tensor:
        """The sum of the encoder's and the decoder's loss."""
        masked, table = batch.masked, token_table(model)
        states = model.states(masked.texts).float()
        guessed = self.guess.loss(states, masked.labels, table)
        kind = "cls" if model.spec.dense is None else model.spec.dense.pooling[0]
        vector = pool(kind, states, masked.texts)  # [N, H]
        rebuilt = self.decoder(vector, table[masked.whole], batch.visible)
        labels = masked.whole.masked_fill(~masked.inside, UNSCORED)
        return guessed + self.guess.loss(rebuilt, labels, table)


def token_table(model: TrainingModel) -> Tensor:
    """The backbone's token embeddings, [V, H]."""
    embeddings = model.backbone.get_input_embeddings()
    if not isinstance(embeddings, nn.Embedding):
        raise TypeError(f"the token embeddings are {type(embeddings).__name__}, not a table")
    return embeddings.weight
