"""Tercet in LangChain: embeddings, retrievers, rerankers and a vector store."""

# ruff: noqa: E402  the framework is asked for first, so that its absence names the extra
from tercet.errors import require

require("langchain_core", extra="langchain")

from langchain_tercet.context import TercetContextCompressor
from langchain_tercet.embeddings import TercetEmbeddings
from langchain_tercet.reranker import TercetCrossEncoder, TercetReranker
from langchain_tercet.retriever import TercetRetriever, TercetVectorStoreRetriever
from langchain_tercet.sparse_embeddings import TercetSparseEmbeddings
from langchain_tercet.store import TercetVectorStore

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
