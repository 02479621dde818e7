"""Writes FlagEmbedding's own M3 loss and some of its gradients; runs where FlagEmbedding 1.4.2 is.

    FE/bin/python tests/training/make_m3_loss.py CHECKPOINT tests/training/m3_loss.json

The checkpoint is `write_bge_m3(folder, positions=130)` with both dropouts 0. All documents have the
same number of tokens: FlagEmbedding lets padded rows take part in late interaction with a score of
0 (FlagEmbedding 1.4.2), which ours never does.
"""

import json
import sys
from pathlib import Path

import torch
from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderSameDatasetCollator
from FlagEmbedding.finetune.embedder.encoder_only.m3.modeling import EncoderOnlyEmbedderM3Model
from FlagEmbedding.finetune.embedder.encoder_only.m3.runner import EncoderOnlyEmbedderM3Runner
from transformers import AutoTokenizer

QUERIES = ["where is the hill", "who was it", "a long way from here to there"]
DOCUMENTS = [5 * f"{text} " for text in ("the hill is here", "it was a fox", "from the hill")]
DOCUMENTS += [5 * f"{text} " for text in ("who is there", "a long way", "is it far")]
LENGTH = 20  # all of them are longer, and cut
TEMPERATURE = 0.05
WATCHED = {
    "embeddings.word_embeddings.weight": "model.embeddings.word_embeddings.weight",
    "encoder.layer.0.output.dense.weight": "model.encoder.layer.0.output.dense.weight",
    "sparse.weight": "sparse_linear.weight",
    "multi_vector.0.bias": "colbert_linear.bias",
}
"""Our names and theirs."""


def main() -> None:
    """Take the loss with and without self-distillation."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    told: dict[str, object] = {
        "made_with": "FlagEmbedding 1.4.2",
        "queries": QUERIES,
        "documents": DOCUMENTS,
        "document_tokens": LENGTH,
        "temperature": TEMPERATURE,
    }
    for name, distils in (("contrastive", False), ("self_distilled", True)):
        told[name] = losses(folder, distils=distils)
    out.write_text(json.dumps(told, indent=2) + "\n")


def losses(folder: Path, *, distils: bool) -> dict[str, object]:
    """The loss, and the length of some gradients."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = EncoderOnlyEmbedderM3Model(
        EncoderOnlyEmbedderM3Runner.get_model(str(folder), False, -1),
        tokenizer=tokenizer,
        temperature=TEMPERATURE,
        normalize_embeddings=True,
        unified_finetuning=True,
        use_self_distill=distils,
    ).train()
    collator = AbsEmbedderSameDatasetCollator(
        tokenizer=tokenizer, query_max_len=128, passage_max_len=LENGTH
    )
    loss = model(**collator([(QUERIES, DOCUMENTS, None, False)])).loss
    loss.backward()
    parameters = dict(model.named_parameters())
    norms = {ours: parameters[theirs].grad.norm().item() for ours, theirs in WATCHED.items()}
    return {"loss": loss.item(), "gradients": norms}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
