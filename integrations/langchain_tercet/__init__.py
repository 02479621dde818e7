"""Tercet in LangChain: embeddings, a retriever, a reranker and a vector store."""

# ruff: noqa: E402  the framework is asked for first, so that its absence names the extra
from tercet.errors import require

require("langchain_core", extra="langchain")

from langchain_tercet.embeddings import TercetEmbeddings
from langchain_tercet.reranker import TercetReranker
from langchain_tercet.retriever import TercetRetriever, TercetVectorStoreRetriever
from langchain_tercet.store import TercetVectorStore

__all__ = [
    "TercetEmbeddings",
    "TercetReranker",
    "TercetRetriever",
    "TercetVectorStore",
    "TercetVectorStoreRetriever",
]
