"""Compiled attention: as its definition says, for each kind of processor and size of head."""

from typing import Any

import numpy as np
import pytest
from kernel_cases import attend, text, texts

from tercet.kernels import attention
from tercet.kernels.attention import Block, Work, can_attend
from tercet.kernels.compiling import ARM, AVX2, AVX512, Machine

HEADS, SCALE = 2, 0.3


def states(rows: int, head: int, *, size: float = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(rows * head)
    return [rng.standard_normal((rows, HEADS, head), dtype=np.float32) * size for _ in range(3)]


def found(given: list[np.ndarray], blocks: list[Block], *, window: int | None = None) -> np.ndarray:
    read = np.full(given[0].shape, np.nan, dtype=np.float32)
    attend(given, read, Work.of(blocks), range(len(blocks) * HEADS), scale=SCALE, window=window)
    return read


def definition(
    given: list[np.ndarray], blocks: list[Block], *, window: int | None = None
) -> np.ndarray:
    query, key, value = (each.astype(np.float64) for each in given)
    read = np.full(query.shape, np.nan)
    for block in blocks:
        asking, seen = (
            slice(start, start + rows)
            for start, rows in ((block.row, block.rows), (block.key, block.keys))
        )
        products = np.einsum("qhd,khd->hqk", query[asking], key[seen]) * SCALE
        if window is not None:
            places = block.place + np.arange(block.rows)[:, None]
            products[:, np.abs(places - np.arange(block.keys)) >= window] = -np.inf
        own = np.einsum("qhd,qhd->hq", query[asking], key[asking])[..., None] * SCALE
        if not block.reads_itself:
            own[:] = -np.inf
        largest = np.maximum(products.max(axis=2, keepdims=True), own)
        seen_any = np.isfinite(largest)
        largest = np.where(seen_any, largest, 0)
        weights, own = np.exp(products - largest), np.exp(own - largest)
        sums = weights.sum(axis=2, keepdims=True) + own
        sums[~seen_any] = 1
        read[asking] = np.einsum("hqk,khd->qhd", weights / sums, value[seen])
        read[asking] += (own / sums).transpose(1, 0, 2) * value[asking]
    return read


# Machine code is made for a size of the heads: most tests share those of 20 numbers.
@pytest.fixture(params=[AVX512, AVX2, ARM], ids=["16 lanes", "8 lanes", "4 lanes"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    here: Machine = request.param
    monkeypatch.setattr(attention, "machine", lambda: here)
    return here


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("head", [1, 20, 64])
@pytest.mark.parametrize("window", [None, 9])
def test_rows_read_what_the_definition_says(head: int, window: int | None) -> None:
    lengths = [*range(1, 131, 1 if head == 20 else 7), 600]
    blocks, given = texts(lengths), states(sum(lengths), head)
    expected = definition(given, blocks, window=window)
    np.testing.assert_allclose(found(given, blocks, window=window), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("head", [3, 32, 96, 128])
def test_heads_may_have_any_size(head: int) -> None:
    blocks, given = texts([33, 150]), states(183, head)
    expected = definition(given, blocks)
    np.testing.assert_allclose(found(given, blocks), expected, rtol=0, atol=5e-6)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("window", [None, 9])
def test_some_rows_ask_and_are_seen_by_nobody_or_by_themselves(window: int | None) -> None:
    given = states(120, 20)
    expanded = text(0, 40, 25)
    probed = [*text(40, 70), Block(110, 1, 40, 70, 3, True), Block(111, 1, 40, 70, 50, True)]
    together = [Block(112, 8, 40, 70, 0, True)] if window is None else []
    blocks = [*expanded, *probed, *together]
    read, expected = (each(given, blocks, window=window) for each in (found, definition))
    np.testing.assert_allclose(read, expected, rtol=0, atol=5e-6)


def test_a_row_whose_window_has_no_key_reads_zeros() -> None:
    given = states(40, 20)
    read = found(given, text(0, 40, 5), window=4)
    np.testing.assert_array_equal(read[8:], 0)
    assert (read[:8] != 0).all()


@pytest.mark.usefixtures("machine")
def test_large_products_do_not_overflow_and_what_is_not_a_number_stays_so() -> None:
    blocks = texts([70, 30])
    given = states(100, 20, size=100)  # products of some 10,000
    read = found(given, blocks)
    expected = definition(given, blocks)
    assert np.isfinite(read).all()
    np.testing.assert_allclose(read, expected, rtol=0, atol=0.5)  # a product's last bit is 1e-3
    for wrong in range(3):
        given = states(100, 20)
        given[wrong][75, 1, 3] = np.nan
        read = found(given, blocks)
        touched = np.isnan(read)
        assert not touched[:70].any()
        assert not touched[:, 0].any()
        assert touched[75, 1].any()
        if wrong == 1:
            assert touched[70:, 1].all()


def test_equal_products_are_averaged_exactly() -> None:
    given = states(48, 20)
    given[1][:] = 0
    given[2][:] = np.arange(48, dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(found(given, [Block(0, 48, 0, 32, 0)]), 15.5)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("window", [None, 30])
def test_a_text_reads_the_same_bits_whatever_stands_beside_it(window: int | None) -> None:
    lengths = [77, 5, 530, 16]
    given = states(sum(lengths), 20)
    together = found(given, texts(lengths), window=window)
    starts = np.cumsum([0, *lengths]).tolist()
    for start, rows in zip(starts, lengths, strict=False):
        own = [each[start : start + rows].copy() for each in given]
        alone = found(own, text(0, rows), window=window)
        np.testing.assert_array_equal(together[start : start + rows], alone)


def test_pairs_may_be_computed_in_any_pieces() -> None:
    lengths = [40, 3, 90]
    given, blocks = states(133, 20), texts(lengths)
    whole, read = found(given, blocks), np.zeros_like(given[0])
    for pairs in (range(4, 6), range(1), range(1, 4)):
        attend(given, read, Work.of(blocks), pairs, scale=SCALE, window=None)
    np.testing.assert_array_equal(read, whole)


def test_states_may_be_parts_of_wider_ones() -> None:
    wide = np.random.default_rng(0).standard_normal((50, 3, HEADS, 20), dtype=np.float32)
    given = [wide[:, n] for n in range(3)]
    turned = [np.ascontiguousarray(each.transpose(1, 0, 2)).transpose(1, 0, 2) for each in given]
    copies = [each.copy() for each in given]
    expected = found(copies, text(0, 50))
    np.testing.assert_array_equal(found(given, text(0, 50)), expected)
    np.testing.assert_array_equal(found(turned, text(0, 50)), expected)


@pytest.mark.parametrize(
    ("block", "pairs"),
    [
        (Block(0, 9, 0, 9, 0), range(2)),  # rows beyond the states
        (Block(0, 8, 1, 8, 0), range(2)),  # keys beyond them
        (Block(0, 8, 0, 8, 0), range(3)),  # no such pair
        (Block(0, 8, 0, 8, 0), range(-1, 1)),
    ],
)
def test_rows_that_are_not_there_are_refused(block: Block, pairs: range) -> None:
    given = states(8, 4)
    with pytest.raises(ValueError, match=r"rows are read and there|are no pairs of 1 blocks"):
        attend(given, given[0].copy(), Work.of([block]), pairs, scale=1, window=None)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda query: query.astype(np.float64),
        lambda query: query[:, :, ::2],
        lambda query: np.repeat(query, 2, axis=2)[:, :, ::2],
        lambda query: query[:4],
    ],
)
def test_states_of_another_kind_are_refused(wrong: Any) -> None:
    query, key, value = states(8, 4)
    with pytest.raises(ValueError, match="rows are read and there are"):
        found([key, wrong(query), value], [Block(0, 8, 0, 8, 0)])


@pytest.mark.parametrize(
    "block",
    [Block(-1, 8, 0, 8, 0), Block(0, 0, 0, 8, 0), Block(0, 8, 0, 0, 0), Block(0, 513, 0, 8, 0)],
)
def test_blocks_without_rows_or_keys_are_refused(block: Block) -> None:
    with pytest.raises(ValueError, match="a block has 1 to 512 rows"):
        Work.of([block])


@pytest.mark.usefixtures("without_kernels")
def test_the_kernel_can_be_left_out() -> None:
    assert not can_attend()
    with pytest.raises(RuntimeError, match="kernels are off"):
        found(states(8, 4), [Block(0, 8, 0, 8, 0)])
