"""jina-colbert-v2: the vendor's encoder in numpy, on the ids of Stanford's tokenizers."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tests.equivalence.originals.recording import (
    Case,
    Views,
    multilingual,
    token_ids,
    token_vectors,
)
from tests.equivalence.originals.stanford import open_stanford, stanford_scores
from tests.equivalence.originals.texts import LONG_QUERY, QUERIES

erf = np.vectorize(math.erf, otypes=[np.float64])


def jina_colbert() -> None:
    """The vendor's encoder in numpy, on the ids of Stanford's tokenizers.

    The vendor's code cannot be had offline, so the ids, attention and dropped vectors come from
    Stanford's library, opened on a checkpoint with the same tokenizer and metadata, and the states
    from `jina_states`.
    """
    case = Case("colbert-jina", "write_jina_colbert", queries=[*QUERIES, LONG_QUERY], seed=5)
    opened = open_stanford(multilingual(document_tokens=300, attend_to_expansion=True))
    weights = load_file(case.folder / "model.safetensors")
    views: Views = {}
    for side, texts, tokenizer, skipped in (
        ("query", case.queries, opened.query_tokenizer, {}),
        ("document", case.documents, opened.doc_tokenizer, opened.skiplist),
    ):
        rows, vectors = [], []
        for ids, mask in zip(*tokenizer.tensorize(texts), strict=True):
            real = ids[mask.bool()].tolist()
            kept = [token not in skipped and token != opened.pad_token for token in real]
            projected = jina_states(weights, real, heads=4) @ weights["linear.weight"].T
            projected /= np.linalg.norm(projected, axis=1, keepdims=True)
            rows.append(real)
            vectors.append(projected[kept])
        views |= token_vectors(side, vectors) | token_ids(side, rows)
    case.save(views | stanford_scores(views), ["colbert-ai", "transformers"])


def jina_states(weights: dict[str, Any], ids: list[int], *, heads: int) -> NDArray[np.float64]:
    """Last states of the vendor's encoder for one text, in float64, [L, H].

    Post-norm blocks; rotary positions on all dimensions of a head, the first half of them turned
    with the second (as in GPT-NeoX), base 10,000; exact GELU; no table of positions.
    """

    def apply(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        weight, bias = weights[f"roberta.{name}.weight"], weights[f"roberta.{name}.bias"]
        result: NDArray[np.float64] = x @ weight.astype(np.float64).T + bias
        return result

    def norm(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        gain, bias = weights[f"roberta.{name}.weight"], weights[f"roberta.{name}.bias"]
        result: NDArray[np.float64] = scaled * gain + bias
        return result

    words = weights["roberta.embeddings.word_embeddings.weight"].astype(np.float64)[ids]
    x = norm("emb_ln", words + weights["roberta.embeddings.token_type_embeddings.weight"][0])
    size = x.shape[1] // heads
    inverse = 10000.0 ** (-np.arange(0, size, 2) / size)  # [size / 2]
    angles = np.outer(np.arange(len(ids)), inverse)[:, None, :]  # [L, 1, size / 2]

    def rotate(part: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = np.split(part, 2, axis=-1)  # [L, heads, size / 2] each
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    layers = sum(name.endswith("mixer.Wqkv.weight") for name in weights)
    for layer in range(layers):
        at = f"encoder.layers.{layer}"
        query, key, value = (
            part.reshape(len(ids), heads, size)
            for part in np.split(apply(f"{at}.mixer.Wqkv", x), 3, axis=-1)
        )
        scores = np.einsum("qhe,khe->hqk", rotate(query), rotate(key)) / np.sqrt(size)
        share = np.exp(scores - scores.max(axis=-1, keepdims=True))
        share /= share.sum(axis=-1, keepdims=True)
        seen = np.einsum("hqk,khe->qhe", share, value).reshape(x.shape)
        x = norm(f"{at}.norm1", x + apply(f"{at}.mixer.out_proj", seen))
        wide = apply(f"{at}.mlp.fc1", x)
        wide *= 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = norm(f"{at}.norm2", x + apply(f"{at}.mlp.fc2", wide))
    return x
