"""An encoder without weights: the same text gives the same vectors, shared words bring texts near.

Each word has a pseudo-random unit vector, seeded by its hash. A text's dense vector is the
normalised sum over its words, its lexical weights count words, its token vectors are the words'.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tercet.documents import replace_lone_surrogates
from tercet.embeddings import (
    Embeddings,
    EncoderSpec,
    MultiVectors,
    Representation,
    SparseVectors,
)
from tercet.encoder import Token
from tercet.errors import check_texts

VOCABULARY = 1 << 20
WORD = re.compile(r"\w+|[^\w\s]")


class HashEncoder:
    """A deterministic encoder of three views that needs numpy only."""

    def __init__(
        self,
        dense_dim: int = 64,
        multi_vector_dim: int = 32,
        *,
        representations: Sequence[Representation | str] = tuple(Representation),
    ) -> None:
        """Choose the dimensions, and the views if not all three.

        Args:
            dense_dim: E of the dense view.
            multi_vector_dim: E of the token vectors.
            representations: The views to make.
        """
        views = {Representation(r) for r in representations}
        if not views:
            raise ValueError(f"no view was asked for; there are: {', '.join(Representation)}")
        name = f"hash-encoder/{dense_dim}/{multi_vector_dim}/{'+'.join(sorted(views))}"
        identity = hashlib.sha256(name.encode()).hexdigest()
        self._spec = EncoderSpec(
            family="hash-encoder",
            representations=tuple(r for r in Representation if r in views),
            model_id=identity,
            document_id=identity,
            dense_dim=dense_dim if Representation.DENSE in views else None,
            multi_vector_dim=multi_vector_dim if Representation.MULTI_VECTOR in views else None,
            vocabulary=VOCABULARY if Representation.SPARSE in views else None,
            reduction="mean",
        )
        self._dense_dim, self._multi_vector_dim = dense_dim, multi_vector_dim

    @property
    def spec(self) -> EncoderSpec:
        """What it is; without a source, since it cannot be loaded by name."""
        return self._spec

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that it makes."""
        return self._spec.representations

    def __deepcopy__(self, memo: dict[int, object]) -> "HashEncoder":
        return self

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N queries, made as those of documents."""
        del show_progress
        return self._encode(texts, document_id=None)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N documents."""
        del show_progress
        return self._encode(texts, document_id=self._spec.document_id)

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
        """The words of documents, one for each row of `multi_vector`."""
        check_texts(texts)
        return [
            [Token(m[0].lower(), *m.span()) for m in _matches(text)] or [Token("", None, None)]
            for text in texts
        ]

    def _encode(self, texts: Sequence[str], *, document_id: str | None) -> Embeddings:
        check_texts(texts)
        words = [_words(text) for text in texts]
        has = self._spec.representations
        counts = np.asarray([len(w) for w in words], dtype=np.int64)
        return Embeddings(
            dense=self._dense(words) if Representation.DENSE in has else None,
            sparse=_sparse(words) if Representation.SPARSE in has else None,
            multi_vector=self._multi_vector(words) if Representation.MULTI_VECTOR in has else None,
            tokens=counts,
            tokens_encoded=counts,
            model_id=self._spec.model_id,
            document_id=document_id,
        )

    def _dense(self, words: list[list[str]]) -> NDArray[np.float32]:
        sums = [np.sum([_vector(w, self._dense_dim) for w in text], axis=0) for text in words]
        stacked = np.asarray(sums, dtype=np.float32).reshape(len(words), self._dense_dim)
        norms = np.linalg.norm(stacked, axis=1, keepdims=True)
        normalised: NDArray[np.float32] = stacked / np.maximum(norms, np.float32(1e-9))
        return normalised

    def _multi_vector(self, words: list[list[str]]) -> MultiVectors:
        rows = [_vector(w, self._multi_vector_dim) for text in words for w in text]
        return MultiVectors(
            np.asarray(rows, dtype=np.float32).reshape(-1, self._multi_vector_dim),
            np.cumsum([0, *map(len, words)], dtype=np.int64),
        )


def _words(text: str) -> list[str]:
    """Words in lower case; a text without any is one empty word."""
    return [match[0].lower() for match in _matches(text)] or [""]


def _matches(text: str) -> Iterator[re.Match[str]]:
    return WORD.finditer(replace_lone_surrogates(text))


def _sparse(words: list[list[str]]) -> SparseVectors:
    rows = [
        {_term(word): float(np.log1p(count)) for word, count in Counter(text).items() if word}
        for text in words
    ]
    return SparseVectors.from_dicts(rows)


def _digest(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")


def _term(word: str) -> int:
    return _digest(word) % VOCABULARY


@lru_cache(maxsize=100_000)
def _vector(word: str, dim: int) -> NDArray[np.float32]:
    """The word's unit vector, [dim]."""
    vector = np.random.default_rng(_digest(word)).standard_normal(dim)
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
