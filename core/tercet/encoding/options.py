"""How an encoder was asked to encode: set once, when it is loaded."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self, TypedDict

from tercet.encoding.long_documents import LongDocumentOptions, LongDocuments, read_choice

ENCODING_VERSION = 1
"""Raised when the same model and options give other document vectors than before."""

FEWEST_TOKENS = 4
"""What a pass must hold at least: two special tokens, a marker, and one token of the text."""


class Quantize(StrEnum):
    """What the weights of the backbone are rounded to."""

    INT8 = "int8"


class OnTruncation(StrEnum):
    """What happens when a text must be cut: a warning a call, or an error."""

    WARN = "warn"
    ERROR = "error"


class LoadOptions(TypedDict, total=False):
    """Arguments of `Encoder.from_pretrained` beside the source."""

    revision: str | None
    backend: str | None
    device: str | None
    dtype: str
    quantize: str | None
    long_documents: str
    query_tokens: int | None
    document_tokens: int | None
    mcls_interval: int
    mcls_positions: str
    mcls_attention: str
    on_truncation: str


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Arguments of `Encoder.from_pretrained` that shape vectors, and what happens to cut texts.

    Attributes:
        long_documents: How long documents are encoded.
        query_tokens: Tokens of a query; None for what the model was published with.
        document_tokens: Most tokens of a document in one pass; None for the model's own.
        on_truncation: What happens when a text must be cut.
        quantize: What the backbone's weights are rounded to; None for not at all.
    """

    long_documents: LongDocumentOptions = field(default_factory=LongDocumentOptions)
    query_tokens: int | None = None
    document_tokens: int | None = None
    on_truncation: OnTruncation = OnTruncation.WARN
    quantize: Quantize | None = None

    @classmethod
    def parse(
        cls,
        *,
        quantize: str | None,
        long_documents: str,
        query_tokens: int | None,
        document_tokens: int | None,
        mcls_interval: int,
        mcls_positions: str,
        mcls_attention: str,
        on_truncation: str,
    ) -> Self:
        """Read the arguments of `Encoder.from_pretrained`.

        Raises:
            TypeError: A number of tokens that is no whole number.
            ValueError: An unknown value, or too few tokens.
        """
        if quantize not in (None, *Quantize):
            raise ValueError(
                f"quantize is {quantize!r}; there are: None (weights as they are), "
                f"{', '.join(Quantize)}"
            )
        return cls(
            long_documents=LongDocumentOptions.parse(
                long_documents,
                mcls_interval=mcls_interval,
                mcls_positions=mcls_positions,
                mcls_attention=mcls_attention,
            ),
            query_tokens=_tokens(query_tokens, name="query_tokens"),
            document_tokens=_tokens(document_tokens, name="document_tokens"),
            on_truncation=read_choice(OnTruncation, on_truncation, name="on_truncation"),
            quantize=None if quantize is None else Quantize(quantize),
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Encoder.from_pretrained` that shape vectors, as JSON values."""
        return {"query_tokens": self.query_tokens, **self._of_documents()}

    def document_id(self, model_id: str) -> str:
        """The id of document vectors made by a model with these options."""
        told = json.dumps(
            {"model_id": model_id, "version": ENCODING_VERSION, **self._of_documents()},
            sort_keys=True,
        )
        return hashlib.sha256(told.encode()).hexdigest()

    def _of_documents(self) -> dict[str, Any]:
        long = self.long_documents
        return {
            "quantize": None if self.quantize is None else str(self.quantize),
            "long_documents": str(long.mode),
            "document_tokens": self.document_tokens,
            "mcls_interval": long.mcls_interval,
            "mcls_positions": str(long.mcls_positions),
            "mcls_attention": str(long.mcls_attention),
        }

    def check(self, *, max_tokens: int, pools_cls: bool, packs: bool, name: str) -> None:
        """Refuse what a model cannot do.

        Args:
            max_tokens: Tokens that one pass of the model reads.
            pools_cls: Whether its dense vector is the state of the CLS.
            packs: Whether its backbone takes explicit positions.
            name: What messages call it.

        Raises:
            ValueError: Too many tokens, or "mcls" without a pooled CLS or explicit positions.
        """
        for given in ("query_tokens", "document_tokens"):
            tokens = getattr(self, given)
            if tokens is not None and tokens > max_tokens:
                raise ValueError(
                    f"{given} is {tokens}, but {name} reads {max_tokens} tokens at most"
                )
        if self.long_documents.mode is not LongDocuments.MCLS:
            return
        if not pools_cls:
            raise ValueError(
                f'long_documents="mcls" needs a model whose dense vector is the state of its CLS, '
                f'and {name} pools otherwise: use "windows" or "auto"'
            )
        if not packs:
            raise ValueError(
                f'long_documents="mcls" needs a backbone with explicit positions, which {name} '
                f'lacks: use "windows" or "auto"'
            )


def _tokens(value: object, *, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; a whole number or None belongs there")
    if value < FEWEST_TOKENS:
        raise ValueError(f"{name} is {value}; at least {FEWEST_TOKENS} tokens are needed")
    return value
