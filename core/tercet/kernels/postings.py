"""Posting lists: for each query token the best gain that a row has, added up over query tokens."""

import numpy as np
from numpy.typing import NDArray

from tercet.kernels.building import FLOATS, INT, INTS, LANE_INT, LANE_INTS, Kernel, Value
from tercet.kernels.compiling import Compiled, compiled, machine, made_once

Places = NDArray[np.int64]


def can_add_gains() -> bool:
    """Whether there are kernels here."""
    return machine() is not None


def added_gains(
    starts: Places,
    stops: Places,
    gains: NDArray[np.float32],
    rows: NDArray[np.int32],
    *,
    count: int,
) -> NDArray[np.float32]:
    """What rows gain by the lists that they are in.

    A row gains the first that it meets for each query token, which is the largest: gains descend.

    Args:
        starts: Where each list of a query token starts in `rows`, [Q, P].
        stops: Where it stops, [Q, P].
        gains: What rows in it gain, descending for each query token, [Q, P].
        rows: Of all lists.
        count: Of rows.

    Returns:
        A sum for each row, [count].

    Raises:
        IndexError: A list reaches beyond the rows, or holds a row that is not there.
    """
    if starts.size and not 0 <= starts.min() <= stops.max() <= len(rows):
        raise IndexError(f"a list reaches beyond the {len(rows)} entries")
    total = np.zeros(count, dtype=np.float32)
    seen = np.full(count, -1, dtype=np.int32)
    missing = np.zeros(1, dtype=np.int64)
    whole = [np.ascontiguousarray(ends, dtype=np.int64) for ends in (starts, stops)]
    own = np.ascontiguousarray(gains, dtype=np.float32)
    entries = np.ascontiguousarray(rows, dtype=np.int32)
    kernel()(
        *(ends.ctypes.data for ends in whole), own.ctypes.data, entries.ctypes.data, *starts.shape,
        count, seen.ctypes.data, total.ctypes.data, missing.ctypes.data,
    )  # fmt: skip
    if missing[0]:
        raise IndexError(f"lists hold {missing[0]} rows that are not among the {count}")
    return total


@made_once
def kernel() -> Compiled:
    """Machine code.

    Its arguments: starts and stops of lists, gains, entries; query tokens, lists of each, rows;
    which query token each row gained for last, the sums, and how many rows are missing.
    """
    kinds = [INTS, INTS, FLOATS, LANE_INTS, INT, INT, INT, LANE_INTS, FLOATS, INTS]
    own = Kernel("postings", kinds, lanes=1)
    starts, stops, gains, entries, tokens, lists, rows, seen, total, missing = own.arguments
    code = own.code

    def of_token(token: Value, _: list[Value]) -> list[Value]:
        mark = code.trunc(token, LANE_INT)

        def of_list(place: Value, _: list[Value]) -> list[Value]:
            gain = code.load(own.at(gains, place))

            def of_entry(entry: Value, _: list[Value]) -> list[Value]:
                row = code.zext(code.load(own.at(entries, entry)), INT)
                with code.if_else(code.icmp_unsigned("<", row, rows)) as (there, absent):
                    with there:
                        last = code.load(own.at(seen, row))
                        new = code.icmp_unsigned("!=", last, mark)
                        sum_ = code.load(own.at(total, row))
                        added = code.fadd(sum_, gain)
                        code.store(code.select(new, added, sum_), own.at(total, row))
                        code.store(mark, own.at(seen, row))
                    with absent:
                        code.store(code.add(code.load(missing), own.count(1)), missing)
                return []

            own.loop(code.load(own.at(starts, place)), code.load(own.at(stops, place)), of_entry)
            return []

        first = code.mul(token, lists)
        own.loop(first, code.add(first, lists), of_list)
        return []

    own.loop(own.count(0), tokens, of_token)
    return compiled(own.finish())
