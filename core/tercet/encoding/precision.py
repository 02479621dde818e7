"""Which device a model runs on, and in which arithmetic."""

import torch

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(device: str | None) -> torch.device:
    """The device asked for; without a wish, the CUDA device if there is one, else the CPU.

    Raises:
        ValueError: No such device, or not on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}, which torch does not know: {error}") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch finds no CUDA device: use device='cpu'")
    return chosen


def choose_devices(devices: str | None) -> list[torch.device]:
    """The devices asked for, names with commas between them: a model runs on all of them.

    Raises:
        ValueError: No such device, not on this machine, or devices of several kinds.
    """
    names = [None] if devices is None else devices.split(",")
    chosen = [choose_device(None if name is None else name.strip()) for name in names]
    if len({device.type for device in chosen}) > 1:
        raise ValueError(f"device is {devices!r}: devices of one kind compute alike, others do not")
    return chosen


def choose_dtype(dtype: str, *, device: torch.device) -> torch.dtype:
    """The arithmetic asked for; "auto" is the fastest on that device that keeps rankings.

    bfloat16 on CPUs with matrix units for it (AMX; without them it is slower than float32), a half
    type on CUDA, float32 elsewhere.

    Raises:
        ValueError: No such arithmetic.
    """
    if dtype in DTYPES:
        return DTYPES[dtype]
    if dtype != "auto":
        raise ValueError(f"dtype is {dtype!r}; there are: auto, {', '.join(DTYPES)}")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and _has_bfloat16_matrix_units():
        return torch.bfloat16
    return torch.float32


def _has_bfloat16_matrix_units() -> bool:
    """Whether this CPU has AMX; releases of torch that cannot tell are taken to lack it."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return supported is not None and bool(supported())
