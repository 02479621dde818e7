"""Systems side by side: each in a process of its own, one after another, round after round.

An absolute time means little on a shared machine; a ratio of medians over interleaved rounds does.
A worker answers one line of JSON for each line that it reads.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True, slots=True)
class System:
    """One contender: a name in `SYSTEMS` of its script, the interpreter it runs in, its options."""

    name: str
    python: str
    options: Mapping[str, object]
    script: Path = WORKER


class Worker:
    """A running system."""

    def __init__(self, system: System, job: Mapping[str, object], *, threads: int) -> None:
        self.name = system.name
        self._process = subprocess.Popen(
            [system.python, str(system.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ask({"system": system.name, "threads": threads, **job, **system.options})

    def measure(self) -> dict[str, float]:
        """One pass over the job's texts."""
        return self.ask({"go": True})

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate("")

    def ask(self, message: Mapping[str, object]) -> dict[str, float]:
        """One line out, one line back."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print other things
                answer: dict[str, float] = json.loads(line)
                return answer
        raise RuntimeError(f"{self.name} ended with code {self._process.wait()}")


def compare(
    systems: Sequence[System], job: Mapping[str, object], *, rounds: int = 5, threads: int = 2
) -> dict[str, list[dict[str, float]]]:
    """Run every system `rounds` times in turn, after one pass each that does not count."""
    workers = [Worker(system, job, threads=threads) for system in systems]
    results: dict[str, list[dict[str, float]]] = {worker.name: [] for worker in workers}
    for worker in workers:
        worker.measure()
    for _ in range(rounds):
        for worker in workers:
            results[worker.name].append(worker.measure())
    for worker in workers:
        worker.close()
    return results


def report(title: str, results: Mapping[str, list[dict[str, float]]], *, base: str) -> None:
    """Print each measure's median and spread, and each system's ratio to the base."""
    print(f"\n{title}")
    for measure in ("seconds", "cpu_seconds"):
        reference = statistics.median(r[measure] for r in results[base])
        print(f"  {measure}")
        for name, rows in results.items():
            values = sorted(row[measure] for row in rows)
            middle = statistics.median(values)
            print(
                f"    {name:32} median {middle:8.3f}  [{values[0]:.3f} .. {values[-1]:.3f}]"
                f"  {reference / middle:6.2f} x {base}"
            )
    for name, rows in results.items():
        peak = statistics.median(row["peak_mib"] for row in rows)
        share = statistics.median(row["gemm_share"] for row in rows)
        print(f"  {name:34} peak above the model {peak:7.0f} MiB, share of GEMM {share:5.0%}")
    sys.stdout.flush()
