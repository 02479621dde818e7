"""Machine code for processors that are not at hand: all of it is there, so nothing is called."""

import re

import pytest
from llvmlite import binding as llvm

from tercet.kernels import (
    add_norm,
    attention,
    attention_step,
    byte_linear,
    inner_product,
    late_interaction_loops,
    linear,
    nearest_loops,
    postings,
)
from tercet.kernels.attention_matrices import MatrixForm
from tercet.kernels.building import Kernel
from tercet.kernels.compiling import AMX, ARM, AVX2, AVX512, Machine

MODULES = (
    add_norm,
    attention,
    byte_linear,
    inner_product,
    late_interaction_loops,
    linear,
    nearest_loops,
    postings,
)
TARGETS = {
    "neoverse-n1": ("aarch64-unknown-linux-gnu", ARM),
    "apple-m1": ("arm64-apple-macosx", ARM),
    "haswell": ("x86_64-unknown-linux-gnu", AVX2),
    "skylake-avx512": ("x86_64-unknown-linux-gnu", AVX512),
    "sapphirerapids": ("x86_64-unknown-linux-gnu", AMX),
}


def assembly(kernel: Kernel, processor: str) -> str:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(TARGETS[processor][0])
    module = llvm.parse_assembly(str(kernel.module))
    module.verify()
    text: str = target.create_target_machine(cpu=processor, opt=2).emit_assembly(module)
    return text


def write_all(here: Machine) -> None:
    for kind, scaled in (("<f4", False), ("<f2", False), ("|i1", True)):
        tokens = late_interaction_loops.Form(here, kind, scaled, whole=False, vectors=2, dim=130)
        late_interaction_loops.kernel.__wrapped__(tokens)
        vectors = inner_product.Form(here, kind, scaled, several=True, dim=130)
        inner_product.kernel.__wrapped__(vectors)
    add_norm.kernel.__wrapped__(add_norm.Form(here, 64, 1e-5))
    attention.kernel.__wrapped__(attention_step.Form(here, 64, 0.125, windowed=True))
    linear.vector_units.__wrapped__(here)
    if here.matrices:
        linear.matrix_units.__wrapped__(here)
        byte_linear.byte_units.__wrapped__(here, half=True)
        attention.matrix_kernel.__wrapped__(MatrixForm(here, 64, 0.125))
    nearest_loops.kernel.__wrapped__(nearest_loops.Form(here, whole=False, parts=3))
    postings.kernel.__wrapped__()


@pytest.mark.parametrize("processor", TARGETS)
def test_kernels_are_complete_for_each_processor(
    monkeypatch: pytest.MonkeyPatch, processor: str
) -> None:
    texts: dict[str, str] = {}

    def kept(kernel: Kernel, *, speed_level: int = 2) -> None:
        del speed_level
        texts[f"{kernel.name} {len(texts)}"] = assembly(kernel, processor)

    for module in MODULES:
        monkeypatch.setattr(module, "compiled", kept)
    write_all(TARGETS[processor][1])
    assert len(texts) == 11 + 3 * TARGETS[processor][1].matrices
    for name, text in texts.items():
        assert not re.findall(r"^\s+(?:bl|callq?)\s.*", text, re.M), name
