"""What is printed, on a terminal and in a pipe."""

import warnings

import pytest

from tercet.cli.console import one_line, print_json, print_table, say, warnings_as_lines

COLUMNS = ["rank", "id", "text"]
ROWS = [["1", "a", "東京 tower"], ["10", "long id", "x\ny\x1b[31m"]]


def test_in_a_pipe_a_table_is_aligned_text_without_anything_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(COLUMNS, [*ROWS, ["2", "b", "word " * 40 + "end"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rank  id       text"
    assert lines[1] == "   1  a        東京 tower"
    assert lines[2] == "  10  long id  x y [31m"
    assert lines[3].endswith("word end")


def test_wide_characters_are_counted_as_wide(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["東京", "x"], ["yy", "z"]])
    assert capsys.readouterr().out.splitlines() == ["a     b", "東京  x", "yy    z"]


def test_on_a_terminal_a_table_fits_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_table(COLUMNS, [["1", "a", "[bold]many[/bold] " + "words " * 20]])
    out = capsys.readouterr().out
    assert "\x1b[1m" in out
    assert "[bold]many[/bold]" in out
    assert len(out.splitlines()) > 3


def test_no_color_takes_the_colours_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(COLUMNS, ROWS)
    assert "\x1b[3" not in capsys.readouterr().out


def test_json_keeps_every_script_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "東京"})
    assert capsys.readouterr().out == '{\n  "text": "東京"\n}\n'


def test_remarks_go_to_stderr_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("two\nlines")
    assert capsys.readouterr() == ("", "two lines\n")


def test_control_characters_never_reach_a_terminal() -> None:
    assert one_line("a\x1b[2J\x07b\u009bc\td") == "a [2J b c d"


def test_warnings_are_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines():
        warnings.simplefilter("always")
        warnings.warn("a text was cut;\nuse windows", UserWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "warning: a text was cut; use windows\n")
