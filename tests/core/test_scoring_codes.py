"""Comparison with stored bytes: as with the floats that they stand for, wherever it is offered."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.embeddings import MultiVectors
from tercet.scoring import codes, threads
from tercet.scoring.codes import in_integers
from tercet.scoring.multi_vector import maxsim, maxsim_coded


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CPU whose products of bytes may round has them made by numpy."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads.thread_count.cache_clear()
    codes._units.cache_clear()
    if not codes._units(torch):
        monkeypatch.setattr(torch, "_int_mm", by_numpy)
    codes._units.cache_clear()
    yield
    threads.thread_count.cache_clear()
    codes._units.cache_clear()


def by_numpy(left: Any, right: Any, *, out: Any = None) -> Any:
    found = torch.from_numpy(left.numpy().astype(np.int32) @ right.numpy().astype(np.int32))
    return found if out is None else out.copy_(found)


def stored(vectors: np.ndarray) -> codes.Codes:
    scales = (np.abs(vectors).max(axis=1) / 127).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def compare(queries: MultiVectors, kept: codes.Codes, offsets: np.ndarray) -> np.ndarray:
    return maxsim_coded(queries, lambda a, b: (kept[0][a:b], kept[1][a:b]), offsets)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    asked=st.lists(st.integers(1, 70), min_size=1, max_size=3),
    dim=st.sampled_from([2, 7, 64, 130]),
)
def test_scores_are_those_of_the_floats(lengths: list[int], asked: list[int], dim: int) -> None:
    rng = np.random.default_rng(sum(lengths) * dim)
    kept = stored(rng.standard_normal((sum(lengths), dim), dtype=np.float32))
    for array in kept:
        array.flags.writeable = False  # as in a mapped file
    offsets = np.cumsum([0, *lengths])
    vectors = rng.standard_normal((sum(asked), dim), dtype=np.float32)
    queries = MultiVectors(vectors, np.cumsum([0, *asked]))
    documents = MultiVectors(kept[0] * kept[1][:, None], offsets)
    expected = [maxsim(queries[n], documents) for n in range(len(queries))]
    np.testing.assert_allclose(
        compare(queries, kept, offsets), expected, rtol=1e-4, atol=2e-4 * dim**0.5 * max(asked)
    )


def test_the_longest_vectors_of_largest_numbers_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], (1, codes.DIMENSIONS[-1])).astype(np.float32)
    queries = MultiVectors(np.concatenate((signs * 0.99609375, 0 * signs)), np.asarray([0, 1, 2]))
    found = compare(queries, stored(np.concatenate((signs, -signs))), np.asarray([0, 1, 2]))
    whole = codes.DIMENSIONS[-1] * 0.99609375
    np.testing.assert_allclose(found, [[whole, -whole], [0, 0]], rtol=1e-4)


def test_integers_are_left_where_they_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    assert in_integers(128)
    assert not in_integers(codes.DIMENSIONS[-1] + 1)
    assert not in_integers(1)
    monkeypatch.setattr(codes, "thread_count", lambda: 2)
    assert not in_integers(128)


@pytest.mark.parametrize("operator", [None, lambda left, _: torch.zeros(2, 2, dtype=torch.int32)])
def test_another_torch_or_units_that_round_are_not_used(
    monkeypatch: pytest.MonkeyPatch, operator: Any
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    if operator is None:
        monkeypatch.delattr(torch, "_int_mm")
    else:
        monkeypatch.setattr(torch, "_int_mm", operator)
    assert not in_integers(128)
    codes._units.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert not in_integers(128)
    codes._units.cache_clear()
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported")
    assert not in_integers(128)
