"""Writers of tiny random checkpoints in each published layout, for tests and benchmarks.

The numbers come from numpy's generator, so a seed gives the same weights everywhere. All sizes are
arguments: with the published ones the same writers give full-size models for benchmarks.
"""

from tercet.testing.checkpoints.bge_m3 import write_bge_m3
from tercet.testing.checkpoints.damage import drop_tensor
from tercet.testing.checkpoints.dense import write_dense
from tercet.testing.checkpoints.jacolbert import write_jacolbert
from tercet.testing.checkpoints.jina_colbert import write_jina_colbert
from tercet.testing.checkpoints.multi_vector import write_multi_vector
from tercet.testing.checkpoints.pylate import write_pylate
from tercet.testing.checkpoints.stanford import write_colbert_v2, write_colbert_xlm_roberta
from tercet.testing.checkpoints.tercet_layout import write_tercet

__all__ = [
    "drop_tensor",
    "write_bge_m3",
    "write_colbert_v2",
    "write_colbert_xlm_roberta",
    "write_dense",
    "write_jacolbert",
    "write_jina_colbert",
    "write_multi_vector",
    "write_pylate",
    "write_tercet",
]
