"""The benchmark of search on a GPU runs where there is none, by the same code."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search_gpu.py"


def test_the_benchmark_compares_every_view_on_the_cpu_too() -> None:
    small = ("--device", "cpu", "--documents", "200", "--queries", "2", "--rounds", "1")
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *small], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^  (.+?) +p50 .*recall@10 (.*)$", ran.stdout, flags=re.MULTILINE)
    names = ("host, exact", "host", "cpu, exact")
    every = [*names, "cpu, faiss flat", "host, exact", *names, "cpu, cells"]
    assert found == [(name, "1.000") for name in every]
    assert "torch" in ran.stdout.splitlines()[0]
