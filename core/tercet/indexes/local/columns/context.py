"""What a segment is written with, beside its vectors."""

from dataclasses import dataclass

from tercet.indexes.codebooks import Codebook
from tercet.indexes.storage import Storage


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The choices of an index, and the codebook of its token vectors once it has one."""

    storage: Storage
    codebook: Codebook | None
