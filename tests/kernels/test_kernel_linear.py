"""Compiled linear layers: right for each kind of processor and any sizes, always the same bits."""

from itertools import product
from math import erfc, sqrt

import numpy as np
import pytest

from tercet.kernels import compiling, linear
from tercet.kernels.compiling import AMX, ARM, AVX2, AVX512, Machine
from tercet.kernels.layer import Matrix, Share
from tercet.kernels.linear import Panels, can_multiply

SIZES = [(1, 1), (7, 5), (16, 32), (33, 70), (256, 64), (300, 31)]
"""Dimensions and columns: of few of them is anything a multiple."""


ROWS = 256
"""Most rows of a block."""

MACHINES = {"16 lanes": AVX512, "8 lanes": AVX2, "4 lanes": ARM}
if compiling.machine() == AMX:
    MACHINES["matrices"] = AMX


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    here = MACHINES[request.param]
    monkeypatch.setattr(linear, "machine", lambda: here)
    monkeypatch.setattr(linear, "ROWS_WORTH_MATRICES", 0)
    return here


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape, dtype=np.float32)


def matrix(rows: np.ndarray) -> Matrix:
    return Matrix(rows.ctypes.data, *rows.shape, stride=rows.strides[0] // rows.itemsize)


def projected(layer: Panels, x: np.ndarray, *, threads: int = 1) -> np.ndarray:
    out = np.full((len(x), layer.columns), np.nan, dtype=np.float32)
    for share in layer.shares(len(x), threads):
        layer.project(matrix(x), matrix(out), share)
    return out


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("dims", "columns"), SIZES)
def test_results_are_sums_of_products_and_a_bias(dims: int, columns: int) -> None:
    weight, bias = numbers(columns, dims), numbers(columns)
    layer, without = Panels(weight, bias), Panels(weight, None)
    for rows in range(1, 31):
        x = numbers(rows, dims)
        expected = x.astype(np.float64) @ weight.astype(np.float64).T
        np.testing.assert_allclose(projected(without, x), expected, rtol=1e-5, atol=2e-7 * dims)
        found = projected(layer, x, threads=3)
        np.testing.assert_allclose(found, expected + bias, rtol=1e-5, atol=3e-6 + 2e-7 * dims)


@pytest.mark.usefixtures("machine")
def test_gelu_is_x_times_the_share_of_the_normal_distribution_below_it() -> None:
    x = np.concatenate((np.linspace(-12, 12, 4801), [0.0, 1e-30, -1e-30, 1e30]))
    x = x.astype(np.float32)[:, None]
    found = projected(Panels(np.ones((1, 1), dtype=np.float32), None, gelu=True), x)[:, 0]
    expected = [value * erfc(-value / sqrt(2)) / 2 for value in x[:, 0].tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=4e-7)
    assert found[-4] == 0


@pytest.mark.usefixtures("machine")
def test_no_number_stays_no_number() -> None:
    x = np.asarray([[np.nan, 0], [1, 2]], dtype=np.float32)
    for gelu in (False, True):
        found = projected(Panels(np.ones((3, 2), dtype=np.float32), None, gelu=gelu), x)
        assert np.isnan(found).tolist() == [[True] * 3, [False] * 3]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("gelu", [False, True])
def test_a_row_has_the_same_bits_wherever_and_among_whatever_it_stands(*, gelu: bool) -> None:
    layer = Panels(numbers(45, 300), numbers(45), gelu=gelu)
    x = numbers(2 * ROWS + 33, 300)
    together = projected(layer, x)
    for rows, threads in product((1, 2, 11, 12, 13, 27, ROWS + 1), (1, 2, 5)):
        for start in (0, 1, 17):
            found = projected(layer, x[start : start + rows], threads=threads)
            np.testing.assert_array_equal(found, together[start : start + rows])


@pytest.mark.usefixtures("machine")
def test_the_bits_are_the_same_where_many_rows_take_long_ones_in_segments() -> None:
    layer, x = Panels(numbers(70, 2100), numbers(70), gelu=True), numbers(ROWS, 2100)
    together = projected(layer, x)
    for row in (0, 100, ROWS - 1):
        np.testing.assert_array_equal(projected(layer, x[row : row + 1])[0], together[row])


@pytest.mark.usefixtures("machine")
def test_results_are_as_near_to_the_exact_ones_as_sums_in_float32_are() -> None:
    random = np.random.default_rng(3)
    x = (numbers(64, 768) * np.exp(random.normal(0, 3, (64, 768)))).astype(np.float32)
    weight = (numbers(96, 768) * np.exp(random.normal(0, 3, (96, 768)))).astype(np.float32)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    sums = np.zeros((64, 96), dtype=np.float32)
    for left, right in zip(x.T, weight.T, strict=True):
        sums += np.outer(left, right)
    error = np.abs(projected(Panels(weight, None), x) - exact).mean()
    assert error <= 1.5 * np.abs(sums - exact).mean()


def test_few_rows_and_many_differ_by_rounding() -> None:
    layer, x = Panels(numbers(70, 200), numbers(70)), numbers(300, 200)
    together = projected(layer, x)
    for rows in (1, 30, 63, 64, 65, 97):
        found = projected(layer, x[:rows])
        np.testing.assert_allclose(found, together[:rows], rtol=2e-6, atol=2e-5)


@pytest.mark.usefixtures("machine")
def test_shares_of_threads_make_the_whole_once() -> None:
    layer = Panels(numbers(3000, 2), None)
    for rows, threads in product((0, 1, 95, 193, 1000), (1, 2, 7, 200)):
        done = np.zeros((rows, len(layer)), dtype=np.int64)
        shares = layer.shares(rows, threads)
        for share in shares:
            done[np.ix_(share.rows, share.panels)] += 1
        assert (done == 1).all()
        assert len(shares) <= threads


@pytest.mark.usefixtures("machine")
def test_rows_lie_among_others_in_what_is_read_and_written() -> None:
    x, layer = numbers(20, 40), Panels(numbers(9, 16), numbers(9))
    taken = x[::2, 3:19]
    taken.flags.writeable = False
    out = np.zeros((10, 30), dtype=np.float32)
    layer.project(matrix(taken), matrix(out[:, 5:14]), Share(range(2, 9), range(len(layer))))
    expected = projected(layer, np.ascontiguousarray(taken))
    np.testing.assert_array_equal(out[2:9, 5:14], expected[2:9])
    out[2:9, 5:14] = 0
    assert not out.any()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("x", "out", "share"),
    [
        ((4, 5), (4, 3), Share(range(4), range(1))),
        ((4, 6), (4, 2), Share(range(4), range(1))),
        ((4, 6), (3, 3), Share(range(3), range(1))),
        ((4, 6), (4, 3), Share(range(5), range(1))),
        ((4, 6), (4, 3), Share(range(4), range(2))),
    ],
    ids=["dimensions", "columns", "results", "rows", "panels"],
)
def test_shapes_that_do_not_fit_the_layer_are_refused(
    x: tuple[int, int], out: tuple[int, int], share: Share
) -> None:
    with pytest.raises(ValueError, match="from 6 to 3 numbers is asked for, and there are"):
        Panels(numbers(3, 6), None).project(matrix(numbers(*x)), matrix(numbers(*out)), share)


def test_without_kernels_there_are_no_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "machine", lambda: None)
    assert not can_multiply()
    with pytest.raises(RuntimeError, match="kernels are off"):
        Panels(numbers(3, 6), None)
