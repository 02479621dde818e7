"""The nearest columns: those of the definition, for each kind of processor."""

import numpy as np
import pytest

from tercet.kernels import compiling, nearest
from tercet.kernels.compiling import ARM, AVX2, AVX512, VNNI, Machine
from tercet.kernels.nearest import Nearest, can_find_nearest

HERE = compiling.machine()
MACHINES = [AVX512, AVX2, ARM, *([HERE] if HERE is not None and HERE.bytes else [])]


def vectors(count: int, dim: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, dim), dtype=np.float32)


@pytest.fixture(params=MACHINES, ids=str)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    here: Machine = request.param
    monkeypatch.setattr(nearest, "machine", lambda: here)
    return here


@pytest.mark.parametrize("dim", [1, 7, 16, 48])
@pytest.mark.parametrize("columns", [1, 3, 40, 150])
def test_the_nearest_are_those_of_the_definition(machine: Machine, columns: int, dim: int) -> None:
    held = vectors(columns, dim)
    search = Nearest(held)
    tolerance = 6e-2 * dim**0.5 if machine.bytes and dim % 16 == 0 else 1e-5
    for queries, count in ((1, 1), (4, 2), (5, 33), (13, 60)):
        asked = vectors(1000 + queries, dim)
        which, products = search.of(asked, min(count, columns))
        every = asked @ held.T
        expected = -np.sort(-every, axis=1)[:, : min(count, columns)]
        assert (np.diff(products, axis=1) <= 0).all()
        np.testing.assert_allclose(products, expected, rtol=1e-5, atol=tolerance)
        own = np.take_along_axis(every, which.astype(np.int64), axis=1)
        np.testing.assert_allclose(products, own, rtol=1e-5, atol=tolerance)
        assert all(len(set(row)) == len(row) for row in which.tolist())


@pytest.mark.usefixtures("machine")
def test_of_equal_columns_the_first_comes_first() -> None:
    held = np.ones((70, 16), dtype=np.float32)
    which, products = Nearest(held).of(np.ones((2, 16), dtype=np.float32), 40)
    assert which.tolist() == [list(range(40))] * 2
    np.testing.assert_allclose(products, 16, rtol=1e-6)


@pytest.mark.usefixtures("machine")
def test_zeros_and_numbers_of_any_size_have_nearest_columns() -> None:
    held = np.zeros((40, 16), dtype=np.float32)
    held[7], held[30] = 1e30, -1e30
    which, products = Nearest(held).of(np.ones((1, 16), dtype=np.float32), 40)
    assert which[0, 0] == 7
    assert which[0, -1] == 30
    np.testing.assert_allclose(products[0, [0, -1]], [1.6e31, -1.6e31], rtol=1e-5)
    assert not products[0, 1:-1].any()
    assert not Nearest(held).of(np.zeros((1, 16), dtype=np.float32), 40)[1].any()


@pytest.mark.usefixtures("machine")
def test_what_is_no_number_is_near_nothing() -> None:
    held = vectors(50, 16)
    which, _ = Nearest(held).of(np.full((1, 16), np.nan, dtype=np.float32), 5)
    assert ((which >= 0) & (which < 50)).all()


def test_queries_lie_anywhere() -> None:
    held, asked = vectors(60, 32), vectors(9, 64)[:, ::2]
    which, products = Nearest(held).of(asked, 4)
    again = Nearest(held).of(np.ascontiguousarray(asked), 4)
    np.testing.assert_array_equal(which, again[0])
    np.testing.assert_array_equal(products, again[1])
    assert Nearest(held).of(asked[:0], 4)[0].shape == (0, 4)


def test_floats_of_many_dimensions_are_left_to_a_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    for here, found in ((AVX2, [128]), (VNNI, [128, 1024]), (None, [])):
        monkeypatch.setattr(nearest, "machine", lambda here=here: here)
        assert [dim for dim in (128, 1000, 1024) if can_find_nearest(dim)] == found


def test_what_cannot_be_looked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Nearest(vectors(6, 8))
    for count, dim in ((0, 8), (7, 8), (3, 4)):
        with pytest.raises(ValueError, match=f"{count} of 6 columns with 8 dimensions"):
            search.of(vectors(1, dim), count)
    monkeypatch.setattr(nearest, "machine", lambda: None)
    with pytest.raises(RuntimeError, match="kernels are off"):
        Nearest(vectors(6, 8))
