"""What the tests of the LlamaIndex adapters share: one fake encoder, a few nodes, a recorder."""

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import instrumentation
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from pydantic import PrivateAttr

from llama_index_tercet import TercetRetriever, TercetVectorStore
from tercet.testing.hash_encoder import HashEncoder


class Recorder(BaseEventHandler):
    """Writes down the events of the dispatcher."""

    _events: list[Any] = PrivateAttr(default_factory=list)

    @property
    def events(self) -> list[Any]:
        return self._events

    @property
    def names(self) -> list[str]:
        """Names of the starts and ends; a span that failed is reported besides."""
        return [e.class_name() for e in self._events if e.class_name() != "SpanDropEvent"]

    def handle(self, event: Any, **kwargs: Any) -> None:
        self._events.append(event)


class OldRecorder(BaseCallbackHandler):
    """Writes down the events of the callback manager."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.events: list[tuple[str, CBEventType, dict[Any, Any]]] = []

    def of(self, kind: CBEventType) -> list[tuple[str, dict[Any, Any]]]:
        return [(place, payload) for place, event, payload in self.events if event is kind]

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[Any, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        self.events.append(("start", event_type, payload or {}))
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[Any, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        self.events.append(("end", event_type, payload or {}))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(
        self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None
    ) -> None: ...


@pytest.fixture(scope="session")
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    dispatcher = instrumentation.get_dispatcher()
    handler = Recorder()
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)


@pytest.fixture
def old_recorder() -> OldRecorder:
    return OldRecorder()


@pytest.fixture
def callback_manager(old_recorder: OldRecorder) -> CallbackManager:
    return CallbackManager([old_recorder])


@pytest.fixture(scope="session")
def animals() -> list[TextNode]:
    rows = [
        ("cat", "the cat sleeps on the warm windowsill", {"legs": 4, "tags": ["pet", "fur"]}),
        ("dog", "the dog barks at the postman", {"legs": 4, "tags": ["pet", "fur"]}),
        ("owl", "an owl hunts mice at night", {"legs": 2, "tags": ["wild"], "lang": "en"}),
        ("ant", "an ant carries a leaf to the nest", {"legs": 6, "lang": "EN"}),
        ("cod", "a cod swims in the cold sea", {"legs": 0.5, "lang": "", "tags": []}),
    ]
    nodes = [TextNode(id_=i, text=text, metadata=meta) for i, text, meta in rows]
    for node in nodes:
        node.relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="animals")}
    return nodes


@pytest.fixture(scope="session")
def retriever(encoder: HashEncoder, animals: list[TextNode]) -> TercetRetriever:
    return TercetRetriever.from_defaults(animals, encoder=encoder, similarity_top_k=3)


@pytest.fixture(scope="session")
def full_store(retriever: TercetRetriever) -> TercetVectorStore:
    """A store over the animals, to be read only."""
    return TercetVectorStore(retriever=retriever.retriever)
