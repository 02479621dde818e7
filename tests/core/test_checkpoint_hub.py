"""Checkpoints come from a hub, here a small one on this machine, and from its cache without it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.sources import wanted_files
from tercet.errors import CheckpointError
from tercet.testing.checkpoints import write_tercet

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The few answers of a model hub that a download needs."""

    files: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.requests.append(path)
        start, _, file = path.partition(f"/resolve/{COMMIT}/")
        if path.startswith(f"/api/models/acme/tiny/tree/{COMMIT}"):
            rows = [
                {"type": "file", "path": name, "size": len(content), "oid": oid(content)}
                for name, content in self.files.items()
            ]
            return self.send(200, json.dumps(rows).encode(), body=body)
        if path.startswith("/api/models/acme/tiny"):
            if path.endswith("/revision/nowhere"):
                return self.send(404, b"", body=body, code="RevisionNotFound")
            siblings = [{"rfilename": name} for name in self.files]
            model = {"_id": "1", "id": "acme/tiny", "sha": COMMIT, "siblings": siblings}
            return self.send(200, json.dumps(model).encode(), body=body)
        if start == "/acme/tiny" and file in self.files:
            return self.send(200, self.files[file], body=body)
        return self.send(404, b"", body=body, code="RepoNotFound")

    def send(self, status: int, content: bytes, *, body: bool, code: str | None = None) -> None:
        self.send_response(status)
        headers = {"ETag": f'"{oid(content)}"', "X-Repo-Commit": COMMIT}
        for name, value in (headers if code is None else {"X-Error-Code": code}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


def oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:40]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    folder = write_tercet(tmp_path / "written")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files |= {"README.md": b"---\nlicense: mit\n---\n", "pytorch_model.bin": b"a second copy"}
    monkeypatch.setattr(Hub, "files", files | {"onnx/model.onnx": b"an export"})
    monkeypatch.setattr(Hub, "requests", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    disable_progress_bars()
    yield server
    enable_progress_bars()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_a_hub_model_is_its_repository_and_commit() -> None:
    opened = Checkpoint.open("acme/tiny")
    assert (opened.source.name, opened.revision) == ("acme/tiny", COMMIT)
    names = {path.name for path in opened.folder.iterdir()}
    assert {"tercet.json", "model.safetensors", "heads.safetensors", "tokenizer.json"} <= names
    assert not names & {"onnx", "pytorch_model.bin"}
    expected = hashlib.sha256(f"hub\0acme/tiny\0{COMMIT}".encode()).hexdigest()
    assert opened.model_id == expected


@pytest.mark.usefixtures("hub")
def test_what_is_in_the_cache_is_not_asked_for_again() -> None:
    first = Checkpoint.open("acme/tiny")
    Hub.requests.clear()
    assert Checkpoint.open("acme/tiny").model_id == first.model_id
    assert [path for path in Hub.requests if "resolve" in path] == []


def test_the_cache_serves_while_the_hub_is_switched_off(
    hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Checkpoint.open("acme/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    Hub.requests.clear()
    assert Checkpoint.open("acme/tiny").model_id == first.model_id
    assert Checkpoint.open("acme/tiny", revision=COMMIT).folder == first.folder
    assert Hub.requests == []
    with pytest.raises(CheckpointError, match=r"HF_HUB_OFFLINE.*tercet/mini"):
        Checkpoint.open("acme/other")


def test_a_hub_that_cannot_be_reached_is_told(
    hub: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="the hub cannot be reached"):
        Checkpoint.open("acme/tiny")


@pytest.mark.usefixtures("hub")
def test_an_unknown_model_or_revision_is_told() -> None:
    with pytest.raises(CheckpointError, match="no model acme/other on the hub"):
        Checkpoint.open("acme/other")
    with pytest.raises(CheckpointError, match="acme/tiny has no revision nowhere"):
        Checkpoint.open("acme/tiny", revision="nowhere")
    with pytest.raises(CheckpointError, match="no model acme tiny"):
        Checkpoint.open("acme tiny")


def test_of_two_copies_of_weights_one_is_wanted() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "a.py"]
    assert wanted_files(names) == {"config.json", "model.safetensors"}
    assert wanted_files(["pytorch_model.bin", "colbert_linear.pt"]) == {
        "pytorch_model.bin",
        "colbert_linear.pt",
    }


def test_shards_are_wanted_together() -> None:
    parts = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    names = {"model.safetensors.index.json", *parts}
    assert wanted_files([*names, "pytorch_model.bin"]) == names
    assert wanted_files(["lora.safetensors", "training_args.bin"]) == set()
    old = {"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"}
    assert wanted_files(sorted(old)) == old


def test_heads_beside_the_weights_and_in_folders_are_wanted() -> None:
    names = {"model.safetensors", "heads.safetensors", "1_Dense/model.safetensors"}
    assert wanted_files(sorted(names)) == names
