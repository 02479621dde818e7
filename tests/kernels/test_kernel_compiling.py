"""Machine code is made once, also where several threads ask for it first."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tercet.kernels import compiling
from tercet.kernels.compiling import made_once


def test_what_several_threads_ask_for_is_made_once() -> None:
    made = []

    @made_once
    def squared(number: int) -> int:
        time.sleep(0.02)  # as long as others need to ask
        made.append(number)
        return number * number

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(squared, [3, 3, 3, 4, 3]))
    assert found == [9, 9, 9, 16, 9]
    assert sorted(made) == [3, 4]


def test_what_is_made_is_found_while_something_else_is_being_made() -> None:
    begun, goes_on = Event(), Event()

    @made_once
    def itself(number: int) -> int:
        if number == 2:
            begun.set()
            assert goes_on.wait(10)
        return number

    itself(1)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(itself, 2)
        assert begun.wait(10)
        assert itself(1) == 1
        goes_on.set()
        assert other.result() == 2


@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_that_is_forked_while_a_thread_makes_something_can_make_it_too() -> None:
    begun = Event()

    @made_once
    def slowly(number: int) -> int:
        begun.set()
        time.sleep(0.05)
        return number

    with ThreadPoolExecutor(1) as threads:
        threads.submit(slowly, 1)
        assert begun.wait(10)
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # rather than wait for ever
            os._exit(slowly(7))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


HARDENED = """
from ctypes import CDLL
deny_write_execute, refuse_gain = 65, 1
prctl = getattr(CDLL(None), "prctl", lambda *settings: -1)
print(prctl(deny_write_execute, refuse_gain, 0, 0, 0))
import numpy as np
from tercet.kernels.compiling import machine
from tercet.scoring.dense import inner_product
print(inner_product(np.ones((1, 8), np.float32), np.ones((1, 8), np.float32)).item())
print(machine())
"""


def test_a_process_that_may_not_run_what_it_wrote_does_without_kernels() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HARDENED], stdout=subprocess.PIPE, text=True, check=True
    )
    known, product, machine = done.stdout.split(maxsplit=2)
    assert product == "8.0"
    assert known != "0" or machine.strip() == "None"  # Linux knows it from 6.3 on


def test_no_kernel_is_for_a_process_that_may_not_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_runs_what_it_wrote", lambda: False)
    assert compiling.machine.__wrapped__() is None


def test_matrix_units_are_left_out_where_linux_does_not_give_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = {"avx512f": True, "avx512vnni": True, "amx-bf16": True}
    monkeypatch.setattr(compiling.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(compiling.llvm, "get_host_cpu_features", lambda: features)
    for given, expected in ((True, compiling.AMX), (False, compiling.VNNI)):
        monkeypatch.setattr(compiling, "_may_use_tiles", lambda given=given: given)
        assert compiling.machine.__wrapped__() == expected


def test_no_other_system_is_asked_for_matrix_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.platform, "system", lambda: "Darwin")
    assert not compiling._may_use_tiles()
