"""A run is followed: nDCG@10 as it goes, a log, plots; at the end a card tells what was made."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.errors import SourceError
from tercet.models.files import license_of
from tercet.testing import checkpoints
from tercet.training.datasets.pairs import is_held_out
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.monitoring.card import CardFacts, model_card
from tercet.training.monitoring.following import EvaluationSettings, callbacks, measure_model
from tercet.training.monitoring.judged import Judged
from tercet.training.monitoring.log import Log, curves

PNG = b"\x89PNG"


def write_lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


WORDS = ["late", "interact", "token", "vector", "score", "sum", "query", "model", "index", "text"]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    corpus = [{"_id": f"d{n}", "text": f"the {w} of a {w}"} for n, w in enumerate(WORDS)]
    write_lines(folder / "corpus.jsonl", corpus)
    queries = [{"_id": f"q{n}", "text": f"what is the {w}"} for n, w in enumerate(WORDS[:4])]
    write_lines(folder / "queries.jsonl", queries)
    write_lines(folder / "qrels.tsv", [f"q{n}\td{n}\t1" for n in range(4)])
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainingModel:
    folder = tmp_path_factory.mktemp("monitored")
    return open_model(checkpoints.write_bge_m3(folder, positions=66))


class Optimiser:
    """As schedule-free AdamW: told when its averaged weights are to be used."""

    def __init__(self) -> None:
        self.asked = 0

    def eval(self) -> None:
        self.asked += 1


class Run:
    """What transformers' trainer calls, in its order."""

    def __init__(self, model: TrainingModel, followers: Any, folder: Path) -> None:
        self.followers, self.state, self.optimizer = followers, TrainerState(), Optimiser()
        self.model = SimpleNamespace(model=model)
        self.arguments = TrainingArguments(output_dir=str(folder))

    def call(self, event: str, **more: Any) -> None:
        for follower in self.followers:
            getattr(follower, event)(
                self.arguments,
                self.state,
                TrainerControl(),
                model=self.model,
                optimizer=self.optimizer,
                **more,
            )

    def steps(self, first: int, last: int) -> None:
        for step in range(first, last + 1):
            self.state.global_step = step
            self.call("on_step_end")
            self.call("on_log", logs={"loss": 1 / step, "learning_rate": 1e-5})


def test_a_run_is_measured_logged_and_drawn(
    model: TrainingModel, collection: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "1-m3"
    settings = EvaluationSettings(collection, every=2)
    run = Run(model, callbacks(settings, folder), tmp_path)
    run.call("on_train_begin")
    run.steps(1, 3)
    run.call("on_log", logs={"train_runtime": 1.0})
    run.call("on_train_end")
    run.call("on_train_end")
    records = Log(folder / "log.jsonl").records()
    assert [r["step"] for r in records if "nDCG@10" in r] == [0, 2, 3]
    assert [r["loss"] for r in records if "loss" in r] == [1, 1 / 2, 1 / 3]
    assert set(records[0]["nDCG@10"]) == {"dense", "sparse", "multi_vector", "hybrid"}
    assert run.optimizer.asked == 3
    for name in ("loss.png", "ndcg.png"):
        assert (folder / name).read_bytes().startswith(PNG)


def test_a_run_that_goes_on_forgets_what_came_behind_its_checkpoint(
    model: TrainingModel, tmp_path: Path
) -> None:
    (recorder,) = callbacks(EvaluationSettings(), tmp_path / "stage")
    run = Run(model, [recorder], tmp_path)
    run.call("on_train_begin")
    run.steps(1, 4)
    run.state.global_step = 2
    run.call("on_train_begin")
    run.steps(3, 3)
    run.call("on_train_end")
    records = Log(tmp_path / "stage/log.jsonl").records()
    assert [record["step"] for record in records] == [1, 2, 3]
    assert not (tmp_path / "stage/ndcg.png").exists()


def test_only_the_first_device_writes(
    model: TrainingModel, collection: Path, tmp_path: Path
) -> None:
    run = Run(model, callbacks(EvaluationSettings(collection), tmp_path / "stage"), tmp_path)
    run.state.is_world_process_zero = False
    run.call("on_train_begin")
    run.steps(1, 1)
    run.call("on_train_end")
    assert not (tmp_path / "stage").exists()


def test_a_resumed_run_is_not_measured_again_at_its_start(
    model: TrainingModel, collection: Path, tmp_path: Path
) -> None:
    settings = EvaluationSettings(collection, plans=("dense",))
    run = Run(model, callbacks(settings, tmp_path / "stage"), tmp_path)
    run.state.global_step = 7
    run.call("on_train_begin")
    run.call("on_train_end")
    records = Log(tmp_path / "stage/log.jsonl").records()
    assert [(r["step"], list(r["nDCG@10"])) for r in records] == [(7, ["dense"])]


def test_models_of_fewer_views_are_measured_in_those(collection: Path, tmp_path: Path) -> None:
    colbert = open_model(checkpoints.write_colbert_v2(tmp_path / "colbert"))
    figures = measure_model(colbert, Judged.read(collection))
    assert list(figures) == ["multi_vector"]
    assert 0 < figures["multi_vector"] <= 1


def test_a_part_of_a_collection_keeps_its_judged_documents(collection: Path) -> None:
    whole = Judged.read(collection)
    assert (len(whole.documents), len(whole.queries)) == (10, 4)
    part = Judged.read(collection, queries=2, documents=3)
    assert part == Judged.read(collection, queries=2, documents=3)
    assert (len(part.documents), len(part.queries)) == (5, 2)
    judged = {doc_id for grades in part.qrels.values() for doc_id in grades}
    assert judged <= {document.id for document in part.documents}


def test_the_held_out_pairs_are_what_a_folder_of_pairs_measures(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(60)]
    write_lines(tmp_path / "passages.jsonl", [{"_id": t, "lang": "en", "text": t} for t in texts])
    rows = [{"_id": f"q {t}", "lang": "en", "query": t, "pos": [t], "neg": []} for t in texts]
    write_lines(tmp_path / "pairs.jsonl", rows)
    judged = Judged.read(tmp_path, language="en")
    assert len(judged.documents) == 60
    assert sorted(judged.queries.values()) == sorted(t for t in texts if is_held_out(t))
    assert judged.name.endswith(" (dev)")


def test_judgements_of_no_document_are_refused(collection: Path) -> None:
    write_lines(collection / "qrels.tsv", ["q0\tnowhere\t1"])
    with pytest.raises(SourceError, match="small: no judged document is in the corpus"):
        Judged.read(collection)


def test_an_interval_of_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="every is 0"):
        EvaluationSettings(every=0)


def test_curves_take_numbers_and_tables_of_numbers() -> None:
    records = [{"step": 1, "loss": 2, "x": {"a": 1, "b": 2}}, {"step": 3, "x": {"a": 4}}]
    assert curves(records, "loss") == {"loss": [(1, 2)]}
    assert curves(records, "x") == {"a": [(1, 1), (3, 4)], "b": [(1, 2)]}
    assert curves(records, "y") == {}


def test_a_card_tells_what_a_model_was_made_of() -> None:
    facts = CardFacts(
        name="my/model",
        base_model="tercet/mini",
        date="2026-11-21",
        seed=3,
        recipe='[model]\nsource = "tercet/mini"\n',
        license="mit",
        data=["pairs-multi, English, 10,070 pairs"],
        representations=["dense", "sparse"],
        figures={"scifact-en": {"dense": 0.7421, "sparse": 0.7}},
        before={"scifact-en": {"dense": 0.723}},
    )
    card = model_card(facts)
    files = SimpleNamespace(text=lambda _: card)
    assert license_of(files) == "mit"  # type: ignore[arg-type]
    for told in (
        "base_model: tercet/mini",
        "Trained from tercet/mini on 2026-11-21, seed 3. Views: dense, sparse.",
        "| scifact-en | dense | 0.7230 | 0.7421 |",
        "| scifact-en | sparse |  | 0.7000 |",
        "* pairs-multi, English, 10,070 pairs",
        '```toml\n[model]\nsource = "tercet/mini"\n```',
    ):
        assert told in card


def test_a_card_says_what_nobody_said() -> None:
    card = model_card(CardFacts("m", "base", "2026-11-21", 0, "seed = 0"))
    assert "license:" not in card
    assert "Licence: not stated" in card
    assert "Not measured." in card
    assert "Not stated." in card


RECIPE = """
seed = 7
[model]
source = "start"
[data]
examples = ["examples.jsonl"]
[evaluation]
collection = "small"
every = 2
[card]
license = "mit"
data = ["ten made-up pairs"]
[[stages]]
kind = "m3"
[stages.optimisation]
steps = 2
optimiser = "schedule_free"
log_every = 1
"""


def test_a_recipe_leaves_a_log_plots_and_a_card(collection: Path, tmp_path: Path) -> None:
    checkpoints.write_bge_m3(tmp_path / "start", positions=66)
    rows = [{"query": f"what is a {w}", "pos": [f"a {w}"], "neg": ["the text"]} for w in WORDS]
    write_lines(tmp_path / "examples.jsonl", rows)
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    arguments = ["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "out"), "--quiet"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    stage = tmp_path / "out.training/1-m3"
    assert {"log.jsonl", "loss.png", "ndcg.png"} <= {path.name for path in stage.iterdir()}
    measured = [r for r in Log(stage / "log.jsonl").records() if "nDCG@10" in r]
    assert [record["step"] for record in measured] == [0, 2]
    before, after = (record["nDCG@10"]["dense"] for record in measured)
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "# out\n\nTrained from start on 2" in card
    assert f"| small | dense | {before:.4f} | {after:.4f} |" in card
    assert RECIPE.strip() in card
    assert open_model(tmp_path / "out").spec.license == "mit"
