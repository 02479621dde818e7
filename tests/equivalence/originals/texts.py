"""The texts of the golden files: each has something that libraries treat in their own way."""

SUBJECTS = ["token", "vector", "score", "word", "query", "index", "model", "weight"] * 4

LONG = " ".join(
    f"one {w} of the document is a {w}, and late interaction keeps the {w} of text {n}."
    for n, w in enumerate(SUBJECTS)
)
QUERIES = [
    "what is late interaction?",
    "a query of two words",
    "",
    "...!? (~)",
    "検索とは何ですか？ 「文書」を探すこと。",
    "zzz ☃ unknown ^ words",
    "the the the token the token",
    "The Retrieval of LONG Texts, by a sparse model",
    "a [MASK] of <mask> [SEP] and </s> word",
    "the [PAD] word <pad> token",
    "  two  spaces, a tab\tand a line\nof text, zero\u200bwidth, e\u0301 \n",
]
LONG_QUERY = (
    "which of the documents that one retrieves keeps a vector for the token of a query, " * 3
)
DOCUMENTS = [
    "Late interaction keeps one vector a token, and sums the maxima of the scores.",
    "a",
    "",
    '?!... -- ("#$") [~^|`]',
    "検索とは、文書を探すことである。「重要」な言葉の意味は？日本語・質問！",
    "zzz ☃☃ unknown words ^ the index",
    "the the the token token the",
    "A dense model, a sparse model; and the weights of a word?",
    "a [MASK] of <mask> [SEP] and </s> word",
    "the [PAD] word <pad> token",
    "  two  spaces, a tab\tand a line\nof text, zero\u200bwidth, e\u0301 \n",
    LONG,
]
JAPANESE_QUERIES = [
    "検索とは何ですか？",
    "日本語の文書を探す",
    "",
    "。、「」！？ ?!",
    "the token ☃ ^",
    "重要 重要 重要 言葉",
    "検索の意味は文書を探すことである。" * 2,
    "質問" * 20,
    "重要 [MASK] です [SEP]",
    "言葉 [PAD] の意味",
]

CUT = {"query_tokens": 20, "document_tokens": 28}
"""Lengths that differ from those of every checkpoint."""
