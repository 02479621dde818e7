"""Training steps of one system in one process; told what to do as `worker.py` is.

A step is tokenising, both encodings, the loss, the backward pass and AdamW. Queries and documents
of the job are one batch: each query's documents one after another, its positive first.
"""

from typing import Any

import torch
import worker

LEARNING_RATE = 1e-5
TEMPERATURE = 0.02  # FlagEmbedding's example


def tercet_m3(job: dict[str, Any]) -> worker.Encode:
    """Ours: three views, their sum, self-distillation."""
    from tercet.training.loop.batching import Batching
    from tercet.training.loop.ranking_batches import RankingBatch
    from tercet.training.models.opening import open_model
    from tercet.training.stages.m3 import M3, M3Objective

    model = open_model(job["checkpoint"]).train()
    tokens = job.get("sub_batch_tokens")
    objective = M3Objective(M3(sub_batch_tokens=tokens, batching=Batching()))
    if job.get("checkpoint_layers"):
        model.checkpoint_layers()

    def loss() -> torch.Tensor:
        documents = model.document_batch(job["documents"])
        names = torch.arange(len(documents))
        return objective(model, RankingBatch(model.query_batch(job["queries"]), documents, names))

    return stepping(model, loss)


def tercet_late(job: dict[str, Any]) -> worker.Encode:
    """Ours: late interaction alone, InfoNCE with documents of the batch."""
    from tercet.training.loop.cached_gradients import encode
    from tercet.training.losses.infonce import info_nce
    from tercet.training.losses.scores import multi_vector_scores
    from tercet.training.models.opening import open_model

    model = open_model(job["checkpoint"]).train()
    targets = torch.arange(len(job["queries"])) * job["each"]

    def loss() -> torch.Tensor:
        queries = encode(model, model.query_batch(job["queries"])).multi_vector
        documents = encode(model, model.document_batch(job["documents"])).multi_vector
        scores = multi_vector_scores(queries, documents, reduction="sum")
        return info_nce(scores, targets, temperature=1.0)

    return stepping(model, loss)


def flagembedding_m3(job: dict[str, Any]) -> worker.Encode:
    """FlagEmbedding's own model and collator; `sub_batch_size` -1 encodes the batch at once."""
    from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderSameDatasetCollator
    from FlagEmbedding.finetune.embedder.encoder_only.m3.modeling import EncoderOnlyEmbedderM3Model
    from FlagEmbedding.finetune.embedder.encoder_only.m3.runner import EncoderOnlyEmbedderM3Runner
    from transformers import AutoTokenizer

    folder = job["checkpoint"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = EncoderOnlyEmbedderM3Model(
        EncoderOnlyEmbedderM3Runner.get_model(folder, False, -1),
        tokenizer=tokenizer,
        temperature=TEMPERATURE,
        sub_batch_size=job["sub_batch_size"],
        normalize_embeddings=True,
        unified_finetuning=True,
        use_self_distill=True,
    ).train()
    if job.get("checkpoint_layers"):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    collator = AbsEmbedderSameDatasetCollator(
        tokenizer=tokenizer,
        query_max_len=8192,
        passage_max_len=8192,
        sub_batch_size=job["sub_batch_size"],
    )

    def loss() -> torch.Tensor:
        return model(**collator([(job["queries"], job["documents"], None, False)])).loss

    return stepping(model, loss)


def pylate_late(job: dict[str, Any]) -> worker.Encode:
    """PyLate's contrastive loss, its documents padded to the longest of the batch."""
    from pylate import losses, models

    each, count = job["each"], len(job["queries"])
    model = models.ColBERT(
        job["checkpoint"], device="cpu", document_length=job["max_tokens"]
    ).train()
    contrastive = losses.Contrastive(model=model)

    def loss() -> torch.Tensor:
        columns = [job["documents"][column::each] for column in range(each)]
        texts = [model.tokenize(column, is_query=False, pad=True) for column in columns]
        queries = model.tokenize(job["queries"], is_query=True)
        assert len(queries["input_ids"]) == count
        return contrastive([queries, *texts])

    return stepping(model, loss)


def stepping(model: torch.nn.Module, loss: Any) -> worker.Encode:
    """One step of AdamW a call."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)

    def step(texts: list[str]) -> None:
        del texts
        found = loss()
        found.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


worker.SYSTEMS.update(
    {
        "tercet-m3": tercet_m3,
        "tercet-late": tercet_late,
        "flagembedding-m3": flagembedding_m3,
        "pylate-late": pylate_late,
    }
)

if __name__ == "__main__":
    worker.main()
