"""Attention over packed texts: each text sees itself alone, and no key is padding."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from tercet.encoding.kernel_attention import RunsAtOnce
from tercet.encoding.packing import Run
from tercet.encoding.varlen import Sequences

PACKED = "tercet_packed"
"""Name under which transformers finds the attention below."""

BAND_BLOCK = 512
"""Queries of a sliding window that are computed at once; bounds the mask of a long text."""


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    runs: Sequence[Run] = (),
    sequences: Sequences | RunsAtOnce | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention of each pass over its own visible rows.

    Runs are computed one after another, or all at once where there is an operator or a kernel.

    Args:
        module: The layer that asks; its interface, not needed.
        query: [1, heads, T, head].
        key: As the query.
        value: As the query.
        attention_mask: Always None: the pack has no padding.
        scaling: Factor of the products; None is 1 / sqrt(head).
        sliding_window: Rows at this distance or farther are not seen; None where all are.
        runs: What stands where in the pack.
        sequences: The same for what computes all runs at once; None where nothing does.
        unused: What other attention functions ask for.

    Returns:
        What each row read, [1, T, heads, head].
    """
    del module, attention_mask, unused
    if sequences is not None and sequences.fits(sliding_window):
        q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return sequences(q, k, v, scale=scale, window=sliding_window)[None], None
    read = torch.empty_like(query.transpose(1, 2))  # [1, T, heads, head]
    read[0, runs[-1].stop :] = 0  # rows that fill the pack up
    for run in runs:
        q, k, v = (_block(states, run) for states in (query, key, value))
        out = read[0, run.start : run.stop].view(run.count, run.length, *read.shape[2:])
        target = out.transpose(1, 2)  # [count, heads, length, head]
        visible = run.visible
        seen_k, seen_v = k[:, :, :visible], v[:, :, :visible]
        if run.anchors:
            target[:, :, :visible] = _text(
                q[:, :, :visible], seen_k, seen_v, scaling, sliding_window
            )
            mask = _probe_mask(run, sliding_window, device=q.device)
            target[:, :, visible:] = functional.scaled_dot_product_attention(
                q[:, :, visible:], k, v, mask, scale=scaling
            )
        else:
            target[:] = _text(q, seen_k, seen_v, scaling, sliding_window)
    return read, None


def _block(states: Tensor, run: Run) -> Tensor:
    """The rows of a run as a batch, [count, heads, length, head], without a copy."""
    rows = states[0, :, run.start : run.stop].transpose(0, 1)  # [rows, heads, head]
    return rows.reshape(run.count, run.length, *rows.shape[1:]).transpose(1, 2)


def _text(q: Tensor, k: Tensor, v: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """Each row reads the visible rows, or those of them inside its window."""
    attend = functional.scaled_dot_product_attention
    if window is None or max(q.shape[2], k.shape[2]) <= window:
        return attend(q, k, v, scale=scaling)
    parts = []
    for start in range(0, q.shape[2], BAND_BLOCK):
        stop = min(start + BAND_BLOCK, q.shape[2])
        first = max(0, min(start, k.shape[2]) - window + 1)
        keys = slice(first, stop + window - 1)
        here = torch.arange(start, stop, device=q.device)[:, None]
        there = torch.arange(first, min(keys.stop, k.shape[2]), device=q.device)
        mask = (here - there).abs() < window
        parts.append(attend(q[:, :, start:stop], k[:, :, keys], v[:, :, keys], mask, scale=scaling))
    return torch.cat(parts, dim=2)


def _probe_mask(run: Run, window: int | None, *, device: torch.device) -> Tensor:
    """What inserted CLS read: the text (in their window, if there is one) and themselves.

    Returns:
        [probes, visible + probes].
    """
    own = torch.eye(len(run.anchors), dtype=torch.bool, device=device)
    text = torch.ones(len(run.anchors), run.visible, dtype=torch.bool, device=device)
    if window is not None:
        anchors = torch.tensor(run.anchors, device=device)[:, None]
        text = (anchors - torch.arange(run.visible, device=device)).abs() < window
    return torch.cat((text, own), dim=1)


def no_mask(*sizes: object, **unused: object) -> None:
    """A pack needs no mask: `packed_attention` knows where each text ends."""
    del sizes, unused


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, no_mask)
