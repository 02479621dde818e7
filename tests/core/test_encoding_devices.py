"""Devices that compute behind our back, and several of them, give what one CPU gives at once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding import linear, packing, transfers
from tercet.encoding.heads.dense import DenseView
from tercet.encoding.heads.multi_vector import MultiVectorView
from tercet.encoding.heads.projection import load_projection
from tercet.encoding.linear import can_pack
from tercet.encoding.packing import Pass
from tercet.encoding.precision import choose_devices
from tercet.encoding.streaming import one_ahead, one_behind
from tercet.encoding.transfers import (
    PinnedCopies,
    TensorsAtLast,
    TensorsAtOnce,
    outbox_of,
    to_device,
)
from tercet.errors import TextTooLongError
from tercet.models.spec import DenseHead, LinearLayer
from tercet.testing.checkpoints import write_bge_m3

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
TEXTS = ["", "a", *("word " * int(n) for n in RNG.integers(1, 900, size=24)), "the end"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge_m3(tmp_path_factory.mktemp("m3"), layers=2)


def loaded(checkpoint: Path, device: str = "cpu", **options: Any) -> Encoder:
    return Encoder.from_pretrained(checkpoint, device=device, dtype="float32", **options)


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> Embeddings:
    return loaded(checkpoint).encode_documents(TEXTS)


def behind_our_back(encoder: Encoder, *, scale: int = 1) -> Encoder:
    """The encoder as on a device with a queue of its own: what it made is there at the end."""
    model: Any = encoder._pipeline._model
    model.runs_ahead, model._scale = True, scale
    for replica in model.replicas:
        object.__setattr__(replica, "outbox", TensorsAtLast)
    return encoder


def assert_same(found: Embeddings, expected: Embeddings) -> None:
    assert found.dense is not None
    assert expected.dense is not None
    np.testing.assert_allclose(found.dense, expected.dense, atol=1e-6)
    if expected.multi_vector is not None:
        assert found.multi_vector is not None
        np.testing.assert_array_equal(found.multi_vector.offsets, expected.multi_vector.offsets)
        np.testing.assert_allclose(
            found.multi_vector.vectors, expected.multi_vector.vectors, atol=1e-6
        )
    if expected.sparse is not None:
        assert found.sparse is not None
        ours, theirs = found.sparse.to_dicts(), expected.sparse.to_dicts()
        for mine, his in zip(ours, theirs, strict=True):
            assert mine == pytest.approx(his, abs=1e-5)
    np.testing.assert_array_equal(found.tokens, expected.tokens)


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu", "cpu, cpu,cpu"])
def test_devices_that_run_ahead_and_several_of_them_make_the_same_views(
    checkpoint: Path,
    expected: Embeddings,
    device: str,
    scale: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = behind_our_back(loaded(checkpoint, device), scale=scale)
    assert_same(encoder.encode_documents(TEXTS), expected)
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 1)
    batches = list(encoder.encode_documents_iter(iter(TEXTS)))
    assert [len(batch) for batch in batches] == [len(batches[0])] * (len(batches) - 1) + [
        len(batches[-1])
    ]
    starts = np.cumsum([0, *map(len, batches)])
    for batch, start in zip(batches, starts, strict=False):
        assert_same(batch, expected.take(range(start, start + len(batch))))


def test_several_devices_share_the_packs(checkpoint: Path) -> None:
    encoder = loaded(checkpoint, "cpu,cpu")
    model: Any = encoder._pipeline._model
    seen: list[list[int]] = [[], []]

    def counted(n: int, backbone: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def run(passes: list[Pass]) -> torch.Tensor:
            seen[n].append(sum(map(len, passes)))
            return backbone(passes)

        run.packs = True  # type: ignore[attr-defined]
        return run

    for n, replica in enumerate(model.replicas):
        object.__setattr__(replica, "backbone", counted(n, replica.backbone))
    encoder.encode_documents(["word " * 700] * 6)
    assert [len(packs) for packs in seen] == [3, 3]
    assert "device='cpu,cpu'" in repr(encoder)


def test_a_stream_that_runs_ahead_says_what_is_too_long(checkpoint: Path) -> None:
    encoder = behind_our_back(
        loaded(checkpoint, long_documents="plain", document_tokens=16, on_truncation="error")
    )
    with pytest.raises(TextTooLongError, match="text 1 "):
        encoder.encode_documents(["a", "word " * 40])


def test_no_texts_are_nothing_ahead_either(checkpoint: Path) -> None:
    encoder = behind_our_back(loaded(checkpoint))
    assert len(encoder.encode_documents([])) == 0
    assert list(encoder.encode_documents_iter([])) == []


def test_work_is_done_one_item_ahead_in_another_thread() -> None:
    worked: list[int] = []

    def work(item: int) -> tuple[int, bool]:
        worked.append(item)
        return item, threading.current_thread() is threading.main_thread()

    found = one_ahead(work, iter([1, 2, 3]))
    assert next(found) == (1, False)
    assert list(found) == [(2, False), (3, False)]
    assert worked == [1, 2, 3]
    assert list(one_ahead(work, [])) == []


def test_what_has_begun_is_finished_when_the_next_has_begun() -> None:
    said: list[str] = []

    def begun() -> Iterator[Callable[[], int]]:
        for n in range(3):
            said.append(f"begin {n}")
            yield lambda n=n: said.append(f"finish {n}") or n  # type: ignore[misc,func-returns-value]

    assert list(one_behind(begun())) == [0, 1, 2]
    assert said == ["begin 0", "begin 1", "finish 0", "begin 2", "finish 1", "finish 2"]
    assert list(one_behind([])) == []


def test_each_kind_of_device_has_its_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(outbox_of(CPU), TensorsAtOnce)
    assert isinstance(outbox_of(torch.device("mps")), TensorsAtLast)
    monkeypatch.setattr(transfers.torch.cuda, "Stream", FakeStream)
    assert isinstance(outbox_of(torch.device("cuda")), PinnedCopies)


SAID: list[str] = []


class FakeStream:
    """Says what it is asked, in place of a stream of CUDA."""

    def __init__(self, device: torch.device) -> None:
        del device

    def __enter__(self) -> None:
        SAID.append("enter")

    def __exit__(self, *error: object) -> None:
        SAID.append("leave")

    def wait_stream(self, other: str) -> None:
        SAID.append(f"wait for {other}")

    def record_event(self) -> "FakeEvent":
        SAID.append("record")
        return FakeEvent()


class FakeEvent:
    """An event that says when it was waited for."""

    def synchronize(self) -> None:
        SAID.append("synchronize")


class Tensor(torch.Tensor):
    """A tensor that says how it was copied."""

    def to(self, *place: Any, **options: Any) -> Any:
        SAID.append(f"copy {place} {options}")
        return torch.tensor(self.tolist())

    def record_stream(self, stream: Any) -> None:
        SAID.append(f"keep for {type(stream).__name__}")

    def pin_memory(self) -> Any:
        SAID.append("pin")
        return self


def test_a_copy_waits_for_what_is_computed_and_nobody_for_the_copy_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    SAID.clear()
    monkeypatch.setattr(transfers.torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(transfers.torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(transfers.torch.cuda, "current_stream", lambda device: "the model")
    arrived: list[list[float]] = []
    copies = PinnedCopies(torch.device("cuda"))
    copies.put(Tensor([1.0, 2.0]), lambda array: arrived.append(array.tolist()))
    assert SAID == [
        "wait for the model",
        "enter",
        "copy ('cpu',) {'non_blocking': True}",
        "record",
        "leave",
        "keep for FakeStream",
    ]
    assert arrived == []
    copies.finish()
    copies.finish()
    assert SAID[6:] == ["synchronize"]
    assert arrived == [[1.0, 2.0]]


def test_an_array_goes_to_a_cuda_device_through_pinned_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    SAID.clear()
    array = np.asarray([1, 2])
    assert to_device(array, CPU).tolist() == [1, 2]
    monkeypatch.setattr(transfers.torch, "from_numpy", lambda array: Tensor(array.tolist()))
    assert to_device(array, torch.device("cuda")).tolist() == [1, 2]
    assert SAID == ["pin", "copy (device(type='cuda'),) {'non_blocking': True}"]


def test_devices_are_named_with_commas_and_are_of_one_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_devices("cuda:0, cuda:1") == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert choose_devices(None) == [torch.device("cuda")]
    assert choose_devices("cpu") == [CPU]
    with pytest.raises(ValueError, match="devices of one kind"):
        choose_devices("cuda:0,cpu")
    with pytest.raises(ValueError, match="does not know"):
        choose_devices("cpu,")


def test_heads_work_without_prepacked_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    can_pack.cache_clear()
    monkeypatch.setattr(linear, "can_multiply", lambda: False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    layer = LinearLayer(2, 2)
    tensors = {"x.0.weight": torch.eye(2), "x.0.bias": torch.zeros(2)}
    projection = load_projection([layer], tensors, role="x", device=CPU, dtype=torch.float32)
    can_pack.cache_clear()
    with torch.inference_mode():  # as states of a backbone are
        states = torch.tensor([[3.0, 4.0]])
    rows = np.asarray([0])
    assert MultiVectorView(projection, dim=2).vectors(states, rows).tolist() == [
        pytest.approx([0.6, 0.8])
    ]
    item = Pass(0, rows, rows, rows, rows >= 0, rows, 1)
    dense, texts = DenseView(DenseHead(layers=(layer,)), projection), [Any]
    assert dense.vectors(states, [item], texts).tolist() == [pytest.approx([0.6, 0.8])]
