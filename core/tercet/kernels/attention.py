"""Attention of packed texts: blocks of rows read the keys of their text, in one pass over them.

Nothing of the size rows times keys is ever in memory, and what a row reads has the same bits
whatever else is in the pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tercet.kernels.attention_blocks import QUERIES
from tercet.kernels.attention_loops import AttentionLoops
from tercet.kernels.attention_matrices import MatrixAttention, MatrixForm
from tercet.kernels.attention_step import Form
from tercet.kernels.compiling import Compiled, compiled, machine, made_once
from tercet.kernels.matrix_tiles import PAIRED
from tercet.kernels.memory import Scratch

Numbers = NDArray[np.float32] | NDArray[np.int16]

BFLOAT16 = np.dtype(np.int16)
"""What stands for it, since numpy has none."""

_scratch = Scratch()


class Block(NamedTuple):
    """Rows that ask, next to each other, and what they may read.

    Attributes:
        row: The first of the rows.
        rows: How many, up to `QUERIES`.
        key: The row of the first key.
        keys: How many there are.
        place: How far the first row stands behind the first key; counts where there is a window.
        reads_itself: Whether each row reads its own key beside those.
    """

    row: int
    rows: int
    key: int
    keys: int
    place: int
    reads_itself: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The blocks of a pack.

    Attributes:
        table: One in each line, [n, 6].
        rows: What the pack has at least.
        products: How many pairs of a row and a key there are.
    """

    table: NDArray[np.int64]
    rows: int
    products: int

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Self:
        """List some blocks, at least one.

        Raises:
            ValueError: A block is nowhere, is empty or has too many rows.
        """
        table = np.asarray(blocks, dtype=np.int64)
        row, rows, key, keys = table.T[:4]
        if table.min() < 0 or rows.min() < 1 or keys.min() < 1 or rows.max() > QUERIES:
            raise ValueError(f"a block has 1 to {QUERIES} rows, and keys; these are {blocks}")
        needed = max((row + rows).max(), (key + keys).max())
        return cls(table, int(needed), int(rows @ keys))


def can_attend(kind: DTypeLike = np.float32, *, head: int = 1) -> bool:
    """Whether there is such a kernel for the processor at hand.

    Args:
        kind: Of the states' numbers: float32, or int16, which stands for the bits of a bfloat16.
        head: How many a head has.
    """
    here = machine()
    if np.dtype(kind) == BFLOAT16:
        return here is not None and here.matrices and head % PAIRED == 0
    return here is not None


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code, and how many floats of memory it asks for."""

    run: Compiled
    space: int


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Attention of a pack whose states lie in memory in one way.

    Attributes:
        code: Machine code.
        strides: From row to row and from head to head, of query, key and value, in numbers.
        heads: How many there are.
        work: The blocks.
        table: Where they are listed.
        window: Keys at this distance or farther are not seen; 0 where all are.
    """

    code: Code
    strides: tuple[int, ...]
    heads: int
    work: Work
    table: int
    window: int

    @classmethod
    def of(
        cls,
        states: Sequence[Numbers],
        found: Numbers,
        work: Work,
        *,
        scale: float,
        window: int | None,
    ) -> Self:
        """Look at how states lie in memory.

        Args:
            states: Query, key and value, [T, heads, head] each, every head's numbers in a row;
                float32, or the bits of bfloat16 as int16.
            found: Where what each row reads is written, [T, heads, head], in a row.
            work: The blocks.
            scale: Factor of the products.
            window: Keys at this distance or farther are not seen; None where all are, as in
                bfloat16.

        Raises:
            RuntimeError: There is no kernel for such states: `can_attend` tells.
            ValueError: The arrays are not as said, or have not the rows of the blocks.
        """
        here, (rows, heads, head), kind = machine(), found.shape, found.dtype
        half = kind == BFLOAT16
        if here is None or not can_attend(kind, head=head) or (half and window is not None):
            raise RuntimeError(
                f"kernels are off, or there is none for heads of {head} numbers as {kind} and a "
                f"window of {window}: `can_attend` tells"
            )
        fit = kind in (np.float32, BFLOAT16) and all(
            each.shape == found.shape and each.dtype == kind and each.strides[2] == kind.itemsize
            for each in (*states, found)
        )
        if work.rows > rows or not fit or not found.flags.c_contiguous:
            raise ValueError(
                f"{work.rows} rows are read and there are states of "
                f"{[(each.shape, each.dtype.str, each.strides) for each in (*states, found)]}"
            )
        code = (
            matrix_kernel(MatrixForm(here, head, scale))
            if half
            else kernel(Form(here, head, scale, windowed=window is not None))
        )
        strides = (stride // kind.itemsize for each in states for stride in each.strides[:2])
        return cls(code, tuple(strides), heads, work, work.table.ctypes.data, window or 0)

    def run(self, places: Sequence[int], pairs: range) -> None:
        """Let rows read keys: the values of these, weighted by the softmax of their products.

        Args:
            places: The addresses of such a query, key and value, and of where results go.
            pairs: Which pairs of a block and a head are computed: block n in head h is
                n * heads + h.

        Raises:
            ValueError: There are not so many pairs.
        """
        if pairs.start < 0 or pairs.stop > len(self.work.table) * self.heads:
            raise ValueError(
                f"{pairs} are no pairs of {len(self.work.table)} blocks and {self.heads} heads"
            )
        self.code.run(
            *places, *self.strides, self.heads, self.table, pairs.start, pairs.stop, self.window,
            _scratch.of(self.code.space),
        )  # fmt: skip


@made_once
def kernel(form: Form) -> Code:
    """Machine code for some heads in float32."""
    code = AttentionLoops(form)
    return Code(compiled(code.finish(), speed_level=0), code.space)


@made_once
def matrix_kernel(form: MatrixForm) -> Code:
    """Machine code for some heads in bfloat16."""
    code = MatrixAttention(form)
    return Code(compiled(code.finish(), speed_level=0), code.space)
