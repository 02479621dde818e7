"""Posting lists: for each query token the best gain that a row has, added up over query tokens."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import FLOATS, INT, INTS, LANE_INT, LANE_INTS, Kernel, Value
from tercet.kernels.compiling import Compiled, compiled, machine, made_once

Places = NDArray[np.int64]


def can_add_gains() -> bool:
    """Whether there are kernels here."""
    return machine() is not None


def added_gains(
    cells: NDArray[np.integer[Any]],
    gains: NDArray[np.float32],
    indptr: Places,
    rows: NDArray[np.int32],
    *,
    count: int,
) -> NDArray[np.float32]:
    """What rows gain by the lists that they are in.

    A row gains the first that it meets for each query token, which is the largest: gains descend.

    Args:
        cells: The lists that query tokens look up, [Q, P].
        gains: What rows in them gain, descending for each query token, [Q, P].
        indptr: List n owns entries indptr[n] to indptr[n + 1], [K + 1].
        rows: Entries of all lists.
        count: Of rows.

    Returns:
        A sum for each row, [count].

    Raises:
        IndexError: A list is not there, reaches beyond the entries, or holds a row that is not
            there.
    """
    total, seen = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.int32)
    faults = np.zeros(2, dtype=np.int64)
    lists = np.ascontiguousarray(cells, dtype=np.int32)
    ends = np.ascontiguousarray(indptr, dtype=np.int64)
    own = np.ascontiguousarray(gains, dtype=np.float32)
    entries = np.ascontiguousarray(rows, dtype=np.int32)
    kernel()(
        lists.ctypes.data, own.ctypes.data, *cells.shape, ends.ctypes.data, len(ends) - 1,
        entries.ctypes.data, len(entries), count, seen.ctypes.data, total.ctypes.data,
        faults.ctypes.data,
    )  # fmt: skip
    if faults[0] or faults[1]:
        raise IndexError(
            f"{faults[0]} lists are not among the {len(ends) - 1} or reach beyond the "
            f"{len(entries)} entries, and lists hold {faults[1]} rows that are not among the "
            f"{count}"
        )
    return total


@made_once
def kernel() -> Compiled:
    """Machine code.

    Its arguments: lists and gains, query tokens, lists of each; where lists start and stop, how
    many there are, their entries, how many there are; rows; which query token each row gained for
    last, counted from 1, the sums, and how many lists and rows are missing.
    """
    kinds = [LANE_INTS, FLOATS, INT, INT, INTS, INT, LANE_INTS, INT, INT, LANE_INTS, FLOATS, INTS]
    own = Kernel("postings", kinds, lanes=1)
    writing = _Lists(own)
    own.loop(own.count(0), own.arguments[2], writing.of_token)
    return compiled(own.finish())


class _Lists:
    """Writes what is done with the lists of a query token."""

    def __init__(self, own: Kernel) -> None:
        self._own = own
        self._lists, self._gains, _, self._of_token, self._ends, self._known = own.arguments[:6]
        self._entries, self._held, self._rows, self._seen, self._total = own.arguments[6:11]
        self._faults = own.arguments[11]

    def of_token(self, token: Value, _: list[Value]) -> list[Value]:
        """Go through its lists."""
        own, code = self._own, self._own.code
        mark = code.trunc(code.add(token, own.count(1)), LANE_INT)
        first = code.mul(token, self._of_token)
        own.loop(first, code.add(first, self._of_token), partial(self._of_list, mark))
        return []

    def _of_list(self, mark: Value, place: Value, _: list[Value]) -> list[Value]:
        own, code = self._own, self._own.code
        list_ = code.zext(code.load(own.at(self._lists, place)), INT)
        gain = code.load(own.at(self._gains, place))
        with code.if_else(code.icmp_unsigned("<", list_, self._known)) as (there, absent):
            with there:
                start = code.load(own.at(self._ends, list_))
                stop = code.load(own.at(self._ends, list_, 1))
                inside = code.icmp_unsigned("<=", stop, self._held)
                after = code.icmp_signed(">=", start, own.count(0))
                with code.if_else(code.and_(inside, after)) as (whole, beyond):
                    with whole:
                        own.loop(start, stop, partial(self._of_entry, mark, gain))
                    with beyond:
                        self._count(0)
            with absent:
                self._count(0)
        return []

    def _of_entry(self, mark: Value, gain: Value, entry: Value, _: list[Value]) -> list[Value]:
        own, code = self._own, self._own.code
        row = code.zext(code.load(own.at(self._entries, entry)), INT)
        with code.if_else(code.icmp_unsigned("<", row, self._rows)) as (there, absent):
            with there:
                last = code.load(own.at(self._seen, row))
                new = code.icmp_unsigned("!=", last, mark)
                sum_ = code.load(own.at(self._total, row))
                added = code.fadd(sum_, gain)
                code.store(code.select(new, added, sum_), own.at(self._total, row))
                code.store(mark, own.at(self._seen, row))
            with absent:
                self._count(1)
        return []

    def _count(self, fault: int) -> None:
        own = self._own
        here = own.at(self._faults, fault)
        own.code.store(own.code.add(own.code.load(here), own.count(1)), here)
