"""More positions for a backbone that has a table of them: new rows between the learned ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from tercet.models.backbones import POSITIONS_BEHIND_PAD

TABLE = "position_embeddings"


def table_name(backbone: PreTrainedModel) -> str:
    """The name of the parameter that holds the learned positions.

    Raises:
        ValueError: The backbone has none.
    """
    _, table = _table(backbone)
    return next(name for name, tensor in backbone.named_parameters() if tensor is table.weight)


def first_row(backbone: PreTrainedModel) -> int:
    """The row of a text's first token: some architectures count behind the pad token."""
    if backbone.config.model_type not in POSITIONS_BEHIND_PAD:
        return 0
    return int(backbone.config.pad_token_id) + 1


def extend_positions(backbone: PreTrainedModel, *, positions: int, keep: int = 0) -> None:
    """Stretch the table of learned positions so that a backbone reads longer texts.

    The first `keep` rows stay, and the others are drawn out over the rest by linear interpolation,
    first row on first and last on last. With `keep` 0 the whole table is drawn out, and all texts
    are read at other positions than before; texts of up to `keep` tokens are read as they were.

    Args:
        backbone: Changed in place, and its configuration with it.
        positions: How many tokens it will read, special ones included.
        keep: How many of the first positions stay as they are.

    Raises:
        ValueError: The backbone has no such table (rotary positions need none), it has as many
            positions already, or it would keep more than it has.
    """
    home, table = _table(backbone)
    first = first_row(backbone)
    learned = len(table.weight) - first
    if positions <= learned:
        raise ValueError(f"the backbone has {learned} positions already, and {positions} are asked")
    if not 0 <= keep < learned:
        raise ValueError(f"keep is {keep}; between 0 and {learned - 1} of the positions can stay")
    old = table.weight.detach()
    rows = stretched(old[first:], rows=positions, keep=keep)
    longer = nn.Embedding(first + positions, old.shape[1], padding_idx=table.padding_idx)
    longer.to(device=old.device, dtype=old.dtype)
    with torch.no_grad():
        longer.weight.copy_(torch.cat([old[:first], rows]))
    setattr(home, TABLE, longer)
    backbone.config.max_position_embeddings = first + positions
    _stretch_buffers(home, rows=first + positions)


def stretched(table: Tensor, *, rows: int, keep: int) -> Tensor:
    """The rows of a table drawn out to more rows by linear interpolation.

    Args:
        table: [P, H].
        rows: How many there will be.
        keep: How many of the first stay.

    Returns:
        [rows, H].
    """
    moved = table[keep:].T.unsqueeze(0)  # [1, H, P - keep]
    longer = functional.interpolate(
        moved.float(), size=rows - keep, mode="linear", align_corners=True
    )
    return torch.cat([table[:keep], longer[0].T.to(table.dtype)])


def _table(backbone: PreTrainedModel) -> tuple[nn.Module, nn.Embedding]:
    """The module that holds the table of positions, and the table."""
    for module in backbone.modules():
        table = getattr(module, TABLE, None)
        if isinstance(table, nn.Embedding):
            return module, table
    raise ValueError(
        f"a {backbone.config.model_type} backbone has no table of positions to extend: rotary "
        "positions go on without one"
    )


def _stretch_buffers(home: nn.Module, *, rows: int) -> None:
    """Lengthen what transformers keeps beside the table: positions and token types, [1, rows]."""
    for name, buffer in list(home.named_buffers(recurse=False)):
        if name == "position_ids":
            home.register_buffer(
                name, torch.arange(rows, device=buffer.device)[None], persistent=False
            )
        elif name == "token_type_ids":
            home.register_buffer(name, buffer.new_zeros(1, rows), persistent=False)
