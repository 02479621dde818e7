"""Streams stay flat, and threads wait without spinning."""

import gc
import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tercet.encoder import Encoder
from tercet.encoding.threads import CHOICES, SPINS, wait_briefly
from tercet.testing.checkpoints import write_dense


def test_a_stream_reads_and_keeps_no_more_however_long_it_is(tmp_path: Path) -> None:
    encoder = Encoder.from_pretrained(
        write_dense(tmp_path, layers=1), device="cpu", dtype="float32"
    )
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for n in range(2560):
            read += 1
            yield f"document {1000 + n} of a stream"

    held, seen = [], 0
    tracemalloc.start()
    for batch in encoder.encode_documents_iter(texts()):
        seen += len(batch)
        assert read - seen <= 512  # never more than a batch ahead of what was given
        del batch
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert seen == 2560
    assert len(held) == 5
    later = held[1:]  # the first batch warms caches
    assert max(later) - min(later) < 50_000  # bytes; the views of one batch are a million


def test_threads_wait_briefly_unless_somebody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    wait_briefly()  # torch is loaded, and read its settings then
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS
    monkeypatch.delenv("GOMP_SPINCOUNT")
