"""jina-colbert-v2: rotary XLM-RoBERTa, one linear layer of 128, 96 or 64 dimensions.

The published configuration names no architecture, only code in another repository; a copy saved
again names plain XLM-RoBERTa, whose class would take none of these weights. The tensors tell.
transformers' own class has rotary theta 20,000; this model was trained with 10,000.
"""

from dataclasses import replace

from tercet.models.files import CheckpointFiles, backbone_files, headers
from tercet.models.spec import Expansion, LateInteraction, LinearLayer, ModelSpec, TextSide

ROTARY_THETA = 10_000.0

JINA_COLBERT_V2 = ModelSpec(
    name="jina-colbert-v2",
    source="jinaai/jina-colbert-v2",
    license="cc-by-nc-4.0",
    layout="stanford",
    architecture="jina_embeddings_v3",
    config={"rope_parameters": {"rope_type": "default", "rope_theta": ROTARY_THETA}},
    max_tokens=8192,
    hidden=1024,
    multi_vector=LateInteraction(
        dim=128,
        layers=(LinearLayer(1024, 128, bias=False),),
        expansion=Expansion(length=32, attended=True),
    ),
    query=TextSide(marker="[QueryMarker]", tokens=32),
    document=TextSide(marker="[DocumentMarker]", tokens=300),
)


def rotary_spec(files: CheckpointFiles) -> ModelSpec:
    """The family with the base of its rotary positions that the configuration names."""
    theta = files.json("config.json").get("rotary_emb_base", ROTARY_THETA)
    config = {"rope_parameters": {"rope_type": "default", "rope_theta": float(theta)}}
    return replace(JINA_COLBERT_V2, config=config)


def is_rotary(files: CheckpointFiles) -> bool:
    """Whether the weights are those of the vendor's rotary XLM-RoBERTa."""
    return any("mixer.Wqkv" in name for name in headers(files, backbone_files(files)))
