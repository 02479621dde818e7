"""A pack gives what single calls of the unchanged transformers model give."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, PreTrainedModel
from transformers.utils import logging

from tercet.encoding import attention, linear, post_norm
from tercet.encoding import backbone as backbone_module
from tercet.encoding.backbone import PACKABLE, PaddedBackbone, load_backbone
from tercet.encoding.linear import CompiledLinear, PackedLinear, can_pack, prepack
from tercet.encoding.packing import Pass, position_ids
from tercet.encoding.post_norm import POST_NORM
from tercet.encoding.precision import choose_device, choose_dtype
from tercet.errors import MissingTensorError, UnknownLayoutError
from tercet.kernels.linear import can_multiply
from tercet.models.spec import ModelSpec

CPU = torch.device("cpu")
PAD = 1
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 200,
    "pad_token_id": PAD,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "distilbert": {
        "vocab_size": 60,
        "dim": 32,
        "hidden_dim": 48,
        "n_layers": 3,
        "n_heads": 4,
        "max_position_embeddings": 200,
        "pad_token_id": PAD,
    },
    "modernbert": {
        **SHAPE,
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
    },
    "jina_embeddings_v3": {
        **SHAPE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "electra": {**SHAPE, "embedding_size": 16},
}
LENGTHS = (150, 70, 20, 20, 9, 9, 9, 1)
HERE = [name for name in (*sorted(PACKABLE), "mpnet") if name in CONFIG_MAPPING]
"""The oldest transformers that is supported lacks nomic_bert."""


def original(architecture: str) -> PreTrainedModel:
    config = AutoConfig.for_model(architecture, **SPECIAL.get(architecture, SHAPE))
    torch.manual_seed(0)
    model = MODEL_MAPPING[type(config)](config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    found: PreTrainedModel = model.eval()
    return found


def spec_of(architecture: str) -> ModelSpec:
    return ModelSpec(
        name=architecture,
        architecture=architecture,
        config=SPECIAL.get(architecture, SHAPE),
    )


def pass_of(ids: np.ndarray, *, visible: int | None = None) -> Pass:
    rows = np.arange(len(ids))
    return Pass(
        text=0,
        ids=ids,
        positions=rows,
        rows=rows,
        owned=rows >= 0,
        pooled=rows[:1],
        visible=len(ids) if visible is None else visible,
    )


def passes() -> list[Pass]:
    rng = np.random.default_rng(0)
    texts = [pass_of(rng.integers(3, 60, size=length)) for length in LENGTHS]
    return [*texts, pass_of(rng.integers(3, 60, size=24), visible=15)]


@torch.inference_mode()
def one_by_one(model: PreTrainedModel, items: list[Pass]) -> torch.Tensor:
    states = []
    for item in items:
        mask = torch.zeros(1, len(item), dtype=torch.long)
        mask[:, : item.visible] = 1
        ids = torch.from_numpy(item.ids)[None]
        states.append(model(input_ids=ids, attention_mask=mask).last_hidden_state[0])
    return torch.cat(states)


@pytest.mark.parametrize("architecture", HERE)
def test_a_pack_equals_single_calls(architecture: str) -> None:
    model, items = original(architecture), passes()
    backbone = load_backbone(
        spec_of(architecture), model.state_dict(), device=CPU, dtype=torch.float32
    )
    assert backbone.packs == (architecture in PACKABLE)
    packed = backbone(items)
    torch.testing.assert_close(packed, one_by_one(model, items), rtol=0, atol=1e-6)
    alone = torch.cat([backbone([item]) for item in items])
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize("architecture", sorted(POST_NORM))
def test_without_kernels_layers_of_few_steps_are_those_of_transformers(architecture: str) -> None:
    model, items = original(architecture), passes()
    backbone = load_backbone(
        spec_of(architecture), model.state_dict(), device=CPU, dtype=torch.float32
    )
    torch.testing.assert_close(backbone(items), one_by_one(model, items), rtol=0, atol=1e-6)


def test_a_long_pack_is_widened_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_norm, "ROWS_AT_ONCE", 50)
    model, items = original("bert"), passes()
    backbone = load_backbone(spec_of("bert"), model.state_dict(), device=CPU, dtype=torch.float32)
    torch.testing.assert_close(backbone(items), one_by_one(model, items), rtol=0, atol=1e-6)


def test_a_pass_does_not_depend_on_its_neighbours_or_their_order() -> None:
    model, items = original("bert"), passes()
    backbone = load_backbone(spec_of("bert"), model.state_dict(), device=CPU, dtype=torch.float32)
    forwards, backwards = backbone(items), backbone(items[::-1])
    last = len(items[-1])
    torch.testing.assert_close(forwards[-last:], backwards[:last], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_arithmetic_is_near_float32(dtype: torch.dtype) -> None:
    model, items = original("xlm-roberta"), passes()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    half = load_backbone(spec_of("xlm-roberta"), weights, device=CPU, dtype=dtype)(items)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), one_by_one(model, items), rtol=0, atol=0.03)


def test_probes_read_the_text_and_are_not_seen_by_it() -> None:
    model = original("xlm-roberta")
    backbone = load_backbone(
        spec_of("xlm-roberta"), model.state_dict(), device=CPU, dtype=torch.float32
    )
    rng = np.random.default_rng(1)
    text = rng.integers(3, 60, size=20)
    plain = pass_of(text)
    probing = Pass(
        text=0,
        ids=np.concatenate((text, text[:1], text[:1])),
        positions=np.concatenate((np.arange(20), [9, 17])),
        rows=np.concatenate((np.arange(20), [-1, -1])),
        owned=np.arange(22) < 20,
        pooled=np.asarray([0, 20, 21]),
        visible=20,
        probes=True,
    )
    with_probes, without = backbone([probing]), backbone([plain])
    torch.testing.assert_close(with_probes[:20], without, rtol=0, atol=1e-6)
    assert (with_probes[20] - with_probes[21]).abs().max() > 1e-3  # they stand elsewhere
    assert (with_probes[20] - without[0]).abs().max() > 1e-3

    moved = np.concatenate((np.arange(20), [17, 9]))
    swapped = Pass(0, probing.ids, moved, probing.rows, probing.owned, probing.pooled, 20, True)
    exchanged = backbone([swapped])
    torch.testing.assert_close(exchanged[[21, 20]], with_probes[[20, 21]], rtol=0, atol=1e-6)


def test_a_probe_in_a_sliding_window_reads_what_the_token_at_its_place_reads() -> None:
    # Alone in the pack, a probe that is a copy of its block's first token reads the same window;
    # only itself it sees twice, which a second copy among the keys does not change much.
    model = original("modernbert")
    backbone = load_backbone(
        spec_of("modernbert"), model.state_dict(), device=CPU, dtype=torch.float32
    )
    text = np.random.default_rng(2).integers(3, 60, size=90)
    probing = Pass(
        text=0,
        ids=np.concatenate((text, text[40:41])),
        positions=np.concatenate((np.arange(90), [40])),
        rows=np.concatenate((np.arange(90), [-1])),
        owned=np.arange(91) < 90,
        pooled=np.asarray([0, 90]),
        visible=90,
        probes=True,
    )
    states = backbone([probing])
    torch.testing.assert_close(states[:90], backbone([pass_of(text)]), rtol=0, atol=1e-6)
    near = (states[90] - states[40]).abs().mean()
    far = (states[90] - states[[10, 70]]).abs().mean()
    assert near < far / 2


def test_without_a_kernel_long_sliding_windows_are_computed_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, items = original("modernbert"), passes()
    whole = one_by_one(model, items)
    monkeypatch.setattr(backbone_module, "find_kernel", lambda **_: None)
    monkeypatch.setattr(attention, "BAND_BLOCK", 7)
    backbone = load_backbone(
        spec_of("modernbert"), model.state_dict(), device=CPU, dtype=torch.float32
    )
    torch.testing.assert_close(backbone(items), whole, rtol=0, atol=1e-6)


def test_pad_tokens_that_a_text_spells_out_take_no_position() -> None:
    ids = np.asarray([0, 7, PAD, 8, PAD, 9, 2])
    model = original("xlm-roberta")
    backbone = load_backbone(
        spec_of("xlm-roberta"), model.state_dict(), device=CPU, dtype=torch.float32
    )
    item = pass_of(ids)
    assert position_ids(item, pad=PAD).tolist() == [2, 3, 1, 4, 1, 5, 6]
    assert position_ids(item, pad=None).tolist() == [0, 1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(backbone([item]), one_by_one(model, [item]), rtol=0, atol=1e-6)


def test_a_missing_tensor_is_an_error_and_never_random() -> None:
    weights = original("bert").state_dict()
    del weights["encoder.layer.1.output.dense.weight"]
    with pytest.raises(MissingTensorError, match=re.escape("encoder.layer.1.output.dense.weight")):
        load_backbone(spec_of("bert"), weights, device=CPU, dtype=torch.float32)


def test_an_architecture_that_transformers_lacks_is_named() -> None:
    with pytest.raises(UnknownLayoutError, match="no architecture 'grandbert'"):
        load_backbone(
            ModelSpec(name="x", architecture="grandbert"), {}, device=CPU, dtype=torch.float32
        )


def test_loading_prints_nothing_and_leaves_the_logging_of_transformers_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    verbosity = logging.get_verbosity()
    weights = {**original("bert").state_dict(), "unknown": torch.zeros(1)}
    load_backbone(spec_of("bert"), weights, device=CPU, dtype=torch.float32)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == verbosity
    assert logging.is_progress_bar_enabled()


def test_a_progress_bar_that_was_off_stays_off() -> None:
    logging.disable_progress_bar()
    try:
        load_backbone(
            spec_of("bert"), original("bert").state_dict(), device=CPU, dtype=torch.float32
        )
        assert not logging.is_progress_bar_enabled()
    finally:
        logging.enable_progress_bar()


@pytest.fixture
def fresh_capability() -> Iterator[None]:
    can_pack.cache_clear()
    yield
    can_pack.cache_clear()


@pytest.mark.usefixtures("fresh_capability")
@pytest.mark.parametrize("reason", ["oneDNN is off", "the operator is gone"])
def test_without_onednn_layers_stay_what_they_are(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "can_multiply", lambda: False)
    if reason == "oneDNN is off":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:
        monkeypatch.setattr(linear, "PackedLinear", missing_operator)
    model, items = original("bert"), passes()
    backbone = load_backbone(spec_of("bert"), model.state_dict(), device=CPU, dtype=torch.float32)
    torch.testing.assert_close(backbone(items), one_by_one(model, items), rtol=0, atol=1e-6)


def missing_operator(*arguments: object, **options: object) -> object:
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernels", [True, False])
def test_a_packed_layer_is_the_layer(
    *, dtype: torch.dtype, bias: bool, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = kernels and can_multiply()
    monkeypatch.setattr(linear, "can_multiply", lambda: kernels)
    kind = CompiledLinear if kernels and dtype == torch.float32 else PackedLinear
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 40, bias=bias, dtype=dtype)
    x = torch.randn(5, 24, dtype=dtype)
    with torch.inference_mode():
        tolerance = 1e-6 if dtype == torch.float32 else 1e-2
        block = torch.nn.Module()
        block.fc1, block.activation_fn, block.fc2 = layer, torch.nn.GELU(), copy.deepcopy(layer)
        expected, activated = layer(x), torch.nn.functional.gelu(layer(x))
        prepack(block, dtype=dtype)
        if kind is CompiledLinear or can_pack(dtype):
            assert type(block.fc2) is kind
        torch.testing.assert_close(block.fc2(x), expected, rtol=0, atol=tolerance)
        found = block.activation_fn(block.fc1(x))
        torch.testing.assert_close(found, activated, rtol=0, atol=tolerance)


@pytest.mark.skipif(not can_multiply(), reason="kernels are off, or know no such processor")
def test_a_compiled_layer_takes_states_of_any_shape_on_any_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "WORTH_A_THREAD", 1)
    torch.manual_seed(0)
    plain = torch.nn.Linear(500, 700)
    layer = CompiledLinear(plain)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        x = torch.randn(3, 13, 500)
        expected = layer(x)
        torch.testing.assert_close(expected, plain(x), rtol=0, atol=1e-5)
        try:
            for count in (1, 2, 5):
                torch.set_num_threads(count)
                for states in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
                    assert torch.equal(layer(states), expected)
                assert torch.equal(layer(x[:, 3]), expected[:, 3])
                assert torch.equal(layer(x[1, 2]), expected[1, 2])
                assert layer(x[:0]).shape == (0, 13, 700)
        finally:
            torch.set_num_threads(threads)
        with pytest.raises(ValueError, match="from 500 to 700 numbers"):
            layer(x[..., :400])
        with pytest.raises(ValueError, match=r"laid out to encode torch\.float32"):
            layer(x.double())
    with pytest.raises(ValueError, match="requires_grad=True"):
        layer(torch.zeros(1, 500, requires_grad=True))


@pytest.mark.parametrize(
    ("activation", "fused"),
    [
        (torch.nn.GELU(), True),
        (torch.nn.GELU(approximate="tanh"), False),
        (torch.nn.functional.gelu, True),
        (torch.nn.ReLU(), False),
    ],
)
def test_only_the_exact_gelu_is_fused(*, activation: Any, fused: bool) -> None:
    block = torch.nn.Module()
    block.fc1 = torch.nn.Linear(8, 8)
    block.activation_fn = activation
    prepack(block, dtype=torch.float32)
    packs = can_multiply() or can_pack(torch.float32)
    assert isinstance(block.activation_fn, torch.nn.Identity) == (fused and packs)


def test_auto_is_bfloat16_where_the_cpu_has_matrix_units_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose_dtype("auto", device=CPU) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_dtype("auto", device=CPU) == torch.float32
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert choose_dtype("auto", device=CPU) == torch.float32


def test_auto_is_a_half_type_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_dtype("auto", device=cuda) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_dtype("auto", device=cuda) == torch.float16


def test_a_device_is_taken_as_asked_and_the_best_one_without_a_wish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None) == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None) == CPU
    with pytest.raises(ValueError, match="no CUDA device"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="does not know"):
        choose_device("abacus")


def test_an_arithmetic_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="auto, float32, bfloat16, float16"):
        choose_dtype("int8", device=CPU)


def test_a_padded_backbone_runs_passes_of_any_lengths() -> None:
    model, items = original("bert"), passes()
    backbone = PaddedBackbone(model, device=CPU)
    torch.testing.assert_close(backbone(items), one_by_one(model, items), rtol=0, atol=1e-6)
