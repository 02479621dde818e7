"""Teaches new positions: one pass over a long text is to see what windows of it see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from tercet.encoding.long_documents import LongDocumentOptions, LongDocuments
from tercet.encoding.passes import document_passes
from tercet.training.loop.gathering import share
from tercet.training.models.model import TrainingModel
from tercet.training.positions.table import table_name

WINDOWS = LongDocumentOptions(mode=LongDocuments.WINDOWS)


@dataclass(frozen=True, slots=True, eq=False)
class WindowedText:
    """One long text, whole and in W windows of l tokens.

    Attributes:
        ids: Of the whole text, [1, L].
        windows: Of its windows, padded, [W, l].
        attended: Which of these are tokens, [W, l].
        rows: The place of each in the whole text, [W, l].
        owned: Whether the text's state at that place comes from there, L of them, [W, l].
    """

    ids: Tensor
    windows: Tensor
    attended: Tensor
    rows: Tensor
    owned: Tensor

    def to(self, device: torch.device) -> Self:
        """The same text elsewhere."""
        return replace(
            self,
            ids=self.ids.to(device),
            windows=self.windows.to(device),
            attended=self.attended.to(device),
            rows=self.rows.to(device),
            owned=self.owned.to(device),
        )


class WindowedTexts:
    """Long texts, one a batch."""

    def __init__(
        self, model: TrainingModel, texts: Sequence[str], *, window: int, batches: int, seed: int
    ) -> None:
        """Leave out texts that one window holds.

        Args:
            model: Its tokenizer writes them as documents, cut at its length.
            texts: The texts.
            window: Tokens of a window.
            batches: Of the whole run.
            seed: Of the draws.

        Raises:
            ValueError: No text is longer than a window.
        """
        self._texts = [
            text for text in texts if model.tokenizer.documents([text])[0].total > window
        ]
        if not self._texts:
            raise ValueError(
                f"none of the {len(texts)} texts is longer than {window} tokens, and new positions "
                "are learned from longer ones"
            )
        self._model, self._window = model, window
        self._batches, self._seed = batches, seed

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, number: int) -> WindowedText:
        """Draw a text."""
        rng = np.random.default_rng([self._seed, number, share().rank])
        text = self._texts[int(rng.integers(len(self._texts)))]
        whole = self._model.tokenizer.documents([text], limit=self._model.spec.max_tokens)[0]
        passes = document_passes(whole, 0, options=WINDOWS, limit=self._window, pools_cls=False)

        def padded(rows: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]) -> Tensor:
            return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)

        return WindowedText(
            ids=torch.from_numpy(whole.ids)[None],
            windows=padded([item.ids for item in passes]),
            attended=padded([np.ones(len(item), dtype=np.bool_) for item in passes]),
            rows=padded([item.rows for item in passes]),
            owned=padded([item.owned for item in passes]),
        )


class LearnPositions(nn.Module):
    """New rows of the position table are all that learns; the teacher is the model before it.

    The loss is one minus the cosine of a token's state in one pass and in its window, on average.
    A text within the rows that are kept is read as before, to the last bit.
    """

    def __init__(self, model: TrainingModel, *, learned: Tensor, kept: int) -> None:
        """Begin at the rows that the model's table has now.

        Args:
            model: Its table is stretched already.
            learned: The table before that, [rows before, H].
            kept: Rows of the table that stay as they are.
        """
        super().__init__()
        self.name = table_name(model.backbone)
        table = model.backbone.get_parameter(self.name).detach()
        self.register_buffer("learned", learned.detach().clone(), persistent=False)
        self.register_buffer("kept", table[:kept].clone(), persistent=False)
        self.rows = nn.Parameter(table[kept:].clone())

    @property
    def table(self) -> Tensor:
        """The whole table, [rows, H]."""
        return torch.cat([self.get_buffer("kept"), self.rows])

    def forward(self, model: TrainingModel, batch: WindowedText) -> Tensor:
        """The loss of a text."""
        with torch.no_grad():
            windows = self._states(model, batch.windows, batch.attended, self.get_buffer("learned"))
            wanted = torch.zeros(batch.ids.shape[1], windows.shape[2], device=windows.device)
            wanted[batch.rows[batch.owned]] = windows[batch.owned]
        everything = torch.ones_like(batch.ids, dtype=torch.bool)
        states = self._states(model, batch.ids, everything, self.table)[0]
        return 1 - functional.cosine_similarity(states, wanted, dim=1).mean()

    def _states(self, model: TrainingModel, ids: Tensor, attended: Tensor, table: Tensor) -> Tensor:
        """Token states with some table in the place of the model's own, [N, L, H]."""
        inputs = {"input_ids": ids, "attention_mask": attended.long()}
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=model.in_bfloat16):
            found = functional_call(model.backbone, {self.name: table}, (), inputs)
        states: Tensor = found.last_hidden_state.float()
        return states
