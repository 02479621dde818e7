"""Tercet in LlamaIndex: an embedding model, a retriever and a reranker."""

# ruff: noqa: E402  the framework is asked for first, so that its absence names the extra
from tercet.errors import require

require("llama_index.core", extra="llama-index")

from llama_index_tercet.embeddings import TercetEmbedding
from llama_index_tercet.reranker import TercetRerank
from llama_index_tercet.retriever import TercetRetriever

__all__ = ["TercetEmbedding", "TercetRerank", "TercetRetriever"]
