"""What `import tercet` costs, asked of a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "faiss",
    "tiktoken",
    "langchain_core",
    "llama_index",
)


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import tercet",
        "from tercet import CallableEncoder, Document, Encoder, Index, Plan, Reranker, Retriever",
        "import tercet.cli",
        "import tercet.models",
    ],
)
def test_importing_loads_no_heavy_library(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_every_public_name_can_be_imported() -> None:
    import tercet

    for name in tercet.__all__:
        assert getattr(tercet, name)
    assert set(dir(tercet)) == set(tercet.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tercet

    with pytest.raises(AttributeError, match="no attribute 'Retreiver'"):
        tercet.Retreiver  # noqa: B018
