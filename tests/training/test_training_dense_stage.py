import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tercet import Encoder
from tercet.encoding.saving import POOLINGS
from tercet.errors import MissingViewError
from tercet.testing.checkpoints import write_dense
from tercet.training.datasets.examples import Example
from tercet.training.datasets.settings import DataSettings
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.ranking_batches import RankingBatches
from tercet.training.models.opening import open_model
from tercet.training.recipes.sources import TrainingData
from tercet.training.stages.dense import Dense, DenseObjective

TEXTS = ["a place that is far from here", "near", "who knows the way there and back again"]
PAIRS = Batching((LengthGroup(100, 4),), documents=1)


@pytest.mark.parametrize("kind", POOLINGS)
def test_every_pooling_gives_the_dense_vectors_of_the_encoder(tmp_path: Path, kind: str) -> None:
    folder = write_dense(tmp_path / "model")
    path = folder / "1_Pooling/config.json"
    told = {key: value for key, value in json.loads(path.read_text()).items() if "mode" not in key}
    path.write_text(json.dumps({**told, f"pooling_mode_{POOLINGS[kind]}": True}))
    model = open_model(folder).eval()
    with torch.no_grad():
        ours = model(model.document_batch(TEXTS)).dense
    encoder = Encoder.from_pretrained(folder, device="cpu", dtype="float32")
    assert torch.allclose(ours, torch.from_numpy(encoder.encode_documents(TEXTS).dense), atol=1e-6)


def test_the_dense_stage_is_infonce_over_the_documents_of_the_batch(tmp_path: Path) -> None:
    model = open_model(write_dense(tmp_path / "model")).eval()
    examples = [Example(f"question {n}", (f"answer {n}",)) for n in range(4)]
    batch = RankingBatches(model, examples, PAIRS, Optimisation(), seed=0)[0]
    loss = DenseObjective(Dense(temperature=0.1))(model, batch)
    queries, documents = model(batch.queries).dense, model(batch.documents).dense
    plain = functional.cross_entropy(queries @ documents.T / 0.1, torch.arange(4))
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)


def test_the_dense_stage_trains_on_pairs_without_negatives(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("anchor,positive\nwhere,here\nwho,she\n")
    model = open_model(write_dense(tmp_path / "model"))
    before = {name: tensor.clone() for name, tensor in model.weights().backbone.items()}
    stage = Dense(
        batching=PAIRS, optimisation=Optimisation(steps=1, warmup=0.0, learning_rate=1e-2)
    )
    data = TrainingData(DataSettings(examples=(tmp_path / "pairs.csv",)))
    after = stage.run(model, data, Context(tmp_path / "run")).weights().backbone
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items())
    model.spec = replace(model.spec, dense=None)
    with pytest.raises(MissingViewError, match="trains a dense view"):
        stage.run(model, data, Context(tmp_path / "other"))
