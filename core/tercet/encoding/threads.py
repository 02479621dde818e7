"""OpenMP threads that wait without taking the processor from others.

torch computes with one OpenMP thread a core (`OMP_NUM_THREADS` or `torch.set_num_threads` say
otherwise; nothing here starts more). GNU's OpenMP lets a thread that waits for the others spin for
milliseconds. Where another process is busy, the one waited for is not running, and the one that
spins keeps it so: queries to a small model took 20 times as long on two shared cores.
"""

import os
import sys

SPINS = "1000"
"""A few microseconds: the gap between two products of one pass, and not more."""

CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Where users say themselves how threads wait."""


def wait_briefly() -> None:
    """Shorten the spinning, unless the user chose or torch, which reads it once, is loaded."""
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
