"""What stands behind each half of a layer, by torch and by a kernel."""

import pytest
import torch
from torch import nn

from tercet.encoding import add_norm
from tercet.encoding.add_norm import AddedNorm, CompiledAddedNorm, compile_norms
from tercet.kernels.add_norm import can_normalise


def holder(dims: int) -> nn.Module:
    norm = nn.LayerNorm(dims)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return nn.ModuleDict({"norm": AddedNorm(norm)})


@torch.inference_mode()
def test_a_kernel_normalises_as_torch_does() -> None:
    if not can_normalise(64):
        pytest.skip("kernels are off here")
    model, states = holder(64), torch.randn(7, 3, 64)
    plain = model["norm"](states[:, 0], states[:, 2])
    compile_norms(model, dtype=torch.float32)
    assert isinstance(model["norm"], CompiledAddedNorm)
    torch.testing.assert_close(
        model["norm"](states[:, 0].clone(), states[:, 2]), plain, rtol=0, atol=1e-5
    )
    with pytest.raises(ValueError, match=r"the states are torch\.bfloat16"):
        model["norm"](states[:, 0].bfloat16(), states[:, 2])


@torch.inference_mode()
def test_threads_share_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_normalise(64):
        pytest.skip("kernels are off here")
    model, result, states = holder(64), torch.randn(41, 64), torch.randn(41, 64)
    compile_norms(model, dtype=torch.float32)
    alone = model["norm"](result.clone(), states)
    monkeypatch.setattr(add_norm, "WORTH_A_THREAD", 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(model["norm"](result, states), alone)


@pytest.mark.parametrize(("dims", "dtype"), [(65, torch.float32), (64, torch.bfloat16)])
def test_other_rows_are_left_to_torch(dims: int, dtype: torch.dtype) -> None:
    model = holder(dims)
    compile_norms(model, dtype=dtype)
    assert isinstance(model["norm"], AddedNorm)
