"""Late interaction by Stanford's library, colbert-ai."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from colbert.infra import ColBERTConfig  # type: ignore[import-not-found]
from colbert.modeling.checkpoint import Checkpoint  # type: ignore[import-not-found]
from colbert.modeling.colbert import colbert_score  # type: ignore[import-not-found]
from tests.equivalence.originals.recording import (
    Case,
    Views,
    multilingual,
    skipped,
    split,
    token_ids,
    token_vectors,
)
from tests.equivalence.originals.texts import CUT, JAPANESE_QUERIES, LONG_QUERY, QUERIES


def colbert() -> None:
    """The layouts of Stanford's library, and the two that it alone can tokenise."""
    queries = [*QUERIES, LONG_QUERY]
    for case in (
        Case("colbert-colbertv2", "write_colbert_v2", queries=queries),
        Case(
            "colbert-stale-modules",
            "write_colbert_v2",
            queries=queries,
            stale_modules=True,
            query_tokens=48,
            document_tokens=64,
            weights_file="pytorch_model.bin",
            seed=2,
        ),
        Case("colbert-xlm-roberta", "write_colbert_xlm_roberta", queries=queries, seed=3),
        Case("colbert-cut", "write_colbert_v2", queries=queries, options=CUT),
        Case(
            "colbert-jacolbert-cut",
            "write_jacolbert",
            queries=JAPANESE_QUERIES,
            options=CUT,
            seed=4,
        ),
    ):
        lengths = {"query_maxlen": CUT["query_tokens"], "doc_maxlen": CUT["document_tokens"]}
        opened = open_stanford(case.folder, **(lengths if case.options else {}))
        views = token_vectors("query", opened.queryFromText(case.queries))
        views |= token_ids("query", opened.query_tokenizer.tensorize(case.queries)[0])
        views |= stanford_documents(case, opened)
        case.save(views | stanford_scores(views), ["colbert-ai", "transformers"])
    jacolbert()
    dropped = open_stanford(multilingual()).skiplist
    skipped("colbert-ai", (token for token in dropped if isinstance(token, int)))


def jacolbert() -> None:
    """Documents as Stanford encodes them; queries by the paper's dynamic length.

    The ids of a query are made here: `[CLS]`, marker, words, `[SEP]`, then `[MASK]` up to the next
    multiple of 32, but 8 at least. Stanford's own model encodes them, one query at a time.
    """
    case = Case("colbert-jacolbert", "write_jacolbert", queries=JAPANESE_QUERIES, seed=4)
    opened = open_stanford(case.folder)
    tokenizer = opened.query_tokenizer
    rows, vectors = [], []
    for text in case.queries:
        pad, mask = tokenizer.pad_token_id, tokenizer.mask_token_id
        # As in the library: a pad token, also one that stands in the text, becomes a mask.
        first, *rest = [mask if n == pad else n for n in tokenizer.tok(text)["input_ids"]]
        ids = [first, tokenizer.Q_marker_token_id, *rest]
        masks = max(8, -len(ids) % 32)
        seen = torch.tensor([[1] * len(ids) + [0] * masks])
        ids += [mask] * masks
        rows.append(ids)
        vectors.append(opened.query(torch.tensor([ids]), seen)[0])
    views = token_vectors("query", vectors) | token_ids("query", rows)
    views |= stanford_documents(case, opened)
    case.save(views | stanford_scores(views), ["colbert-ai", "transformers", "fugashi"])


def open_stanford(folder: Path, **options: int) -> Any:
    """A Stanford checkpoint, without the kernel that it compiles for its own CPU search."""

    Checkpoint.loaded_extensions = True
    loaded = ColBERTConfig.load_from_checkpoint(str(folder))
    loaded.configure(**options)
    return Checkpoint(str(folder), colbert_config=loaded, verbose=0)


def stanford_documents(case: Case, opened: Any) -> Views:
    """Documents as Stanford's library encodes them, in one padded batch."""
    ids, mask = opened.doc_tokenizer.tensorize(case.documents)
    rows = opened.docFromText(case.documents, keep_dims=False)
    real = [row[seen.bool()] for row, seen in zip(ids, mask, strict=True)]
    return token_vectors("document", rows) | token_ids("document", real)


def stanford_scores(views: Views) -> Views:
    """MaxSim by Stanford's own function, one query against all documents."""

    documents = torch.nn.utils.rnn.pad_sequence(split(views, "document"), batch_first=True)
    lengths = torch.from_numpy(np.diff(views["document.offsets"]))
    mask = torch.arange(documents.shape[1])[None, :] < lengths[:, None]
    scores = [
        colbert_score(query[None], documents, mask[..., None]) for query in split(views, "query")
    ]
    return {"scores.maxsim": torch.stack(scores).numpy()}
