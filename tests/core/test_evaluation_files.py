"""Collections, judgements and runs on disk, and measures by hand."""

import math
from pathlib import Path

import pytest

from tercet.errors import SourceError
from tercet.evaluation.collections import Collection
from tercet.evaluation.measures import MEASURES, measure
from tercet.evaluation.trec import read_qrels, read_run, write_run

QUERIES = '{"_id": "q1", "text": "cats"}\n{"_id": "q2", "text": "dogs"}\n'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "set/corpus.jsonl", '{"_id": "d1", "title": "T", "text": "x"}\n')
    write(tmp_path / "set/queries.jsonl", QUERIES)
    write(tmp_path / "set/qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    return tmp_path / "set"


def test_a_collection_holds_the_judged_queries_and_streams_its_corpus(folder: Path) -> None:
    collection = Collection.read(folder)
    assert collection.name == "set"
    assert collection.queries == {"q1": "cats"}
    assert collection.qrels == {"q1": {"d1": 1}}
    assert [d.content for d in collection.documents()] == ["T x"]


def test_judgements_may_stand_where_beir_puts_them(folder: Path) -> None:
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels/test.tsv")
    assert Collection.read(folder).qrels == {"q1": {"d1": 1}}


def test_judgements_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(folder / "qrels.train.tsv", "q2\td1\t1\n")
    assert Collection.read(folder, qrels="qrels.train.tsv").qrels == {"q2": {"d1": 1}}
    assert Collection.read(folder, qrels=other).qrels == {"q2": {"d1": 1}}
    monkeypatch.chdir(folder.parent)
    assert Collection.read("set", qrels="set/qrels.train.tsv").qrels == {"q2": {"d1": 1}}


def test_queries_of_one_language_bring_its_corpus_where_none_is_named(folder: Path) -> None:
    (folder / "queries.jsonl").rename(folder / "queries.en.jsonl")
    write(folder / "queries.de.jsonl", QUERIES.replace("cats", "Katzen"))
    (folder / "corpus.jsonl").rename(folder / "corpus.en.jsonl")
    write(folder / "corpus.de.jsonl", "")
    collection = Collection.read(folder, queries="de")
    assert collection.queries == {"q1": "Katzen"}
    assert collection.corpus.name == "corpus.de.jsonl"
    assert Collection.read(folder, queries="de", corpus="en").corpus.name == "corpus.en.jsonl"
    with pytest.raises(SourceError, match=r"no queries\.jsonl in .*queries\.de\.jsonl, queries"):
        Collection.read(folder)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        Collection.read(tmp_path / "missing")


def test_missing_judgements_are_an_error_that_says_what_there_is(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no dev\.tsv; there is: qrels\.tsv"):
        Collection.read(folder, qrels="dev.tsv")
    (folder / "qrels.tsv").unlink()
    with pytest.raises(SourceError, match=r"no qrels\.tsv or qrels/test\.tsv; there is: no \.tsv"):
        Collection.read(folder)


def test_a_judged_query_without_text_is_an_error(folder: Path) -> None:
    write(folder / "qrels.tsv", "q1\td1\t1\nq9\td1\t1\n")
    with pytest.raises(SourceError, match=r"lacks 1 of 2 judged queries, 'q9' for one"):
        Collection.read(folder)


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq 1\td 1\t2\n\nq 1\td2\t-1\n",
        "q 1\td 1\t2\nq 1\td2\t-1\n",
        "q 1\t0\td 1\t2\nq 1\t0\td2\t-1\n",
    ],
)
def test_judgements_have_a_header_or_none_and_three_fields_or_four(
    tmp_path: Path, text: str
) -> None:
    assert read_qrels(write(tmp_path / "qrels.tsv", text)) == {"q 1": {"d 1": 2, "d2": -1}}


def test_judgements_may_be_separated_by_blanks(tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path / "qrels.txt", "q1 0 d1 1\n")) == {"q1": {"d1": 1}}


@pytest.mark.parametrize("line", ["q1\td1", "q1\td1\tgood", "q1\td1\t0.5", "a b c d 1"])
def test_a_bad_judgement_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "qrels.tsv", f"q1\td1\t1\n{line}\n")
    with pytest.raises(SourceError, match=r"qrels\.tsv, line 2: "):
        read_qrels(path)


def test_a_file_without_judgements_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no judgement"):
        read_qrels(write(tmp_path / "qrels.tsv", "query-id\tcorpus-id\tscore\n"))


def test_a_run_is_written_best_first_and_read_back(tmp_path: Path) -> None:
    run = {"q1": {"a": 0.25, "b": 0.5}, "q2": {"c": 1.0}}
    path = tmp_path / "run.trec"
    write_run(run, path, tag="hybrid")
    assert path.read_text().splitlines() == [
        "q1 Q0 b 1 0.5 hybrid",
        "q1 Q0 a 2 0.25 hybrid",
        "q2 Q0 c 1 1 hybrid",
    ]
    path.write_text(path.read_text() + "\n")
    assert read_run(path) == run


def test_a_run_refuses_ids_with_blanks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a b' for 'q1': a run has no ids with blanks"):
        write_run({"q1": {"a b": 1.0}}, tmp_path / "run.trec", tag="hybrid")


@pytest.mark.parametrize("line", ["q1 Q0 a 1 0.5", "q1 Q0 a 1 high hybrid"])
def test_a_bad_line_of_a_run_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SourceError, match=r"run\.trec, line 1: .* is no line of a run"):
        read_run(write(tmp_path / "run.trec", line))


def test_measures_are_what_the_hand_computes() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"c": 1, "d": 1}}
    run = {"q1": {"b": 0.9, "a": 0.8}, "q2": {"c": 0.9}}
    second, found_one_of_two = 1 / math.log2(3), 1 / (1 + 1 / math.log2(3))
    assert measure(run, qrels) == pytest.approx(
        {
            "nDCG@10": (second + found_one_of_two) / 2,
            "recall@10": 0.75,
            "recall@100": 0.75,
            "MRR@10": 0.75,
            "MAP@100": 0.5,
        }
    )


def test_a_judged_query_that_the_run_lacks_counts_nothing() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    assert measure({"q1": {"a": 1.0}}, qrels, measures=["nDCG@10"]) == {"nDCG@10": 0.5}
    assert set(measure({}, qrels).values()) == {0.0}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_equal_scores_keep_the_order_of_the_run(order: tuple[str, str]) -> None:
    run = {"q1": dict.fromkeys(order, 1.0)}
    found = measure(run, {"q1": {"b": 1}}, measures=["MRR@10"])
    assert found == {"MRR@10": 1 / (1 + order.index("b"))}


def test_measures_go_by_our_names_and_by_those_of_the_library() -> None:
    run, qrels = {"q1": {"a": 1.0}}, {"q1": {"a": 1}}
    assert measure(run, qrels, measures=["recall@5", "R@5", "P@5"]) == pytest.approx(
        {"recall@5": 1.0, "R@5": 1.0, "P@5": 0.2}
    )


@pytest.mark.parametrize("name", ["bleu", "nDCG@ten", "@10", ""])
def test_an_unknown_measure_is_an_error_that_names_some(name: str) -> None:
    with pytest.raises(ValueError, match=f"no measure '{name}'; there are: {MEASURES[0]}"):
        measure({}, {"q1": {"a": 1}}, measures=[name])
