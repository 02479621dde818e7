"""Stages that make data for the stages behind them: mined negatives, a teacher's scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tercet.errors import TrainingError
from tercet.testing.checkpoints import write_bge_m3
from tercet.testing.checkpoints.tokenization import write_bert_tokenizer
from tercet.testing.checkpoints.vocabularies import WORDS
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.datasets.mining import MiningRule
from tercet.training.datasets.settings import DataSettings
from tercet.training.loop.context import Context
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.recipes.recipe import parse_recipe
from tercet.training.recipes.sources import TrainingData
from tercet.training.stages.mine import Mine
from tercet.training.stages.score import Score


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainingModel:
    return open_model(write_bge_m3(tmp_path_factory.mktemp("model"), positions=66))


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    rows = [{"query": f"what is the {w}", "pos": [f"the {w} of a {w}"]} for w in WORDS[:6]]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return TrainingData(DataSettings(examples=(path,)))


def test_negatives_are_found_among_the_documents_of_the_examples(
    model: TrainingModel, data: TrainingData, tmp_path: Path
) -> None:
    stage = Mine(tmp_path / "data/mined.jsonl", plan="dense", rule=MiningRule(count=2))
    assert stage.run(model, data, Context(tmp_path)) is model
    mined = list(ExampleFiles([stage.to]))
    documents = {text for example in data.examples() for text in example.positives}
    assert len(mined) == 6
    assert all(len(example.negatives) == 2 for example in mined)
    assert {text for example in mined for text in example.negatives} <= documents


def test_negatives_are_found_among_texts_where_some_are_named(
    model: TrainingModel, data: TrainingData, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("a model\nan index\n", encoding="utf-8")
    told = TrainingData(replace(data.settings, texts=(tmp_path / "texts.txt",)))
    stage = Mine(tmp_path / "mined.jsonl", plan="dense")
    stage.run(model, told, Context(tmp_path))
    found = {text for example in ExampleFiles([stage.to]) for text in example.negatives}
    assert found == {"a model", "an index"}
    nowhere = replace(stage, rule=MiningRule(first=90, last=99))
    with pytest.raises(TrainingError, match="no negative was found for any of 6 examples: widen"):
        nowhere.run(model, told, Context(tmp_path))


def test_a_teacher_scores_what_later_stages_read(
    model: TrainingModel, data: TrainingData, tmp_path: Path
) -> None:
    (tmp_path / "teacher").mkdir()
    size = write_bert_tokenizer(tmp_path / "teacher", max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path / "teacher")
    stage = Score(tmp_path / "teacher", tmp_path / "scored.jsonl", tokens=32)
    stage.run(model, data, Context(tmp_path))
    scored = list(ExampleFiles([stage.to]))
    assert [example.query for example in scored] == [e.query for e in data.examples()]
    assert all(example.scores is not None for example in scored)


def test_a_recipe_names_both(tmp_path: Path) -> None:
    recipe = parse_recipe(
        """
        [model]
        source = "tercet/mini"
        [[stages]]
        kind = "mine"
        to = "mined.jsonl"
        [stages.rule]
        first = 10
        margin = 0.05
        [[stages]]
        kind = "score"
        teacher = "cross-encoder"
        to = "scored.jsonl"
        [stages.data]
        examples = ["mined.jsonl"]
        """,
        base=tmp_path,
    )
    mine, score = recipe.stages
    assert mine.stage == Mine(tmp_path / "mined.jsonl", rule=MiningRule(first=10, margin=0.05))
    assert score.data.examples == (tmp_path / "mined.jsonl",)
