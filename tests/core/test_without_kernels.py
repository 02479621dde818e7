"""With `TERCET_KERNELS=off` numpy and torch do what kernels do, and find the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tercet.kernels.compiling import SWITCH
from tercet.testing.checkpoints import write_bge_m3

SCRIPT = """
import json, sys
from tercet import Document, Encoder, Retriever
from tercet.kernels.compiling import machine

encoder = Encoder.from_pretrained(sys.argv[1], dtype="float32")
texts = [f"the {word} runs over the hill " * n for n, word in enumerate(("cat", "dog", "sun"), 1)]
retriever = Retriever.create(sys.argv[2], encoder=encoder)
retriever.add(Document(str(n), text) for n, text in enumerate(texts))
hits = retriever.retrieve("dog on a hill", k=3, plan="hybrid")
scores = {hit.document.id: [hit.scores[view] for view in sorted(hit.scores)] for hit in hits}
print(json.dumps([machine() is not None, scores]))
"""


def scores(checkpoint: Path, index: Path, switch: str) -> tuple[bool, dict[str, list[float]]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, checkpoint, index],
        env={**os.environ, SWITCH: switch},
        stdout=subprocess.PIPE,
        check=True,
    )
    kernels, found = json.loads(done.stdout)
    return kernels, found


def test_scores_are_the_same_with_and_without_kernels(tmp_path: Path) -> None:
    write_bge_m3(tmp_path / "model")
    _, with_kernels = scores(tmp_path / "model", tmp_path / "with", "")
    off, without = scores(tmp_path / "model", tmp_path / "without", "off")
    assert not off
    assert list(with_kernels) == list(without)
    for id_, expected in without.items():
        np.testing.assert_allclose(with_kernels[id_], expected, rtol=1e-4, atol=1e-5)
    assert with_kernels["1"] != pytest.approx(with_kernels["0"])
