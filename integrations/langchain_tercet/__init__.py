"""Tercet in LangChain: embeddings, retrievers, rerankers and a vector store."""

# ruff: noqa: E402  the framework is asked for first, so that its absence names the extra
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tercet.errors import MissingExtraError, require

require("langchain_core", extra="langchain")

from langchain_tercet.context import TercetContextCompressor
from langchain_tercet.embeddings import TercetEmbeddings
from langchain_tercet.reranker import TercetReranker
from langchain_tercet.retriever import TercetRetriever, TercetVectorStoreRetriever
from langchain_tercet.sparse_embeddings import TercetSparseEmbeddings
from langchain_tercet.store import TercetVectorStore

if TYPE_CHECKING:
    from langchain_tercet.cross_encoder import TercetCrossEncoder

__all__ = [
    "TercetContextCompressor",
    "TercetCrossEncoder",
    "TercetEmbeddings",
    "TercetReranker",
    "TercetRetriever",
    "TercetSparseEmbeddings",
    "TercetVectorStore",
    "TercetVectorStoreRetriever",
]


def __getattr__(name: str) -> object:
    """`TercetCrossEncoder`, which asks for more of langchain-core than the others."""
    if name != "TercetCrossEncoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("langchain_core.cross_encoders") is None:
        raise MissingExtraError(
            "TercetCrossEncoder needs langchain-core 1.2.19 or later: "
            "pip install -U 'langchain-core>=1.2.19'"
        )
    return import_module("langchain_tercet.cross_encoder").TercetCrossEncoder
