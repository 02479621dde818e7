"""The files beside this one are imported by their names; how long the tests run is set here."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="module")
def _mixed() -> Iterator[None]:
    """A document alone stands in the catalogue; several have a file, as large segments do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tercet.indexes.local.writing.writer.INLINE_BYTES", 300)
        yield


@pytest.fixture(scope="session")
def hits() -> int:
    """Kills at each named point; `make crash` asks for 100."""
    return int(os.environ.get("TERCET_CRASH_HITS", "1"))


@pytest.fixture(scope="session")
def moments() -> int:
    """Kills at random moments, and cuts of the power; `make crash` asks for 300."""
    return int(os.environ.get("TERCET_CRASH_MOMENTS", "8"))
