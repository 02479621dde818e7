"""Writes the golden files of this folder, with the original libraries.

Each library needs an environment of its own: Python 3.11, `torch==2.13.0` for CPUs, and

    flagembedding   --no-deps FlagEmbedding==1.4.2, and transformers==5.23.0 sentence-transformers
                    datasets peft accelerate ir-datasets sentencepiece protobuf
    colbert         --no-deps colbert-ai==0.2.22, and transformers==4.57.6 tqdm ujson flask scipy
                    pandas python-dotenv GitPython fugashi unidic-lite
    pylate          --no-deps pylate==1.6.0 sentence-transformers==5.3.0 fastkmeans, and
                    transformers==5.3.0 tqdm scikit-learn scipy pandas datasets ujson accelerate
    st              sentence-transformers==6.2.0 transformers==5.23.0

Then, in each, for example:

    python tests/equivalence/make_golden.py flagembedding

`--no-deps` keeps out what encoding and scoring do not touch: index engines that want an older
torch. colbert-ai compiles a C++ kernel for its own CPU search when a checkpoint is opened: that
step is skipped, `colbert_score` does not use it. Nothing else of a library is changed. The files
come out the same, byte for byte, every time.

The checkpoints come from `tercet.testing.checkpoints`, which draws the weights with numpy, so that
the tests write the very same ones. Nothing else of Tercet is imported: its packages' own
`__init__.py` are passed over. A golden file holds the texts, how the checkpoint was written, a
hash of its weights, and the outputs, all in float32 on a CPU.
"""

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]

PEERS = {
    "flagembedding": ["flagembedding:flagembedding"],
    "colbert": ["stanford:colbert", "jina:jina_colbert"],
    "pylate": ["pylate:pylate"],
    "st": ["sentence_transformers:sentence_transformers"],
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", choices=PEERS)
    library: str = parser.parse_args().library
    sys.path[0] = str(ROOT)
    torch.set_num_threads(2)
    logging.disable(logging.WARNING)
    for row in PEERS[library]:
        module, function = row.split(":")
        with torch.no_grad():
            getattr(import_module(f"tests.equivalence.originals.{module}"), function)()
