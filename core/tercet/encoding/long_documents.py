"""What may happen to documents that are long, and what happens to one of a given length."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar

MCLS_FROM = 512
"""Longest text that `auto` encodes with one CLS."""

MCLS_MAX_TOKENS = 8192
"""What a model must read at least for `auto` to choose "mcls": BGE-M3's length."""


class LongDocuments(StrEnum):
    """What happens to documents that are long."""

    AUTO = "auto"
    PLAIN = "plain"
    MCLS = "mcls"
    WINDOWS = "windows"


class MclsPositions(StrEnum):
    """Which positions inserted CLS take: that of their block's first token, or one of their own."""

    SHARED = "shared"
    SEQUENTIAL = "sequential"


class MclsAttention(StrEnum):
    """Whether the text sees inserted CLS: they only read it, or they are tokens like others."""

    PROBE = "probe"
    FULL = "full"


Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class LongDocumentOptions:
    """How long documents are encoded.

    Attributes:
        mode: What happens to them.
        mcls_interval: Text tokens of a block that has its own CLS.
        mcls_positions: Positions of inserted CLS.
        mcls_attention: Who sees inserted CLS.
    """

    mode: LongDocuments = LongDocuments.AUTO
    mcls_interval: int = 256
    mcls_positions: MclsPositions = MclsPositions.SHARED
    mcls_attention: MclsAttention = MclsAttention.PROBE

    def __post_init__(self) -> None:
        """Check the interval, and that attention and positions fit each other."""
        if isinstance(self.mcls_interval, bool) or not isinstance(self.mcls_interval, int):
            raise TypeError(
                f"mcls_interval is {self.mcls_interval!r}; a whole number belongs there"
            )
        if self.mcls_interval < 1:
            raise ValueError(f"mcls_interval is {self.mcls_interval}; a block has 1 token at least")
        probe = self.mcls_attention is MclsAttention.PROBE
        if probe and self.mcls_positions is not MclsPositions.SHARED:
            raise ValueError(
                'mcls_attention="probe" needs mcls_positions="shared", since probes take no place '
                'in the text; with mcls_positions="sequential" give mcls_attention="full"'
            )

    @classmethod
    def parse(
        cls, mode: str, *, mcls_interval: int, mcls_positions: str, mcls_attention: str
    ) -> Self:
        """Read the options as `Encoder.from_pretrained` takes them.

        Raises:
            ValueError: An unknown value; the message names those that there are.
        """
        return cls(
            read_choice(LongDocuments, mode, name="long_documents"),
            mcls_interval,
            read_choice(MclsPositions, mcls_positions, name="mcls_positions"),
            read_choice(MclsAttention, mcls_attention, name="mcls_attention"),
        )

    def choose(self, tokens: int, *, limit: int, pools_cls: bool) -> LongDocuments:
        """What happens to a document of so many tokens, in a model that reads `limit`.

        Args:
            tokens: Of the whole document, special ones included.
            limit: Of one pass.
            pools_cls: Whether the dense vector is the state of the CLS.
        """
        if self.mode is not LongDocuments.AUTO:
            return self.mode
        if tokens > limit:
            return LongDocuments.WINDOWS
        reads_long = pools_cls and limit >= MCLS_MAX_TOKENS
        return LongDocuments.MCLS if reads_long and tokens > MCLS_FROM else LongDocuments.PLAIN


def read_choice(choices: type[Choice], value: str, *, name: str) -> Choice:
    """The choice of that name.

    Raises:
        ValueError: There is none; the message names those that there are.
    """
    if value not in list(choices):
        raise ValueError(f"{name} is {value!r}; there are: {', '.join(choices)}")
    return choices(value)
