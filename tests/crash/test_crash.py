"""Killed writers: whatever the moment, every acknowledged document is there and no half batch.

Short here; `make crash` kills at every point 100 times, and at 300 random moments.
"""

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from killing import POINTS, crash
from workload import State, open_index

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
"""Python 3.12 warns of a fork beside threads; the children here take none of their locks."""

ROUNDS = 40
"""So many scripts may end without coming to a point before something is wrong."""


MEMORY = Path("/dev/shm")  # noqa: S108  a process that dies leaves its writes there all the same


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        open_index(Path(folder) / "index").close()
        yield Path(folder) / "index"


def test_a_writer_killed_at_any_point_leaves_whole_batches(path: Path, hits: int) -> None:
    counts: Counter[str] = Counter()
    state: State = {}
    seeds = itertools.count()
    for point in POINTS:
        for _ in range(hits * ROUNDS):
            state, killed = crash(path, state, seed=next(seeds), point=point)
            counts[point] += killed
            if counts[point] == hits:
                break
    sys.stdout.write("\nkills at each point\n")
    for point in POINTS:
        sys.stdout.write(f"  {point:24} {counts[point]:5}\n")
    assert counts == dict.fromkeys(POINTS, hits)


def test_a_writer_killed_at_any_moment_leaves_whole_batches(path: Path, moments: int) -> None:
    state: State = {}
    killed, seed = 0, 10_000_000
    while killed < moments:
        state, early = crash(path, state, seed=seed)
        killed, seed = killed + early, seed + 1
    sys.stdout.write(f"\nkills at random moments    {killed:5}\n")
