"""What several tests of kernels ask for: vectors as they are stored, and texts in a pack."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tercet.kernels.attention import Attention, Block, Numbers, Work
from tercet.kernels.attention_blocks import QUERIES


def stored(kind: str, rows: int, dim: int) -> tuple[Any, Any, np.ndarray]:
    """Numbers and scales of some rows, and the vectors that they stand for."""
    vectors = np.random.default_rng(dim).standard_normal((rows, dim), dtype=np.float32)
    if kind == "int8":
        scales = np.abs(vectors).max(axis=1) / 127
        numbers = np.rint(vectors / scales[:, None]).astype(np.int8)
        return numbers, scales, numbers * scales[:, None]
    numbers = vectors.astype(kind)
    return numbers, None, numbers.astype(np.float32)


def text(row: int, rows: int, keys: int | None = None) -> list[Block]:
    """The blocks of a text whose first rows are keys."""
    return [
        Block(row + n, min(QUERIES, rows - n), row, rows if keys is None else keys, n)
        for n in range(0, rows, QUERIES)
    ]


def texts(lengths: list[int]) -> list[Block]:
    starts = np.cumsum([0, *lengths]).tolist()
    return [
        block for start, rows in zip(starts, lengths, strict=False) for block in text(start, rows)
    ]


def attend(
    states: Sequence[Numbers],
    found: Numbers,
    work: Work,
    pairs: range,
    *,
    scale: float,
    window: int | None,
) -> None:
    """Do some of the work of a pack."""
    attention = Attention.of(states, found, work, scale=scale, window=window)
    attention.run([each.ctypes.data for each in (*states, found)], pairs)
