"""Machine code is made once, also where several threads ask for it first."""

import time
from concurrent.futures import ThreadPoolExecutor

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
