"""Packing: passes of any lengths stand one after another in one row, without padding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

TOKEN_BUDGET = 1024
"""Tokens that the backbone reads at once: twice as many cost twice the memory and no less time."""

CHUNK_TEXTS = 512
"""Most texts that are tokenised and encoded together."""

CHUNK_CHARACTERS = 16_384
"""Text that is tokenised and encoded together: some packs of it, so that few stay half empty."""

SMALLEST_STEP = 4
"""Rows of a short query, each of which takes time, are a multiple of this."""

ROWS_OF_A_SMALL_PACK = 512
"""Most packs have more, so that filling these up costs little."""

POSITIONS_BEHIND_PADDING = frozenset({"camembert", "roberta", "xlm-roberta"})
"""Architectures whose first position is that of the pad token plus 1."""

MOST_PADDING = 0.2
"""Share of a padded pass that may be padding: more costs more than another call does."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """What the backbone reads in one piece: a text, or a window of it, of L rows.

    The first `visible` rows are seen by every row. What stands behind them is seen by no other
    row: masks of an expansion, or probes, which see themselves as well.

    Attributes:
        text: Which text of the batch it belongs to.
        ids: Token ids, [L].
        positions: Position of each row, from 0, [L].
        rows: Token of the text that a row stands for; -1 for an inserted CLS, [L].
        owned: Rows whose token vector comes from this pass, [L].
        pooled: Rows that a CLS pooling reads, ascending.
        visible: How many rows are seen by all.
        probes: Whether the rows behind those see themselves.
    """

    text: int
    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    owned: NDArray[np.bool_]
    pooled: NDArray[np.int64]
    visible: int
    probes: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbours in a pack that attention computes as one block: equal lengths, equal rules.

    Attributes:
        start: First row in the pack.
        count: How many passes.
        length: Rows of each.
        visible: Rows of each that all of it see.
        anchors: For each probe, the row of the text that it stands at; empty without probes.
    """

    start: int
    count: int
    length: int
    visible: int
    anchors: tuple[int, ...] = ()

    @property
    def stop(self) -> int:
        """The row behind the last one."""
        return self.start + self.count * self.length


def pack(lengths: Sequence[int], *, budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Group passes into packs that are as full as the budget allows: first fit, longest first.

    Args:
        lengths: Rows of each pass.
        budget: Rows of a pack; a longer pass stands alone.

    Returns:
        Positions in `lengths` of each pack's passes, longest first.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        place = next((i for i, free in enumerate(room) if lengths[n] <= free), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(budget)
        packs[place].append(n)
        room[place] -= lengths[n]
    return packs


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Group the passes of a pack by like lengths, for back ends that pad.

    Returns:
        Positions in `lengths` of each group's passes, longest first.
    """
    groups: list[list[int]] = []
    for n in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        if not groups or lengths[n] < (1 - MOST_PADDING) * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(n)
    return groups


def padded_rows(rows: int) -> int:
    """Rows that oneDNN computes with: few sizes, 4 from each power of two to the next, or 8.

    It builds kernels for each number of rows that it meets, and keeps them for good, half a
    megabyte for each kind of layer. Up to 512 rows, which few packs have, 4 sizes are enough.
    """
    power = (rows - 1).bit_length()  # rows are more than half of 2 ** power
    step = max(SMALLEST_STEP, 1 << max(0, power - 3 - (rows > ROWS_OF_A_SMALL_PACK)))
    return -(-rows // step) * step


def position_ids(item: Pass, *, pad: int | None) -> NDArray[np.int64]:
    """The position ids of a pass.

    RoBERTa's family counts from behind the pad token's id and passes over pad tokens, which all
    have that id as their position, also where a text spells one out.

    Args:
        item: The pass.
        pad: Id of the pad token in that family; None in others.
    """
    if pad is None:
        return item.positions
    padding = item.ids == pad
    passed_over = np.searchsorted(np.sort(item.positions[padding]), item.positions)
    counted = np.where(padding, -1, item.positions - passed_over)
    found: NDArray[np.int64] = counted + pad + 1
    return found


def runs(passes: Sequence[Pass]) -> list[Run]:
    """Say which neighbours attention may compute as one block."""
    found, start = [], 0
    for (length, visible, anchors), group in groupby(passes, key=_rules):
        found.append(Run(start, len(list(group)), length, visible, anchors))
        start = found[-1].stop
    return found


def _rules(item: Pass) -> tuple[int, int, tuple[int, ...]]:
    """What attention needs to know about a pass."""
    anchors = item.positions[item.visible :].tolist() if item.probes else ()
    return len(item), item.visible, tuple(anchors)


def chunks(texts: Iterable[str], *, scale: int = 1) -> Iterator[list[str]]:
    """Cut a stream of texts into lists that are tokenised and encoded together.

    Args:
        texts: The stream.
        scale: How many times what a CPU takes at once is taken.

    Raises:
        TypeError: An item is no string.
    """
    waiting: list[str] = []
    size = 0
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{n}] is a {type(text).__name__}, not a string")
        waiting.append(text)
        size += len(text)
        if len(waiting) >= CHUNK_TEXTS * scale or size >= CHUNK_CHARACTERS * scale:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting
