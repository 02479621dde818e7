"""The mean of several checkpoints of one training.

Source: Clavié 2024, "JaColBERTv2.5", arXiv 2407.20750, section 3.4: the checkpoints of a run and
of its post-training are averaged, each weight for itself.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tercet.encoding.checkpoint_files import load_pickled
from tercet.errors import CheckpointError
from tercet.training.models.replacing import replacing

SUFFIXES = (".safetensors", ".pt", ".bin")
"""Of the files that hold weights; everything else is copied from the first folder."""


def average(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of checkpoints: every tensor for itself, summed in float32.

    Args:
        folders: Of saved models in one layout, at least two. What is no tensor comes from the
            first.
        out: The folder to write; a model that is there is replaced when the new one is whole.

    Raises:
        ValueError: Fewer than two folders.
        CheckpointError: They do not hold the same files of weights, or their tensors differ in
            name, shape or type.
        FileExistsError: The folder holds files and is no model.
    """
    if len(folders) < 2:
        raise ValueError(f"{len(folders)} checkpoints; a mean needs at least 2")
    names = _weights(folders[0])
    for folder in folders[1:]:
        if _weights(folder) != names:
            raise CheckpointError(
                f"{folder} holds the weights {', '.join(_weights(folder)) or 'nothing'}; "
                f"{folders[0]} holds {', '.join(names) or 'nothing'}: only checkpoints of one "
                "model in one layout are averaged"
            )
    if not names:
        raise CheckpointError(f"no weights in {folders[0]}: no file ends in {', '.join(SUFFIXES)}")
    with replacing(out) as partial:
        shutil.copytree(
            folders[0],
            partial,
            dirs_exist_ok=True,
            ignore=lambda _, files: [file for file in files if file.endswith(SUFFIXES)],
        )
        for name in names:
            tensors = _mean([folder / name for folder in folders])
            if name.endswith(".safetensors"):
                save_file(tensors, partial / name, metadata={"format": "pt"})
            else:
                torch.save(tensors, partial / name)  # as its layout has it


def _weights(folder: Path) -> list[str]:
    """The files of weights of a folder, relative to it."""
    if not folder.is_dir():
        raise CheckpointError(f"no folder {folder}")
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name.endswith(SUFFIXES)
    )


def _mean(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the tensors of several files, one tensor after another."""
    expected = {name: (tuple(t.shape), t.dtype) for name, t in _tensors(paths[0])}
    sums: dict[str, Tensor] = {}
    for path in paths:
        found = {}
        for name, tensor in _tensors(path):
            found[name] = (tuple(tensor.shape), tensor.dtype)
            if expected.get(name) == found[name]:
                sums[name] = _added(sums.get(name), tensor, f"{name!r} of {path}")
        _check(expected, found, paths[0], path)
    for name, (_, dtype) in expected.items():
        if dtype.is_floating_point:
            sums[name] = (sums[name] / len(paths)).to(dtype)
    return sums


def _added(total: Tensor | None, tensor: Tensor, name: str) -> Tensor:
    """A sum with one more tensor; whole numbers are the same everywhere, and stay.

    Raises:
        CheckpointError: Whole numbers differ.
    """
    if tensor.is_floating_point():
        return tensor.float() if total is None else total + tensor.float()
    if total is not None and not torch.equal(total, tensor):
        raise CheckpointError(
            f"{name} holds whole numbers, which differ between the checkpoints and have no mean: "
            "average them before they are quantised"
        )
    return tensor


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, one at a time where the file allows that."""
    if path.suffix != ".safetensors":
        yield from load_pickled(path).items()
        return
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  not iterable itself
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; copy it again") from error


def _check(
    expected: dict[str, tuple[tuple[int, ...], torch.dtype]],
    found: dict[str, tuple[tuple[int, ...], torch.dtype]],
    first: Path,
    path: Path,
) -> None:
    for name in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(name), found.get(name)
        if ours is None or theirs is None:
            there, lacking = (path, first) if ours is None else (first, path)
            raise CheckpointError(f"{there} has the tensor {name!r}, {lacking} lacks it")
        if ours != theirs:
            raise CheckpointError(
                f"{name!r} is {theirs[1]} {list(theirs[0])} in {path}, and {ours[1]} "
                f"{list(ours[0])} in {first}"
            )
