"""What the README shows is what happens."""

import re
from pathlib import Path
from typing import Any

import pytest

from tercet.models.registry import PUBLISHED
from tercet.plans import NAMED_PLANS

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_its_python_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from langchain_core.language_models import FakeListChatModel
    from llama_index.core.llms import MockLLM

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "chat_model": FakeListChatModel(responses=["Mars"]),
        "llm": MockLLM(),
    }
    first, langchain, llama_index, context = blocks("python")
    exec(first, names)  # noqa: S102  our own README
    assert capsys.readouterr().out == blocks("text")[0]
    exec(langchain, names)  # noqa: S102
    assert capsys.readouterr().out == "Mars\n"
    exec(llama_index, names)  # noqa: S102
    assert "two small moons" in capsys.readouterr().out
    exec(context, names)  # noqa: S102
    assert "'mars', 0, 44" in capsys.readouterr().out
    names["retriever"].close()


def test_it_lists_every_plan_and_every_published_model() -> None:
    missing = [name for name in NAMED_PLANS if f"`{name}`" not in README]
    missing += [spec.source for spec in PUBLISHED if spec.source not in README]
    assert not missing


def test_its_commands_are_those_of_continuous_integration() -> None:
    install = (
        '-m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ".[dev]" ./models/mini'
    )
    assert install in README
    ci = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    assert 'pip" install -q -c constraints.txt -e ".[dev]" ./models/mini' in ci
    assert "-m pytest --cov" in ci
    assert "-m pytest --cov" in README
