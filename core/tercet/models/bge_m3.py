"""BGE-M3 and fine-tuned copies: one encoder, two pickled linear layers beside it."""

from dataclasses import replace

from tercet.embeddings import Representation
from tercet.errors import MissingTensorError
from tercet.models.backbones import shorter, tokenizer_limit, with_backbone
from tercet.models.files import CheckpointFiles
from tercet.models.linear import linear_layer
from tercet.models.sentence_transformers import prefix_of
from tercet.models.spec import DenseHead, LateInteraction, LinearLayer, ModelSpec, SparseHead

SPARSE_FILE = "sparse_linear.pt"
MULTI_VECTOR_FILE = "colbert_linear.pt"

BGE_M3 = ModelSpec(
    name="bge-m3",
    source="BAAI/bge-m3",
    license="mit",
    layout="bge-m3",
    architecture="xlm-roberta",
    max_tokens=8192,
    hidden=1024,
    dense=DenseHead(pooling=("cls",)),
    sparse=SparseHead(LinearLayer(1024, 1, SPARSE_FILE), keep_sep=True),
    multi_vector=LateInteraction(
        dim=1024,
        layers=(LinearLayer(1024, 1024, MULTI_VECTOR_FILE),),
        keep_first=False,
        reduction="mean",
    ),
    hybrid_weights={
        Representation.DENSE: 1.0,
        Representation.SPARSE: 0.3,
        Representation.MULTI_VECTOR: 1.0,
    },
)


def read(files: CheckpointFiles) -> ModelSpec | None:
    """The three views of an M3 checkpoint; None where neither head is there.

    Raises:
        MissingTensorError: Only one of the two heads is there.
    """
    heads = {SPARSE_FILE, MULTI_VECTOR_FILE}
    lacking = sorted(heads - files.names)
    if len(lacking) == len(heads):
        return None
    if lacking:
        raise MissingTensorError(
            f"{lacking[0]} is not in {files.place}, though {min(heads - set(lacking))} is: half a "
            "head would have to be drawn at random; download the checkpoint again"
        )
    family = replace(BGE_M3, source="", license="", architecture="")
    spec = with_backbone(family, files, prefix=prefix_of(files, ""))
    layer = linear_layer(files, MULTI_VECTOR_FILE)
    return replace(
        spec,
        max_tokens=shorter(spec.max_tokens, tokenizer_limit(files)),
        sparse=SparseHead(linear_layer(files, SPARSE_FILE), keep_sep=True),
        multi_vector=LateInteraction(
            dim=layer.outputs, layers=(layer,), keep_first=False, reduction="mean"
        ),
    )
