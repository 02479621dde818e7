"""Writers of the tokenizers that published checkpoints come with, over a tiny vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from tercet.testing.checkpoints.tensors import write_json
from tercet.testing.checkpoints.vocabularies import (
    ENDINGS,
    WORDS,
    filled,
    sentencepiece_pieces,
    wordpieces,
)

UNSEEN_SCORE = -20.0
"""Log probability of pieces that only fill a SentencePiece vocabulary up."""

XLM_ROBERTA_SPECIAL = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}

BERT_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def write_xlm_roberta_tokenizer(
    folder: Path, *, max_length: int, markers: Sequence[str] = (), size: int | None = None
) -> int:
    """Write a Unigram tokenizer as XLM-RoBERTa's: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3.

    Args:
        folder: Where to.
        max_length: The longest text, as the tokenizer's configuration says.
        markers: Special tokens that follow `<mask>` at the end of the vocabulary.
        size: Entries of the vocabulary, markers included; None takes what the word list needs.

    Returns:
        V, the entries of the vocabulary.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    scored = dict(sentencepiece_pieces())
    room = None if size is None else size - 1 - len(markers)
    pieces = filled([*special, *scored], size=room, filler="▁~unseen")
    vocabulary = [(piece, scored.get(piece, UNSEEN_SCORE)) for piece in [*pieces, "<mask>"]]
    vocabulary[: len(special)] = [(token, 0.0) for token in special]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in markers])
    return _write(
        folder, tokenizer, "XLMRobertaTokenizer", XLM_ROBERTA_SPECIAL, max_length=max_length
    )


def write_bert_tokenizer(
    folder: Path,
    *,
    max_length: int,
    size: int | None = None,
    markers: Sequence[str] = (),
    special: Sequence[str] = (),
    lowercase: bool = True,
) -> int:
    """Write a WordPiece tokenizer as BERT's: `[PAD]` 0, `[unused0]` 1, `[unused1]` 2.

    Args:
        folder: Where to.
        max_length: The longest text, as the tokenizer's configuration says.
        size: Entries of the vocabulary before the markers; None takes what the word list needs.
        markers: Tokens added after the vocabulary.
        special: Tokens of the vocabulary that texts may contain as they are.
        lowercase: Whether texts are lower-cased and stripped of accents first.

    Returns:
        V, the entries of the vocabulary, markers included.
    """
    vocabulary = _bert_vocabulary(japanese=False, size=size)
    ids = {piece: n for n, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in (*BERT_SPECIAL.values(), *special)]
    )
    tokenizer.add_tokens(list(markers))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    extra = {"do_lower_case": lowercase, "strip_accents": None, "tokenize_chinese_chars": True}
    return _write(
        folder, tokenizer, "BertTokenizer", BERT_SPECIAL, max_length=max_length, extra=extra
    )


def write_japanese_bert_tokenizer(
    folder: Path, *, max_length: int = 512, size: int | None = None
) -> int:
    """Write the files of `BertJapaneseTokenizer`: MeCab with unidic-lite, then WordPiece.

    Args:
        folder: Where to.
        max_length: The longest text, as the tokenizer's configuration says.
        size: Entries of the vocabulary; None takes what the word list needs.

    Returns:
        V, the entries of the vocabulary.
    """
    vocabulary = _bert_vocabulary(japanese=True, size=size)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    configuration = {
        **BERT_SPECIAL,
        "tokenizer_class": "BertJapaneseTokenizer",
        "model_max_length": max_length,
        "do_lower_case": False,
        "do_word_tokenize": True,
        "do_subword_tokenize": True,
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": "wordpiece",
        "mecab_kwargs": {"mecab_dic": "unidic_lite"},
    }
    write_json(folder / "tokenizer_config.json", configuration)
    write_json(folder / "special_tokens_map.json", BERT_SPECIAL)
    return len(vocabulary)


def write_byte_level_tokenizer(
    folder: Path, *, max_length: int, size: int | None = None, markers: Sequence[str] = ()
) -> int:
    """Write a byte-level BPE tokenizer as ModernBERT's, special tokens at the end.

    Args:
        folder: Where to.
        max_length: The longest text, as the tokenizer's configuration says.
        size: Entries of the vocabulary before the markers; None takes what the word list needs.
        markers: Tokens added after the vocabulary.

    Returns:
        V, the entries of the vocabulary, markers included.
    """
    merges: list[tuple[str, str]] = []
    for word in [f"Ġ{word}" for word in WORDS] + ENDINGS:
        merges += [(word[:end], word[end]) for end in range(1, len(word))]
    merges = list(dict.fromkeys(merges))
    special = list(BERT_SPECIAL.values())
    room = None if size is None else size - len(special)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = filled([*alphabet, *map("".join, merges)], size=room, filler="~unseen")
    ids = {piece: n for n, piece in enumerate([*pieces, *special])}
    tokenizer = Tokenizer(models.BPE(ids, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, lstrip=t == "[MASK]", special=True, normalized=False) for t in special]
    )
    tokenizer.add_tokens(list(markers))
    return _write(folder, tokenizer, "PreTrainedTokenizerFast", BERT_SPECIAL, max_length=max_length)


def _bert_vocabulary(*, japanese: bool, size: int | None) -> list[str]:
    special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return filled([*special, *wordpieces(japanese=japanese)], size=size, filler="~unseen")


def _write(
    folder: Path,
    tokenizer: Tokenizer,
    tokenizer_class: str,
    special: dict[str, str],
    *,
    max_length: int,
    extra: dict[str, Any] | None = None,
) -> int:
    """Write tokenizer.json and what stands beside it; give the entries of the vocabulary."""
    tokenizer.save(str(folder / "tokenizer.json"))
    configuration = {
        **special,
        **(extra or {}),
        "added_tokens_decoder": {
            str(n): {
                "content": token.content,
                "lstrip": token.lstrip,
                "normalized": token.normalized,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for n, token in sorted(tokenizer.get_added_tokens_decoder().items())
        },
        "clean_up_tokenization_spaces": True,
        "model_max_length": max_length,
        "tokenizer_class": tokenizer_class,
    }
    write_json(folder / "tokenizer_config.json", configuration)
    write_json(folder / "special_tokens_map.json", special)
    return int(tokenizer.get_vocab_size(with_added_tokens=True))
