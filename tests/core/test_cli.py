"""The commands, run in this process over a tiny checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tercet.cli.app import app
from tercet.documents import Document
from tercet.retriever import Retriever
from tercet.testing.checkpoints import write_bge_m3

TEXTS = {
    "a": "late interaction keep one vector for the token",
    "b": "sparse weight of a word in the index",
    "c": "to search a long document by query",
}
PLANS = ["dense", "sparse", "multi_vector", "dense>multi_vector", "dense+sparse", "hybrid", "rrf"]

Command = Callable[..., Result]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bge_m3(tmp_path_factory.mktemp("model") / "tiny", positions=66))


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    write_lines(
        folder / "corpus.jsonl",
        *(
            {"_id": name, "title": "", "text": text, "metadata": {"place": n, "lang": "en"}}
            for n, (name, text) in enumerate(TEXTS.items())
        ),
    )
    write_lines(folder / "queries.jsonl", *({"_id": f"q-{n}", "text": t} for n, t in TEXTS.items()))
    (folder / "qrels.tsv").write_text("".join(f"q-{name}\t{name}\t1\n" for name in TEXTS))
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, model: str, collection: Path) -> Path:
    """An index of the collection, which tests only read."""
    path = tmp_path_factory.mktemp("built") / "idx"
    with Retriever.create(path, model=model) as retriever:
        retriever.add(
            [
                Document(id=name, text=text, metadata={"place": n, "lang": "en"})
                for n, (name, text) in enumerate(TEXTS.items())
            ]
        )
    return path


def write_lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(*arguments: object, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def run_json(*arguments: object, stdin: str | None = None) -> Any:
    return json.loads(run(*arguments, "--json", stdin=stdin).stdout)


def test_a_collection_is_indexed_and_a_second_run_finds_nothing_to_do(
    tmp_path: Path, collection: Path, model: str
) -> None:
    first = run("index", collection, "--to", tmp_path / "idx", "--model", model)
    assert "idx: 3 documents indexed (0 of them replaced), 0 unchanged, 3 in all" in first.stdout
    assert "documents/s" in first.stderr
    again = run_json("index", collection, "--to", tmp_path / "idx")
    assert (again["committed"], again["skipped"], again["documents"]) == (0, 3, 3)


def test_what_has_changed_is_replaced(tmp_path: Path, model: str) -> None:
    note = tmp_path / "note.md"
    note.write_text("the query")
    to = tmp_path / "idx"
    run("index", note, "--to", to, "--model", model, "--quiet")
    note.write_text("the document")
    report = run_json("index", note, "--to", to)
    assert (report["committed"], report["replaced"], report["documents"]) == (1, 1, 1)
    assert run_json("search", to, "document")["hits"][0]["text"] == "the document"


def test_lines_come_from_stdin_beside_files(tmp_path: Path, model: str) -> None:
    (tmp_path / "note.txt").write_text("the query")
    lines = '{"id": "one", "text": "a word"}\n{"id": "one", "text": "a token"}\n'
    result = run(
        *("index", "-", tmp_path / "note.txt", "--to", tmp_path / "idx"),
        *("--model", model, "--quiet", "--view", "dense", "--long-documents", "plain"),
        stdin=lines,
    )
    assert result.stdout == ""
    assert result.stderr == (
        "warning: ids given more than once, of which the last document counts: one\n"
    )
    described = run_json("info", tmp_path / "idx")
    assert (described["documents"], described["plans"]) == (2, ["dense", "rrf"])
    assert run_json("search", tmp_path / "idx", "token")["plan"] == "dense"


def test_an_index_of_another_model_is_refused(
    tmp_path: Path, built: Path, collection: Path
) -> None:
    other = write_bge_m3(tmp_path / "other", positions=66, seed=1)
    result = run("index", collection, "--to", built, "--model", other, code=1)
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""


def test_a_bad_line_stops_the_run_and_what_was_committed_stays(tmp_path: Path, model: str) -> None:
    good = [json.dumps({"id": str(n), "text": "word"}) for n in range(256)]
    result = run(
        *("index", "-", "--to", tmp_path / "idx", "--model", model, "--quiet"),
        stdin="\n".join([*good, "{"]),
        code=1,
    )
    assert result.stderr.startswith("error: stdin, line 257: no JSON")
    assert run_json("info", tmp_path / "idx")["documents"] == 256


def test_a_search_prints_a_line_a_document(built: Path) -> None:
    lines = run("search", built, TEXTS["b"], "-k", 2, "--plan", "hybrid").stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "dense", "sparse", "multi_vector", "id", "text"]
    assert lines[1].split()[0] == "1"
    assert f"  b   {TEXTS['b']}" in lines[1]
    assert len(lines) == 3


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", list(TEXTS))
def test_every_plan_finds_the_document_with_the_words_of_the_query(
    built: Path, plan: str, name: str
) -> None:
    found = run_json("search", built, TEXTS[name], "--plan", plan, "-k", 1)
    assert found["plan"] == plan
    [hit] = found["hits"]
    assert (hit["rank"], hit["id"], hit["text"]) == (1, name, TEXTS[name])
    assert hit["metadata"] == {"place": list(TEXTS).index(name), "lang": "en"}


def test_a_search_takes_filters_a_plan_in_json_and_the_query_from_stdin(built: Path) -> None:
    plan = '{"candidates": {"dense": 10}, "weights": {"dense": 1}}'
    found = run_json(
        *("search", built, "-", "--plan", plan, "--exact"),
        *("--filter", "lang=en", "--filter", "place>=1"),
        stdin=TEXTS["a"] + "\n",
    )
    assert found["query"] == TEXTS["a"]
    assert json.loads(found["plan"])["candidates"] == {"dense": 10}
    assert {hit["id"] for hit in found["hits"]} == {"b", "c"}
    assert set(found["hits"][0]["scores"]) == {"dense"}


def test_a_filter_that_nothing_passes_finds_nothing(built: Path) -> None:
    result = run("search", built, "query", "--filter", "place=9")
    assert result.stdout == ""
    assert result.stderr == "no document found: none passes the filter\n"
    assert run("search", built, "query", "--filter", "place=9", "--quiet").stderr == ""


def test_a_long_text_is_shown_by_its_beginning(tmp_path: Path, model: str) -> None:
    (tmp_path / "long.txt").write_text("word\n" * 100)
    run("index", tmp_path / "long.txt", "--to", tmp_path / "idx", "--model", model, "-q")
    result = run("search", tmp_path / "idx", "word")
    assert result.stdout.splitlines()[1].endswith("word word…")
    assert len(result.stdout.splitlines()[1]) < 250


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--plan", "best"], "no plan 'best'; there are: dense, sparse"),
        (["x", "--filter", "lang"], "'lang' is no condition"),
        (["x", "-k", "0"], "Invalid value for '-k'"),
        (["x", "--depth", "3"], "No such option"),
        ([" "], "the query is empty"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_command_line_ends_with_2(built: Path, arguments: list[str], message: str) -> None:
    result = run("search", built, *arguments, code=2)
    assert message in result.stderr
    assert "Usage: " in result.stderr or "Error: " in result.stderr
    assert result.stdout == ""


def test_a_file_that_cannot_be_written_is_named(built: Path, collection: Path) -> None:
    result = run(
        *("evaluate", built, collection, "--plan", "dense"),
        *("--run", collection / "missing/run.trec", "--quiet"),
        code=1,
    )
    assert "error: No such file or directory: " in result.stderr
    assert "run.trec" in result.stderr


def test_info_tells_what_an_index_holds(built: Path, model: str) -> None:
    described = run_json("info", built)
    assert described["documents"] == 3
    assert described["model"] == model
    assert described["views"] == {"dense": 32, "sparse": None, "multi_vector": 32}
    assert described["default_plan"] == "hybrid"
    assert set(described["plans"]) >= set(PLANS)
    text = run("info", built).stdout
    assert "documents      3\n" in text
    assert "views          dense 32, sparse -, multi_vector 32\n" in text


def test_every_plan_is_measured(built: Path, collection: Path, tmp_path: Path) -> None:
    target = tmp_path / "run.trec"
    result = run("evaluate", built, collection, "--run", target, "--language", "fr", code=1)
    assert "error: no queries.fr.jsonl in " in result.stderr
    result = run("evaluate", built, collection, "--run", target)
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["plan", "nDCG@10", "recall@10"]
    measured = {line.split()[0]: line.split()[1:6] for line in lines[1:]}
    assert set(measured) >= set(PLANS)
    assert measured["hybrid"] == ["1.0000"] * 5
    assert "3 queries, 3 documents" in result.stderr
    assert (tmp_path / "run.dense-multi_vector.trec").read_text().startswith("q-a Q0 a 1 ")


def test_one_plan_and_one_measure_are_measured(
    built: Path, collection: Path, tmp_path: Path
) -> None:
    target = tmp_path / "run.trec"
    measured = run_json(
        *("evaluate", built, collection, "--plan", "dense", "--measure", "P@1"),
        *("--run", target, "--quiet"),
    )
    assert (measured["queries"], measured["documents"]) == (3, 3)
    [only] = measured["plans"]
    assert only["plan"] == "dense"
    assert only["measures"] == {"P@1": 1.0}
    assert len(target.read_text().splitlines()) == 9


def test_judged_documents_that_are_not_there_are_told(
    built: Path, tmp_path: Path, collection: Path
) -> None:
    some, none = tmp_path / "some.tsv", tmp_path / "none.tsv"
    some.write_text("q-a\ta\t1\nq-a\tz\t1\n")
    none.write_text("q-a\tz\t1\n")
    result = run("evaluate", built, collection, "--qrels", some, "--plan", "dense", "-q")
    assert "warning: 1 of 2 judged documents are not in the index" in result.stderr
    result = run("evaluate", built, collection, "--qrels", none, code=1)
    assert "the index holds none of the 1 documents" in result.stderr


def test_documents_are_deleted_by_id(tmp_path: Path, model: str, collection: Path) -> None:
    to = tmp_path / "idx"
    run("index", collection, "--to", to, "--model", model, "-q")
    assert run("delete", to, "a", "z").stdout == f"{to}: 1 of 2 documents deleted\n"
    assert run("delete", to, "b", "-q").stdout == ""
    assert [hit["id"] for hit in run_json("search", to, "word")["hits"]] == ["c"]
