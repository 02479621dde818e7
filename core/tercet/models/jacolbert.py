"""JaColBERTv2.5: Japanese BERT behind MeCab, with a query length that grows with the query."""

from tercet.models.files import CheckpointFiles
from tercet.models.spec import Expansion, LateInteraction, LinearLayer, ModelSpec, TextSide

TOKENIZER = "BertJapaneseTokenizer"

JACOLBERT_V25 = ModelSpec(
    name="jacolbert-v2.5",
    source="answerdotai/JaColBERTv2.5",
    license="mit",
    layout="stanford",
    architecture="bert",
    max_tokens=512,
    hidden=768,
    multi_vector=LateInteraction(
        dim=128,
        layers=(LinearLayer(768, 128, bias=False),),
        expansion=Expansion(length=32, rule="dynamic"),
    ),
    query=TextSide(marker="[unused0]", marker_may_lack=True, tokens=32),
    document=TextSide(marker="[unused1]", marker_may_lack=True, tokens=300),
)
"""The published metadata does not carry the paper's rule of query lengths, so it stands here."""


def is_japanese(files: CheckpointFiles) -> bool:
    """Whether texts go through MeCab first."""
    return files.json("tokenizer_config.json").get("tokenizer_class") == TOKENIZER
