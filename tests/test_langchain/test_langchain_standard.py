"""LangChain's own conformance suites."""

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_tercet import TercetEmbeddings, TercetRetriever, TercetVectorStore
from tercet.documents import Document
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder


class TestStandardEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return TercetEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"encoder": HashEncoder()}


class TestStandardEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return TercetEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"encoder": HashEncoder()}


class TestStandardRetrieversIntegration(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return TercetRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        retriever = Retriever.create(encoder=HashEncoder())
        retriever.add(Document(id=str(n), text=f"document number {n}") for n in range(5))
        return {"retriever": retriever}

    @property
    def retriever_query_example(self) -> str:
        return "number 3"


class TestStandardStoreOfThreeViews(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> VectorStore:  # type: ignore[override]
        return TercetVectorStore(retriever=Retriever.create(encoder=HashEncoder()))


class TestStandardStoreOfOtherEmbeddings(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> VectorStore:  # type: ignore[override]
        return TercetVectorStore(embedding=self.get_embeddings())
