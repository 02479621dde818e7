"""Run the cookbooks with `tercet/mini` and write what they print into them.

    python tests/cookbooks/refresh.py

Times, machines and versions of Python stay out of the files.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

COOKBOOKS = Path(__file__).parents[2] / "cookbooks"


def refresh(path: Path) -> None:
    """Run one notebook in its folder, and write it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:  # warnings on stderr speak of this machine's packages
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for notebook_path in sorted(COOKBOOKS.glob("*.ipynb")):
        refresh(notebook_path)
