"""One operation over a whole pack gives what sequence after sequence gives."""

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import MODEL_MAPPING, AutoConfig

from tercet.encoding import varlen
from tercet.encoding.attention import PACKED
from tercet.encoding.backbone import PACKABLE, PackedBackbone, build
from tercet.encoding.packing import Pass, Run
from tercet.encoding.varlen import (
    Bounds,
    Sequences,
    bounds_of,
    computes_rightly,
    find_varlen,
    in_float32,
    of_flash_attn,
    of_torch,
)
from tercet.models.spec import ModelSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 200,
    "pad_token_id": 1,
}
OTHERS: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4},
    "modernbert": {
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
    },
    "electra": {"embedding_size": 16},
    "jina_embeddings_v3": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
}


def backbones(architecture: str) -> tuple[PackedBackbone, PackedBackbone]:
    """The same model without and with an operator for whole packs."""
    settings = {**SHAPE, **OTHERS.get(architecture, {})}
    spec = ModelSpec(name=architecture, architecture=architecture, config=settings)
    config = AutoConfig.for_model(architecture, **settings)
    torch.manual_seed(0)
    drawn = MODEL_MAPPING[type(config)](config)
    for parameter in drawn.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model = build(spec, drawn.state_dict(), dtype=torch.float32, attention=PACKED)
    return (
        PackedBackbone(model, device=CPU, pad=None),
        PackedBackbone(model, device=CPU, pad=None, varlen=in_float32),
    )


def pass_of(length: int, *, visible: int | None = None, anchors: tuple[int, ...] = ()) -> Pass:
    rng = np.random.default_rng(length)
    rows = np.arange(length + len(anchors))
    return Pass(
        text=0,
        ids=rng.integers(3, 60, size=len(rows)),
        positions=np.concatenate((np.arange(length), np.asarray(anchors, dtype=np.int64))),
        rows=rows,
        owned=rows >= 0,
        pooled=rows[:1],
        visible=length if visible is None else visible,
        probes=bool(anchors),
    )


PLAIN = [pass_of(90), pass_of(20), pass_of(20), pass_of(9), pass_of(1)]
EXPANDED = pass_of(24, visible=15)
PROBED = pass_of(60, anchors=(21, 41))


@pytest.mark.parametrize("architecture", sorted(PACKABLE))
@pytest.mark.parametrize("items", [PLAIN, [*PLAIN, EXPANDED, PROBED]], ids=["plain", "all"])
def test_a_pack_at_once_equals_its_runs_one_by_one(architecture: str, items: list[Pass]) -> None:
    one_by_one, at_once = backbones(architecture)
    torch.testing.assert_close(at_once(items), one_by_one(items), rtol=0, atol=1e-5)


def test_bounds_count_what_asks_and_what_is_seen_and_the_rows_that_fill_up() -> None:
    runs = [Run(0, 2, 3, 3), Run(6, 1, 4, 2), Run(10, 1, 4, 3, anchors=(1,))]
    found = bounds_of(runs, rows=16, device=CPU)
    assert found.queries.tolist() == [0, 3, 6, 10, 14, 16]
    assert found.keys.tolist() == [0, 3, 6, 8, 11, 13]
    assert (found.longest_query, found.longest_key) == (4, 3)
    assert found.seen is not None
    assert found.seen.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 14, 15]
    assert found.probes is not None
    assert found.probes.tolist() == [13]
    assert found.queries.dtype == found.keys.dtype == torch.int32


def test_where_all_rows_are_seen_nothing_is_gathered() -> None:
    found = bounds_of([Run(0, 2, 3, 3)], rows=6, device=CPU)
    assert (found.seen, found.probes) == (None, None)
    assert found.keys.tolist() == [0, 3, 6]


def test_windows_are_left_to_the_runs_where_not_all_rows_are_seen() -> None:
    plain = Sequences(bounds_of([Run(0, 1, 3, 3)], rows=3, device=CPU), in_float32)
    expanded = Sequences(bounds_of([Run(0, 1, 3, 2)], rows=3, device=CPU), in_float32)
    assert (plain.fits(None), plain.fits(2), expanded.fits(None)) == (True, True, True)
    assert not expanded.fits(2)


def test_without_cuda_or_in_float32_there_is_no_operator() -> None:
    for device, dtype in ((CPU, torch.bfloat16), (CUDA, torch.float32)):
        assert find_varlen(device=device, dtype=dtype, head=64, windows=False) is None


def test_the_first_operator_that_computes_rightly_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen, "OPERATORS", (of_torch, in_float32))
    rightly = {in_float32}
    monkeypatch.setattr(varlen, "computes_rightly", lambda operator, **_: operator in rightly)
    options = {"device": CUDA, "dtype": torch.bfloat16, "head": 64, "windows": False}
    assert find_varlen(**options) is in_float32
    rightly.clear()
    assert find_varlen(**options) is None


def wrong(*arguments: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    read, logarithm = in_float32(*arguments, **options)
    return read * 1.1, logarithm


def turned(*arguments: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    read, logarithm = in_float32(*arguments, **options)
    return read, logarithm.T


def without_windows(*arguments: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if options["window"] is not None:
        raise RuntimeError("no windows")
    return in_float32(*arguments, **options)


def test_an_operator_is_tried_before_it_is_trusted() -> None:
    case = {"device": CPU, "dtype": torch.bfloat16, "head": 16}
    assert computes_rightly(in_float32, windows=True, **case)
    assert not computes_rightly(wrong, windows=False, **case)
    assert not computes_rightly(turned, windows=False, **case)
    assert computes_rightly(without_windows, windows=False, **case)
    assert not computes_rightly(without_windows, windows=True, **case)


@pytest.mark.parametrize("window", [None, 4])
def test_torchs_operator_takes_what_it_is_given(window: int | None) -> None:
    try:
        importlib.import_module("torch.nn.attention.varlen")
    except ImportError:
        pytest.skip("this release of torch has no varlen operator")
    with FakeTensorMode():  # shapes and arguments, without a GPU
        q = torch.empty(12, 2, 16, dtype=torch.bfloat16, device="cuda")
        edges = torch.empty(4, dtype=torch.int32, device="cuda")
        bounds = Bounds(edges, edges, 7, 7, None, None)
        read, logarithm = of_torch(q, q, q, bounds, scale=0.5, window=window)
    assert (read.shape, logarithm.shape) == (q.shape, (2, 12))


def test_flash_attn_takes_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = bounds_of([Run(0, 1, 7, 7), Run(7, 1, 5, 5)], rows=12, device=CPU)
    states = torch.randn(12, 2, 16)

    def varlen_func(  # noqa: PLR0917  the signature of flash-attn 2
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cu_seqlens_q: torch.Tensor,
        cu_seqlens_k: torch.Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
        dropout_p: float = 0.0,
        softmax_scale: float | None = None,
        causal: bool = False,  # noqa: FBT001, FBT002
        window_size: tuple[int, int] = (-1, -1),
        return_attn_probs: bool = False,  # noqa: FBT001, FBT002
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        assert (dropout_p, causal, return_attn_probs) == (0.0, False, True)
        assert (cu_seqlens_q.tolist(), cu_seqlens_k.tolist()) == ([0, 7, 12], [0, 7, 12])
        assert (max_seqlen_q, max_seqlen_k, softmax_scale) == (7, 7, 0.5)
        window = None if window_size == (-1, -1) else window_size[0] + 1
        return (*in_float32(q, k, v, bounds, scale=0.5, window=window), None)

    package: Any = ModuleType("flash_attn")
    package.flash_attn_varlen_func = varlen_func
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    for window in (None, 3):
        found = of_flash_attn(states, states, states, bounds, scale=0.5, window=window)
        expected = in_float32(states, states, states, bounds, scale=0.5, window=window)
        torch.testing.assert_close(found, expected)
