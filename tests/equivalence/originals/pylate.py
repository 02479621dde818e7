"""Late interaction by PyLate."""

import string

import numpy as np
from pylate import models, scores  # type: ignore[import-not-found]
from tests.equivalence.originals.recording import (
    Case,
    Views,
    multilingual,
    skipped,
    split,
    token_ids,
    token_vectors,
)
from tests.equivalence.originals.texts import CUT, LONG_QUERY, QUERIES


def pylate() -> None:
    """PyLate's own layout in the forms that published models have."""

    queries = [*QUERIES, LONG_QUERY]
    local = {"backbone": "modernbert", "layers": 4, "local_attention": 16}
    words = list(string.punctuation)
    for name, arguments in (
        ("pylate-bert", {"dense_type": "pylate.models.Dense"}),
        ("pylate-modernbert", {**local, "document_tokens": 300, "seed": 6}),
        ("pylate-cut", {**local, "document_tokens": 300, "seed": 6}),
        ("pylate-xlm-roberta", {"backbone": "xlm-roberta", "positions": 514, "seed": 14}),
        (
            "pylate-residual",
            {
                "dims": [24, 16],
                "residual": True,
                "bias": True,
                "transformer_folder": "0_Transformer",
                "attend_to_expansion": True,
                "skiplist_words": [*words[:10], "the"],
                "seed": 7,
            },
        ),
        (
            "pylate-unexpanded",
            {
                **local,
                "expand_queries": False,
                "lowercase_texts": True,
                "query_tokens": 24,
                "document_tokens": 100,
                "seed": 8,
            },
        ),
    ):
        options = CUT if name == "pylate-cut" else {}
        case = Case(name, "write_pylate", queries=queries, options=options, **arguments)
        model = models.ColBERT(
            str(case.folder),
            device="cpu",
            query_length=options.get("query_tokens"),
            document_length=options.get("document_tokens"),
        )
        views: Views = {}
        for side, texts in (("query", case.queries), ("document", case.documents)):
            is_query = side == "query"
            ids = [model.tokenize([text], is_query=is_query)["input_ids"][0] for text in texts]
            rows = model.encode(texts, is_query=is_query)
            views |= token_vectors(side, rows) | token_ids(side, ids)
        # One pair at a time: PyLate's function takes arrays of one length.
        views["scores.maxsim"] = np.asarray(
            [
                [
                    scores.colbert_scores(query[None], row[None]).item()
                    for row in split(views, "document")
                ]
                for query in split(views, "query")
            ],
            dtype=np.float32,
        )
        case.save(views, ["pylate", "sentence-transformers", "transformers"])
    skipped("pylate", models.ColBERT(str(multilingual()), device="cpu").skiplist)
