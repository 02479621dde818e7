"""Compiled late interaction: as its definition says, for each kind of processor and of numbers."""

from typing import Any

import numpy as np
import pytest
from kernel_cases import stored

from tercet.kernels import compiling, late_interaction
from tercet.kernels.compiling import ARM, AVX2, AVX512, VNNI, Machine
from tercet.kernels.late_interaction import best_products
from tercet.kernels.stored import can_read

HERE = compiling.machine()
MACHINES = [AVX512, AVX2, ARM, *([HERE] if HERE is not None and HERE.bytes else [])]
QUERIES, LENGTHS = [1, 5, 17, 33, 70], [1, 12, 0, 3, 40, 7, 13]


def definition(queries: np.ndarray, vectors: np.ndarray, starts: Any, stops: Any) -> np.ndarray:
    wide = queries.astype(np.float64), vectors.astype(np.float64)
    found = [
        (wide[0] @ wide[1][a:b].T).max(axis=1, initial=-np.inf)
        for a, b in zip(starts, stops, strict=True)
    ]
    return np.asarray(found)


@pytest.fixture(params=MACHINES, ids=str)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    here: Machine = request.param
    monkeypatch.setattr(late_interaction, "machine", lambda: here)
    return here


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
@pytest.mark.parametrize("dim", [1, 7, 64, 130])
def test_best_products_are_those_of_the_definition(machine: Machine, kind: str, dim: int) -> None:
    ends = np.cumsum([0, *LENGTHS])
    numbers, scales, vectors = stored(kind, int(ends[-1]), dim)
    in_digits = machine.bytes and kind == "int8" and dim % 4 == 0
    tolerance = 3e-4 * dim**0.5 if in_digits else 3e-6 * dim
    for count in QUERIES:
        queries = np.random.default_rng(count).standard_normal((count, dim), dtype=np.float32)
        found = best_products(queries)(numbers, scales, ends[:-1], ends[1:])
        expected = definition(queries, vectors, ends[:-1], ends[1:])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=tolerance)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_a_product_has_the_same_bits_whatever_stands_beside_it(kind: str) -> None:
    numbers, scales, _ = stored(kind, 50, 33)
    queries = np.random.default_rng(1).standard_normal((40, 33), dtype=np.float32)
    ones = np.arange(50)
    alone = best_products(queries)(numbers, scales, ones, ones + 1)
    for query in (0, 39):
        single = best_products(queries[query : query + 1])(numbers, scales, ones, ones + 1)
        np.testing.assert_array_equal(single[:, 0], alone[:, query])
    for start, stop in ((0, 50), (3, 29), (49, 50)):
        where = np.asarray([start]), np.asarray([stop])
        together = best_products(queries)(numbers, scales, *where)
        np.testing.assert_array_equal(together[0], alone[start:stop].max(axis=0))


def test_documents_are_taken_in_any_order_from_memory_that_may_not_be_written() -> None:
    numbers, scales, vectors = stored("int8", 60, 16)
    numbers.flags.writeable = scales.flags.writeable = False
    queries = np.random.default_rng(1).standard_normal((3, 16), dtype=np.float32)
    starts, stops = np.asarray([40, 5, 5]), np.asarray([60, 9, 30])
    found = best_products(queries)(numbers, scales, starts, stops)
    expected = definition(queries, vectors, starts, stops)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert best_products(queries)(numbers, scales, starts[:0], stops[:0]).shape == (0, 3)


def test_rows_may_lie_apart_and_columns_may_not() -> None:
    wide = np.random.default_rng(0).standard_normal((9, 24), dtype=np.float32)
    ends = np.asarray([0]), np.asarray([9])
    queries = wide[:2, :8].copy()
    assert can_read(wide[:, 4:12])
    found = best_products(queries)(wide[:, 4:12], None, *ends)
    np.testing.assert_allclose(
        found, definition(queries, wide[:, 4:12], *ends), rtol=1e-5, atol=1e-5
    )
    assert not can_read(wide[:, ::2])
    assert not can_read(wide.astype(np.float64))


def test_digits_of_unit_vectors_lose_less_than_the_scores_show(machine: Machine) -> None:
    numbers, scales, vectors = stored("int8", 400, 128)
    lengths = np.linalg.norm(vectors, axis=1)
    queries = vectors[:32] / lengths[:32, None]
    ends = np.arange(0, 401, 20)
    found = best_products(queries)(numbers, scales / lengths, ends[:-1], ends[1:])
    expected = definition(queries, vectors / lengths[:, None], ends[:-1], ends[1:])
    np.testing.assert_allclose(found, expected, atol=5e-6 if machine.bytes else 1e-6)


def test_the_longest_tokens_of_the_largest_numbers_do_not_overflow(machine: Machine) -> None:
    del machine
    numbers = np.full((2, 1024), 127, dtype=np.int8)
    numbers[1] *= -1
    queries = np.asarray([[0.99609375], [-1.0], [0.0]], dtype=np.float32).repeat(1024, axis=1)
    ones = np.arange(2)
    found = best_products(queries)(numbers, np.full(2, 1 / 127, np.float32), ones, ones + 1)
    whole = 1024 * np.asarray([0.99609375, -1.0, 0.0])
    np.testing.assert_allclose(found, [whole, -whole], rtol=1e-5)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 10)])
def test_tokens_that_are_not_there_are_refused(start: int, stop: int) -> None:
    numbers = np.ones((9, 4), np.float32)
    with pytest.raises(ValueError, match="beyond the 9 tokens"):
        best_products(numbers[:1])(numbers, None, np.asarray([start]), np.asarray([stop]))


def test_kernels_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.ones((9, 4), np.float32)
    try:
        for off in ("off", "0"):
            monkeypatch.setenv(compiling.SWITCH, off)
            compiling.machine.cache_clear()
            assert not can_read(numbers)
            with pytest.raises(RuntimeError, match="kernels are off"):
                best_products(numbers)
    finally:
        monkeypatch.undo()
        compiling.machine.cache_clear()


@pytest.mark.parametrize(
    ("processor", "features", "expected"),
    [
        ("x86_64", {"avx512f"}, AVX512),
        ("x86_64", {"avx512f", "avx512vnni"}, VNNI),
        ("AMD64", {"avx2", "fma", "f16c"}, AVX2),
        ("x86_64", {"avx2"}, None),
        ("arm64", set(), ARM),
    ],
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, processor: str, features: set[str], expected: Machine | None
) -> None:
    host = dict.fromkeys(features, True)
    monkeypatch.setattr(compiling.platform, "machine", lambda: processor)
    monkeypatch.setattr(compiling.llvm, "get_host_cpu_features", lambda: host)
    compiling.machine.cache_clear()
    try:
        assert compiling.machine() == expected
    finally:
        monkeypatch.undo()
        compiling.machine.cache_clear()


@pytest.mark.usefixtures("machine")
def test_tokens_may_have_more_dimensions_than_a_stack_has_room_for() -> None:
    numbers = np.ones((3, 100_000), dtype=np.float16)
    queries = np.full((1, 100_000), 0.5, dtype=np.float32)
    found = best_products(queries)(numbers, None, np.asarray([0]), np.asarray([3]))
    assert found.tolist() == [[50_000]]


def test_numbers_and_scales_that_do_not_fit_are_refused() -> None:
    numbers, ends = np.ones((9, 4), np.int8), (np.asarray([0]), np.asarray([9]))
    with pytest.raises(ValueError, match="queries have 8 dimensions, not 4"):
        best_products(np.ones((1, 8), np.float32))(numbers, None, *ends)
    with pytest.raises(ValueError, match="9 tokens, but 2 scales"):
        best_products(np.ones((1, 4), np.float32))(numbers, np.ones(2, np.float32), *ends)


def test_a_query_token_of_hardly_any_length_is_compared_without_a_warning() -> None:
    numbers, scales, _ = stored("int8", 3, 8)
    queries = np.full((1, 8), 1e-45, dtype=np.float32)
    found = best_products(queries)(numbers, scales, np.asarray([0, 3]), np.asarray([3, 3]))
    np.testing.assert_allclose(found, [[0], [-np.inf]], atol=1e-40)
