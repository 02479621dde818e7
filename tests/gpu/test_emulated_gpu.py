"""The emulated device is as strict as one that is there."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from emulated_gpu import NAME, EmulatedTensor, Stream, emulated_gpu

from tercet.encoding.transfers import PinnedCopies, to_device


@pytest.fixture(autouse=True)
def emulated() -> Iterator[None]:
    with emulated_gpu():
        yield


def test_tensors_are_made_and_moved_there() -> None:
    moved = torch.ones(2, 3).to(NAME)
    for tensor in (moved, torch.zeros(2, device=NAME), moved + 1, moved[0], moved.half()):
        assert isinstance(tensor, EmulatedTensor)
        assert tensor.device == torch.device(NAME)
    assert (moved.sum() * 2).item() == 12
    assert moved.cpu().tolist() == [[1, 1, 1], [1, 1, 1]]


def test_what_is_changed_in_place_stays_the_same_tensor() -> None:
    tensor = torch.zeros(3, 2, device=NAME)
    assert tensor.masked_fill_(tensor < 1, 2) is tensor
    for row, value in zip(tensor, torch.arange(3.0, device=NAME), strict=True):
        row[:1] = value
    assert tensor.tolist() == [[0, 2], [1, 2], [2, 2]]


def test_both_sides_do_not_meet_but_in_copies_and_indices() -> None:
    there, here = torch.ones(3, device=NAME), torch.ones(3)
    for meet in (lambda: there + here, lambda: here @ there, lambda: torch.cat([there, here])):
        with pytest.raises(RuntimeError, match="on the CPU"):
            meet()
    index = torch.tensor([2, 0])
    assert there[index].shape == (2,)
    with pytest.raises(RuntimeError, match="met one on cuda:0"):
        here[index.to(NAME)]
    assert (there + torch.tensor(1.0)).tolist() == [2, 2, 2]  # a number may go anywhere


def test_numpy_reads_copies_only() -> None:
    there = torch.ones(3, device=NAME)
    with pytest.raises(TypeError, match="copy it first"):
        there.numpy()
    np.testing.assert_array_equal(there.numpy(force=True), np.ones(3))


def test_a_copy_that_nobody_waits_for_holds_nothing_until_its_event() -> None:
    there = torch.ones(3, device=NAME)
    with pytest.raises(RuntimeError, match="nobody can wait for"):
        there.to("cpu", non_blocking=True)
    stream = Stream()
    with torch.cuda.stream(stream):  # type: ignore[arg-type]
        here = there.to("cpu", non_blocking=True)
        event = stream.record_event()
    assert here.isnan().all()
    event.synchronize()
    assert here.tolist() == [1, 1, 1]


def test_an_outbox_delivers_what_has_arrived() -> None:
    device = torch.device(NAME)
    outbox, arrived = PinnedCopies(device), []
    for number in range(3):
        made = to_device(np.full(2, number, dtype=np.float32), device)
        outbox.put(made, lambda array: arrived.append(array.tolist()))
    assert arrived == []
    outbox.finish()
    assert arrived == [[0, 0], [1, 1], [2, 2]]
