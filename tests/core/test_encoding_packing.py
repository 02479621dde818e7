"""Packs, passes and windows, on lengths small enough to count by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.encoding import packing
from tercet.encoding.long_documents import (
    LongDocumentOptions,
    LongDocuments,
    MclsAttention,
    MclsPositions,
)
from tercet.encoding.packing import Pass, Run, chunks, pack, padded_rows, runs
from tercet.encoding.passes import document_passes, plain_pass, query_passes, tokens_encoded
from tercet.encoding.tokenised import TokenisedText


def text_of(body: int, *, masks: int = 0) -> TokenisedText:
    """[CLS] body [SEP] and masks that nobody sees; ids of the body count from 10."""
    length = body + 2 + masks
    ids = np.asarray([0, *range(10, 10 + body), 2, *[3] * masks], dtype=np.int64)
    rows = np.arange(length)
    special = (rows == 0) | (rows == body + 1)
    return TokenisedText(
        ids=ids,
        starts=np.where(special, -1, rows),
        ends=np.where(special, -1, rows + 1),
        special=special,
        attended=rows < body + 2,
        keep=np.ones(length, dtype=np.bool_),
        lexical=~special & (rows < body + 1),
        leading=1,
        trailing=1 + masks,
        prompt=0,
        total=body + 2,
        read=body + 2,
    )


def passes_of(text: TokenisedText, mode: str, *, limit: int, interval: int = 4) -> list[Pass]:
    options = LongDocumentOptions(LongDocuments(mode), mcls_interval=interval)
    return document_passes(text, 0, options=options, limit=limit, pools_cls=True)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 60))
def test_every_pass_is_in_one_pack_and_no_pack_exceeds_the_budget(
    lengths: list[int], budget: int
) -> None:
    packs = pack(lengths, budget=budget)
    assert sorted(n for group in packs for n in group) == list(range(len(lengths)))
    for group in packs:
        assert len(group) == 1 or sum(lengths[n] for n in group) <= budget


def test_nothing_makes_no_pack() -> None:
    assert pack([]) == []


def test_a_pack_is_filled_before_the_next_is_begun() -> None:
    assert pack([3, 9, 5, 2, 7], budget=10) == [[1], [4, 0], [2, 3]]


@given(st.integers(1, 20_000))
def test_rows_are_filled_up_by_a_quarter_at_most_and_an_eighth_in_large_packs(rows: int) -> None:
    padded = padded_rows(rows)
    assert rows <= padded < rows + max(4, rows / (8 if rows > 512 else 4))
    assert padded_rows(padded) == padded


def test_few_numbers_of_rows_occur() -> None:
    assert sorted({padded_rows(rows) for rows in range(1, 65)}) == [
        *range(4, 33, 4),
        *range(40, 65, 8),
    ]
    assert len({padded_rows(rows) for rows in range(1, 1025)}) == 32


def test_neighbours_of_equal_length_are_one_run() -> None:
    plain = [plain_pass(text_of(n), 0, limit=99) for n in (3, 3, 1)]
    masked = plain_pass(text_of(1, masks=2), 0, limit=99)
    assert runs([*plain, masked]) == [Run(0, 2, 5, 5), Run(10, 1, 3, 3), Run(13, 1, 5, 3)]


def test_chunks_end_by_characters_or_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_CHARACTERS", 5)
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 3)
    assert list(chunks(["ab", "cde", "f", "g", "h", "i"])) == [
        ["ab", "cde"],
        ["f", "g", "h"],
        ["i"],
    ]


def test_chunks_read_a_stream_no_further_than_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 1)

    def stream() -> Iterator[str]:
        yield "a"
        raise AssertionError("read too far")

    assert next(chunks(stream())) == ["a"]


def test_an_item_that_is_no_string_is_named() -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] is a int"):
        list(chunks(["a", 1]))  # type: ignore[list-item]


def test_a_plain_pass_reads_the_text_as_it_is() -> None:
    text = text_of(3)
    (item,) = passes_of(text, "plain", limit=5)
    assert item.ids.tolist() == text.ids.tolist()
    assert item.positions.tolist() == [0, 1, 2, 3, 4]
    assert (item.visible, item.probes, item.pooled.tolist()) == (5, False, [0])
    assert tokens_encoded(text, [item]) == 5


def test_a_plain_pass_is_cut_before_its_last_special_token() -> None:
    text = text_of(6)
    (item,) = passes_of(text, "plain", limit=5)
    assert item.ids.tolist() == [0, 10, 11, 12, 2]
    assert item.rows.tolist() == [0, 1, 2, 3, 7]
    assert tokens_encoded(text, [item]) == 5


def test_masks_that_nobody_sees_stand_behind_what_is_visible() -> None:
    text = text_of(2, masks=3)
    (item,) = query_passes(text, 0, options=LongDocumentOptions(), limit=9)
    assert (len(item), item.visible) == (7, 4)
    assert tokens_encoded(text, [item]) == 4


def test_a_pass_without_room_for_text_is_refused() -> None:
    with pytest.raises(ValueError, match="leave no room"):
        passes_of(text_of(5), "plain", limit=2)


@pytest.mark.parametrize("body", [9, 10, 11, 14, 15, 100])
def test_each_token_of_a_text_belongs_to_one_window(body: int) -> None:
    text = text_of(body)
    windows = passes_of(text, "windows", limit=10)  # room for 8, of which 4 overlap
    owned = np.concatenate([item.rows[item.owned] for item in windows])
    assert sorted(owned.tolist()) == list(range(len(text)))
    assert all(len(item) <= 10 for item in windows)
    assert tokens_encoded(text, windows) == len(text)


def test_an_overlapped_token_belongs_to_the_window_where_it_stands_farther_from_the_cut() -> None:
    first, second = passes_of(text_of(12), "windows", limit=10)
    assert first.rows.tolist() == [0, *range(1, 9), 13]
    assert second.rows.tolist() == [0, *range(5, 13), 13]
    assert first.rows[first.owned].tolist() == [0, *range(1, 7)]
    assert second.rows[second.owned].tolist() == [*range(7, 13), 13]


def test_a_text_that_fits_is_one_window() -> None:
    assert len(passes_of(text_of(8), "windows", limit=10)) == 1


def test_probes_stand_behind_the_text_at_the_positions_of_their_blocks() -> None:
    (item,) = passes_of(text_of(9), "mcls", limit=20)
    assert item.rows.tolist() == [*range(11), -1, -1]
    assert item.positions.tolist() == [*range(11), 5, 9]
    assert item.ids[-2:].tolist() == [0, 0]
    assert (item.visible, item.probes, item.pooled.tolist()) == (11, True, [0, 11, 12])
    assert runs([item])[0].anchors == (5, 9)


def test_a_text_of_one_block_is_encoded_exactly_as_plain() -> None:
    text = text_of(4)
    (plain,), (mcls,) = passes_of(text, "plain", limit=9), passes_of(text, "mcls", limit=9)
    assert mcls.ids.tolist() == plain.ids.tolist()
    assert runs([mcls]) == runs([plain])


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (MclsPositions.SEQUENTIAL, [*range(13)]),
        (MclsPositions.SHARED, [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 9, 10]),
    ],
)
def test_cls_that_the_text_sees_stand_before_their_blocks(
    positions: MclsPositions, expected: list[int]
) -> None:
    options = LongDocumentOptions(LongDocuments.MCLS, 4, positions, MclsAttention.FULL)
    (item,) = document_passes(text_of(9), 0, options=options, limit=20, pools_cls=True)
    assert item.rows.tolist() == [0, 1, 2, 3, 4, -1, 5, 6, 7, 8, -1, 9, 10]
    assert item.ids[item.pooled].tolist() == [0, 0, 0]
    assert item.positions.tolist() == expected
    assert item.visible == len(item)


def test_sequential_cls_take_the_place_of_text() -> None:
    options = LongDocumentOptions(
        LongDocuments.MCLS, 256, MclsPositions.SEQUENTIAL, MclsAttention.FULL
    )
    text = text_of(8190)
    (item,) = document_passes(text, 0, options=options, limit=8192, pools_cls=True)
    assert len(item) == 8192
    assert tokens_encoded(text, [item]) == 8159 + 2  # arXiv 2402.03216v4


def test_shared_cls_cost_no_length() -> None:
    text = text_of(8190)
    (item,) = passes_of(text, "mcls", limit=8192, interval=256)
    assert tokens_encoded(text, [item]) == 8192


@pytest.mark.parametrize(
    ("tokens", "limit", "pools_cls", "chosen"),
    [
        (512, 8192, True, "plain"),
        (513, 8192, True, "mcls"),
        (513, 8192, False, "plain"),
        (513, 4096, True, "plain"),
        (8192, 8192, True, "mcls"),
        (8193, 8192, True, "windows"),
        (513, 512, False, "windows"),
    ],
)
def test_auto_cuts_nothing(*, tokens: int, limit: int, pools_cls: bool, chosen: str) -> None:
    found = LongDocumentOptions().choose(tokens, limit=limit, pools_cls=pools_cls)
    assert found is LongDocuments(chosen)


@pytest.mark.parametrize(
    ("mode", "passes"), [("auto", 3), ("windows", 3), ("plain", 1), ("mcls", 1)]
)
def test_a_query_beyond_the_model_is_read_in_windows_unless_cutting_was_asked_for(
    mode: str, passes: int
) -> None:
    options = LongDocumentOptions(LongDocuments(mode))
    assert len(query_passes(text_of(13), 0, options=options, limit=10)) == passes
