"""Spans for OpenTelemetry: what is reported, and that nothing is where it is missing."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tercet import tracing
from tercet.documents import Document
from tercet.plans import Plan
from tercet.reranker import Reranker
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder
retriever = Retriever.create(encoder=HashEncoder())
print(list(retriever.retrieve("a", k=1)), [m for m in sys.modules if "opentelemetry." in m])
"""


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    tracing._tracer.cache_clear()
    yield exporter
    tracing._tracer.cache_clear()
    provider.shutdown()


def reported(exporter: InMemorySpanExporter) -> list[tuple[str, dict[str, object]]]:
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    return [(span.name, dict(span.attributes or {})) for span in spans]


def test_each_step_is_a_span_with_its_options_and_no_text(
    exporter: InMemorySpanExporter,
) -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    retriever.add([Document(id="a", text="secret")])
    retriever.retrieve(query="secret", k=2, plan="hybrid", exact=True)
    retriever.retrieve_diverse("secret", k=1, plan=Plan({"dense": 1}, {"dense": 1.0}))  # type: ignore[dict-item]
    Reranker(HashEncoder()).rerank("secret", ["secret"], k=1)
    assert reported(exporter) == [
        ("tercet.add", {}),
        ("tercet.retrieve", {"plan": "hybrid", "k": 2, "exact": True}),
        ("tercet.retrieve_diverse", {"k": 1}),
        ("tercet.rerank", {"k": 1}),
    ]


async def test_a_search_that_was_awaited_belongs_to_the_span_round_it(
    exporter: InMemorySpanExporter,
) -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    with trace.get_tracer("user").start_as_current_span("outer"):
        await retriever.aretrieve("a")
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("tercet.retrieve", "outer")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id


def test_a_failure_ends_its_span_and_stands_in_it(exporter: InMemorySpanExporter) -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    with pytest.raises(ValueError, match="no plan"):
        retriever.retrieve("a", plan="best")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert [event.name for event in span.events] == ["exception"]


def test_without_opentelemetry_nothing_is_reported_and_nothing_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[] []", "")
