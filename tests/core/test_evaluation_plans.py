"""Plans compared on an index, over the encoder that needs no weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.errors import MissingViewError
from tercet.evaluation.comparison import BATCH, evaluate
from tercet.plans import DENSE, Plan
from tercet.ranking import Ranking
from tercet.retriever import Retriever
from tercet.testing import HashEncoder

COUNT = BATCH + 6
QUERIES = {f"q{n}": f"word{n} common" for n in range(COUNT)}
QRELS = {f"q{n}": {f"d{n}": 1} for n in range(COUNT)}


class EncoderThatCounts(HashEncoder):
    """Remembers how many queries each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.sizes.append(len(texts))
        return super().encode_queries(texts)


@pytest.fixture
def retriever(tmp_path: Path) -> Iterator[Retriever]:
    with Retriever.create(tmp_path / "idx", encoder=EncoderThatCounts()) as made:
        made.add([Document(id=f"d{n}", text=f"word{n} and more of it") for n in range(COUNT)])
        yield made


@pytest.mark.parametrize("exact", [False, True])
def test_the_index_is_asked_to_be_exact_or_not(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    asked: list[bool] = []
    search = retriever.index.search

    def watched(queries: Embeddings, *, k: int, plan: Plan, exact: bool) -> list[Ranking]:
        asked.append(exact)
        return search(queries, k=k, plan=plan, exact=exact)

    monkeypatch.setattr(retriever.index, "search", watched)
    evaluate(retriever, QUERIES, QRELS, plans=["dense"], k=3, exact=exact)
    assert set(asked) == {exact}


def test_queries_are_encoded_once_for_all_plans(retriever: Retriever) -> None:
    found = evaluate(retriever, QUERIES, QRELS, plans=["sparse", "rrf"], k=3)
    assert [e.plan for e in found] == ["sparse", "rrf"]
    assert isinstance(retriever.encoder, EncoderThatCounts)
    assert retriever.encoder.sizes == [COUNT]


def test_a_run_holds_what_a_search_finds(retriever: Retriever) -> None:
    [found] = evaluate(retriever, QUERIES, QRELS, plans=["sparse"], k=3)
    assert found.measures["MRR@10"] == 1.0
    assert list(found.run) == list(QUERIES)
    for query_id in ("q0", f"q{COUNT - 1}"):
        hits = retriever.retrieve(QUERIES[query_id], k=3, plan="sparse")
        assert found.run[query_id] == {hit.document.id: pytest.approx(hit.score) for hit in hits}
    assert found.seconds > 0


def test_without_a_choice_every_plan_of_the_index_is_measured(tmp_path: Path) -> None:
    with Retriever.create(
        tmp_path / "idx", encoder=HashEncoder(), representations=["dense", "sparse"]
    ) as retriever:
        retriever.add([Document(id="d1", text="word1")])
        found = evaluate(retriever, QUERIES, QRELS)
        assert [e.plan for e in found] == ["dense", "sparse", "dense+sparse", "rrf"]
        with pytest.raises(MissingViewError):
            evaluate(retriever, QUERIES, QRELS, plans=["hybrid"])


def test_a_plan_of_ones_own_goes_by_its_json(retriever: Retriever) -> None:
    plan = Plan({DENSE: 10}, {DENSE: 1.0})
    [found] = evaluate(retriever, QUERIES, QRELS, plans=[plan], measures=["P@1"], k=1)
    assert Plan.from_json(found.plan) == plan
    assert set(found.measures) == {"P@1"}


def test_queries_that_nobody_judged_are_left_out(retriever: Retriever) -> None:
    [found] = evaluate(retriever, QUERIES, {"q1": {"d1": 1}}, plans=["sparse"])
    assert list(found.run) == ["q1"]
    with pytest.raises(ValueError, match="no query is judged"):
        evaluate(retriever, QUERIES, {"other": {"d1": 1}})


def test_a_wrong_measure_is_refused_before_the_work(retriever: Retriever) -> None:
    with pytest.raises(ValueError, match="no measure 'bleu'"):
        evaluate(retriever, QUERIES, QRELS, measures=["bleu"])
    assert isinstance(retriever.encoder, EncoderThatCounts)
    assert retriever.encoder.sizes == []


def test_progress_is_told_when_asked_for(
    retriever: Retriever, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(retriever, QUERIES, QRELS, plans=["dense"])
    assert capsys.readouterr() == ("", "")
    evaluate(retriever, QUERIES, QRELS, plans=["dense"], show_progress=True)
    assert f"{COUNT}/{COUNT}" in capsys.readouterr().err
