from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tercet.testing.checkpoints import write_tercet
from tercet.training.datasets.examples import Example
from tercet.training.loop.batching import Batching, LengthGroup, Schedule, Share, segments_shuffled
from tercet.training.loop.cached_gradients import sub_batches
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.ranking_batches import RankingBatches, TextBatches
from tercet.training.models.opening import open_model

GROUPS = (LengthGroup(10, 4), LengthGroup(100, 2))
LENGTHS = [5] * 17 + [50] * 9 + [500] * 2


def test_a_batch_holds_texts_of_one_length_group_and_long_ones_are_in_smaller_batches() -> None:
    schedule = Schedule(LENGTHS, GROUPS, seed=0, share=Share())
    for number in range(len(schedule)):
        rows = schedule.rows(number)
        assert len({LENGTHS[row] <= 10 for row in rows}) == 1
        assert len(rows) <= (4 if LENGTHS[rows[0]] <= 10 else 2)


def test_an_epoch_reads_every_text_once_and_the_next_one_in_another_order() -> None:
    schedule = Schedule(LENGTHS, GROUPS, seed=0, share=Share())
    first = [schedule.rows(n).tolist() for n in range(len(schedule))]
    second = [schedule.rows(n + len(schedule)).tolist() for n in range(len(schedule))]
    everything = Counter(range(len(LENGTHS)))
    assert Counter(sum(first, [])) == Counter(sum(second, [])) == everything  # noqa: RUF017
    assert first != second
    assert [schedule.rows(n).tolist() for n in range(len(schedule))] == first  # and back again


def test_all_devices_read_the_same_group_and_never_the_same_text() -> None:
    shares = [Schedule(LENGTHS, GROUPS, seed=3, share=Share(3, rank)) for rank in range(3)]
    for number in range(len(shares[0])):
        parts = [schedule.rows(number).tolist() for schedule in shares]
        assert len({len(part) for part in parts}) == 1
        rows = [row for part in parts for row in part]
        assert len(set(rows)) == len(rows)
        assert len({LENGTHS[row] <= 10 for row in rows}) == 1


def test_fewer_texts_than_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="2 examples are too few for 3 devices"):
        Schedule([1, 1], GROUPS, seed=0, share=Share(3, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": ()}, "groups end at"),
        ({"groups": (LengthGroup(9, 1), LengthGroup(9, 1))}, "groups end at"),
        ({"groups": (LengthGroup(9, 0),)}, "empty"),
        ({"documents": 0}, "at least its positive"),
    ],
)
def test_groups_that_do_not_follow_one_another_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Batching(**settings)  # type: ignore[arg-type]


def test_only_long_texts_are_shuffled_and_lose_no_word() -> None:
    rng = np.random.default_rng(0)
    text = " ".join(f"word{n}" for n in range(30))
    assert segments_shuffled("short", rng, share=1) == "short"
    assert segments_shuffled(text, rng, share=0) == text
    shuffled = {segments_shuffled(text, rng, share=1) for _ in range(20)}
    assert len(shuffled) == 6  # the orders of three parts
    size = len(text) // 3 + 1
    parts = sorted(text[start : start + size] for start in range(0, len(text), size))
    assert all(all(part in found for part in parts) for found in shuffled)


def test_sub_batches_hold_like_lengths_within_the_budget() -> None:
    lengths = [100, 3, 90, 700, 95, 2]
    assert sub_batches(lengths, tokens=None) == [[3], [0, 4, 2, 1, 5]]
    assert sub_batches(lengths, tokens=200) == [[3], [0, 4], [2, 1], [5]]
    assert sub_batches([5], tokens=1) == [[0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tercet(tmp_path_factory.mktemp("model"))


def examples(*, scored: bool) -> list[Example]:
    scores = {"positive_scores": (9.0, 8.0), "negative_scores": (1.0,)} if scored else {}
    return [
        Example(f"query {n}", (f"first answer {n}", f"second answer {n}"), ("no",), **scores)
        for n in range(6)
    ]


def test_a_batch_is_the_same_whenever_it_is_asked_for(folder: Path) -> None:
    model = open_model(folder)
    batching = Batching((LengthGroup(20, 2), LengthGroup(40, 2)), documents=3)
    made = [
        RankingBatches(model, examples(scored=True), batching, Optimisation(steps=5), seed=1)
        for _ in range(2)
    ]
    assert len(made[0]) == 5
    forwards = [made[0][n] for n in range(5)]
    backwards = [made[1][n] for n in reversed(range(5))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert torch.equal(one.documents.ids, other.documents.ids)
        assert torch.equal(one.queries.ids, other.queries.ids)


def test_a_query_brings_one_positive_and_its_negatives_with_their_scores(folder: Path) -> None:
    batching = Batching((LengthGroup(20, 2),), documents=3)
    batches = RankingBatches(
        open_model(folder), examples(scored=True), batching, Optimisation(epochs=2), seed=1
    )
    assert len(batches) == 6
    batch = batches[0].to(torch.device("cpu"))
    assert (len(batch.queries), len(batch.documents), batch.each) == (2, 6, 3)
    assert batch.teacher is not None
    assert set(batch.teacher[:, 0].tolist()) <= {8.0, 9.0}
    assert batch.teacher[:, 1:].tolist() == [[1.0, 1.0]] * 2  # one negative, taken twice
    assert len(set(batch.names.tolist())) == 3
    bare = RankingBatches(
        open_model(folder), examples(scored=False), batching, Optimisation(), seed=1
    )
    assert bare[0].teacher is None


def test_examples_without_negatives_need_batches_without_them(folder: Path) -> None:
    model, bare = open_model(folder), [Example("where", ("here",))]
    with pytest.raises(ValueError, match="'where' has no negatives"):
        RankingBatches(model, bare, Batching(), Optimisation(), seed=0)
    alone = RankingBatches(model, bare, Batching(documents=1), Optimisation(), seed=0)
    assert alone[0].each == 1
    with pytest.raises(ValueError, match="no example"):
        RankingBatches(model, [], Batching(), Optimisation(), seed=0)


def test_texts_without_queries_are_batched_too(folder: Path) -> None:
    model = open_model(folder)
    batches = TextBatches(
        model, ["one", "two", "three"], Batching((LengthGroup(9, 2),)), Optimisation(), seed=0
    )
    assert [len(batches[n]) for n in range(len(batches))] in ([2, 1], [1, 2])
    with pytest.raises(ValueError, match="no text"):
        TextBatches(model, [], Batching(), Optimisation(), seed=0)
