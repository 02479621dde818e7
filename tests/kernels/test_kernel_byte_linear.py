"""Layers of int8 weights on matrix units: as their definition says, always the same bits."""

from itertools import product
from math import erfc, sqrt

import numpy as np
import pytest

from tercet.kernels import byte_linear
from tercet.kernels.byte_linear import ROWS_AT_ONCE, BytePanels, can_multiply_bytes
from tercet.kernels.layer import Matrix

needs_units = pytest.mark.skipif(not can_multiply_bytes(64), reason="no matrix units here")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape, dtype=np.float32)


def weights(columns: int, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(columns * dims)
    whole = rng.integers(-127, 128, (columns, dims)).astype(np.int8)
    return whole, rng.random(columns, dtype=np.float32) / 127, numbers(columns)


def matrix(rows: np.ndarray) -> Matrix:
    stride = rows.strides[0] // rows.itemsize
    return Matrix(rows.ctypes.data, *rows.shape, stride=stride, half=rows.itemsize == 2)


def projected(layer: BytePanels, x: np.ndarray, *, threads: int = 1) -> np.ndarray:
    out = np.zeros((len(x), layer.columns), dtype=x.dtype)
    for share in layer.shares(len(x), threads):
        layer.project(matrix(x), matrix(out), share)
    return out


def definition(
    x: np.ndarray, whole: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, gelu: bool = False
) -> np.ndarray:
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    step = np.maximum((high - low) * np.float32(1 / 255), np.float32(1e-30))
    spread = np.rint((x - low) * (1 / step)).astype(np.float64) * step + low
    y = spread @ (whole.astype(np.float64) * scale[:, None]).T + bias
    return y * np.vectorize(erfc)(-y / sqrt(2)) / 2 if gelu else y


@needs_units
@pytest.mark.parametrize(("dims", "columns"), [(64, 1), (128, 33), (1024, 70), (4096, 32)])
@pytest.mark.parametrize("gelu", [False, True])
def test_results_are_those_of_rows_spread_over_bytes(dims: int, columns: int, gelu: bool) -> None:  # noqa: FBT001
    parts = weights(columns, dims)
    layer = BytePanels(*parts, gelu=gelu)
    for rows in (1, 16, 33):
        x = numbers(rows, dims) + 0.3
        expected = definition(x, *parts, gelu=gelu)
        # Where a number lies in the middle of two steps, either is right.
        np.testing.assert_allclose(projected(layer, x), expected, rtol=1e-5, atol=0.02)
        assert np.median(np.abs(projected(layer, x) - expected)) < 1e-4


@needs_units
def test_bfloat16_comes_in_and_goes_out() -> None:
    layer = BytePanels(*weights(70, 128))
    bits = (numbers(40, 128).view(np.uint32) >> 16).astype(np.uint16)
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    found = projected(layer, bits.view(np.int16)).view(np.uint16).astype(np.uint32) << 16
    np.testing.assert_allclose(found.view(np.float32), projected(layer, wide), rtol=2**-8)


@needs_units
def test_a_row_has_the_same_bits_wherever_and_among_whatever_it_stands() -> None:
    layer, x = BytePanels(*weights(45, 320), gelu=True), numbers(2 * ROWS_AT_ONCE + 33, 320)
    together = projected(layer, x)
    for rows, threads in product((1, 2, 31, 32, 33, ROWS_AT_ONCE + 1), (1, 2, 5)):
        for start in (0, 1, 17):
            found = projected(layer, x[start : start + rows], threads=threads)
            np.testing.assert_array_equal(found, together[start : start + rows])


@needs_units
def test_rows_of_equal_numbers_and_such_without_any_come_out_right() -> None:
    parts = weights(5, 64)
    x = np.full((4, 64), 2.5, dtype=np.float32)
    x[1] = 0
    x[2, 7] = np.nan
    x[3, 7] = np.inf
    found = projected(BytePanels(*parts), x)
    np.testing.assert_allclose(found[:2], definition(x[:2], *parts), rtol=1e-4, atol=1e-4)
    assert np.isnan(found[2:]).all()


@needs_units
def test_states_of_two_kinds_do_not_fit() -> None:
    layer, x = BytePanels(*weights(5, 64)), numbers(3, 64)
    out = np.zeros((3, 5), dtype=np.int16)
    with pytest.raises(ValueError, match="from 64 to 5 numbers is asked for"):
        layer.project(matrix(x), matrix(out), layer.shares(3, 1)[0])


def test_there_is_no_kernel_for_odd_rows_or_without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_multiply_bytes(100)
    monkeypatch.setattr(byte_linear, "machine", lambda: None)
    assert not can_multiply_bytes(64)
    with pytest.raises(RuntimeError, match="no kernel multiplies rows of 64 bytes here"):
        BytePanels(*weights(5, 64))
