"""The command as a process: pipes, signals, exit codes, and what it does not load."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.errors import TercetError
from tercet.indexes.base import Index
from tercet.indexes.ingest import BATCH_DOCUMENTS
from tercet.testing import HashEncoder
from tercet.testing.checkpoints import write_dense

TERCET = [sys.executable, "-m", "tercet"]
PATIENCE = 120


def lines(count: int) -> str:
    return "".join(json.dumps({"id": str(n), "text": f"word {n}"}) + "\n" for n in range(count))


def committed(path: Path) -> int:
    try:
        with Index.open(path) as index:
            return len(index)
    except TercetError:  # not made yet
        return 0


def test_an_interrupted_run_says_what_is_committed_and_goes_on_without_duplicates(
    tmp_path: Path,
) -> None:
    model = write_dense(tmp_path / "model", layers=1)
    to = tmp_path / "idx"
    command = [*TERCET, "index", "-", "--to", str(to), "--model", str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(lines(BATCH_DOCUMENTS + 10))
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while committed(to) < BATCH_DOCUMENTS and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert out == ""
    assert (
        f"interrupted: {BATCH_DOCUMENTS} documents are committed; "
        "run the same command again to go on" in err
    )
    arguments = [*command[len(TERCET) :], "--json", "--quiet"]
    again = CliRunner().invoke(app, arguments, input=lines(BATCH_DOCUMENTS + 20))
    assert (again.exit_code, again.stderr) == (0, "")
    report = json.loads(again.stdout)
    assert (report["committed"], report["skipped"]) == (20, BATCH_DOCUMENTS)
    assert report["documents"] == BATCH_DOCUMENTS + 20


def test_a_pipe_whose_reader_has_gone_ends_quietly() -> None:
    with subprocess.Popen(
        [*TERCET, "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(PATIENCE) == 141
    assert err == b""


def test_a_locale_without_unicode_stops_no_result() -> None:
    done = subprocess.run(
        [*TERCET, "search", "東京", "x"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert b"\\u6771" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["models"], ["info", "INDEX"]])
def test_what_needs_no_model_loads_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from typer.testing import CliRunner\n"
        "from tercet.cli.app import app\n"
        "from tercet.indexes.base import Index\n"
        "from tercet.testing import HashEncoder\n"
        f"Index.open({str(tmp_path / 'INDEX')!r}, spec=HashEncoder().spec).close()\n"
        f"result = CliRunner().invoke(app, {arguments!r})\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_closed_stdout_is_no_traceback(tmp_path: Path) -> None:
    Index.open(tmp_path / "idx", spec=HashEncoder().spec).close()
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            'exec "$0" -m tercet info "$1" >&-',
            sys.executable,
            str(tmp_path / "idx"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
