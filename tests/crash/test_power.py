"""Power cuts: unsynced writes are lost, and no acknowledged document is."""

import random
from pathlib import Path

import pytest
from power import Event, recorded, replay
from workload import State, open_index, script, verify

from tercet.indexes.local.writing import compaction

STEPS = 40


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], list[State]]:
    """The events of a script, and the states between its steps."""
    steps = script({}, seed=5, length=STEPS)
    with pytest.MonkeyPatch.context() as patch, recorded() as events:
        patch.setattr(compaction, "FANOUT", 3)
        with open_index(tmp_path_factory.mktemp("power") / "index") as index:
            for step in steps:
                events.append(Event("acknowledge"))
                step.run(index)
    events.append(Event("acknowledge"))
    return events, [{}, *(step.after for step in steps)]


def test_the_record_holds_every_sort_of_event(record: tuple[list[Event], list[State]]) -> None:
    found = [event.what for event in record[0]]
    sorts = {"create", "write", "sync", "sync names", "remove", "commit", "acknowledge"}
    assert set(found) == sorts
    assert found.count("acknowledge") == STEPS + 1


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_a_power_cut_leaves_whole_batches(
    record: tuple[list[Event], list[State]], tmp_path: Path, kept: float, moments: int
) -> None:
    events, states = record
    rng = random.Random(int(kept * 2))
    first = next(n for n, event in enumerate(events) if event.what == "acknowledge")
    for number in range(moments):
        cut = rng.randint(first + 1, len(events))
        done = sum(event.what == "acknowledge" for event in events[:cut]) - 1
        folder = tmp_path / str(number)
        replay(events[:cut], folder, rng=rng, kept=kept)
        verify(folder, states[done : done + 2])


def test_a_segment_that_nobody_synced_would_be_missed(
    record: tuple[list[Event], list[State]], tmp_path: Path
) -> None:
    events, states = record
    careless = [event for event in events if not event.what.startswith("sync")]
    replay(careless, tmp_path / "index", rng=random.Random(0), kept=0.0)
    with open_index(tmp_path / "index") as index:
        assert len(index.ids()) == len(states[-1])
        assert "No such file" in index.check().damage[0].what
