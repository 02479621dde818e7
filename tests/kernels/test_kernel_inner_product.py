"""Compiled inner products: right for each kind of processor and number, always the same bits."""

from typing import Any

import numpy as np
import pytest
from kernel_cases import stored

from tercet.kernels import compiling, inner_product
from tercet.kernels.compiling import ARM, AVX2, AVX512, Machine
from tercet.kernels.inner_product import multiply
from tercet.kernels.stored import can_read

KINDS = pytest.mark.parametrize("kind", ["float32", "float16", "int8"])


def some_queries(count: int, dim: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, dim), dtype=np.float32)


def multiplied(queries: np.ndarray, numbers: Any, scales: Any, rows: Any) -> np.ndarray:
    out = np.full((len(queries), len(rows)), np.nan, dtype=np.float32)
    multiply(queries, numbers, scales, rows, out=out)
    return out


@pytest.fixture(params=[AVX512, AVX2, ARM], ids=["16 lanes", "8 lanes", "4 lanes"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    here: Machine = request.param
    monkeypatch.setattr(inner_product, "machine", lambda: here)
    return here


@pytest.mark.usefixtures("machine")
@KINDS
@pytest.mark.parametrize("dim", [1, 7, 64, 130])
def test_products_are_sums_over_dimensions(kind: str, dim: int) -> None:
    numbers, scales, vectors = stored(kind, 21, dim)
    for count in (1, 2, 5, 8):
        queries = some_queries(count, dim)
        expected = queries.astype(np.float64) @ vectors.astype(np.float64).T
        found = multiplied(queries, numbers, scales, np.arange(21))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6 * dim)


@pytest.mark.usefixtures("machine")
@KINDS
def test_a_product_of_two_has_the_same_bits_whatever_stands_beside_them(kind: str) -> None:
    numbers, scales, _ = stored(kind, 19, 37)
    queries = some_queries(7, 37)
    together = multiplied(queries, numbers, scales, np.arange(19))
    alone = [
        multiplied(queries[[query]], numbers, scales, np.asarray([row]))[0, 0]
        for query in range(7)
        for row in range(19)
    ]
    np.testing.assert_array_equal(together.reshape(-1), alone)


def test_rows_are_taken_in_any_order_from_memory_that_may_not_be_written() -> None:
    numbers, scales, vectors = stored("int8", 12, 16)
    numbers.flags.writeable = scales.flags.writeable = False
    queries, rows = some_queries(3, 16), np.asarray([7, 0, 11, 7])
    expected = queries @ vectors[rows].T
    np.testing.assert_allclose(multiplied(queries, numbers, scales, rows), expected, rtol=1e-4)
    assert multiplied(queries, numbers, scales, rows[:0]).shape == (3, 0)


def test_products_go_where_they_are_wanted_among_others() -> None:
    vectors = stored("float32", 9, 5)[2]
    queries, out = some_queries(2, 5), np.zeros((2, 20), dtype=np.float32)
    wide = np.hstack([vectors, vectors])[:, :5]  # rows that do not lie side by side
    multiply(queries, wide, None, np.arange(9), out=out[:, 4:13])
    np.testing.assert_allclose(out[:, 4:13], queries @ vectors.T, rtol=1e-5, atol=1e-5)
    assert not out[:, :4].any()
    assert not out[:, 13:].any()


def test_numbers_that_lie_otherwise_are_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = np.ones((4, 6), dtype=np.float32)
    assert can_read(plain) == (compiling.machine() is not None)
    assert not can_read(plain.T)
    assert not can_read(plain[::-1])
    packed = np.zeros(4, dtype=[("row", np.float32, 6), ("mark", np.int8)])
    assert not can_read(packed["row"])
    assert not can_read(plain.astype(np.float64))
    monkeypatch.setattr(inner_product, "machine", lambda: None)
    with pytest.raises(RuntimeError, match="kernels are off"):
        multiplied(plain, plain, None, np.arange(4))


def test_rows_that_there_are_not_are_refused() -> None:
    plain = np.ones((4, 6), dtype=np.float32)
    for row in (-1, 4):
        with pytest.raises(ValueError, match="beyond the 4 that there are"):
            multiplied(plain, plain, None, np.asarray([0, row]))


def test_numbers_and_scales_that_do_not_fit_are_refused() -> None:
    numbers = np.ones((4, 6), dtype=np.int8)
    with pytest.raises(ValueError, match="queries have 8 dimensions, not 6"):
        multiplied(some_queries(1, 8), numbers, None, np.arange(4))
    with pytest.raises(ValueError, match="4 rows, but 2 scales"):
        multiplied(some_queries(1, 6), numbers, np.ones(2, np.float32), np.arange(4))
