"""Attention in bfloat16 on matrix units: as its definition says, but for rounding."""

import numpy as np
import pytest
from kernel_cases import attend, text, texts

from tercet.kernels.attention import BFLOAT16, Block, Work, can_attend

HEADS, SCALE = 2, 0.3

pytestmark = pytest.mark.skipif(
    not can_attend(BFLOAT16, head=32), reason="no matrix units for bfloat16 here"
)


def halves(numbers: np.ndarray) -> np.ndarray:
    """The bits of bfloat16, cut."""
    return (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.int16)


def wholes(bits: np.ndarray) -> np.ndarray:
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def states(rows: int, head: int) -> list[np.ndarray]:
    rng = np.random.default_rng(rows * head)
    return [halves(rng.standard_normal((rows, HEADS, head))) for _ in range(3)]


def found(given: list[np.ndarray], blocks: list[Block]) -> np.ndarray:
    read = np.full(given[0].shape, halves(np.asarray(np.nan)), dtype=np.int16)
    attend(given, read, Work.of(blocks), range(len(blocks) * HEADS), scale=SCALE, window=None)
    return wholes(read)


def definition(given: list[np.ndarray], blocks: list[Block]) -> np.ndarray:
    query, key, value = (wholes(each).astype(np.float64) for each in given)
    read = np.full(query.shape, np.nan)
    for block in blocks:
        asking = slice(block.row, block.row + block.rows)
        seen = slice(block.key, block.key + block.keys)
        products = np.einsum("qhd,khd->hqk", query[asking], key[seen]) * SCALE
        own = np.einsum("qhd,qhd->hq", query[asking], key[asking])[..., None] * SCALE
        weights, itself = np.exp(products), np.exp(own) * block.reads_itself
        sums = weights.sum(axis=2, keepdims=True) + itself
        read[asking] = np.einsum("hqk,khd->qhd", weights / sums, value[seen])
        read[asking] += (itself / sums).transpose(1, 0, 2) * value[asking]
    return read


@pytest.mark.parametrize("head", [32, 64, 96])
def test_rows_read_what_the_definition_says(head: int) -> None:
    lengths = [*range(1, 70, 3), 255, 256, 257, 600]
    blocks, given = texts(lengths), states(sum(lengths), head)
    read, expected = found(given, blocks), definition(given, blocks)
    np.testing.assert_allclose(read, expected, rtol=0.01, atol=0.01)
    assert np.square(read - expected).mean() < 0.004**2 * np.square(expected).mean()


def test_some_rows_ask_and_are_seen_by_nobody_or_by_themselves() -> None:
    given = states(120, 32)
    blocks = [*text(0, 40, 25), *text(40, 70), Block(110, 10, 40, 70, 0, True)]
    np.testing.assert_allclose(found(given, blocks), definition(given, blocks), atol=0.01)


def test_a_text_reads_the_same_bits_whatever_stands_beside_it() -> None:
    lengths = [77, 5, 530, 16]
    given = states(sum(lengths), 32)
    together = found(given, texts(lengths))
    starts = np.cumsum([0, *lengths]).tolist()
    for start, rows in zip(starts, lengths, strict=False):
        own = [each[start : start + rows].copy() for each in given]
        np.testing.assert_array_equal(together[start : start + rows], found(own, text(0, rows)))


def test_equal_products_are_averaged() -> None:
    given = states(48, 32)
    given[1][:] = 0
    given[2][:] = halves(np.arange(48))[:, None, None]
    np.testing.assert_array_equal(found(given, [Block(0, 48, 0, 32, 0)]), 15.5)


def test_large_products_do_not_overflow_and_what_is_not_a_number_stays_so() -> None:
    blocks = texts([70, 30])
    given = [halves(wholes(each) * 100) for each in states(100, 32)]
    assert np.isfinite(found(given, blocks)).all()
    for wrong in range(3):
        given = states(100, 32)
        given[wrong][75, 1, 3] = halves(np.asarray(np.nan))
        touched = np.isnan(found(given, blocks))
        assert not touched[:70].any()
        assert not touched[:, 0].any()
        assert touched[75, 1].any()


def test_what_there_is_no_kernel_for_is_refused() -> None:
    assert not can_attend(BFLOAT16, head=20)
    given, blocks = states(8, 20), [Block(0, 8, 0, 8, 0)]
    with pytest.raises(RuntimeError, match="none for heads of 20 numbers as int16"):
        found(given, blocks)
    wide = states(8, 32)
    with pytest.raises(RuntimeError, match="a window of 4"):
        attend(wide, wide[0].copy(), Work.of(blocks), range(2), scale=1, window=4)


def test_states_of_another_kind_are_refused() -> None:
    query, key, value = states(8, 32)
    with pytest.raises(ValueError, match="rows are read and there are"):
        found([query, wholes(key), value], [Block(0, 8, 0, 8, 0)])
