"""Passages under real tokenizers: each is scored by the token vectors that stand in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet.context.passages import Source, best_passages
from tercet.documents import Document
from tercet.encoder import Encoder
from tercet.testing import checkpoints

STORY = " ".join(
    f"Owl {n} sleeps (by day) in tree {n}, they say. What does it do at night? 夜に鳴く！"
    for n in range(16)
)


@pytest.mark.parametrize("write", [checkpoints.write_bge_m3, checkpoints.write_colbert_v2])
def test_a_passage_is_scored_by_the_tokens_that_stand_in_it(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    encoder = Encoder.from_pretrained(
        write(tmp_path), dtype="float32", long_documents="windows", document_tokens=128
    )
    document = Document(id="a", text=STORY, header="About owls\n")
    passages = best_passages(
        "what does owl 7 do?",
        [Source.of(0, document, 0.0)],
        encoder,
        index=None,
        counter=lambda text: len(text.split()),
        most=20,
    )
    query = encoder.encode_queries(["what does owl 7 do?"]).multi_vector[0]
    vectors = encoder.encode_documents([document.content]).multi_vector[0]
    (tokens,) = encoder.tokens([document.content])
    spans = [passage.span for passage in passages]
    assert len(spans) > 10
    for passage, (start, end) in zip(passages, spans, strict=True):
        inside = [
            token.start is not None and start <= token.start - len(document.header) < end
            for token in tokens
        ]
        best = (query @ vectors[inside].T).max(axis=1)
        expected = best.mean() if encoder.spec.reduction == "mean" else best.sum()
        assert passage.score == pytest.approx(float(expected), abs=1e-4)
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert np.std(scores) > 0
