"""The published models whose layout, views and licence are known without their files."""

from tercet.models.bge_m3 import BGE_M3
from tercet.models.jacolbert import JACOLBERT_V25
from tercet.models.jina_colbert import JINA_COLBERT_V2
from tercet.models.spec import ModelSpec
from tercet.models.stanford import COLBERT_V2
from tercet.models.tercet_mini import TERCET_MINI

PUBLISHED: tuple[ModelSpec, ...] = (
    TERCET_MINI,
    BGE_M3,
    JINA_COLBERT_V2,
    JACOLBERT_V25,
    COLBERT_V2,
)
