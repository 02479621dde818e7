"""Runs the adapters' tests on the oldest and the newest releases of what they stand on.

    python tests/matrix/run.py                                  every Python found, both ends
    python tests/matrix/run.py --python 3.12 --end oldest       one of them

The oldest are the lower bounds in pyproject.toml, the newest what pip resolves below the upper
bounds. Each pair is a fresh virtual environment of its own, with the package built from this
checkout; torch from a public registry brings CUDA, some gigabytes that are removed afterwards.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
ENDS = ("oldest", "newest")

VARIED = ("langchain-core", "llama-index-core", "llvmlite", "transformers", "torch")
TOOLS = ("hypothesis", "langchain-tests", "langgraph", "opentelemetry-sdk", "pytest")
PLUGINS = ("pytest-asyncio", "pytest-cov", "pytest-socket")
"""What the tests need of the dev extra."""

EXTRAS = "japanese,langchain,llama-index,tiktoken"
TESTS = (
    "tests/test_langchain",
    "tests/test_llama_index",
    "tests/core/test_encoder.py",
    "tests/core/test_encoding_backbone.py",
    "tests/core/test_encoding_int8.py",
    "tests/core/test_scoring.py",
    "tests/kernels",
)


def requirements() -> dict[str, str]:
    """Name to requirement, of every dependency and extra in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    given = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {re.split(r"[<>=\[]", line)[0]: line for line in given}


def pinned(end: str) -> list[str]:
    """What is varied, at one of its ends."""
    known = requirements()
    if end == "newest":
        return [known[name] for name in VARIED]
    lower = {name: re.search(r">=([\d.]+)", known[name]) for name in VARIED}
    return [f"{name}=={bound[1]}" for name, bound in lower.items() if bound]


def candidates(version: str) -> Iterator[Path]:
    """Where a Python of this version may be: on the path, or among pyenv's."""
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def find_python(version: str) -> Path | None:
    """One that runs; pyenv's stand-ins on the path may not."""
    question = ["-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
    for python in candidates(version):
        answer = subprocess.run([python, *question], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return python
    return None


def versions(python: Path) -> str:
    """The releases of what is varied in an environment, as a line."""
    code = (
        f"import json, importlib.metadata as m; print(json.dumps([m.version(n) for n in {VARIED}]))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = zip(VARIED, json.loads(done.stdout), strict=True)
    return ", ".join(f"{name} {version}" for name, version in found)


def run(python: Path, end: str, tests: list[str]) -> str:
    """Make an environment, and test in it; a line that says how it went."""
    with tempfile.TemporaryDirectory(prefix="tercet-matrix-") as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = Path(folder, "bin", "python")
        known = requirements()
        needed = [*pinned(end), *(known[name] for name in (*TOOLS, *PLUGINS))]
        package = [f"{ROOT}[{EXTRAS}]", str(ROOT / "models" / "mini")]
        install = [inside, "-m", "pip", "install", "-q", *package, *needed]
        if subprocess.run(install, check=False).returncode:
            return "does not resolve"
        pytest = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-cov", *tests]
        failed = subprocess.run(pytest, check=False, cwd=ROOT).returncode
        return f"{'FAILED' if failed else 'passed'} on {versions(inside)}"


def main() -> int:
    """Run what was asked for, and say how each went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", choices=PYTHONS, action="append")
    parser.add_argument("--end", choices=ENDS, action="append")
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    asked = parser.parse_args()
    report = []
    for version in asked.python or PYTHONS:
        python = find_python(version)
        if python is None:
            report.append(f"Python {version}: not found")
            continue
        report += [
            f"Python {version}, {end}: {run(python, end, asked.tests)}" for end in asked.end or ENDS
        ]
    sys.stdout.write("\n".join(["", *report, ""]))
    return int(any("FAILED" in line or "resolve" in line for line in report))


if __name__ == "__main__":
    sys.exit(main())
