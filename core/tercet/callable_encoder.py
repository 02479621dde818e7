"""Anybody's two functions as an encoder of the dense view."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tercet.documents import replace_lone_surrogates
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.encoding.heads.pooling import unit_length
from tercet.errors import check_texts
from tercet.progress import progress

PROBE_TEXT = "dimension"
"""What `CallableEncoder` has encoded to learn a dimension."""

Vectors = Callable[[list[str]], Any]
"""From texts to one vector each: an array, or sequences of numbers."""


class CallableEncoder:
    """Two functions of anybody's as an encoder of the dense view.

    Their vectors are scaled to unit length. Reading `spec` asks the documents function for the
    vector of one short text where the dimension was neither given nor learnt before.
    """

    def __init__(
        self, documents: Vectors, queries: Vectors, *, name: str, dim: int | None = None
    ) -> None:
        """Take the functions.

        Args:
            documents: Gives one vector a document.
            queries: Gives one vector a query.
            name: What the model is called; its vectors are recognised by it.
            dim: E, where it is known.
        """
        if not name:
            raise ValueError("name is empty; vectors are recognised by the name of their model")
        for role, function in (("documents", documents), ("queries", queries)):
            if not callable(function):
                raise TypeError(f"{role} is {function!r}; a function of texts belongs there")
        self._documents, self._queries, self._name, self._dim = documents, queries, name, dim

    @property
    def spec(self) -> EncoderSpec:
        """What it is; without a source, since it cannot be loaded by name."""
        if self._dim is None:
            self._vectors(self._documents, [PROBE_TEXT])
        identity = hashlib.sha256(f"callable\0{self._name}\0{self._dim}".encode()).hexdigest()
        return EncoderSpec(
            family=self._name,
            representations=self.representations,
            model_id=identity,
            document_id=identity,
            dense_dim=self._dim,
        )

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The dense view alone."""
        return (Representation.DENSE,)

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The dense vectors of N queries."""
        return self._encode(self._queries, texts, None, show_progress=show_progress)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The dense vectors of N documents."""
        document_id = self.spec.document_id
        return self._encode(self._documents, texts, document_id, show_progress=show_progress)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __repr__(self) -> str:
        return f"CallableEncoder(name={self._name!r}, dim={self._dim})"

    def _encode(
        self,
        function: Vectors,
        texts: Sequence[str],
        document_id: str | None,
        *,
        show_progress: bool,
    ) -> Embeddings:
        check_texts(texts)
        spec = self.spec
        with progress("encoding", total=len(texts), show=show_progress) as bar:
            cleaned = [replace_lone_surrogates(text) for text in texts]
            dense = self._vectors(function, cleaned)
            bar.advance(len(texts))
        return Embeddings(dense=dense, model_id=spec.model_id, document_id=document_id)

    def _vectors(self, function: Vectors, texts: list[str]) -> NDArray[np.float32]:
        """What a function gives for some texts, at unit length, [N, E].

        Raises:
            ValueError: Not one vector a text, or of another length than those before.
        """
        if not texts:
            return np.zeros((0, self._dim or 0), dtype=np.float32)
        given = function(texts)
        try:
            found = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._name} gave no vectors of one length for {len(texts)} texts: {error}"
            ) from error
        if found.ndim != 2 or len(found) != len(texts):
            raise ValueError(
                f"{self._name} gave an array of shape {found.shape} for {len(texts)} texts; one "
                "vector a text belongs there"
            )
        if self._dim is None:
            self._dim = found.shape[1]
        if found.shape[1] != self._dim:
            raise ValueError(
                f"{self._name} gave vectors of {found.shape[1]} dimensions, and of {self._dim} "
                "before"
            )
        return unit_length(found)
