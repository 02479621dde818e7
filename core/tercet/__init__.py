"""Tercet: dense, sparse and multi-vector retrieval from one encoder pass, in one index."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercet.callable_encoder import CallableEncoder
    from tercet.context.builder import Context, ContextBuilder
    from tercet.documents import Document
    from tercet.embeddings import (
        Embeddings,
        EncoderSpec,
        MultiVectors,
        Representation,
        SparseVectors,
        TextEncoder,
    )
    from tercet.encoder import Encoder
    from tercet.filters import F
    from tercet.indexes.base import Index
    from tercet.plans import Plan
    from tercet.ranking import Hit, Ranking
    from tercet.reranker import Reranker
    from tercet.retriever import Retriever

_HOMES = {
    "CallableEncoder": "callable_encoder",
    "Context": "context.builder",
    "ContextBuilder": "context.builder",
    "Document": "documents",
    "Embeddings": "embeddings",
    "Encoder": "encoder",
    "EncoderSpec": "embeddings",
    "F": "filters",
    "Hit": "ranking",
    "Index": "indexes.base",
    "MultiVectors": "embeddings",
    "Plan": "plans",
    "Ranking": "ranking",
    "Representation": "embeddings",
    "Reranker": "reranker",
    "Retriever": "retriever",
    "SparseVectors": "embeddings",
    "TextEncoder": "embeddings",
}

__all__ = [
    "CallableEncoder",
    "Context",
    "ContextBuilder",
    "Document",
    "Embeddings",
    "Encoder",
    "EncoderSpec",
    "F",
    "Hit",
    "Index",
    "MultiVectors",
    "Plan",
    "Ranking",
    "Representation",
    "Reranker",
    "Retriever",
    "SparseVectors",
    "TextEncoder",
    "__version__",
]

try:
    __version__ = version("tercet")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tercet' has no attribute {name!r}")
    return getattr(import_module(f"tercet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
