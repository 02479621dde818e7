"""Real Qdrant servers for tests: on loopback, in a temporary folder, telemetry off."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

BINARY = "TERCET_QDRANT"
"""The environment variable that names the server's binary."""

FETCHED = Path(__file__).parents[2] / ".servers" / "qdrant"
"""Where tests/servers/fetch_qdrant.sh puts it."""

START_SECONDS = 60


def binary() -> Path:
    """The server's binary; a test that needs it fails where it is not."""
    path = Path(os.environ.get(BINARY) or FETCHED)
    if not path.is_file():
        raise FileNotFoundError(
            f"no Qdrant server at {path}: run tests/servers/fetch_qdrant.sh, or set {BINARY}"
        )
    return path


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
