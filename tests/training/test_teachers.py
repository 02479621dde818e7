"""Teachers score pairs: any cross-encoder of transformers, or any function."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from tercet.errors import CheckpointError, SourceError
from tercet.testing.checkpoints.tokenization import write_bert_tokenizer
from tercet.training.datasets import teachers
from tercet.training.datasets.examples import Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.datasets.teachers import CrossEncoder, Pair, score_examples, score_to_file

PAIRS = [
    ("what is late interaction?", "a word"),
    ("a query", "late interaction keeps one vector a token and sums the maxima of the scores"),
    ("", ""),
    ("what is a token?", "the " * 100),
]


def write_cross_encoder(folder: Path, *, labels: int = 1, positions: int = 64) -> Path:
    folder.mkdir(parents=True)
    size = write_bert_tokenizer(folder, max_length=positions)
    torch.manual_seed(labels)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def alone(teacher: CrossEncoder, pair: Pair) -> torch.Tensor:
    """The logits of one pair, by the model itself."""
    tokens = teacher._tokenizer([pair[0]], [pair[1]], truncation=True, max_length=64)
    with torch.inference_mode():
        logits: torch.Tensor = teacher._model(**tokens.convert_to_tensors("pt")).logits[0]
    return logits


def test_a_score_is_the_only_logit_and_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    teacher = CrossEncoder.from_pretrained(
        write_cross_encoder(tmp_path / "one"), device="cpu", batch_tokens=100
    )
    expected = [float(alone(teacher, pair)[0]) for pair in PAIRS]
    assert teacher(PAIRS) == pytest.approx(expected, abs=1e-5)
    assert teacher([]) == []


def test_two_logits_give_their_difference(tmp_path: Path) -> None:
    teacher = CrossEncoder.from_pretrained(
        write_cross_encoder(tmp_path / "two", labels=2), device="cpu"
    )
    expected = [float(logits[1] - logits[0]) for logits in (alone(teacher, p) for p in PAIRS)]
    assert teacher(PAIRS) == pytest.approx(expected, abs=1e-5)


def test_many_pairs_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = CrossEncoder.from_pretrained(
        write_cross_encoder(tmp_path / "one"), device="cpu", max_tokens=32
    )
    whole = teacher(PAIRS)
    monkeypatch.setattr(teachers, "PAIRS_AT_ONCE", 3)
    assert teacher(PAIRS) == pytest.approx(whole, abs=1e-6)


def test_models_that_are_no_cross_encoders_are_refused(tmp_path: Path) -> None:
    three = write_cross_encoder(tmp_path / "three", labels=3)
    with pytest.raises(CheckpointError, match="has 3 outputs; a cross-encoder has one, or two"):
        CrossEncoder.from_pretrained(three)
    bare = write_cross_encoder(tmp_path / "bare")
    BertModel(BertConfig.from_pretrained(bare)).save_pretrained(bare)
    with pytest.raises(CheckpointError, match=r"lacks classifier\.bias, classifier\.weight"):
        CrossEncoder.from_pretrained(bare)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is no cross-encoder"):
        CrossEncoder.from_pretrained(tmp_path / "empty")


class Lengths:
    """A teacher that prefers long documents, and remembers what it was asked."""

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.asked: list[str] = []
        self._breaks_at = breaks_at

    def __call__(self, pairs: Sequence[Pair]) -> list[float]:
        for query, _ in pairs:
            if query not in self.asked and len(set(self.asked)) == self._breaks_at:
                raise KeyboardInterrupt
            self.asked.append(query)
        return [float(len(document)) for _, document in pairs]


EXAMPLES = [Example(f"q{n}", ("ab",), ("c" * n, "ü")) for n in range(1, 6)]
SCORED = [Example(f"q{n}", ("ab",), ("c" * n, "ü"), (2,), (n, 1)) for n in range(1, 6)]


def test_examples_get_the_scores_of_any_function(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(score_examples(iter(EXAMPLES), Lengths())) == SCORED
    monkeypatch.setattr(teachers, "PAIRS_AT_ONCE", 4)
    assert list(score_examples(EXAMPLES, Lengths())) == SCORED


def test_a_teacher_of_other_numbers_of_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="the teacher gave 1 scores for 15 pairs"):
        list(score_examples(EXAMPLES, lambda _: [1.0]))
    with pytest.raises(ValueError, match="the score of positive 0 is nan"):
        list(score_examples(EXAMPLES, lambda pairs: [float("nan")] * len(pairs)))


def test_scoring_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "PAIRS_AT_ONCE", 3)  # one example at a time
    path = tmp_path / "scored.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score_to_file(EXAMPLES, Lengths(breaks_at=3), path)
    partial = tmp_path / "scored.jsonl.partial"
    with partial.open("ab") as file:
        file.write('{"query": "torn ü'.encode()[:-1])
    assert not path.exists()
    teacher = Lengths()
    assert score_to_file(EXAMPLES, teacher, path) == 2
    assert sorted(set(teacher.asked)) == ["q4", "q5"]
    assert list(ExampleFiles([path])) == SCORED
    assert [file.name for file in tmp_path.iterdir()] == ["scored.jsonl"]


@pytest.mark.parametrize("examples", [EXAMPLES[1:], []])
def test_scores_of_other_examples_are_not_taken_over(
    examples: list[Example], tmp_path: Path
) -> None:
    partial = tmp_path / "scored.jsonl.partial"
    row = {"query": "q1", "pos": ["ab"], "neg": ["c", "ü"], "pos_scores": [2], "neg_scores": [1, 1]}
    partial.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"partial, line 1 is another example .*: delete"):
        score_to_file(examples, Lengths(), tmp_path / "scored.jsonl")
