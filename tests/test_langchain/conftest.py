"""What the tests of the LangChain adapters share: one fake encoder and a few documents."""

from importlib.util import find_spec

import pytest
from langchain_core.documents import Document

from langchain_tercet import TercetRetriever
from tercet.testing.hash_encoder import HashEncoder

NEEDS_NEWER = ["test_langchain_agent.py", "test_langchain_cross_encoder.py"]
"""Before 1.2.19 langchain-core has no cross-encoders, and the LangGraph that pip chooses for it
does not import with it."""

collect_ignore = [] if find_spec("langchain_core.cross_encoders") else NEEDS_NEWER


@pytest.fixture(scope="session")
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture(scope="session")
def animals() -> list[Document]:
    rows = [
        ("cat", "the cat sleeps on the warm windowsill", {"legs": 4, "tags": ["pet", "fur"]}),
        ("dog", "the dog barks at the postman", {"legs": 4, "tags": ["pet", "fur"]}),
        ("owl", "an owl hunts mice at night", {"legs": 2, "tags": ["wild"], "lang": "en"}),
        ("ant", "an ant carries a leaf to the nest", {"legs": 6, "lang": "en"}),
        ("cod", "a cod swims in the cold sea", {"legs": 0, "nested": {"water": ["salt"]}}),
    ]
    return [Document(id=i, page_content=text, metadata=meta) for i, text, meta in rows]


@pytest.fixture(scope="session")
def retriever(encoder: HashEncoder, animals: list[Document]) -> TercetRetriever:
    return TercetRetriever.from_documents(animals, encoder=encoder, k=3)
