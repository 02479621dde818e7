"""Machine code for the processor at hand: what it can do, and how a kernel becomes a function.

A kernel takes LLVM 50 to 300 ms to compile and stays for the life of the process.
`TERCET_KERNELS=off` in the environment leaves all kernels out, as does a system where
no process may run what it wrote; numpy and torch then do their work, more slowly.
"""

import os
import platform
from collections.abc import Callable
from ctypes import CDLL, CFUNCTYPE, addressof, c_char, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass, replace
from functools import cache, wraps
from mmap import MAP_ANON, MAP_PRIVATE, PAGESIZE, PROT_EXEC, PROT_READ, mmap
from threading import RLock
from typing import Any, TypeVar, TypeVarTuple

from llvmlite import binding as llvm

from tercet.kernels.building import Kernel

Compiled = Callable[..., None]
"""Takes addresses and counts, and lets go of the interpreter meanwhile."""

SWITCH = "TERCET_KERNELS"

Forms = TypeVarTuple("Forms")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Machine:
    """What kernels are laid out for.

    Attributes:
        lanes: Floats of a vector register.
        registers: How many there are.
        bytes: Whether it sums products of bytes (VNNI).
        matrices: Whether it has units for matrices of bfloat16 (AMX).
    """

    lanes: int
    registers: int
    bytes: bool = False
    matrices: bool = False

    def rows(self, vectors: int) -> int:
        """Rows of a tile so many vectors wide whose sums fit the registers.

        One register each is left for the vectors of a step, one for the number they are multiplied
        with, and one more.
        """
        return max((self.registers - vectors - 2) // vectors, 1)


AVX512, AVX2, ARM = Machine(16, 32), Machine(8, 16), Machine(4, 32)
VNNI = replace(AVX512, bytes=True)
AMX = replace(VNNI, matrices=True)


@cache
def machine() -> Machine | None:
    """The processor at hand; None where kernels are off, may not run, or it is of another kind."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no") or not _runs_what_it_wrote():
        return None
    if platform.machine().lower() in ("arm64", "aarch64"):
        return ARM
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        if features.get("amx-bf16") and _may_use_tiles():
            return AMX
        return VNNI if features.get("avx512vnni") else AVX512
    return AVX2 if features.get("avx2") and features.get("fma") and features.get("f16c") else None


def _runs_what_it_wrote() -> bool:
    """Whether this process may, as a hardened one may not; LLVM's code would be its end there."""
    page = mmap(-1, PAGESIZE, MAP_PRIVATE | MAP_ANON)
    protect = CDLL(None).mprotect
    protect.argtypes = c_void_p, c_size_t, c_int
    done: int = protect(addressof(c_char.from_buffer(page)), PAGESIZE, PROT_READ | PROT_EXEC)
    return done == 0


def _may_use_tiles() -> bool:
    """Ask Linux for the registers of AMX, which a process gets when it asks."""
    if platform.system() != "Linux":
        return False
    set_up, request, data_of_tiles = 158, 0x1023, 18  # arch_prctl, ARCH_REQ_XCOMP_PERM
    done: int = CDLL(None).syscall(set_up, request, data_of_tiles)
    return done == 0


_MAKING = RLock()
"""One at a time, as LLVM compiles; no process is forked meanwhile, whose locks would stay shut."""

os.register_at_fork(
    before=_MAKING.acquire, after_in_parent=_MAKING.release, after_in_child=_MAKING.release
)


def made_once(make: Callable[[*Forms], Made]) -> Callable[[*Forms], Made]:
    """Keep what is made for each form; threads that ask meanwhile wait for it alone."""
    made: dict[tuple[*Forms], Made] = {}

    @wraps(make)
    def find(*form: *Forms) -> Made:
        if form not in made:
            with _MAKING:
                if form not in made:
                    made[form] = make(*form)
        return made[form]

    return find


def compiled(kernel: Kernel, *, speed_level: int = 2) -> Compiled:
    """Machine code of a kernel.

    Args:
        kernel: Whose code is complete.
        speed_level: How much LLVM changes the code before it is translated; for code that leaves
            nothing to change, 0 saves more than half of the time.

    Returns:
        A function of the kernel's arguments: an address (an int) for each pointer, a number for
        each count.
    """
    module = llvm.parse_assembly(str(kernel.module))
    module.verify()
    target = _target()
    tuning = llvm.create_pipeline_tuning_options(speed_level=speed_level)
    # A tile is a step of a loop already; unrolled, its loads are hoisted and spilled.
    tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(target, tuning)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    _ENGINES.append(engine)
    types = [c_int64 if counts else c_void_p for counts in kernel.counts]
    address: int = engine.get_function_address(kernel.name)
    function: Compiled = CFUNCTYPE(None, *types)(address)
    return function


_ENGINES: list[Any] = []
"""Keep the code in memory."""


def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
    )
