"""Texts to the views of a model: tokenise, lay out passes, run them, under one lock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import EncoderSpec
from tercet.encoding.backends import load_model
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.heads.token_rows import TokenRows
from tercet.encoding.long_documents import LongDocuments
from tercet.encoding.model import Views
from tercet.encoding.options import EncoderOptions
from tercet.encoding.packing import Pass
from tercet.encoding.passes import document_passes, query_passes, tokens_encoded
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizing import Tokenizer

Layout = Callable[[TokenisedText, int], list[Pass]]
"""The passes of text n of a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A batch of texts, ready to be run.

    Attributes:
        texts: As the model reads them.
        passes: All their passes.
        tokens: Tokens of each whole text, [N].
        tokens_encoded: How many of them the passes read, [N].
    """

    texts: list[TokenisedText]
    passes: list[Pass]
    tokens: NDArray[np.int64]
    tokens_encoded: NDArray[np.int64]


class Pipeline:
    """A tokenizer, a model, and the options that both follow."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        options: EncoderOptions,
        backend: str | None,
        device: str | None,
        dtype: str,
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: Where the model is.
            options: How it encodes.
            backend: What it computes with; None for what the files are for.
            device: Where it runs, or several such places; None for the best there is.
            dtype: Its arithmetic, or "auto".

        Raises:
            CheckpointError: The checkpoint cannot be used.
            ValueError: The machine lacks the device, or the model what an option needs.
        """
        self.checkpoint, self.spec = checkpoint, checkpoint.spec
        self.options = options
        dense = self.spec.dense
        self._pools_cls = dense is not None and dense.pooling == ("cls",)
        self.tokenizer = Tokenizer(checkpoint.folder, self.spec)
        self._model = load_model(
            checkpoint, backend=backend, device=device, dtype=dtype, quantize=options.quantize
        )
        options.check(
            max_tokens=self.spec.max_tokens,
            pools_cls=self._pools_cls,
            packs=self._model.packs,
            name=self.spec.name,
        )
        self._tokenizing, self._computing = Lock(), Lock()

    @property
    def where(self) -> str:
        """Where and how the model computes, for people."""
        return self._model.where

    @property
    def runs_ahead(self) -> bool:
        """Whether the model computes while the next texts are prepared."""
        return self._model.runs_ahead

    @property
    def scale(self) -> int:
        """How many times what a CPU takes at once the model takes."""
        return self._model.scale

    def encoder_spec(self) -> EncoderSpec:
        """What an encoder over this pipeline is."""
        spec, model_id = self.spec, self.checkpoint.model_id
        late = spec.multi_vector
        return EncoderSpec(
            family=spec.name,
            representations=spec.representations,
            model_id=model_id,
            document_id=self.options.document_id(model_id),
            source=self.checkpoint.source.name,
            revision=self.checkpoint.revision,
            options=self.options.arguments(),
            dense_dim=spec.dense_dim,
            multi_vector_dim=None if late is None else late.dim,
            vocabulary=None if spec.sparse is None else spec.vocabulary,
            max_tokens=spec.max_tokens,
            reduction="sum" if late is None else late.reduction,
            weights=spec.hybrid_weights,
        )

    def save(self, folder: Path) -> None:
        """Write the model as a plain folder."""
        from tercet.encoding.saving import save  # noqa: PLC0415  loads torch

        save(self.checkpoint, folder)

    def export(self, folder: Path) -> None:
        """Write the model as a graph for ONNX Runtime."""
        from tercet.encoding.onnx.export import export  # noqa: PLC0415  loads torch

        export(self.checkpoint, folder)

    def prepare_queries(self, texts: Sequence[str]) -> Prepared:
        """Tokenise queries and lay out their passes."""
        with self._tokenizing:
            tokenised = self.tokenizer.queries(texts, limit=self.options.query_tokens)
        return _prepared(tokenised, self._query)

    def prepare_documents(self, texts: Sequence[str]) -> Prepared:
        """Tokenise documents and lay out their passes."""
        with self._tokenizing:
            tokenised = self.tokenizer.documents(texts)
        return _prepared(tokenised, self._document)

    def start(self, batch: Prepared) -> Callable[[], Views]:
        """Begin to make the views of a batch; what comes back waits for them."""
        with self._computing:
            return self._model.start(batch.texts, batch.passes)

    def kept_tokens(self, batch: Prepared) -> list[NDArray[np.int64]]:
        """Tokens of each text that have a token vector; all that are read, without that view."""
        if self.spec.multi_vector is not None:
            rows = TokenRows(batch.passes, batch.texts, dim=0)
            return [rows.tokens(n) for n in range(len(batch.texts))]
        read: list[list[NDArray[np.int64]]] = [[] for _ in batch.texts]
        for item in batch.passes:
            read[item.text].append(item.rows[item.owned])
        return [np.sort(np.concatenate(rows)) for rows in read]

    def _query(self, text: TokenisedText, n: int) -> list[Pass]:
        return query_passes(
            text, n, options=self.options.long_documents, limit=self.spec.max_tokens
        )

    def _document(self, text: TokenisedText, n: int) -> list[Pass]:
        return document_passes(
            text,
            n,
            options=self.options.long_documents,
            limit=self._document_limit,
            pools_cls=self._pools_cls and self._model.packs,
        )

    @property
    def _document_limit(self) -> int:
        """Tokens of a document in one pass; "plain" keeps to the published length."""
        given, longest = self.options.document_tokens, self.spec.max_tokens
        if given is None and self.options.long_documents.mode is LongDocuments.PLAIN:
            given = self.spec.document.tokens
        return min(given or longest, longest)


def _prepared(texts: list[TokenisedText], layout: Layout) -> Prepared:
    of_text = [layout(text, n) for n, text in enumerate(texts)]
    encoded = [tokens_encoded(text, passes) for text, passes in zip(texts, of_text, strict=True)]
    return Prepared(
        texts=texts,
        passes=[item for passes in of_text for item in passes],
        tokens=np.asarray([text.total for text in texts], dtype=np.int64),
        tokens_encoded=np.asarray(encoded, dtype=np.int64),
    )
