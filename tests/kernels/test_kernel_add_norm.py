"""Compiled sums that are normalised: as their definition says, for each kind of processor."""

from typing import Any

import numpy as np
import pytest

from tercet.kernels import add_norm
from tercet.kernels.add_norm import AddNorm, can_normalise
from tercet.kernels.compiling import ARM, AVX2, AVX512, Machine
from tercet.kernels.layer import Matrix

EPSILON = 1e-5


@pytest.fixture(params=[ARM, AVX2, AVX512], ids=["arm", "avx2", "avx512"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if add_norm.machine() is None:
        pytest.skip("kernels are off here")
    found: Machine = request.param
    monkeypatch.setattr(add_norm, "machine", lambda: found)
    return found


def matrix(array: np.ndarray, **changes: Any) -> Matrix:
    rows, columns = array.shape
    made = Matrix(array.ctypes.data, rows, columns, array.strides[0] // 4, owner=array)
    return made._replace(**changes)


def drawn(rows: int, dims: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dims), dtype=np.float32) * 3 + 1


def normalised(a: np.ndarray, b: np.ndarray, factors: np.ndarray) -> np.ndarray:
    whole = a.astype(np.float64) + b
    distance = whole - whole.mean(axis=1, keepdims=True)
    variance = np.square(distance).mean(axis=1, keepdims=True)
    return distance / np.sqrt(variance + EPSILON) * factors[0] + factors[1]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("rows", "dims"), [(1, 16), (5, 48), (33, 1024), (0, 16)])
def test_rows_are_what_the_definition_says(rows: int, dims: int) -> None:
    wide, b, factors = drawn(rows, dims + 9), drawn(rows, dims, 1), drawn(2, dims, 2)
    a, out = wide[:, 3 : dims + 3], np.full((rows, dims), np.nan, dtype=np.float32)
    AddNorm(*factors, epsilon=EPSILON).run(matrix(a), matrix(b), matrix(out))
    np.testing.assert_allclose(out, normalised(a, b, factors), atol=1e-5)


@pytest.mark.usefixtures("machine")
def test_a_row_of_one_number_is_the_bias() -> None:
    same, factors, out = np.full((1, 16), 7, np.float32), drawn(2, 16), drawn(1, 16)
    AddNorm(*factors, epsilon=EPSILON).run(matrix(same), matrix(same), matrix(out))
    np.testing.assert_allclose(out[0], factors[1], atol=1e-6)


def test_rows_of_other_lengths_are_left_to_torch(machine: Machine) -> None:
    assert can_normalise(3 * machine.lanes)
    assert not can_normalise(machine.lanes + 1)
    assert not can_normalise(0)
    with pytest.raises(RuntimeError, match="no kernel normalises rows of 17"):
        AddNorm(*drawn(2, 17), epsilon=EPSILON)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("changes", [{"rows": 4}, {"columns": 32}, {"half": True}])
def test_matrices_of_another_shape_are_refused(changes: dict[str, Any]) -> None:
    norm, array = AddNorm(*drawn(2, 16), epsilon=EPSILON), drawn(5, 16)
    with pytest.raises(ValueError, match="rows of 16 float32 are added"):
        norm.run(matrix(array), matrix(array, **changes), matrix(array.copy()))


@pytest.mark.usefixtures("without_kernels")
def test_without_kernels_there_is_none() -> None:
    assert not can_normalise(16)
