"""Batches of texts with words to guess: for masked-language continuation and for RetroMAE."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tercet.training.guessing.enhanced_decoding import visible_tokens
from tercet.training.guessing.masking import UNSCORED, Pieces, mask_words, words
from tercet.training.loop.batching import Batches
from tercet.training.models.model import TrainingModel
from tercet.training.models.texts import TokenBatch


@dataclass(frozen=True, slots=True, eq=False)
class MaskedBatch:
    """N texts with hidden words.

    Attributes:
        texts: What the model reads.
        labels: What stood in the hidden places, -100 elsewhere, [N, L].
        whole: The ids before anything was hidden, [N, L].
        inside: Which tokens stand for text, [N, L].
    """

    texts: TokenBatch
    labels: Tensor
    whole: Tensor
    inside: Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch elsewhere."""
        return replace(
            self,
            texts=self.texts.to(device),
            labels=self.labels.to(device),
            whole=self.whole.to(device),
            inside=self.inside.to(device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RebuiltBatch:
    """N texts for RetroMAE.

    Attributes:
        masked: What the encoder reads, and guesses.
        visible: Which tokens each place of the decoder sees, [N, L, L].
    """

    masked: MaskedBatch
    visible: Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch elsewhere."""
        return replace(self, masked=self.masked.to(device), visible=self.visible.to(device))


class MaskedBatches:
    """Batches of texts, whole words of which are hidden anew in every epoch."""

    def __init__(
        self, model: TrainingModel, texts: Batches[TokenBatch], *, share: float, seed: int
    ) -> None:
        """Read what the vocabulary says about words.

        Args:
            model: Its tokenizer tells which tokens are special, and which one is the mask.
            texts: The batches.
            share: Of a text's tokens that are hidden.
            seed: Of the choice.

        Raises:
            ValueError: The vocabulary has no mask.
        """
        tokenizer = model.tokenizer
        if tokenizer.mask_id is None:
            raise ValueError(
                f"the tokenizer of {model.folder} has no mask token, and words are hidden behind it"
            )
        self._texts, self._share, self._seed = texts, share, seed
        self._mask, self._vocabulary = tokenizer.mask_id, model.spec.vocabulary
        terms = tokenizer.terms(range(model.spec.vocabulary))
        self._pieces = Pieces.of(terms)
        markers = {model.spec.query.marker, model.spec.document.marker}
        special = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id}
        special |= {n for n, term in enumerate(terms) if term in markers}
        self._special = np.array([n for n in special if n is not None])

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> MaskedBatch:
        """Hide words of a batch."""
        texts = self._texts[number]
        rng = np.random.default_rng([self._seed, number])
        whole = texts.ids.numpy()
        inside = texts.attended.numpy() & ~np.isin(whole, self._special)
        ids, labels = whole.copy(), np.full_like(whole, UNSCORED)
        for row in range(len(texts)):
            masked = mask_words(
                whole[row],
                words(whole[row], inside[row], self._pieces),
                share=self._share,
                mask_id=self._mask,
                vocabulary=self._vocabulary,
                random=rng,
            )
            ids[row], labels[row] = masked.ids, masked.labels
        return MaskedBatch(
            replace(texts, ids=torch.from_numpy(ids)),
            torch.from_numpy(labels),
            texts.ids,
            torch.from_numpy(inside),
        )


class RebuiltBatches:
    """Masked batches, with what the decoder sees of them."""

    def __init__(self, masked: MaskedBatches, *, hidden: float, seed: int) -> None:
        """Take the encoder's batches.

        Args:
            masked: Those.
            hidden: Share of the tokens that a place of the decoder does not see.
            seed: Of the choice.
        """
        self._masked, self._hidden, self._seed = masked, hidden, seed

    def __len__(self) -> int:
        return len(self._masked)

    def __getitem__(self, number: int) -> RebuiltBatch:
        """Draw what each place sees."""
        masked = self._masked[number]
        drawn = np.random.default_rng([self._seed, number]).integers(2**31)
        generator = torch.Generator().manual_seed(int(drawn))
        visible = visible_tokens(masked.inside, hidden=self._hidden, generator=generator)
        return RebuiltBatch(masked, visible)
