"""A CUDA device that is not there: what a program does with tensors on one, without a GPU.

Its tensors say that they lie on "cuda:0" and hold their numbers here. As on a GPU an operation
refuses tensors of both sides, numpy cannot read them, and a copy that nobody waits for holds
nothing (NaN) until an event after it was waited for. What kernels of a GPU compute is torch's
affair and is not shown by this: products here are the CPU's.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors
from torch.utils._pytree import tree_leaves, tree_map

from tercet.encoding.varlen import Bounds, in_float32

NAME = "cuda:0"
aten = torch.ops.aten
Step = Callable[[], object]
Arguments = tuple[Any, ...]
Options = dict[str, Any]


class EmulatedTensor(torch.Tensor):
    """A tensor on the device.

    Args:
        here: Its numbers.
    """

    here: Tensor

    @staticmethod
    def __new__(cls: type["EmulatedTensor"], here: Tensor) -> "EmulatedTensor":
        made: EmulatedTensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=NAME,
        )
        made.here = here
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "EmulatedTensor":
        made = memo[id(self)] = EmulatedTensor(self.here.clone())
        vars(made).update({"_is_param": True} if isinstance(self, torch.nn.Parameter) else {})
        return made.requires_grad_(self.requires_grad)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        """What Python asks for, of tensors and of nearly all functions of torch."""
        if isinstance(func, OPERATORS) or func.__name__ in OF_THE_TENSOR:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        return SPECIAL.get(func, compute)(func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        """What its dispatcher asks for behind that."""
        return dispatch(func, args, kwargs or {})


OPERATORS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)
OF_THE_TENSOR = {"__get__", "__set__", "detach", "requires_grad_", "dim", "size", "stride"}
"""What the tensor itself answers."""


def compute(func: Any, args: Arguments, kwargs: Options) -> Any:
    """A function of tensors on the device, and of numbers from anywhere."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    distant = [each for each in tensors if isinstance(each, EmulatedTensor)]
    if distant and any(each.dim() for each in tensors if not isinstance(each, EmulatedTensor)):
        raise RuntimeError(f"{func} of tensors on {NAME} and on the CPU")
    if "device" in kwargs:
        kwargs = {**kwargs, "device": "cpu"}
    found = func(*home(args), **home(kwargs))
    known = {id(each.here): each for each in distant}  # what was changed in place
    return tree_map(lambda each: known[id(each)] if id(each) in known else away(each), found)


def dispatch(func: Any, args: Arguments, kwargs: Options) -> Any:
    """An operator."""
    if func.name() == "torch_attn::_varlen_attn":  # which asks for the next
        return import_module("torch.nn.attention.varlen")._varlen_attn._init_fn(*args, **kwargs)
    if func is aten._flash_attention_forward.default:
        return tree_map(away, attend(*home(args), **home(kwargs)))
    if func is aten.copy_.default:
        return fill(func, args, kwargs)
    return compute(func, args, kwargs)


def home(values: Any) -> Any:
    """The same with tensors of the CPU."""
    return tree_map(lambda each: each.here if isinstance(each, EmulatedTensor) else each, values)


def away(value: Any) -> Any:
    return EmulatedTensor(value) if isinstance(value, Tensor) else value


def look_up(func: Any, args: Arguments, kwargs: Options) -> Any:
    """What is read or written by index; a GPU takes indices of the CPU, the CPU none of a GPU."""
    del kwargs
    if not isinstance(args[0], EmulatedTensor):
        raise RuntimeError(f"a tensor of the CPU met one on {NAME} in {func}")
    return away(func(*home(args)))


def move(func: Any, args: Arguments, kwargs: Options) -> Any:
    """A copy of another type, or on the CPU."""
    tensor, *wanted = args
    if wanted and isinstance(wanted[0], Tensor):
        wanted[:1] = wanted[0].device, wanted[0].dtype
    device, dtype, is_late, _ = torch._C._nn._parse_to(*wanted, **kwargs)  # type: ignore[attr-defined]
    copy = home(tensor).to(dtype, copy=True)
    if device is None or device.type == "cuda":
        return away(copy)
    return late(copy) if is_late else copy


def make(*values: Any, device: Any = None, **kwargs: Any) -> Tensor:
    """`torch.tensor`, which asks no dispatcher where to put its numbers."""
    return PLAIN_TENSOR(*values, **kwargs).to(device)


PLAIN_TENSOR = torch.tensor


def copy(func: Any, args: Arguments, kwargs: Options) -> Tensor:
    assert not kwargs
    return args[0].here.clone()


def fill(func: Any, args: Arguments, kwargs: Options) -> Tensor:
    """A copy into a tensor, from either side."""
    func(*home(args), **kwargs)
    filled: Tensor = args[0]
    return filled


def as_array(func: Any, args: Arguments, kwargs: Options) -> Any:
    if not kwargs.get("force"):
        raise TypeError(f"numpy cannot read a tensor on {NAME}: copy it first")
    return func(*home(args), **kwargs)


SPECIAL: dict[Any, Callable[[Any, Arguments, Options], Any]] = {
    Tensor.__getitem__: look_up,
    Tensor.__setitem__: look_up,
    Tensor.to: move,
    Tensor.cpu: copy,
    Tensor.copy_: fill,
    Tensor.numpy: as_array,
    torch._has_compatible_shallow_copy_type: lambda *asked: False,  # a parameter is replaced
}
"""Functions in which the CPU and the device may meet."""


def keep(tensor: Tensor, stream: "Stream") -> None:
    """Memory that a stream reads is kept anyway."""
    assert isinstance(tensor, EmulatedTensor)
    assert isinstance(stream, Stream)


def attend(  # noqa: PLR0917  as torch has it
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Tensor,
    keys: Tensor,
    longest_query: int,
    longest_key: int,
    dropout: float,
    is_causal: bool,  # noqa: FBT001
    return_debug_mask: bool,  # noqa: FBT001
    *,
    scale: float,
    window_size_left: int,
    window_size_right: int,
    **rest: None,
) -> tuple[Tensor, ...]:
    """Flash attention over sequences of several lengths, in plain arithmetic."""
    assert (dropout, is_causal, return_debug_mask) == (0, False, False)
    assert not any(rest.values())
    assert query.dtype in {torch.float16, torch.bfloat16}
    assert queries.dtype == keys.dtype == torch.int32
    assert longest_query == queries.diff().max()
    assert longest_key == keys.diff().max()
    assert window_size_left == window_size_right
    window = None if window_size_left < 0 else window_size_left + 1
    bounds = Bounds(queries, keys, longest_query, longest_key, None, None)
    read, logarithm = in_float32(query, key, value, bounds, scale=scale, window=window)
    nothing = torch.zeros(2)
    return read.to(query.dtype), logarithm, nothing, nothing, nothing


class Stream:
    """A queue of work; copies in it wait for somebody to wait for them."""

    current = threading.local()

    def __init__(self, device: Any = None) -> None:
        del device
        self.waiting: list[Step] = []

    def wait_stream(self, other: "Stream") -> None:
        assert other is not self

    def record_event(self) -> "Event":
        waiting, self.waiting = self.waiting, []
        return Event(waiting)


class Event:
    """A moment in a queue."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps

    def synchronize(self) -> None:
        for step in self._steps:
            step()
        self._steps = []


@contextmanager
def in_stream(stream: Stream) -> Iterator[None]:
    Stream.current.value = stream
    try:
        yield
    finally:
        Stream.current.value = None


def late(numbers: Tensor) -> Tensor:
    """A copy that arrives when an event after it is waited for; its numbers are those of now."""
    stream = getattr(Stream.current, "value", None)
    if stream is None:
        raise RuntimeError("a copy to the CPU that nobody can wait for")
    arrived = torch.full_like(numbers, torch.nan if numbers.is_floating_point() else -1)
    stream.waiting.append(lambda: arrived.copy_(numbers))
    return arrived


@contextmanager
def emulated_gpu() -> Iterator[str]:
    """Let torch have a CUDA device; its name."""
    if torch.version.cuda or torch.version.hip:
        pytest.skip("this build of torch has kernels of its own for CUDA: nothing is emulated")
    _device_constructors()  # which are remembered: `torch.tensor` is another for a while
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: dispatch(func, args, kwargs), "CUDA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "stream", in_stream)
        patch.setattr(torch.cuda, "current_stream", Stream)
        patch.setattr(torch, "tensor", make)
        patch.setattr(Tensor, "record_stream", keep)
        patch.setattr(Tensor, "pin_memory", lambda tensor: tensor.clone())
        yield NAME
    library._destroy()
