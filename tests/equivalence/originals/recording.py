"""Writes tiny checkpoints, and golden files with what a library makes of them."""

import hashlib
import importlib.metadata
import json
import sys
import tempfile
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tests.equivalence.originals.texts import DOCUMENTS, QUERIES

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[1] / "golden"
for package in ("tercet", "tercet.testing"):
    module = types.ModuleType(package)
    module.__path__ = [str(ROOT / "core" / package.replace(".", "/"))]
    sys.modules[package] = module

from tercet.testing import checkpoints  # noqa: E402  # behind the packages passed over

Views = dict[str, Any]


def ragged(rows: Iterable[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Put arrays of different lengths in a row, and say where each begins."""
    arrays = [np.asarray(row) for row in rows]
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    return np.concatenate(arrays), offsets


def token_vectors(side: str, rows: Iterable[Any]) -> Views:
    """The arrays of one side's token vectors."""
    vectors, offsets = ragged(np.asarray(row, dtype=np.float32) for row in rows)
    return {f"{side}.vectors": vectors, f"{side}.offsets": offsets}


def token_ids(side: str, rows: Iterable[Any]) -> Views:
    """The arrays of one side's input ids."""
    ids, offsets = ragged(np.asarray(row, dtype=np.int64) for row in rows)
    return {f"{side}.ids": ids, f"{side}.ids_offsets": offsets}


def lexical_weights(side: str, rows: Sequence[dict[str, float]]) -> Views:
    """The arrays of one side's lexical weights, by ascending term id."""
    ordered = [sorted((int(term), float(weight)) for term, weight in row.items()) for row in rows]
    return {
        f"{side}.indptr": np.cumsum([0, *map(len, ordered)], dtype=np.int64),
        f"{side}.terms": np.asarray([t for row in ordered for t, _ in row], dtype=np.int32),
        f"{side}.weights": np.asarray([w for row in ordered for _, w in row], dtype=np.float32),
    }


def weights_hash(folder: Path) -> str:
    """A hash of all safetensors of a checkpoint, names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(str(path.relative_to(folder)).encode())
        for name, tensor in sorted(load_file(path).items()):
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


class Case:
    """One checkpoint, encoded by one library."""

    def __init__(
        self,
        name: str,
        writer: str,
        *,
        queries: list[str] | None = None,
        documents: list[str] | None = None,
        options: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp()) / "checkpoint"
        getattr(checkpoints, writer)(self.folder, **arguments)
        self.queries = QUERIES if queries is None else queries
        self.documents = DOCUMENTS if documents is None else documents
        self.options = options or {}
        self.metadata: dict[str, Any] = {
            "writer": writer,
            "arguments": arguments,
            "options": self.options,
            "queries": self.queries,
            "documents": self.documents,
            "weights": weights_hash(self.folder),
        }

    def save(self, views: Views, libraries: Sequence[str]) -> None:
        """Write the golden file."""
        versions = {name: importlib.metadata.version(name) for name in libraries}
        self.metadata["versions"] = versions | {"torch": torch.__version__}
        arrays = {name: np.ascontiguousarray(value) for name, value in views.items()}
        header = {"golden": json.dumps(self.metadata, sort_keys=True)}
        save_file(arrays, GOLDEN / f"{self.name}.safetensors", metadata=header)
        size = (GOLDEN / f"{self.name}.safetensors").stat().st_size
        print(f"{self.name}: {size} bytes")  # noqa: T201


def split(views: Views, side: str) -> list[torch.Tensor]:
    """One side's token vectors, text by text."""
    parts = np.split(views[f"{side}.vectors"], views[f"{side}.offsets"][1:-1])
    return [torch.from_numpy(part) for part in parts]


def skipped(library: str, ids: Iterable[int]) -> None:
    """Note which token ids a library drops from documents on a SentencePiece vocabulary."""
    path = GOLDEN / "skiplist-ids.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[library] = sorted(set(map(int, ids)))
    path.write_text(json.dumps(dict(sorted(known.items()))) + "\n", encoding="utf-8")


def multilingual(**arguments: Any) -> Path:
    """A checkpoint in Stanford's layout, on SentencePiece, that three libraries can open."""
    folder = Path(tempfile.mkdtemp()) / "multilingual"
    return checkpoints.write_colbert_xlm_roberta(folder, **arguments)
