"""Texts to token ids, as the family of a model writes queries and documents."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.cleaning import (
    NOWHERE,
    CleanText,
    stripped_and_lowercased,
    without_surrogates,
)
from tercet.encoding.token_rules import (
    expanded_length,
    expansion_id,
    marker_id,
    query_length,
    skipped_ids,
    weightless_ids,
)
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizer_backends import Encoded, read_tokenizer
from tercet.models.spec import ModelSpec, TextSide

Scalar = TypeVar("Scalar", np.int64, np.bool_)

PROBE = "a"
"""Any text with a token: what stands round it is the template."""


@dataclass(frozen=True, slots=True)
class Side:
    """How one role's texts are written, in ids.

    Attributes:
        prompt: Text before every text.
        prompt_tokens: Tokens of the prompt alone, leading special ones included.
        marker: Id inserted behind the first token; None for none.
        skipped: Ids that have no token vector, ascending.
    """

    prompt: str
    prompt_tokens: int
    marker: int | None
    skipped: NDArray[np.int64]


class Tokenizer:
    """The tokenizer of one model; safe to call from many threads."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        """Read the tokenizer of a checkpoint, and look up all ids that the model's rules name.

        Raises:
            CheckpointError: Its files are damaged, or lack a token that the model needs.
            MissingExtraError: It needs a library that is not installed.
        """
        self._spec = spec
        self._lock = threading.Lock()
        self._backend = read_tokenizer(folder, spec.tokenizer)
        head = spec.multi_vector
        skiplist = head.skiplist if head else None
        self._mask = expansion_id(self._backend, head.expansion if head else None)
        self._weightless = weightless_ids(self._backend, spec.sparse)
        self._leading, self._trailing = self._template()
        self._query = self._side(spec.query, skips=bool(skiplist and skiplist.queries))
        self._document = self._side(spec.document, skips=bool(skiplist and skiplist.documents))

    @property
    def cls_id(self) -> int | None:
        """The id of the first special token; None where the tokenizer has none."""
        return self._backend.roles.get("cls", self._backend.roles.get("bos"))

    @property
    def sep_id(self) -> int | None:
        """The id of the last special token; None where the tokenizer has none."""
        return self._backend.roles.get("sep", self._backend.roles.get("eos"))

    @property
    def pad_id(self) -> int | None:
        """The id of the pad token; None where the tokenizer has none."""
        return self._backend.roles.get("pad")

    @property
    def mask_id(self) -> int | None:
        """The id of the mask token; None where the tokenizer has none."""
        return self._backend.roles.get("mask")

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The entries of the vocabulary under some ids.

        Raises:
            ValueError: A negative id.
        """
        if min(ids, default=0) < 0:
            raise ValueError(f"there is no term {min(ids)}: ids count from 0")
        with self._lock:
            return self._backend.terms(ids)

    def queries(self, texts: Sequence[str], *, limit: int | None = None) -> list[TokenisedText]:
        """Queries, with prompt, marker and expansion.

        Args:
            texts: The queries.
            limit: Length asked for in place of the published one, marker included. A query is cut
                at it, and expanded to it where the model expands queries.

        Returns:
            One record a text; cut where the model's convention cuts queries.

        Raises:
            ValueError: The limit leaves no room for text.
        """
        rows = self._tokenise(texts, self._query, limit=query_length(self._spec, limit))
        return [self._expanded(row, limit) for row in rows]

    def documents(self, texts: Sequence[str], *, limit: int | None = None) -> list[TokenisedText]:
        """Documents, with prompt and marker.

        Args:
            texts: The documents.
            limit: Length at which they are cut, marker included; None cuts nothing.

        Returns:
            One record a text.

        Raises:
            ValueError: The limit leaves no room for text.
        """
        return self._tokenise(texts, self._document, limit=limit)

    def _template(self) -> tuple[int, int]:
        """How many special tokens stand before and behind a text."""
        whole, pieces = self._backend.encode([PROBE])[0].ids.tolist(), self._backend.pieces(PROBE)
        room = len(whole) - len(pieces)
        starts = (n for n in range(room + 1) if whole[n : n + len(pieces)] == pieces)
        leading = next(starts, 0)
        return leading, room - leading

    def _side(self, side: TextSide, *, skips: bool) -> Side:
        head = self._spec.multi_vector
        prompt = len(self._backend.encode([side.prompt])[0].ids) - self._trailing
        return Side(
            prompt=side.prompt,
            prompt_tokens=prompt if side.prompt else 0,
            marker=marker_id(self._backend, side),
            skipped=skipped_ids(self._backend, head.skiplist if head and skips else None),
        )

    def _tokenise(
        self, texts: Sequence[str], side: Side, *, limit: int | None
    ) -> list[TokenisedText]:
        files = self._spec.tokenizer
        clean = [
            stripped_and_lowercased(text, strip=files.strip, lower=files.lowercase == "text")
            for text in without_surrogates(texts)
        ]
        with self._lock:
            rows = self._backend.encode([side.prompt + text.text for text in clean])
        return [
            self._cut(self._record(self._never_empty(row), side, text), limit)
            for row, text in zip(rows, clean, strict=True)
        ]

    def _never_empty(self, row: Encoded) -> Encoded:
        """A text without a token as one pad: tokenizers without a template give nothing for ""."""
        if len(row.ids):
            return row
        roles = self._backend.roles
        some = next((roles[r] for r in ("pad", "eos", "unk", "mask") if r in roles), 0)
        nowhere = np.full(1, NOWHERE, dtype=np.int64)
        return Encoded(np.full(1, some, dtype=np.int64), nowhere, nowhere)

    def _record(self, row: Encoded, side: Side, text: CleanText) -> TokenisedText:
        """One text, uncut: marked, its rows told apart, its offsets those of the text given."""
        leading = self._leading + self._prompt_rows(row, side)
        special = np.zeros(len(row.ids), dtype=np.bool_)
        special[: self._leading] = special[len(row.ids) - self._trailing :] = True
        starts, ends = row.starts - len(side.prompt), row.ends - len(side.prompt)
        starts[:leading], ends[:leading] = NOWHERE, NOWHERE
        starts = text.starts(np.where(ends < 0, NOWHERE, np.maximum(starts, 0)))
        ids, ends = row.ids, text.ends(ends)
        if side.marker is not None:
            leading = max(leading, 1) + 1
            ids, special = np.insert(ids, 1, side.marker), np.insert(special, 1, values=False)
            starts, ends = np.insert(starts, 1, NOWHERE), np.insert(ends, 1, NOWHERE)
        return TokenisedText(
            ids=ids,
            starts=starts,
            ends=ends,
            special=special,
            attended=np.ones(len(ids), dtype=np.bool_),
            keep=self._kept(ids, special, side),
            lexical=self._lexical(ids),
            leading=leading,
            trailing=self._trailing,
            prompt=side.prompt_tokens,
            total=len(ids),
            read=len(ids),
        )

    def _prompt_rows(self, row: Encoded, side: Side) -> int:
        """Tokens of the prompt in front of a text: those that end in it."""
        if not side.prompt:
            return 0
        if not (row.ends >= 0).any():  # no offsets: as many as the prompt has alone
            return min(side.prompt_tokens - self._leading, len(row.ids))
        return int(((row.ends >= 0) & (row.ends <= len(side.prompt))).sum())

    def _kept(
        self, ids: NDArray[np.int64], special: NDArray[np.bool_], side: Side
    ) -> NDArray[np.bool_]:
        """Which rows have a token vector: those not skipped, or all where none would be left."""
        head = self._spec.multi_vector
        keep = ~np.isin(ids, side.skipped)
        if head is not None and not head.keep_special:
            keep &= ~special
        if head is not None and not head.keep_first:
            keep[0] = False
        return keep if keep.any() else np.ones(len(ids), dtype=np.bool_)

    def _lexical(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        if self._spec.sparse is None:
            return np.zeros(len(ids), dtype=np.bool_)
        return np.isin(ids, self._weightless, invert=True)

    def _cut(self, row: TokenisedText, limit: int | None) -> TokenisedText:
        """The text as long as allowed, what stands round it kept."""
        if limit is None or len(row) <= limit:
            return row
        body = limit - row.leading - row.trailing
        if body < 1:
            raise ValueError(
                f"a length of {limit} tokens leaves no room for text: special tokens, prompt and "
                f"marker take {row.leading + row.trailing}"
            )
        end = row.leading + body
        rows = np.r_[0:end, len(row) - row.trailing : len(row)]
        return replace(_take(row, rows), read=limit)

    def _expanded(self, row: TokenisedText, limit: int | None) -> TokenisedText:
        """The query filled up with masks as the model's convention says."""
        head = self._spec.multi_vector
        if head is None or head.expansion is None or self._mask is None:
            return row
        most = self._spec.max_tokens
        more = expanded_length(head.expansion, len(row), limit, max_tokens=most) - len(row)
        ids = row.ids
        if self._spec.tokenizer.pad_as_mask:
            ids = np.where(ids == self.pad_id, self._mask, ids)
        return replace(
            row,
            ids=_extended(ids, more, self._mask),
            starts=_extended(row.starts, more, NOWHERE),
            ends=_extended(row.ends, more, NOWHERE),
            special=_extended(row.special, more, 0),
            attended=_extended(row.attended, more, int(head.expansion.attended)),
            keep=_extended(row.keep, more, 1),
            lexical=_extended(row.lexical, more, 0),
            trailing=row.trailing + more,
        )


def _take(row: TokenisedText, rows: NDArray[np.intp]) -> TokenisedText:
    return replace(
        row,
        ids=row.ids[rows],
        starts=row.starts[rows],
        ends=row.ends[rows],
        special=row.special[rows],
        attended=row.attended[rows],
        keep=row.keep[rows],
        lexical=row.lexical[rows],
    )


def _extended(values: NDArray[Scalar], more: int, fill: int) -> NDArray[Scalar]:
    return np.concatenate([values, np.full(more, fill, dtype=values.dtype)])
