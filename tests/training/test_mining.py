"""Hard negatives: found by a retriever, and no answers themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.plans import Plan
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder
from tercet.training.datasets import mining
from tercet.training.datasets.examples import Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.datasets.mining import MiningReport, MiningRule, mine, mine_to_file, refresh
from tercet.training.datasets.teachers import Pair

TEXTS = {
    "answer": "red apples grow on trees",
    "copy": "Red  apples grow on trees",
    "longer": "we know: red apples grow on trees.",
    "part": "red apples grow",
    "near": "red apples are red",
    "twin": "red apples are red",
    "middle": "apples fall down",
    "far": "grow old",
    "else": "a boat at sea",
}
EXAMPLE = Example("red apples grow", (TEXTS["answer"],), ("an old negative",), (1.0,), (0.0,))
NEGATIVES = [TEXTS[name] for name in ("near", "middle", "far", "else")]


@pytest.fixture(scope="module")
def retriever() -> Iterator[Retriever]:
    with Retriever.create(encoder=HashEncoder()) as made:
        made.add([Document(id=name, text=text) for name, text in TEXTS.items()])
        yield made


def mined(retriever: Retriever, rule: MiningRule, **options: object) -> tuple[str, ...]:
    (example,) = mine(retriever, [EXAMPLE], rule, plan="dense", **options)  # type: ignore[arg-type]
    assert (example.query, example.positives) == (EXAMPLE.query, EXAMPLE.positives)
    assert example.scores is None
    return example.negatives


def test_texts_that_are_or_hold_an_answer_are_left_out(retriever: Retriever) -> None:
    assert sorted(mined(retriever, MiningRule())) == sorted(NEGATIVES)


def test_negatives_come_from_the_window_of_ranks_in_their_order(retriever: Retriever) -> None:
    ranking = retriever.retrieve(EXAMPLE.query, k=9, plan="dense")
    for first, last in ((1, 6), (4, 7), (9, 9), (20, 30)):
        window = dict.fromkeys(hit.document.text for hit in ranking[first - 1 : last])
        expected = [text for text in window if text in NEGATIVES]
        assert list(mined(retriever, MiningRule(first=first, last=last))) == expected


def test_the_seed_and_the_query_choose_whatever_else_is_mined(retriever: Retriever) -> None:
    other = Example("a boat", (TEXTS["else"],))
    chosen = {seed: mined(retriever, MiningRule(count=2, seed=seed)) for seed in range(8)}
    assert all(len(set(negatives)) == 2 for negatives in chosen.values())
    assert len(set(chosen.values())) > 1
    for seed, negatives in chosen.items():
        rule = MiningRule(count=2, seed=seed)
        again = list(mine(retriever, [other, EXAMPLE], rule, plan="dense"))
        assert again[1].negatives == negatives


def test_a_margin_leaves_out_what_scores_near_the_positive(retriever: Retriever) -> None:
    found = retriever.retrieve(EXAMPLE.query, k=9, plan="dense")
    scored = {hit.document.text: hit.score for hit in found}
    positive = scored[TEXTS["answer"]]
    near = max(scored[text] for text in NEGATIVES)
    absolute = mined(retriever, MiningRule(margin=positive - near + 1e-3))
    assert sorted(absolute) == sorted(text for text in NEGATIVES if scored[text] < near)
    relative = mined(retriever, MiningRule(relative_margin=1 - (near - 1e-3) / positive))
    assert relative == absolute
    assert len(mined(retriever, MiningRule(margin=positive - near - 1e-3))) == len(NEGATIVES)


def test_a_positive_that_was_not_found_is_scored_all_the_same(retriever: Retriever) -> None:
    unknown = Example("red apples grow", ("nothing of the kind",))
    (example,) = mine(retriever, [unknown], MiningRule(margin=0.0), plan="hybrid")
    assert TEXTS["answer"] not in example.negatives
    (free,) = mine(retriever, [unknown], MiningRule(), plan="hybrid")
    assert len(free.negatives) == 7


def test_a_judge_decides_what_is_near(retriever: Retriever) -> None:
    def judge(pairs: Sequence[Pair]) -> list[float]:
        return [5.0 if text in (TEXTS["answer"], TEXTS["far"]) else 1.0 for _, text in pairs]

    left = mined(retriever, MiningRule(margin=2.0), judge=judge)
    assert sorted(left) == sorted(set(NEGATIVES) - {TEXTS["far"]})


def test_margins_need_scores_that_can_be_compared(retriever: Retriever) -> None:
    with pytest.raises(ValueError, match="the plan 'rrf' depend on what else was found"):
        list(mine(retriever, [EXAMPLE], MiningRule(margin=0.1), plan="rrf"))
    plan = Plan({"dense": 10}, {"dense": 1.0}, normalise="min-max")  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="depend on what else was found"):
        list(mine(retriever, [EXAMPLE], MiningRule(relative_margin=0.1), plan=plan))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": 0}, "ranks 0 to 100 are no window"),
        ({"first": 9, "last": 8}, "ranks 9 to 8 are no window"),
        ({"count": 0}, "count is 0"),
        ({"relative_margin": 1.0}, r"relative_margin is 1\.0"),
    ],
)
def test_rules_that_leave_nothing_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MiningRule(**arguments)


def test_mined_examples_are_written_and_counted(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "BATCH", 2)
    boat, old = Example("a boat", ("something else",)), Example("old", (TEXTS["far"],))
    path = tmp_path / "mined.jsonl"
    rule = MiningRule(last=1, count=3)
    report = mine_to_file(retriever, [EXAMPLE, boat, old], path, rule, plan="dense")
    assert report == MiningReport(examples=1, negatives=1, without=2)
    assert list(ExampleFiles([path])) == [Example("a boat", boat.positives, (TEXTS["else"],))]


def test_negatives_are_refreshed_with_another_encoder(tmp_path: Path) -> None:
    path = tmp_path / "round.jsonl"
    texts = [*TEXTS.values(), *TEXTS.values()]
    report = refresh(HashEncoder(), texts, [EXAMPLE], path, MiningRule(count=4), plan="dense")
    assert report == MiningReport(1, 4, 0)
    first = path.read_bytes()
    refresh(HashEncoder(), texts, [EXAMPLE], path, MiningRule(count=4), plan="dense")
    assert path.read_bytes() == first
    (example,) = ExampleFiles([path])
    assert sorted(example.negatives) == sorted(NEGATIVES)
