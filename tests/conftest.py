"""No test reaches a hub: whatever asks for one fails at once."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
import torch
from emulated_gpu import emulated_gpu
from qdrant_servers import QdrantServer, qdrant_cluster

from tercet.kernels import compiling

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny models: threads only wait for each other
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture
def in_files() -> Iterator[None]:
    """Segments of an embedded index are files, as large ones are, though they be small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tercet.indexes.local.writing.writer.INLINE_BYTES", 0)
        yield


@pytest.fixture
def without_kernels() -> Iterator[None]:
    """Numpy and torch do what kernels do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiling.SWITCH, "off")
        compiling.machine.cache_clear()
        yield
    compiling.machine.cache_clear()


@pytest.fixture
def gpu() -> Iterator[str]:
    """A CUDA device's name; where there is none, that of an emulated one."""
    if torch.cuda.is_available():
        yield "cuda"
    else:
        with emulated_gpu() as name:
            yield name


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """A real Qdrant server for all tests that ask for one."""
    with QdrantServer(tmp_path_factory.mktemp("qdrant")) as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[QdrantServer]]:
    """A real cluster of three."""
    with qdrant_cluster(tmp_path_factory.mktemp("cluster"), 3) as nodes:
        yield nodes


@pytest.fixture
def qdrant_address(qdrant_server: QdrantServer) -> Iterator[Callable[[], str]]:
    """Makes addresses of collections that no other test uses, and removes them at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(f"test-{uuid.uuid4().hex}")
        return f"qdrant://{qdrant_server.host}/{made[-1]}"

    yield make
    for name in made:
        qdrant_server.remove(name)
