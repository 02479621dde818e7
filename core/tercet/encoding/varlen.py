"""Attention of texts of any lengths as one operation (flash attention), on devices that have it."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tercet.encoding.packing import Run
from tercet.encoding.transfers import to_device

HALF = (torch.bfloat16, torch.float16)
"""Arithmetics that flash attention knows."""

TOLERANCE = 0.03
"""How far an operator may be from float32 on values around 1, in half arithmetic."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Where the sequences of a pack begin and end; rows that fill the pack up are one of them.

    Attributes:
        queries: Sequence n asks with rows queries[n] to queries[n + 1], int32 [S + 1].
        keys: Its rows among those that are seen, int32 [S + 1].
        longest_query: Most rows that ask.
        longest_key: Most rows that are seen.
        seen: Rows that somebody sees; None where all are, [K].
        probes: Rows that see themselves beside those; None where there are none.
    """

    queries: Tensor
    keys: Tensor
    longest_query: int
    longest_key: int
    seen: Tensor | None
    probes: Tensor | None


class Varlen(Protocol):
    """Attention of every sequence over its own keys."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bounds: Bounds,
        *,
        scale: float,
        window: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Read the keys.

        Args:
            query: [T, heads, head].
            key: [K, heads, head].
            value: As the key.
            bounds: Which rows belong together.
            scale: Factor of the products.
            window: Rows at this distance or farther are not seen; None where all are.

        Returns:
            What each row read [T, heads, head], and the logarithm of the sum of its exponentials
            [heads, T].
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """A pack for an operator: where its sequences are, and what computes them."""

    bounds: Bounds
    attend: Varlen

    def fits(self, window: int | None) -> bool:
        """Whether the operator counts distances as we do: it aligns the ends of both sides."""
        return window is None or self.bounds.seen is None

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        """What each row read, [T, heads, head]; all three are of that shape."""
        bounds = self.bounds
        seen_key, seen_value = key, value
        if bounds.seen is not None:
            seen_key, seen_value = key[bounds.seen], value[bounds.seen]
        read, logarithm = self.attend(
            query, seen_key, seen_value, bounds, scale=scale, window=window
        )
        if bounds.probes is not None:
            own = bounds.probes
            product = (query[own].float() * key[own].float()).sum(dim=-1) * scale  # [probes, heads]
            share = torch.sigmoid(product - logarithm[:, own].T)[..., None]
            read[own] = torch.lerp(read[own].float(), value[own].float(), share).to(read.dtype)
        return read


def bounds_of(runs: Sequence[Run], *, rows: int, device: torch.device) -> Bounds:
    """Where the sequences of a pack begin and end.

    Args:
        runs: What stands where.
        rows: Of the whole pack, those that fill it up included.
        device: Where the pack is.
    """
    lengths = np.repeat([run.length for run in runs], [run.count for run in runs])
    visible = np.repeat([run.visible for run in runs], [run.count for run in runs])
    filling = [rows - int(lengths.sum())] if lengths.sum() < rows else []
    lengths, visible = (np.concatenate((each, filling)) for each in (lengths, visible))
    starts = np.cumsum(lengths) - lengths
    place = np.arange(rows) - np.repeat(starts, lengths.astype(np.int64))
    is_seen = place < np.repeat(visible, lengths.astype(np.int64))
    probing = np.zeros(rows, dtype=np.bool_)
    for run in runs:
        probing[run.start : run.stop] = bool(run.anchors)
    probes = np.flatnonzero(probing & ~is_seen)
    return Bounds(
        queries=to_device(_edges(lengths), device),
        keys=to_device(_edges(visible), device),
        longest_query=int(lengths.max()),
        longest_key=int(visible.max()),
        seen=None if is_seen.all() else to_device(np.flatnonzero(is_seen), device),
        probes=to_device(probes, device) if len(probes) else None,
    )


def _edges(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)


def of_torch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Bounds,
    *,
    scale: float,
    window: int | None,
) -> tuple[Tensor, Tensor]:
    """The operator of torch itself, in the releases that have it."""
    varlen = importlib.import_module("torch.nn.attention.varlen")
    # Older releases know no windows, and may do without.
    near = {} if window is None else {"window_size": (window - 1, window - 1)}
    read, logarithm = varlen.varlen_attn(
        query,
        key,
        value,
        bounds.queries,
        bounds.keys,
        bounds.longest_query,
        bounds.longest_key,
        return_aux=varlen.AuxRequest(lse=True),
        scale=scale,
        **near,
    )
    return read, logarithm


def of_flash_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Bounds,
    *,
    scale: float,
    window: int | None,
) -> tuple[Tensor, Tensor]:
    """The operator of the package flash-attn, where it is installed."""
    read, logarithm, _ = importlib.import_module("flash_attn").flash_attn_varlen_func(
        query,
        key,
        value,
        bounds.queries,
        bounds.keys,
        bounds.longest_query,
        bounds.longest_key,
        softmax_scale=scale,
        window_size=(-1, -1) if window is None else (window - 1, window - 1),
        return_attn_probs=True,
    )
    return read, logarithm


OPERATORS: tuple[Varlen, ...] = (of_torch, of_flash_attn)
"""Those that there may be, the first choice first."""


def find_varlen(
    *, device: torch.device, dtype: torch.dtype, head: int, windows: bool
) -> Varlen | None:
    """The first operator that computes a small case rightly here; None without one.

    Args:
        device: Where it is to run.
        dtype: In which arithmetic.
        head: Size of a head.
        windows: Whether the model has sliding windows.
    """
    if device.type != "cuda" or dtype not in HALF:
        return None
    return next(
        (
            operator
            for operator in OPERATORS
            if computes_rightly(operator, device=device, dtype=dtype, head=head, windows=windows)
        ),
        None,
    )


def computes_rightly(
    operator: Varlen, *, device: torch.device, dtype: torch.dtype, head: int, windows: bool
) -> bool:
    """Whether an operator is there and agrees with plain arithmetic, with and without a window."""
    states = torch.linspace(-1, 1, 12 * 2 * head).sin().view(12, 2, head)
    rolled = torch.stack([states.roll(shift) for shift in (0, 5, 11)], dim=1).to(device, dtype)
    query, key, value = rolled.unbind(1)  # not next to each other, as one product makes them
    runs = (Run(0, 1, 7, 7), Run(7, 1, 4, 4))  # and one row that fills up
    bounds = bounds_of(runs, rows=12, device=device)
    for window in (None, 3) if windows else (None,):
        try:
            found = operator(query, key, value, bounds, scale=0.5, window=window)
        except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
            return False  # another release, or a device that it does not know
        expected = in_float32(query, key, value, bounds, scale=0.5, window=window)
        for ours, theirs in zip(expected, found, strict=True):
            if theirs.shape != ours.shape or (theirs.float() - ours).abs().max() > TOLERANCE:
                return False
    return True


def in_float32(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Bounds,
    *,
    scale: float,
    window: int | None,
) -> tuple[Tensor, Tensor]:
    """The same in plain arithmetic, one sequence after another: what operators are measured by."""
    read, logarithms = [], []
    for n in range(len(bounds.queries) - 1):
        q = query[int(bounds.queries[n]) : int(bounds.queries[n + 1])].float()
        k, v = (
            each[int(bounds.keys[n]) : int(bounds.keys[n + 1])].float() for each in (key, value)
        )
        products = torch.einsum("qhd,khd->hqk", q, k) * scale
        if window is not None:
            shift = len(k) - len(q)
            here = torch.arange(len(q), device=q.device)[:, None] + shift
            far = (here - torch.arange(len(k), device=q.device)).abs() >= window
            products = products.masked_fill(far, -torch.inf)
        read.append(torch.einsum("hqk,khd->qhd", products.softmax(dim=-1), v))
        logarithms.append(products.logsumexp(dim=-1))
    return torch.cat(read), torch.cat(logarithms, dim=1)
