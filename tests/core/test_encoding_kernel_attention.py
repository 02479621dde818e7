"""The kernel's attention of a pack equals that of torch, run by run, on any number of threads."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tercet.encoding import kernel_attention
from tercet.encoding.attention import packed_attention
from tercet.encoding.kernel_attention import RunsAtOnce, blocks_of, find_kernel, shares
from tercet.encoding.packing import Run
from tercet.kernels.attention import BFLOAT16, Block, Work, can_attend

CPU = torch.device("cpu")
PLAIN = Run(0, 2, 40, 40)
EXPANDED = Run(80, 1, 24, 15)
PROBED = Run(104, 2, 63, 60, anchors=(0, 21, 41))
LONG = Run(230, 1, 700, 700)
RUNS, ROWS = (PLAIN, EXPANDED, PROBED, LONG), 940  # ten rows fill up


def states() -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((3, 1, ROWS, 2, 20), dtype=np.float32)
    return [torch.from_numpy(each).transpose(1, 2) for each in drawn]  # [1, heads, T, head]


def attended(
    given: Sequence[torch.Tensor],
    runs: Sequence[Run] = RUNS,
    *,
    window: int | None = None,
    kernel: bool = True,
) -> torch.Tensor:
    with torch.inference_mode():
        read, nothing = packed_attention(
            torch.nn.Identity(),
            *given,
            None,
            sliding_window=window,
            runs=runs,
            sequences=RunsAtOnce(runs) if kernel else None,
        )
    assert nothing is None
    return read


@pytest.mark.parametrize("window", [None, 18])
def test_a_pack_at_once_equals_its_runs_by_torch(window: int | None) -> None:
    given = states()
    at_once, one_by_one = (attended(given, window=window, kernel=each) for each in (True, False))
    assert at_once.shape == (1, ROWS, 2, 20)
    torch.testing.assert_close(at_once, one_by_one, rtol=0, atol=2e-6)
    assert not at_once[0, LONG.stop :].any()


def test_states_may_lie_in_memory_in_any_order() -> None:
    given = states()
    expected = attended(given)
    apart = [torch.stack((each, each), dim=-1)[..., 0] for each in given]
    by_head = [each.contiguous() for each in given]
    assert torch.equal(attended(apart), expected)
    assert torch.equal(attended(by_head), expected)


@pytest.mark.parametrize("window", [None, 18])
def test_a_text_has_the_same_bits_alone_and_in_any_pack(window: int | None) -> None:
    given = states()
    together = attended(given, window=window)
    for run in RUNS:
        rows = slice(run.start, run.start + run.length)
        alone = Run(0, 1, run.length, run.visible, run.anchors)
        own = [each[:, :, rows] for each in given]
        assert torch.equal(attended(own, [alone], window=window), together[:, rows])


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    given = states()
    expected = attended(given)
    seen = []

    def in_parallel(work: object, pieces: Sequence[range]) -> None:
        seen.append(len(pieces))
        for piece in reversed(pieces):
            work(piece)  # type: ignore[operator]

    monkeypatch.setattr(kernel_attention, "in_parallel", in_parallel)
    monkeypatch.setattr(kernel_attention, "WORTH_A_THREAD", 1000)
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(attended(given), expected)
    assert seen == [1, 2, 5]


def test_little_work_is_done_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(kernel_attention, "in_parallel", lambda work, pieces: seen.append(pieces))
    attended([each[:, :, :80] for each in states()], [PLAIN])
    assert seen == [[range(4)]]


def test_threads_share_the_work_by_its_cost() -> None:
    work = Work.of([Block(0, 100, 0, 100, 0), Block(100, 10, 100, 10, 0), Block(110, 1, 110, 1, 0)])
    assert shares(work, 4, 1) == [range(12)]
    for count in (2, 3, 7, 12):
        cut = shares(work, 4, count)
        assert [pair for piece in cut for pair in piece] == list(range(12))
        assert len(cut) == count
    assert shares(work, 4, 2) == [range(2), range(2, 12)]


def test_blocks_begin_where_their_text_does() -> None:
    assert list(blocks_of(Run(7, 2, 600, 600), windowed=False)) == [
        Block(7, 512, 7, 600, 0),
        Block(519, 88, 7, 600, 512),
        Block(607, 512, 607, 600, 0),
        Block(1119, 88, 607, 600, 512),
    ]
    run = Run(0, 1, 12, 10, anchors=(0, 5))
    text = Block(0, 10, 0, 10, 0)
    assert list(blocks_of(run, windowed=False)) == [text, Block(10, 2, 0, 10, 0, True)]
    probes = [Block(10, 1, 0, 10, 0, True), Block(11, 1, 0, 10, 5, True)]
    assert list(blocks_of(run, windowed=True)) == [text, *probes]


def test_the_kernel_is_for_float32_on_a_cpu_and_for_bfloat16_where_it_has_units_for_that() -> None:
    assert find_kernel(device=CPU, dtype=torch.float32, head=20) is RunsAtOnce
    assert find_kernel(device=CPU, dtype=torch.float16, head=64) is None
    assert find_kernel(device=CPU, dtype=torch.bfloat16, head=20) is None
    assert find_kernel(device=torch.device("cuda"), dtype=torch.float32, head=64) is None
    half = find_kernel(device=CPU, dtype=torch.bfloat16, head=64)
    assert (half is not None) == can_attend(BFLOAT16, head=64)


def test_a_kernel_without_windows_leaves_them_to_torch() -> None:
    given, pack = states(), RunsAtOnce(RUNS, windows=False)
    assert pack.fits(None)
    assert not pack.fits(18)
    read, _ = packed_attention(
        torch.nn.Identity(), *given, None, sliding_window=18, runs=RUNS, sequences=pack
    )
    assert torch.equal(read, attended(given, window=18, kernel=False))


@pytest.mark.skipif(not can_attend(BFLOAT16, head=32), reason="no matrix units for bfloat16 here")
def test_a_pack_in_bfloat16_equals_its_runs_by_torch() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((3, 1, ROWS, 2, 32), dtype=np.float32)
    given = [torch.from_numpy(each).transpose(1, 2).bfloat16() for each in drawn]
    at_once, one_by_one = (attended(given, kernel=each) for each in (True, False))
    torch.testing.assert_close(at_once, one_by_one, rtol=0.02, atol=0.02)
    assert not at_once[0, LONG.stop :].any()


@pytest.mark.usefixtures("without_kernels")
def test_without_kernels_torch_does_it() -> None:
    assert find_kernel(device=CPU, dtype=torch.float32, head=64) is None
