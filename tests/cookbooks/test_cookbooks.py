"""Every cookbook runs without network on the fake encoder, and what is committed is clean."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

COOKBOOKS = Path(__file__).parents[2] / "cookbooks"
NOTEBOOKS = sorted(COOKBOOKS.glob("*.ipynb"))
OFFLINE = Path(__file__).parent / "offline"
TIMEOUT = 60
"""Seconds for a cell; a whole notebook takes a few."""

PRIVATE = re.compile(
    r"(/(root|home|Users|tmp|var|work|opt|private)/|[A-Z]:\\\\|hf_[A-Za-z0-9]{20})"
)

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel gets the fake encoder, no network and no configuration of one's own."""
    monkeypatch.setenv("COOKBOOK_MODEL", "hash")
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def run(notebook: Any) -> Any:
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=TIMEOUT,
        coalesce_streams=True,
        resources={"metadata": {"path": str(COOKBOOKS)}},
    )
    return client.execute()


def test_there_are_cookbooks_and_a_table_of_them() -> None:
    table = (COOKBOOKS / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS
    assert all(f"({path.name})" in table for path in NOTEBOOKS)


@pytest.mark.enable_socket  # the kernel is spoken to over loopback
@pytest.mark.usefixtures("offline")
@each
def test_a_cookbook_runs_and_keeps_its_promises(path: Path) -> None:
    executed = run(nbformat.read(path, as_version=4))
    assert executed.cells[-1].outputs[0].text == "all as promised\n"
    assert "model: hash" in executed.cells[2].outputs[0].text


@pytest.mark.enable_socket
@pytest.mark.usefixtures("offline")
def test_a_cookbook_reaches_no_network() -> None:
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(ask)])
    with pytest.raises(CellExecutionError, match="without network"):
        run(notebook)


@each
def test_what_is_committed_was_run_in_order_without_errors(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for cell in code for output in cell.outputs} == {"stream"}
    assert "model: tercet/mini" in code[0].outputs[0].text
    assert "assert " in code[-1].source


@each
def test_what_is_committed_names_no_path_of_a_machine(path: Path) -> None:
    committed = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
    assert PRIVATE.search(committed) is None
    assert path.stat().st_size < 64 * 1024
