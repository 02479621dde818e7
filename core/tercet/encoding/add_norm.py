"""What stands behind each half of a layer: its result is added to what it read, and normalised."""

import torch
from torch import Tensor, nn

from tercet.kernels.add_norm import AddNorm, can_normalise
from tercet.kernels.layer import Matrix, cut
from tercet.scoring.threads import in_parallel

WORTH_A_THREAD = 1 << 18
"""Numbers below which handing work to another thread costs more than it saves."""


class AddedNorm(nn.Module):
    """The norm of a sum, by torch."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, result: Tensor, states: Tensor) -> Tensor:
        """Add and normalise, both [T, H]."""
        found: Tensor = self.norm(result + states)
        return found


class CompiledAddedNorm(nn.Module):
    """The same by a kernel of ours, in float32 on a CPU."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
        self._norm = AddNorm(weight, bias, epsilon=norm.eps)

    def forward(self, result: Tensor, states: Tensor) -> Tensor:
        """Add and normalise, both [T, H]; the result is where it was."""
        threads = min(torch.get_num_threads(), states.numel() // WORTH_A_THREAD)
        if threads < 2:
            own = _matrix(result)
            self._norm.run(own, _matrix(states), own)
            return result

        def some(rows: range) -> None:
            own = _matrix(result[rows.start : rows.stop])
            self._norm.run(own, _matrix(states[rows.start : rows.stop]), own)

        in_parallel(some, cut(len(states), threads))
        return result


def compile_norms(model: nn.Module, *, dtype: torch.dtype) -> None:
    """Let our kernel normalise where there is one."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AddedNorm) and is_ours(child.norm, dtype=dtype):
                setattr(parent, name, CompiledAddedNorm(child.norm))


def is_ours(norm: nn.LayerNorm, *, dtype: torch.dtype) -> bool:
    """Whether our kernel knows such rows."""
    (dims,) = norm.normalized_shape
    return dtype == torch.float32 and can_normalise(dims) and norm.weight.is_cpu


def _matrix(states: Tensor) -> Matrix:
    """Where the rows of states are."""
    if states.dtype != torch.float32 or states.stride(1) != 1 or not states.is_cpu:
        raise ValueError(
            f"the states are {states.dtype} on {states.device}, strides {states.stride()}: this "
            "norm was laid out for rows of float32 on a CPU"
        )
    rows, columns = states.shape
    return Matrix(states.data_ptr(), rows, columns, states.stride(0), owner=states)
