"""Late interaction and dense models by sentence-transformers."""

from sentence_transformers import (  # type: ignore[import-not-found]
    MultiVectorEncoder,
    SentenceTransformer,
)
from tests.equivalence.originals.recording import (
    Case,
    multilingual,
    skipped,
    token_ids,
    token_vectors,
)
from tests.equivalence.originals.texts import LONG_QUERY, QUERIES


def sentence_transformers() -> None:
    """The layouts of sentence-transformers: late interaction of 6.2, and dense models."""
    queries = [*QUERIES, LONG_QUERY]
    modern = {"backbone": "modernbert", "layers": 4, "local_attention": 16}
    prompts = {"query": "what is: ", "document": "text: "}
    for name, arguments in (
        ("st-multi-vector", {"seed": 9}),
        (
            "st-multi-vector-xlm-roberta",
            {"backbone": "xlm-roberta", "positions": 514, "seed": 15},
        ),
        (
            "st-multi-vector-min",
            {**modern, "expansion": "min", "attend_to_expansion": True, "bias": True, "seed": 10},
        ),
        (
            "st-multi-vector-unexpanded",
            {
                **modern,
                "expansion": None,
                "query_tokens": 24,
                "document_tokens": 100,
                "skiplist_tasks": ["query", "document"],
                "seed": 11,
            },
        ),
    ):
        st_multi_vector(Case(name, "write_multi_vector", queries=queries, **arguments))
    for name, arguments in (
        ("st-dense-mean", {"max_tokens": 64}),
        ("st-dense-excluded", {"prompts": prompts, "include_prompt": False, "seed": 16}),
        (
            "st-dense-cls",
            {
                "pooling": "cls",
                "normalize": False,
                "similarity": "dot",
                "prompts": prompts,
                "seed": 12,
            },
        ),
        (
            "st-dense-layer",
            {
                **modern,
                "dense_dim": 24,
                "normalize": False,
                "prompts": {"asked": "query: "},
                "default_prompt_name": "asked",
                "seed": 13,
            },
        ),
    ):
        st_dense(Case(name, "write_dense", queries=queries, **arguments))

    skipped(
        "sentence-transformers",
        MultiVectorEncoder(str(multilingual()), device="cpu")[2]._skiplist_ids,
    )


def st_multi_vector(case: Case) -> None:
    """Encode and score with `MultiVectorEncoder`."""
    model = MultiVectorEncoder(str(case.folder), device="cpu")
    queries = model.encode_query(case.queries)
    documents = model.encode_document(case.documents)
    views = token_vectors("query", queries) | token_vectors("document", documents)
    for side, texts in (("query", case.queries), ("document", case.documents)):
        prompt = model.prompts[side]
        ids = [model.preprocess([prompt + text], task=side)["input_ids"][0] for text in texts]
        views |= token_ids(side, ids)
    views["scores.maxsim"] = model.similarity(queries, documents).numpy()
    case.save(views, ["sentence-transformers", "transformers"])


def st_dense(case: Case) -> None:
    """Encode and score with `SentenceTransformer`.

    Vectors are scaled where the library's own similarity does it, since an index compares by inner
    product. A model's default prompt is applied by `encode` alone: `encode_query` and
    `encode_document` of this version never fall back to it.
    """
    model = SentenceTransformer(str(case.folder), device="cpu")
    prompted = model.default_prompt_name is None
    encode_query = model.encode_query if prompted else model.encode
    encode_document = model.encode_document if prompted else model.encode
    scaled = model.similarity_fn_name == "cosine"
    queries = encode_query(case.queries, normalize_embeddings=scaled)
    documents = encode_document(case.documents, normalize_embeddings=scaled)
    views = {"query.dense": queries, "document.dense": documents}
    views["scores.dense"] = model.similarity(queries, documents).numpy()
    case.save(views, ["sentence-transformers", "transformers"])
