"""The main job from the command line: real documents in, the judged one among the best five."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.evaluation.collections import Collection

SAMPLE = Path(__file__).parents[2] / "cookbooks/data/scifact-sample"
QUERIES = Collection.read(SAMPLE)


def tercet(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("main") / "idx")
    tercet("index", str(SAMPLE), "--to", path, "--model", "tercet/mini", "--quiet")
    return path


def test_ten_queries_are_committed() -> None:
    assert len(QUERIES.queries) == 10


@pytest.mark.parametrize("query_id", list(QUERIES.queries))
def test_the_judged_document_is_among_the_best_five(index: str, query_id: str) -> None:
    printed = tercet("search", index, QUERIES.queries[query_id], "-k", "5", "--json")
    found = {hit["id"] for hit in json.loads(printed)["hits"]}
    assert found & set(QUERIES.qrels[query_id])


def test_every_plan_is_measured_on_the_sample(index: str) -> None:
    printed = json.loads(tercet("evaluate", index, str(SAMPLE), "--json", "--quiet"))
    recall = {plan["plan"]: plan["measures"]["recall@10"] for plan in printed["plans"]}
    assert {"dense", "sparse", "multi_vector", "hybrid", "rrf"} <= set(recall)
    assert recall["hybrid"] > 0.9
