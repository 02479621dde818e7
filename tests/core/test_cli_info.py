"""`tercet info` and `tercet models`, which need no model."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tercet import __version__
from tercet.cli import describing
from tercet.cli.app import app
from tercet.documents import Document
from tercet.retriever import Retriever
from tercet.testing import HashEncoder


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def run_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def test_info_knows_an_index_whose_encoder_has_no_name(tmp_path: Path) -> None:
    with Retriever.create(tmp_path / "idx", encoder=HashEncoder()) as retriever:
        retriever.add([Document(id="a", text="x")])
    assert run_json("info", tmp_path / "idx")["model"] == "hash-encoder"
    result = run("search", tmp_path / "idx", "x", code=1)
    assert result.stderr.startswith("error: the index was built by hash-encoder")


def test_info_without_an_index_tells_of_the_machine() -> None:
    described = run_json("info")
    assert described["versions"]["tercet"] == __version__
    assert described["cpu_dtype"] in ("float32", "bfloat16")
    assert "torch" in run("info").stdout


def test_models_are_listed_with_views_and_licence() -> None:
    lines = run("models").stdout.splitlines()
    assert lines[0].split() == ["model", "dense", "sparse", "multi_vector", "tokens", "licence"]
    assert any(
        line.split() == ["BAAI/bge-m3", "1024", "yes", "1024", "8192", "mit"] for line in lines
    )
    listed = run_json("models")
    assert listed["models"][0]["model"] == "tercet/mini"
    assert any("Stanford" in layout for layout in listed["layouts"])


@pytest.mark.parametrize(
    ("line", "arithmetic", "dtype"),
    [
        ("flags : sse avx2 amx_tile amx_bf16", ["avx2", "amx_bf16"], "bfloat16"),
        ("Features : asimd bf16", ["bf16"], "float32"),
        (None, [], "float32"),
    ],
)
def test_info_reads_what_the_cpu_can_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str | None,
    arithmetic: list[str],
    dtype: str,
) -> None:
    monkeypatch.setattr(describing, "CPU_FLAGS", tmp_path / "cpuinfo")
    if line is not None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")
    described = run_json("info")
    assert (described["arithmetic"], described["cpu_dtype"]) == (arithmetic, dtype)


def test_info_names_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "PACKAGES", ("tercet", "no-such-package"))
    assert "no-such-package -" in run("info").stdout
