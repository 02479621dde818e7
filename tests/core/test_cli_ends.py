"""How the command ends: exit codes, one line on stderr, Ctrl-C, closed pipes."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tercet import __version__
from tercet.cli.app import app, main
from tercet.errors import TercetError
from tercet.testing.checkpoints import write_bge_m3


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize(
    "command",
    [
        ["search", "missing", "x"],
        ["info", "missing"],
        ["delete", "missing", "a"],
        ["evaluate", "missing", "missing"],
        ["index", "missing", "--to", "idx"],
        ["index", ".", "--to", "idx"],
    ],
)
def test_what_is_not_there_is_an_error_of_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_choice_is_named_with_those_there_are() -> None:
    said = run("index", ".", "--to", "idx", "--view", "foo", code=2).stderr
    assert "'--view': 'foo' is not one of 'dense'" in " ".join(said.split())


def test_an_unknown_measure_shows_before_the_index_is_opened(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a moon"}\n', encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "moon"}\n', encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n", encoding="utf-8")
    result = run("evaluate", tmp_path / "no-index", tmp_path, "--measure", "beauty@10", code=1)
    assert "no measure 'beauty@10'" in result.stderr


def test_a_debugging_user_sees_where_an_error_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_DEBUG", "1")
    result = CliRunner().invoke(app, ["info", str(tmp_path / "missing")])
    assert isinstance(result.exception, TercetError)


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"tercet {__version__}\n"


@pytest.mark.parametrize("command", [[], ["index"], ["search"], ["info"], ["evaluate"], ["models"]])
def test_help_is_plain_text(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.stdout.startswith("Usage: ")
    assert "\x1b" not in result.stdout
    assert "╭" not in result.stdout


class Keyboard(io.RawIOBase):
    """A stdin that gives some bytes, then something happens: Ctrl-C, say."""

    def __init__(self, given: str, event: type[BaseException]) -> None:
        self._rest, self._event = io.BytesIO(given.encode()), event

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._rest.readinto(buffer)
        if not read:
            raise self._event
        return read


Ending = Callable[[str, type[BaseException], list[str]], tuple[int, str, str]]


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ending:
    """Run a command until something happens on stdin: exit code, stdout, stderr."""

    def run_until(given: str, event: type[BaseException], command: list[str]) -> Any:
        stdin = io.TextIOWrapper(io.BufferedReader(Keyboard(given, event)))
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SystemExit) as ended:
            app(command)
        return ended.value.code, *capsys.readouterr()

    return run_until


def test_ctrl_c_while_indexing_says_how_to_go_on(tmp_path: Path, end: Ending) -> None:
    model = str(write_bge_m3(tmp_path / "model", positions=66))
    command = ["index", "-", "--to", str(tmp_path / "idx"), "--model", model]
    lines = [json.dumps({"id": str(n), "text": "word"}) + "\n" for n in range(300)]
    assert end("".join(lines), KeyboardInterrupt, [*command, "--quiet"]) == (
        130,
        "",
        "interrupted: 256 documents are committed; run the same command again to go on\n",
    )
    result = CliRunner().invoke(app, [*command, "--json"], input="".join(lines))
    report = json.loads(result.stdout)
    assert (report["committed"], report["skipped"], report["documents"]) == (44, 256, 300)


@pytest.mark.parametrize(
    ("event", "code", "said"),
    [
        (KeyboardInterrupt, 130, "interrupted\n"),
        (BrokenPipeError, 141, ""),
        (ValueError, 1, "error: ValueError\n"),
    ],
)
def test_every_end_has_its_code(
    event: type[BaseException], code: int, said: str, end: Ending
) -> None:
    assert end("", event, ["search", "idx", "-"]) == (code, "", said)


def test_the_entry_point_reads_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tercet", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"tercet {__version__}\n"
