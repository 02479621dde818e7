"""Tercet in LlamaIndex: embedding models, a retriever, a reranker and a vector store."""

# ruff: noqa: E402  the framework is asked for first, so that its absence names the extra
from tercet.errors import require

require("llama_index.core", extra="llama-index")

from llama_index_tercet.context import TercetContextPostprocessor
from llama_index_tercet.embeddings import TercetEmbedding
from llama_index_tercet.reranker import TercetRerank
from llama_index_tercet.retriever import TercetRetriever
from llama_index_tercet.sparse_embeddings import TercetSparseEmbedding
from llama_index_tercet.store import TercetVectorStore
from llama_index_tercet.tools import retriever_tool

__all__ = [
    "TercetContextPostprocessor",
    "TercetEmbedding",
    "TercetRerank",
    "TercetRetriever",
    "TercetSparseEmbedding",
    "TercetVectorStore",
    "retriever_tool",
]
