"""A copy to a server, or from it, whose process is killed goes on where it stopped."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tercet.documents import AddReport, Document
from tercet.indexes.base import Index
from tercet.indexes.copying import copy_index
from tercet.progress import progress
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
COUNT = 700
WORDS = ["cat", "dog", "mat", "sun", "moon", "star", "tree", "river", "stone", "cloud"]

COPY = """
import sys, time
from concurrent.futures import Future, wait
from tercet.indexes.base import Index
from tercet.indexes.copying import copy_index
from tercet.indexes.local import index as local
from tercet.indexes.qdrant import lines, writing
from tercet.progress import progress

writing.DOCUMENTS_AT_ONCE = 100
local.SCAN_DOCUMENTS = 500

def killed_here(method, times):
    started = []
    def call(*args, **kwargs):
        if len(started) == times:
            wait([each for each in started if isinstance(each, Future)])
            print("half way", flush=True)
            time.sleep(600)
        started.append(method(*args, **kwargs))
        return started[-1]
    return call

lines.AtOnce.send = killed_here(lines.AtOnce.send, 3)
local.LocalIndex.add = killed_here(local.LocalIndex.add, 3)
with Index.open(sys.argv[1], read_only=True) as source, progress("copying") as bar:
    copy_index(source, Index.open(sys.argv[2], spec=source.spec), bar)
"""


def copy_and_kill(source: str, target: str) -> None:
    """Start a copy, and kill its process when it is half way."""
    command = [sys.executable, "-c", COPY, source, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.kill()


def go_on(source: str, target: str) -> AddReport:
    with (
        Index.open(source, read_only=True) as read,
        Index.open(target) as written,
        progress("copying") as bar,
    ):
        return copy_index(read, written, bar)


def test_a_copy_that_is_killed_goes_on_there_and_back(
    tmp_path: Path, qdrant_address: Callable[[], str]
) -> None:
    rng = np.random.default_rng(0)
    docs = [Document(f"d{n:03d}", " ".join(rng.choice(WORDS, 5)), {"n": n}) for n in range(COUNT)]
    folder, back, address = str(tmp_path / "folder"), str(tmp_path / "back"), qdrant_address()
    with Index.open(folder, spec=ENCODER.spec) as index:
        index.add(docs, ENCODER.encode_documents([document.text for document in docs]))
    for source, target in ((folder, address), (address, back)):
        copy_and_kill(source, target)
        report = go_on(source, target)
        assert report.committed + report.skipped == COUNT
        assert report.replaced == 0
        assert 300 <= report.skipped < COUNT
        assert go_on(source, target) == AddReport(skipped=COUNT)
    queries = ENCODER.encode_queries(["cat mat", "moon star river"])
    with Index.open(folder) as first, Index.open(back) as last:
        assert last.ids() == first.ids()
        assert last.get(["d000", "d699"]) == first.get(["d000", "d699"])
        for plan in ("dense", "sparse"):
            expected = [hit.document.id for hit in first.search(queries, plan=plan, k=9)[0]]
            found = last.search(queries, plan=plan, k=9)[0]
            assert [hit.document.id for hit in found] == expected
