"""Sparse search finds exactly what brute force finds, whichever way it takes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.embeddings import SparseVectors
from tercet.indexes.local.columns import impacts, sparse_rows
from tercet.indexes.local.columns.shortlists import Shortlist, at_most_kth, joined
from tercet.indexes.local.columns.sparse import SparseColumn
from tercet.indexes.local.files.segments import Column, open_segment, write_segment
from tercet.scoring.sparse import lexical_match

Open = Callable[[dict[str, Column], int], SparseColumn]


def open_column(path: Path, columns: dict[str, Column], rows: int) -> SparseColumn:
    write_segment(path, columns, rows=rows)
    return SparseColumn(open_segment(path, rows=rows))


def corpus(rows: int, terms: int, seed: int, *, length: int = 12) -> SparseVectors:
    """Some terms stand in most rows, most in few."""
    rng = np.random.default_rng(seed)
    chances = 1.0 / (1 + np.arange(terms))
    return SparseVectors.from_dicts(
        [
            {
                int(term): float(weight)
                for term, weight in zip(
                    rng.choice(terms, min(length, terms), replace=False, p=chances / chances.sum()),
                    np.round(rng.gamma(1.5, 0.5, length), 1),
                    strict=False,
                )
            }
            for _ in range(rows)
        ]
    )


def assert_finds_the_best(
    column: SparseColumn,
    rows: SparseVectors,
    query: SparseVectors,
    *,
    depth: int,
    allowed: np.ndarray | None = None,
) -> None:
    truth = lexical_match(query, rows)
    if allowed is not None:
        truth = np.where(allowed, truth, 0)
    found = SparseColumn.best([(column, allowed)], query, depth)[0][0]
    assert len(set(found.rows.tolist())) == len(found.rows)
    np.testing.assert_array_equal(found.scores, truth[found.rows])
    positive = np.sort(truth[truth > 0])[::-1]
    least = positive[min(depth, len(positive)) - 1] if len(positive) else np.inf
    assert set(found.rows) == set(np.flatnonzero(truth >= least * (1 - 1e-6)))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 400),
    terms=st.integers(1, 300),
    depth=st.integers(1, 30),
    share=st.sampled_from([1.0, 0.5, 0.05]),
    seed=st.integers(0, 1000),
)
def test_the_best_rows_are_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    rows: int,
    terms: int,
    depth: int,
    share: float,
    seed: int,
) -> None:
    held = corpus(rows, terms, seed)
    path = tmp_path_factory.mktemp("sparse") / "s"
    column = open_column(path, SparseColumn.store(held), rows)
    allowed = None if share == 1 else np.random.default_rng(seed).random(rows) < share
    queries = corpus(3, terms + 5, seed + 1, length=8)
    for n in range(3):
        query = queries.take(np.asarray([n]))
        assert_finds_the_best(column, held, query, depth=depth, allowed=allowed)


def test_rows_with_rare_terms_are_found_without_a_pass_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [{0: float(rng.integers(1, 9)) / 10} for _ in range(3000)]
    for n in range(60):
        rows[n * 7][1 + n % 3] = 5.0 + n % 10
    held = SparseVectors.from_dicts(rows)
    column = open_column(tmp_path / "s", SparseColumn.store(held), len(rows))
    query = SparseVectors.from_dicts([{0: 0.5, 1: 1.0, 2: 1.0, 3: 1.0}])

    def never(*_: object) -> None:
        raise AssertionError("a pass over all rows")

    monkeypatch.setattr(impacts.ImpactLists, "_add_columns", never)
    assert_finds_the_best(column, held, query, depth=10)


def test_zero_weights_and_unknown_terms_bring_nothing(tmp_path: Path) -> None:
    held = SparseVectors.from_dicts([{1: 0.0, 2: 1.0}, {}, {1: 0.0}])
    column = open_column(tmp_path / "s", SparseColumn.store(held), 3)
    for terms, expected in [({1: 1.0}, []), ({9: 1.0}, []), ({2: 0.0}, []), ({1: 1, 2: 1}, [0])]:
        query = SparseVectors.from_dicts([terms])
        found = SparseColumn.best([(column, None)], query, 5)[0][0]
        assert found.rows.tolist() == expected
    assert column.decode(np.arange(3)).to_dicts() == [{1: 0.0, 2: 1.0}, {}, {1: 0.0}]


def test_a_segment_without_any_term_is_searched(tmp_path: Path) -> None:
    held = SparseVectors.from_dicts([{}, {}])
    column = open_column(tmp_path / "s", SparseColumn.store(held), 2)
    query = SparseVectors.from_dicts([{1: 1.0}])
    assert SparseColumn.best([(column, None)], query, 5)[0][0].rows.tolist() == []
    assert column.score(query, np.asarray([0, 1])).tolist() == [[0.0, 0.0]]


def test_a_merge_in_blocks_equals_a_store_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_rows, "BLOCK_ROWS", 7)
    first, second = corpus(40, 60, 1), corpus(30, 90, 2)
    columns = [
        open_column(tmp_path / str(n), SparseColumn.store(part), len(part))
        for n, part in enumerate((first, second))
    ]
    kept = [np.arange(0, 40, 2), np.arange(30)]
    merged = SparseColumn.merge(list(zip(columns, kept, strict=True)))
    held = SparseVectors.from_dicts(
        [*first.take(kept[0]).to_dicts(), *second.take(kept[1]).to_dicts()]
    )
    column = open_column(tmp_path / "merged", merged, 50)
    assert column.decode(np.arange(50)).to_dicts() == held.to_dicts()
    for n in range(5):
        assert_finds_the_best(column, held, corpus(1, 90, n), depth=5)


def test_many_terms_are_named_by_four_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_rows, "SHORT_ORDINALS", 10)
    held = corpus(50, 40, 0)
    column = open_column(tmp_path / "s", SparseColumn.store(held), 50)
    assert column.decode(np.arange(50)).to_dicts() == held.to_dicts()
    assert_finds_the_best(column, held, corpus(1, 40, 3), depth=5)


@given(values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=400), k=st.integers(1, 20))
def test_the_cheap_bound_is_never_above_the_kth(values: list[float], k: int) -> None:
    k = min(k, len(values))
    assert at_most_kth(np.asarray(values, np.float32), k) <= sorted(values)[-k]


def test_shortlists_of_parts_are_joined_and_ties_kept() -> None:
    def part(rows: list[int], scores: list[float]) -> Shortlist:
        return Shortlist(np.asarray(rows), np.asarray(scores, np.float32))

    both = joined([part([0, 4], [3.0, 1.0]), part([9, 7], [1.0, 0.5])], 2)
    assert sorted(both.rows.tolist()) == [0, 4, 9]
    assert len(joined([], 3).rows) == 0
