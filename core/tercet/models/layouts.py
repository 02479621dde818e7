"""Which layout a checkpoint has, told by its files alone."""

from collections.abc import Callable

from tercet.errors import UnknownLayoutError
from tercet.models import (
    bge_m3,
    late_interaction,
    sentence_transformers,
    stanford,
    tercet_mini,
)
from tercet.models.files import CheckpointFiles
from tercet.models.spec import ModelSpec

LAYOUTS: tuple[tuple[str, Callable[[CheckpointFiles], ModelSpec | None]], ...] = (
    ("tercet (tercet.json)", tercet_mini.read),
    (
        "PyLate or sentence-transformers multi-vector (modules.json with a Dense or "
        "MultiVectorMask and no Pooling)",
        late_interaction.read,
    ),
    ("Stanford ColBERT (HF_ColBERT or artifact.metadata, with linear.weight)", stanford.read),
    ("BGE-M3 (colbert_linear.pt and sparse_linear.pt)", bge_m3.read),
    (
        "sentence-transformers dense (modules.json with a Pooling)",
        sentence_transformers.read,
    ),
    ("a transformer (config.json)", sentence_transformers.read_plain),
)
"""The layouts in the order in which they are tried: the first that fits is taken."""


def detect(files: CheckpointFiles) -> ModelSpec:
    """The model that a checkpoint's files describe.

    Raises:
        UnknownLayoutError: They are of no layout that we read.
        MissingTensorError: A tensor that the layout needs is not there.
        CheckpointError: The checkpoint is damaged or asks for what we do not have.
    """
    for _, read in LAYOUTS:
        spec = read(files)
        if spec is not None:
            return spec
    found = ", ".join(sorted(files.names)[:20]) or "no file"
    raise UnknownLayoutError(
        f"the files of {files.place} are of no layout that we read: found {found}; the layouts "
        f"are: {'; '.join(name for name, _ in LAYOUTS)}"
    )
