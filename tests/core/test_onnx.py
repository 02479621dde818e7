"""Exported graphs: the model's own views, made without torch."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding import backends
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.onnx import export, model
from tercet.encoding.onnx.model import DenseGraph
from tercet.encoding.onnx.session import DENSE, EMPTY, GRAPH, INPUTS, Rows, open_session
from tercet.encoding.packing import alike
from tercet.errors import CheckpointError, MissingExtraError
from tercet.models.spec import DenseHead, LinearLayer
from tercet.testing import checkpoints
from tercet.testing.checkpoints import write_bge_m3, write_dense

TEXTS = [
    "the cat sat on the mat",
    "late interaction keeps one vector for every token " * 30,
    "",
    "a <pad> spelt out, and a query about retrieval",
    "one word",
]
SHAPE = {"layers": 1, "hidden": 16, "heads": 2, "intermediate": 16}


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and its graphs: exporting takes seconds, so it is done once."""
    root = tmp_path_factory.mktemp("onnx")
    plain, graphs = write_bge_m3(root / "m3", **SHAPE), root / "graphs"
    done = CliRunner().invoke(app, ["export", str(plain), str(graphs)])
    assert done.exit_code == 0, done.output
    return plain, graphs


def both(folders: tuple[Path, Path], **options: object) -> tuple[Encoder, Encoder]:
    plain, graphs = folders
    return (
        Encoder.from_pretrained(plain, device="cpu", dtype="float32", **options),  # type: ignore[arg-type]
        Encoder.from_pretrained(graphs, **options),  # type: ignore[arg-type]
    )


def assert_same(found: Embeddings, expected: Embeddings) -> None:
    assert found.representations == expected.representations
    assert np.array_equal(found.tokens_encoded, expected.tokens_encoded)
    if expected.dense is not None:
        np.testing.assert_allclose(found.dense, expected.dense, rtol=0, atol=1e-5)
    if expected.sparse is not None:
        assert np.array_equal(found.sparse.indptr, expected.sparse.indptr)
        assert np.array_equal(found.sparse.ids, expected.sparse.ids)
        np.testing.assert_allclose(found.sparse.weights, expected.sparse.weights, rtol=0, atol=1e-5)
    if expected.multi_vector is not None:
        assert np.array_equal(found.multi_vector.offsets, expected.multi_vector.offsets)
        np.testing.assert_allclose(
            found.multi_vector.vectors, expected.multi_vector.vectors, rtol=0, atol=1e-5
        )


def test_a_graph_makes_the_views_of_the_model_in_any_company(m3: tuple[Path, Path]) -> None:
    plain, graph = both(m3)
    assert "backend='onnx'" in repr(graph)
    assert graph.spec.model_id == plain.spec.model_id
    assert graph.spec.document_id == plain.spec.document_id
    assert_same(graph.encode_queries(TEXTS), plain.encode_queries(TEXTS))
    found = graph.encode_documents(TEXTS)
    assert_same(found, plain.encode_documents(TEXTS))
    for n, text in enumerate(TEXTS):
        assert_same(graph.encode_documents([text]), found.take([n]))


@pytest.mark.parametrize(
    "options",
    [
        {"long_documents": "mcls", "mcls_interval": 16},
        {"long_documents": "mcls", "mcls_interval": 16, "mcls_attention": "full"},
        {
            "long_documents": "mcls",
            "mcls_interval": 16,
            "mcls_attention": "full",
            "mcls_positions": "sequential",
        },
        {"long_documents": "windows", "document_tokens": 100},
    ],
)
def test_long_documents_are_those_of_the_model(
    options: dict[str, object], m3: tuple[Path, Path]
) -> None:
    plain, graph = both(m3, **options)
    assert_same(graph.encode_documents(TEXTS), plain.encode_documents(TEXTS))


class Traced:
    """The module that is exported, in the place of its graph."""

    def __init__(self, graph: export.Graph) -> None:
        self._graph = graph

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self._graph.outputs]

    @torch.inference_mode()
    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == self._graph.outputs
        made = self._graph(*(torch.from_numpy(inputs[name]) for name in INPUTS))
        return [values.numpy() for values in made]


@pytest.mark.filterwarnings("ignore::tercet.errors.TruncationWarning")
@pytest.mark.parametrize(
    "writer",
    [
        "write_bge_m3",
        "write_jina_colbert",  # rotary positions
        "write_jacolbert",  # expansion that nobody sees
        "write_pylate",
        "write_modernbert",  # a sliding window
        "write_dense",
        "write_tercet",
    ],
)
def test_what_is_exported_makes_the_views_of_every_layout(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if writer == "write_modernbert":
        write_dense(tmp_path, backbone="modernbert", local_attention=16, layers=3)
    else:
        getattr(checkpoints, writer)(tmp_path)
    checkpoint = Checkpoint.open(tmp_path)
    graph = Traced(export.Graph.of(checkpoint))
    monkeypatch.setattr(model, "open_session", lambda path: graph)
    monkeypatch.setattr(backends, "BACKENDS", {"torch": "tercet.encoding.onnx.model"})
    traced = Encoder.from_pretrained(tmp_path)
    monkeypatch.undo()
    plain = Encoder.from_pretrained(tmp_path, device="cpu", dtype="float32")
    assert_same(traced.encode_documents(TEXTS), plain.encode_documents(TEXTS))
    assert_same(traced.encode_queries(TEXTS), plain.encode_queries(TEXTS))


WITHOUT_TORCH = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from tercet import Encoder
encoder = Encoder.from_pretrained(sys.argv[1])
found = encoder.encode_documents(json.loads(sys.argv[2]))
encoder.tokens(["a text"])
encoder.encode_queries(["a query"])
assert not {"torch", "transformers", "onnx", "onnxscript"} & set(sys.modules)
print(json.dumps([found.dense.tolist(), found.sparse.weights.tolist(),
    found.multi_vector[0].tolist()]))
"""


def test_a_graph_needs_neither_torch_nor_transformers(
    m3: tuple[Path, Path],
) -> None:
    plain, graphs = m3
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(graphs), json.dumps(TEXTS[:2])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    dense, weights, first = map(np.asarray, json.loads(done.stdout))
    model_itself = Encoder.from_pretrained(plain, device="cpu", dtype="float32")
    expected = model_itself.encode_documents(TEXTS[:2])
    np.testing.assert_allclose(dense, expected.dense, rtol=0, atol=1e-5)
    np.testing.assert_allclose(weights, expected.sparse.weights, rtol=0, atol=1e-5)
    np.testing.assert_allclose(first, expected.multi_vector[0], rtol=0, atol=1e-5)


def test_what_a_graph_cannot_do_is_said(m3: tuple[Path, Path], tmp_path: Path) -> None:
    plain, graphs = m3
    for option in ({"device": "cuda"}, {"dtype": "bfloat16"}, {"quantize": "int8"}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is .* an exported graph has"):
            Encoder.from_pretrained(graphs, **option)
    with pytest.raises(ValueError, match="there are: torch, onnx"):
        Encoder.from_pretrained(plain, backend="abacus")
    with pytest.raises(ValueError, match=r"is for torch; Encoder\.save_onnx"):
        Encoder.from_pretrained(plain, backend="onnx")
    with pytest.raises(ValueError, match="is for onnx"):
        Encoder.from_pretrained(graphs, backend="torch")
    graph = Encoder.from_pretrained(graphs, backend="onnx")
    for save in (graph.save_pretrained, graph.save_onnx):
        with pytest.raises(CheckpointError, match="is an exported graph"):
            save(tmp_path / "again")


def test_a_damaged_or_missing_graph_is_named(m3: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / GRAPH
    with pytest.raises(CheckpointError, match=r"model\.onnx is missing"):
        open_session(path)
    path.write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="cannot be read as a graph"):
        open_session(path)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"tercet\[onnx\]"):
        open_session(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    checkpoint = Checkpoint.open(write_dense(tmp_path / "dense", **SHAPE))
    with pytest.raises(MissingExtraError, match=r"tercet\[onnx\]"):
        export.export(checkpoint, tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


def test_a_backbone_without_explicit_positions_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "PACKABLE", frozenset({"other"}))
    encoder = Encoder.from_pretrained(write_dense(tmp_path / "dense", **SHAPE), device="cpu")
    with pytest.raises(ValueError, match="a bert backbone cannot be exported"):
        encoder.save_onnx(tmp_path / "graphs")


def test_a_folder_with_files_is_left_alone(
    m3: tuple[Path, Path],
) -> None:
    plain, graphs = m3
    with pytest.raises(FileExistsError, match="not empty"):
        Encoder.from_pretrained(plain, device="cpu", dtype="float32").save_onnx(graphs)


@torch.inference_mode()
def test_layers_behind_the_pooling_are_a_graph_of_their_own(tmp_path: Path) -> None:
    layers = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    axes = {"input": {0: torch.export.Dim("passes")}}
    export._write(
        layers, (torch.zeros(2, 4),), axes, ["vectors"], tmp_path / DENSE, inputs=["pooled"]
    )
    plain = write_dense(tmp_path / "dense", **SHAPE)
    batch = Encoder.from_pretrained(plain, device="cpu")._pipeline.prepare_documents(TEXTS[:2])
    states = np.random.default_rng(0).normal(size=(sum(map(len, batch.passes)), 4))
    rows = Rows(states.astype(np.float32), EMPTY, EMPTY)
    head = DenseHead(pooling=("cls",), layers=(LinearLayer(4, 3),), normalise=False)
    found = DenseGraph(head, tmp_path).vectors(rows, batch.passes, batch.texts)
    first = torch.from_numpy(rows.states[[0, len(batch.passes[0])]])
    np.testing.assert_allclose(found, layers(first), rtol=0, atol=1e-6)


def test_passes_are_grouped_with_little_padding() -> None:
    assert alike([10, 100, 9, 85, 79, 7]) == [[1, 3], [4], [0, 2], [5]]
    assert alike([]) == []
