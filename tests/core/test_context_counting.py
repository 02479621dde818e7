"""Token counters: tiktoken's encodings without network."""

import sys
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken.load
from tiktoken import registry

from tercet.context import counting
from tercet.context.counting import CACHE_NAMES, token_counter
from tercet.errors import MissingExtraError, TercetError


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """tiktoken has loaded nothing and finds nothing."""
    monkeypatch.setattr(registry, "ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("encoding", CACHE_NAMES)
def test_an_encoding_counts_without_network(encoding: str, empty_cache: Path) -> None:
    count = token_counter(encoding)
    assert [count(""), count("hello world"), count("<|endoftext|>")] == [0, 2, 7]
    assert count("吾輩は猫である") == len(tiktoken.get_encoding(encoding).encode("吾輩は猫である"))
    assert [path.name for path in empty_cache.iterdir()] == [CACHE_NAMES[encoding]]


def test_the_default_cache_is_filled_where_no_other_is_named(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert token_counter("cl100k_base")("hello") == 1
    assert (tmp_path / "data-gym-cache" / CACHE_NAMES["cl100k_base"]).exists()


def test_a_file_that_is_there_is_left_alone(empty_cache: Path) -> None:
    token_counter("cl100k_base")
    before = (empty_cache / CACHE_NAMES["cl100k_base"]).stat()
    registry.ENCODINGS.clear()
    token_counter("cl100k_base")
    assert (empty_cache / CACHE_NAMES["cl100k_base"]).stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("missing", ["llama_index", "llama_index.core"])
def test_what_cannot_be_had_is_said_with_the_remedy(
    missing: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str) -> bytes:
        raise OSError(f"no network for {url}")

    found = counting.find_spec
    monkeypatch.setattr(
        counting, "find_spec", lambda name: None if name == missing else found(name)
    )
    monkeypatch.setattr(tiktoken.load, "read_file", refuse)
    with pytest.raises(
        TercetError, match=r"'cl100k_base' is not on this machine.*llama-index-core"
    ):
        token_counter("cl100k_base")


def test_other_encodings_are_tiktoken_s_business(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str) -> bytes:
        raise OSError(f"no network for {url}")

    monkeypatch.setattr(tiktoken.load, "read_file", refuse)
    with pytest.raises(TercetError, match="'p50k_base' is not on this machine"):
        token_counter("p50k_base")
    with pytest.raises(ValueError, match="no encoding 'gpt-9'; tiktoken has: cl100k_base"):
        token_counter("gpt-9")


def test_a_missing_tiktoken_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[str, Any] = {"tiktoken": None}
    for name, module in loaded.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(MissingExtraError, match=r"pip install 'tercet\[tiktoken\]'"):
        token_counter("cl100k_base")
