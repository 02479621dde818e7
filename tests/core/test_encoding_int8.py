"""Weights and activations as int8: near the model, and never dependent on the batch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding import int8
from tercet.encoding.backbone import load_backbone
from tercet.encoding.int8 import (
    LEVELS,
    CompiledInt8Linear,
    Int8Embedding,
    Int8Linear,
    is_compiled,
    quantise,
    rounded,
    spread,
    weight_levels,
)
from tercet.encoding.options import Quantize
from tercet.kernels.byte_linear import can_multiply_bytes
from tercet.models.spec import ModelSpec
from tercet.testing import checkpoints

TEXTS = [
    "the cat sat on the mat",
    "late interaction keeps one vector for every token " * 30,
    "",
    "a query about retrieval",
    "one word",
]
WRITERS = ("write_bge_m3", "write_jina_colbert", "write_pylate", "write_dense", "write_tercet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, written = tmp_path_factory.mktemp("int8"), {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = getattr(checkpoints, name)(root / name)
        return written[name]

    return write


def load(folder: Path, **options: str) -> Encoder:
    chosen = {"device": "cpu", "dtype": "float32", **options}
    return Encoder.from_pretrained(folder, **chosen)  # type: ignore[arg-type]


@pytest.fixture(params=["this CPU's", "sums of 16 bits", "none"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    weight_levels.cache_clear()
    if request.param == "sums of 16 bits":
        monkeypatch.setattr(int8, "_multiplies_exactly", lambda levels: levels < LEVELS)
    elif request.param == "none":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    yield request.param
    weight_levels.cache_clear()


def test_rows_are_rounded_by_their_own_largest_magnitude() -> None:
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [100.0, 50.0, -25.0]])
    q, scale = rounded(x, 127)
    assert q.tolist() == [[64, -127, 32], [0, 0, 0], [127, 64, -32]]
    torch.testing.assert_close(scale[[0, 2], 0], torch.tensor([2 / 127, 100 / 127]))
    torch.testing.assert_close(q * scale, x, rtol=0, atol=0.5 * 100 / 127)


def test_rows_of_activations_are_spread_over_the_whole_range() -> None:
    x = torch.tensor([[-1.0, 0.0, 4.0], [4.0, 4.0, 4.0], [0.0, 0.0, 0.0], [-3.0, -2.2, -1.3]])
    q, scale, offset = spread(x)
    assert q[0].tolist() == [0, 51, 255]
    assert q[3].tolist() == [0, 120, 255]
    back = (q.float() - int8.MIDDLE) * scale + offset
    torch.testing.assert_close(back, x, rtol=0, atol=0.51 * 5 / 255)
    assert torch.equal(back[[1, 2]], x[[1, 2]])


@torch.inference_mode()
def test_states_that_reach_farther_to_one_side_lose_less_than_with_a_scale_alone() -> None:
    torch.manual_seed(0)
    x = torch.nn.functional.gelu(torch.randn(64, 256) * 2)  # from -0.17 to 6 or so
    q, scale = rounded(x, LEVELS)
    with_offset, scales, offsets = spread(x)
    alone = (q * scale - x).square().mean()
    back = (with_offset.float() - int8.MIDDLE) * scales + offsets
    assert (back - x).square().mean() < alone / 3


@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_rounded_layer_is_near_the_layer(
    arithmetic: str, activation: str, dtype: torch.dtype, *, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 24, bias=bias)
    x = torch.randn(2, 300, 48)
    expected = layer(x)
    if activation == "gelu":
        expected = nn.functional.gelu(expected)
    found = Int8Linear(layer.to(dtype), activation=activation)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.04)


@pytest.mark.skipif(not can_multiply_bytes(128), reason="no matrix units here")
@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_our_kernel_gives_what_the_operators_of_torch_do(
    activation: str, dtype: torch.dtype, *, bias: bool
) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(128, 70, bias=bias), torch.randn(2, 300, 128).to(dtype)
    model = nn.Sequential(linear, nn.Linear(48, 3))
    ours = CompiledInt8Linear(linear, activation=activation)
    expected = Int8Linear(linear, activation=activation)(x)
    assert ours(x).dtype == dtype
    torch.testing.assert_close(ours(x).float(), expected.float(), rtol=2**-7, atol=0.01)
    quantise(model)
    assert type(model[0]) is CompiledInt8Linear
    assert not is_compiled(model)  # rows of 48 numbers are torch's


@torch.inference_mode()
def test_a_row_comes_out_the_same_to_the_last_bit_in_any_company(arithmetic: str) -> None:
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(64, 32), activation="gelu")
    x = torch.randn(700, 64) * torch.logspace(-3, 3, 700)[:, None]
    together = layer(x)
    for n in (0, 1, 255, 256, 699):
        torch.testing.assert_close(layer(x[n : n + 1])[0], together[n], rtol=1e-6, atol=0)
        if arithmetic != "none":  # integers add up alike in any order, floats do not
            assert torch.equal(layer(x[n : n + 1])[0], together[n])
    assert layer(x[:0]).shape == (0, 32)


@torch.inference_mode()
def test_weights_keep_within_what_the_cpu_adds_up_exactly(arithmetic: str) -> None:
    layer = Int8Linear(nn.Linear(16, 16))
    most = int(layer._weight.to_dense().abs().max())
    assert most == (int8.LEVELS_OF_SMALL_SUMS if arithmetic == "sums of 16 bits" else LEVELS) or (
        arithmetic == "this CPU's" and most == (weight_levels() or LEVELS)
    )


def test_a_cpu_or_a_torch_without_products_of_integers_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight_levels.cache_clear()
    monkeypatch.setattr(int8.platform, "machine", lambda: "riscv64")
    assert weight_levels() == 0
    weight_levels.cache_clear()
    monkeypatch.setattr(int8.platform, "machine", lambda: "x86_64")

    def refuse(*arguments: object) -> torch.Tensor:
        raise RuntimeError("not built")

    monkeypatch.setattr(torch.ops.onednn, "qlinear_pointwise", refuse)
    assert weight_levels() == 0
    weight_levels.cache_clear()


def test_a_rounded_table_gives_its_rows_back() -> None:
    table = nn.Embedding(300, 16)
    ids = torch.tensor([[5, 299, 0]])
    found = Int8Embedding(table)(ids)
    torch.testing.assert_close(found, table(ids), rtol=0, atol=0.02)


def test_a_rounded_model_takes_about_a_quarter_of_the_bytes() -> None:
    model = nn.Sequential(nn.Embedding(1000, 64), nn.Linear(64, 256), nn.Linear(256, 64))
    before = sum(p.numel() * p.element_size() for p in model.parameters())
    quantise(model)
    kept = [v for m in model.modules() for v in vars(m).values() if isinstance(v, torch.Tensor)]
    assert sum(t.numel() * t.element_size() for t in kept) < 0.3 * before
    assert not list(model.parameters())


@pytest.mark.parametrize("writer", WRITERS)
def test_rounded_models_give_nearly_the_same_views_in_any_company(
    writer: str, folder: Callable[[str], Path]
) -> None:
    exact, small = load(folder(writer)), load(folder(writer), quantize="int8")
    assert "quantize='int8'" in repr(small)
    expected, found = exact.encode_documents(TEXTS), small.encode_documents(TEXTS)
    assert_near(found, expected, least=0.98)
    for n, text in enumerate(TEXTS):
        assert_near(small.encode_documents([text]), found.take([n]), least=1 - 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("writer", WRITERS)
def test_half_arithmetic_gives_nearly_the_same_views(
    writer: str, dtype: str, folder: Callable[[str], Path]
) -> None:
    expected = load(folder(writer)).encode_documents(TEXTS)
    found = load(folder(writer), dtype=dtype).encode_documents(TEXTS)
    assert_near(found, expected, least=0.999)


def assert_near(found: Embeddings, expected: Embeddings, *, least: float) -> None:
    if expected.dense is not None:
        assert cosines(found.dense, expected.dense).min() > least
    if expected.multi_vector is not None:
        rows = cosines(found.multi_vector.vectors, expected.multi_vector.vectors)
        assert rows.min() > least
    if expected.sparse is not None:
        for mine, theirs in zip(found.sparse.to_dicts(), expected.sparse.to_dicts(), strict=True):
            gaps = [abs(mine.get(n, 0) - theirs.get(n, 0)) for n in {*mine, *theirs}]
            assert max(gaps, default=0) < 2 * np.sqrt(1 - least)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_document_vectors_of_rounded_weights_are_others(folder: Callable[[str], Path]) -> None:
    exact, small = (load(folder("write_bge_m3")), load(folder("write_bge_m3"), quantize="int8"))
    assert exact.spec.document_id != small.spec.document_id
    assert exact.spec.model_id == small.spec.model_id
    assert small.spec.options["quantize"] == "int8"


def test_rounded_weights_are_for_the_cpu() -> None:
    with pytest.raises(ValueError, match=r"quantize='int8' is for the CPU.* 'cuda'"):
        load_backbone(
            ModelSpec(name="x", architecture="bert"),
            {},
            device=torch.device("cuda"),
            dtype=torch.float32,
            quantize=Quantize.INT8,
        )
