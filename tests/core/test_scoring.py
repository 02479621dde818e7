import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.embeddings import MultiVectors, SparseVectors
from tercet.scoring import dense, multi_vector, threads
from tercet.scoring.dense import inner_product, inner_product_stored
from tercet.scoring.mmr import maximal_marginal_relevance
from tercet.scoring.multi_vector import Comparison, maxsim
from tercet.scoring.products import products
from tercet.scoring.sparse import lexical_match


def multi(*texts: Any) -> MultiVectors:
    return MultiVectors(
        np.asarray([row for text in texts for row in text], dtype=np.float32),
        np.cumsum([0, *map(len, texts)]),
    )


def random_multi(rng: Any, lengths: list[int], dim: int) -> MultiVectors:
    return MultiVectors(
        rng.standard_normal((sum(lengths), dim), dtype=np.float32), np.cumsum([0, *lengths])
    )


def brute_maxsim(query: Any, documents: Any) -> np.ndarray:
    return np.asarray([(query @ documents[n].T).max(axis=1).sum() for n in range(len(documents))])


def test_the_inner_product_of_unit_vectors_is_their_cosine() -> None:
    queries = np.asarray([[1, 0], [0.6, 0.8]], dtype=np.float32)
    documents = np.asarray([[0, 1], [0.6, 0.8], [1, 0]], dtype=np.float32)
    expected = [[0, 0.6, 1], [0.8, 1, 0.6]]
    np.testing.assert_allclose(inner_product(queries, documents), expected, rtol=1e-6)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize(("queries", "count", "dim"), [(1, 9_000, 24), (40, 5_000, 16), (3, 2, 4)])
def test_the_inner_product_is_the_same_in_pieces_with_kernels_or_without(
    queries: int, count: int, dim: int, *, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels:
        monkeypatch.setattr(dense, "can_read", lambda numbers: numbers is None)
    rng = np.random.default_rng(0)
    left = rng.standard_normal((queries, dim), dtype=np.float32)
    right = rng.standard_normal((count, dim), dtype=np.float32)
    np.testing.assert_allclose(inner_product(left, right), left @ right.T, atol=1e-5)
    bytes_, scales = np.rint(right * 30).astype(np.int8), rng.random(count, dtype=np.float32)
    rows = rng.permutation(count)[:4500]
    found = inner_product_stored(left, bytes_, scales, rows)
    expected = left @ (bytes_[rows] * scales[rows, None]).T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_nothing_scores_as_nothing() -> None:
    empty = np.empty((0, 4), dtype=np.float32)
    some = np.ones((2, 4), dtype=np.float32)
    assert inner_product(empty, some).shape == (0, 2)
    assert inner_product(some, empty).shape == (2, 0)


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 dimensions, documents 2"):
        inner_product(np.ones((1, 3), np.float32), np.ones((1, 2), np.float32))


def test_lexical_match_sums_over_shared_terms() -> None:
    query = SparseVectors.from_dicts([{1: 2.0, 5: 1.0, 9: 4.0}])
    documents = SparseVectors.from_dicts([{1: 3.0, 9: 0.5}, {}, {5: 0.25, 7: 9.0}, {2: 1.0}])
    assert lexical_match(query, documents).tolist() == [8.0, 0.0, 0.25, 0.0]


def test_a_query_without_terms_matches_nothing() -> None:
    documents = SparseVectors.from_dicts([{1: 3.0}, {2: 1.0}])
    assert lexical_match(SparseVectors.from_dicts([{}]), documents).tolist() == [0, 0]


def test_lexical_match_takes_one_query() -> None:
    two = SparseVectors.from_dicts([{1: 1.0}, {2: 1.0}])
    with pytest.raises(ValueError, match="one query a call, not 2"):
        lexical_match(two, two)


def test_maxsim_adds_the_best_similarity_of_each_query_token() -> None:
    query = np.asarray([[1, 0], [0, 1]], dtype=np.float32)
    documents = multi([[1, 0]], [[0.6, 0.8], [0.8, 0.6]], [[-1, 0], [0, -1]])
    np.testing.assert_allclose(maxsim(query, documents), [1.0, 1.6, 0.0], atol=1e-6)
    np.testing.assert_allclose(
        maxsim(query, documents, reduction="mean"), [0.5, 0.8, 0.0], atol=1e-6
    )


def test_a_score_does_not_depend_on_the_batch() -> None:
    query = np.asarray([[1, 0]], dtype=np.float32)
    short, long = [[-0.2, 0.98]], [[-0.1, 0.99], [-0.3, 0.95]]
    alone = maxsim(query, multi(short))
    together = maxsim(query, multi(short, long))
    assert together[0] == pytest.approx(alone[0])


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    query_tokens=st.integers(1, 70),
    dim=st.integers(1, 9),
)
def test_maxsim_equals_its_definition(lengths: list[int], query_tokens: int, dim: int) -> None:
    rng = np.random.default_rng(len(lengths) * query_tokens)
    query = rng.standard_normal((query_tokens, dim), dtype=np.float32)
    documents = random_multi(rng, lengths, dim)
    np.testing.assert_allclose(
        maxsim(query, documents), brute_maxsim(query, documents), rtol=1e-4, atol=1e-4
    )


@pytest.fixture(params=["kernels", "numpy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(multi_vector, "can_read", lambda numbers: numbers is None)


@pytest.mark.usefixtures("way")
def test_blocks_and_giant_documents_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_vector, "LEAST_TOKENS", 8)
    monkeypatch.setattr(multi_vector, "DECODED_BYTES", 1)
    rng = np.random.default_rng(1)
    queries = random_multi(rng, [5, 1], 4)
    documents = random_multi(rng, [3, 3, 3, 50, 1, 8, 9, 2], 4)
    vectors, offsets = documents.vectors, documents.offsets
    expected = [brute_maxsim(queries[n], documents) for n in range(2)]
    loaded = Comparison(queries).loaded(lambda start, stop: vectors[start:stop], offsets)
    np.testing.assert_allclose(loaded, expected, rtol=1e-5, atol=1e-6)
    stored = Comparison(queries).stored(vectors, None, offsets[:-1], offsets[1:])
    np.testing.assert_allclose(stored, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("way")
def test_a_document_without_tokens_comes_last() -> None:
    ones, ends = np.ones((2, 3), np.float32), np.asarray([0, 0, 1, 2, 2])
    found = Comparison(multi(ones)).stored(ones, None, ends[:-1], ends[1:])
    assert found.tolist() == [[-np.inf, 6, 6, -np.inf]]


def test_maxsim_refuses_a_query_of_another_shape() -> None:
    documents = multi([[1, 0]])
    for query in (np.ones((2, 3)), np.ones(2), np.empty((0, 2))):
        with pytest.raises(ValueError, match=r"are \[Q, 2\]"):
            maxsim(query.astype(np.float32), documents)


def test_diversity_prefers_what_differs() -> None:
    relevance = np.asarray([0.9, 0.89, 0.5])
    similarity = np.asarray([[1, 0.99, 0.1], [0.99, 1, 0.1], [0.1, 0.1, 1]])
    assert maximal_marginal_relevance(relevance, similarity, k=2).tolist() == [0, 2]
    assert maximal_marginal_relevance(relevance, similarity, k=9, diversity=0).tolist() == [0, 1, 2]
    assert maximal_marginal_relevance(relevance, similarity, k=3, diversity=1).tolist() == [0, 2, 1]


def test_mmr_of_negative_similarities_counts_the_closest() -> None:
    relevance = np.asarray([1.0, 0.5, 0.5])
    similarity = np.asarray([[1, -0.1, -0.9], [-0.1, 1, 0], [-0.9, 0, 1]])
    assert maximal_marginal_relevance(relevance, similarity, k=2).tolist() == [0, 2]


def test_mmr_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        maximal_marginal_relevance(np.ones(1), np.ones((1, 1)), k=1, diversity=1.5)
    with pytest.raises(ValueError, match=r"shape \(1, 1\), not \(2, 2\)"):
        maximal_marginal_relevance(np.ones(2), np.ones((1, 1)), k=1)


@pytest.mark.parametrize("dim", [16, 512])
def test_a_read_only_array_gives_the_same_products(dim: int) -> None:
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((3, dim), dtype=np.float32)
    documents = rng.standard_normal((50, dim), dtype=np.float32)
    writable = products(queries, documents)
    documents.flags.writeable = False
    np.testing.assert_allclose(products(queries, documents), writable, rtol=1e-4, atol=1e-5)
    assert writable.flags.c_contiguous


@pytest.mark.parametrize("dim", [16, 512])
def test_the_products_do_not_need_torch(monkeypatch: pytest.MonkeyPatch, dim: int) -> None:
    import torch

    assert "torch" in sys.modules, torch.__version__
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((3, dim), dtype=np.float32)
    documents = rng.standard_normal((50, dim), dtype=np.float32)
    with_torch = products(queries, documents)
    monkeypatch.delitem(sys.modules, "torch")
    np.testing.assert_allclose(products(queries, documents), with_torch, rtol=1e-4, atol=1e-5)


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for cached in (threads.thread_count, threads._pool):
        cached.cache_clear()
    yield
    threads._pool().shutdown()
    for cached in (threads.thread_count, threads._pool):
        cached.cache_clear()


def test_work_is_spread_over_as_many_threads_as_asked(three_threads: None) -> None:
    meet = threading.Barrier(3, timeout=10)
    done = []

    def work(piece: int) -> None:
        if piece < 3:
            meet.wait()
        done.append(piece)

    threads.in_parallel(work, range(7))
    assert sorted(done) == list(range(7))


def test_an_error_in_a_thread_is_raised(three_threads: None) -> None:
    def work(piece: int) -> None:
        if piece == 4:
            raise ArithmeticError("piece 4")

    with pytest.raises(ArithmeticError, match="piece 4"):
        threads.in_parallel(work, range(6))


def test_an_interrupt_ends_when_no_thread_is_at_work_any_more(three_threads: None) -> None:
    begun, done = threading.Barrier(3, timeout=10), []

    def work(piece: int) -> None:
        if piece < 3:
            begun.wait()
        if piece == 0:
            raise KeyboardInterrupt
        time.sleep(0.01)
        done.append(piece)

    with pytest.raises(KeyboardInterrupt):
        threads.in_parallel(work, range(1000))
    at_once = len(done)
    time.sleep(0.05)
    assert 2 <= at_once == len(done) < 600  # of two thirds


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_has_threads_of_its_own(three_threads: None) -> None:
    threads.in_parallel(lambda _: None, range(6))
    child = os.fork()
    if child == 0:
        threads.in_parallel(lambda _: None, range(6))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_macos_which_names_no_processors_of_a_process_has_threads_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads.sys, "platform", "darwin")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 5)
    assert threads.thread_count.__wrapped__() == 5


@pytest.mark.parametrize("count", ["1", "3"])
def test_a_scan_scores_the_same_on_one_thread_and_on_many(
    monkeypatch: pytest.MonkeyPatch, three_threads: None, count: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", count)
    threads.thread_count.cache_clear()
    rng = np.random.default_rng(2)
    queries = random_multi(rng, [3, 70, 1], 5)
    documents = random_multi(rng, [200, 3, 900, 40, 5000, 1], 5)
    vectors, offsets = documents.vectors, documents.offsets
    compared = multi_vector.Comparison(queries)
    expected = [brute_maxsim(queries[n], documents) for n in range(3)]
    for scores in (
        compared.loaded(lambda start, stop: vectors[start:stop], offsets),
        compared.stored(vectors, None, offsets[:-1], offsets[1:]),
    ):
        np.testing.assert_allclose(scores, expected, rtol=1e-4)
