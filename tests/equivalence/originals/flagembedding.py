"""BGE-M3 by FlagEmbedding."""

import numpy as np
from FlagEmbedding import BGEM3FlagModel  # type: ignore[import-not-found]
from tests.equivalence.originals.recording import (
    Case,
    Views,
    lexical_weights,
    token_ids,
    token_vectors,
)


def flagembedding() -> None:
    """BGE-M3, whole texts and texts cut at 24 tokens, and a narrower multi-vector head."""

    small = {"positions": 514}
    for name, arguments, length in (
        ("flagembedding-bge-m3", small, 512),
        ("flagembedding-bge-m3-cut", small, 24),
        (
            "flagembedding-bge-m3-narrow",
            {**small, "multi_vector_dim": 16, "weights_file": "model.safetensors", "seed": 1},
            512,
        ),
    ):
        case = Case(
            name,
            "write_bge_m3",
            options={"query_tokens": length, "document_tokens": length},
            **arguments,
        )
        model = BGEM3FlagModel(
            str(case.folder),
            use_fp16=False,
            devices="cpu",
            colbert_dim=arguments.get("multi_vector_dim", -1),
            query_max_length=length,
            passage_max_length=length,
        )
        every = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
        views: Views = {}
        for side, texts, encode in (
            ("query", case.queries, model.encode_queries),
            ("document", case.documents, model.encode_corpus),
        ):
            found = encode(texts, **every)
            ids = model.tokenizer(texts, truncation=True, max_length=length)["input_ids"]
            views[f"{side}.dense"] = np.asarray(found["dense_vecs"], dtype=np.float32)
            views |= lexical_weights(side, found["lexical_weights"])
            views |= token_vectors(side, found["colbert_vecs"]) | token_ids(side, ids)
        # One pair at a time: in a batch, padding would put a floor of 0 under the maxima.
        pairs = [(q, d) for q in case.queries for d in case.documents]
        found = model.compute_score(
            pairs, batch_size=1, weights_for_different_modes=[0.4, 0.2, 0.4]
        )
        shape = (len(case.queries), len(case.documents))
        for score, values in found.items():
            views[f"scores.{score}"] = np.asarray(values, dtype=np.float32).reshape(shape)
        case.save(views, ["FlagEmbedding", "transformers"])
