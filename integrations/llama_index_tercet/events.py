"""Events that LlamaIndex leaves to its components."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core import instrumentation, schema
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent

dispatcher = instrumentation.get_dispatcher(__name__)  # type: ignore[attr-defined]  # not re-exported

Nodes = list[schema.NodeWithScore]


@contextmanager
def ending(event: Callable[[], Any]) -> Iterator[None]:
    """Report the end of what LlamaIndex reports the start of, where an error would swallow it.

    Args:
        event: Makes the event of an end without a result.
    """
    try:
        yield
    except BaseException:
        dispatcher.event(event())
        raise


@contextmanager
def reranking(
    nodes: Nodes, query: str, *, top_n: int, model_name: str, manager: CallbackManager
) -> Iterator[Nodes]:
    """Report start and end to both of LlamaIndex's systems, the end on errors as well.

    Args:
        nodes: What is to be ordered.
        query: The query.
        top_n: How many are kept.
        model_name: Who orders.
        manager: The callback manager of the reranker.

    Yields:
        An empty list for the nodes that are kept.
    """
    payload: dict[str, Any] = {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: model_name,
        EventPayload.QUERY_STR: query,
        EventPayload.TOP_K: top_n,
    }
    best: Nodes = []
    dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=model_name))
    try:
        with manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield best
            event.on_end(payload={EventPayload.NODES: best})
    finally:
        dispatcher.event(ReRankEndEvent(nodes=best))
