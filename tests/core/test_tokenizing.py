"""Texts become the ids that a model's own library gives it, checked by hand on tiny tokenizers."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.cleaning import stripped_and_lowercased
from tercet.encoding.token_rules import dynamic_length
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizing import Tokenizer
from tercet.errors import CheckpointError, MissingExtraError
from tercet.testing.checkpoints import (
    write_bge_m3,
    write_colbert_v2,
    write_colbert_xlm_roberta,
    write_dense,
    write_jacolbert,
    write_jina_colbert,
    write_multi_vector,
    write_pylate,
    write_tercet,
)
from tercet.testing.checkpoints.tokenization import write_bert_tokenizer

NOWHERE = "[Nowhere]"
"""A token that no tiny vocabulary has."""


def opened(folder: Path) -> Tokenizer:
    checkpoint = Checkpoint.open(folder)
    return Tokenizer(checkpoint.folder, checkpoint.spec)


def terms(tokenizer: Tokenizer, text: TokenisedText) -> list[str]:
    return tokenizer.terms(text.ids.tolist())


def kept(tokenizer: Tokenizer, text: TokenisedText) -> list[str]:
    return tokenizer.terms(text.ids[text.keep].tolist())


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestBgeM3:
    def test_ids_offsets_and_roles_are_those_of_flagembedding(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        (text,) = tokenizer.documents(["late vector ^"])
        assert terms(tokenizer, text) == ["<s>", "▁late", "▁vector", "▁", "<unk>", "</s>"]
        assert text.starts.tolist() == [-1, 0, 5, 12, 12, -1]
        assert text.ends.tolist() == [-1, 4, 11, 13, 13, -1]
        assert text.keep.tolist() == [False, True, True, True, True, True]
        assert text.lexical.tolist() == [False, True, True, True, False, False]
        assert text.special.tolist() == [True, False, False, False, False, True]
        assert (text.leading, text.trailing, text.total, text.read) == (1, 1, 6, 6)
        assert (tokenizer.cls_id, tokenizer.pad_id, tokenizer.sep_id) == (0, 1, 2)

    def test_a_mask_in_a_text_has_a_lexical_weight(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        (text,) = tokenizer.documents(["late <mask> <s> <pad>"])
        weighted = tokenizer.terms(text.ids[text.lexical].tolist())
        assert weighted == ["▁late", "<mask>"]

    def test_queries_are_documents(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        texts = ["what is late interaction?", "", "a " * 600]
        for query, document in zip(
            tokenizer.queries(texts), tokenizer.documents(texts), strict=True
        ):
            assert query.ids.tolist() == document.ids.tolist()

    def test_empty_texts_keep_a_row(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        for text in tokenizer.documents(["", " \n\t", "\0"]):
            assert text.keep.any()
            assert text.ids[0] == 0
            assert text.ids[-1] == 2

    def test_a_limit_cuts_the_text_and_keeps_its_end(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        (text,) = tokenizer.documents(["the late vector of the index"], limit=4)
        assert terms(tokenizer, text) == ["<s>", "▁the", "▁late", "</s>"]
        assert (text.total, text.read, len(text)) == (8, 4, 4)

    def test_a_limit_without_room_for_text_is_an_error(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        with pytest.raises(ValueError, match="2 tokens leaves no room for text"):
            tokenizer.documents(["late vector"], limit=2)


class TestStanford:
    def test_queries_are_marked_cut_and_filled_up(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path, query_tokens=8))
        short, long = tokenizer.queries(["late vector", "the late vector of the index is short"])
        marked = ["[CLS]", "[unused0]"]
        assert terms(tokenizer, short) == [*marked, "late", "vector", "[SEP]", *["[MASK]"] * 3]
        assert short.attended.tolist() == [True] * 5 + [False] * 3
        assert short.keep.all()
        assert (short.leading, short.trailing, short.total, short.read) == (2, 4, 5, 5)
        assert terms(tokenizer, long) == [*marked, "the", "late", "vector", "of", "the", "[SEP]"]
        assert (long.total, long.read) == (11, 8)

    def test_documents_are_marked_and_lose_punctuation(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        (text,) = tokenizer.documents(["late, vector [PAD]"])
        pieces = ["[CLS]", "[unused1]", "late", ",", "vector", "[PAD]", "[SEP]"]
        assert terms(tokenizer, text) == pieces
        assert kept(tokenizer, text) == ["[CLS]", "[unused1]", "late", "vector", "[SEP]"]
        assert text.starts.tolist() == [-1, -1, 0, 4, 6, 13, -1]
        assert text.special.tolist() == [True, *[False] * 5, True]

    def test_unknown_tokens_are_skipped_where_punctuation_is_unknown(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        (text,) = tokenizer.documents(["late 雪"])  # the tiny vocabulary lacks ^ as well
        assert terms(tokenizer, text)[3] == "[UNK]"
        assert not text.keep[3]

    def test_on_sentencepiece_the_lone_underscore_is_skipped(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_xlm_roberta(tmp_path))
        (text,) = tokenizer.documents(["late , vector!"])
        pieces = terms(tokenizer, text)
        assert pieces[2:-1] == ["▁late", "▁", ",", "▁vector", "!"]
        assert kept(tokenizer, text)[2:-1] == ["▁late", ",", "▁vector", "!"]

    def test_pads_written_in_a_query_are_masks(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path, query_tokens=8))
        (text,) = tokenizer.queries(["late [PAD]"])
        assert terms(tokenizer, text)[3] == "[MASK]"
        assert text.attended[3]

    def test_a_limit_sets_the_length_of_queries_and_cuts_documents(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        assert len(tokenizer.queries(["late"], limit=6)[0]) == 6
        assert len(tokenizer.documents(["late " * 40], limit=10)[0]) == 10
        assert len(tokenizer.documents(["late " * 700])[0]) == 703

    def test_a_marker_that_the_vocabulary_lacks_is_the_unknown_token(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path)
        change_json(tmp_path / "artifact.metadata", query_token_id=NOWHERE)
        with pytest.warns(UserWarning, match=r"'\[Nowhere\]' is not in the model's vocabulary"):
            tokenizer = opened(tmp_path)
        assert terms(tokenizer, tokenizer.queries(["late"])[0])[1] == "[UNK]"


class TestJinaColbert:
    def test_masks_are_attended(self, tmp_path: Path) -> None:
        tokenizer = opened(write_jina_colbert(tmp_path))
        (text,) = tokenizer.queries(["late vector"])
        expected = ["<s>", "[QueryMarker]", "▁late", "▁vector", "</s>", *["<mask>"] * 27]
        assert terms(tokenizer, text) == expected
        assert text.attended.all()
        (document,) = tokenizer.documents(["late"])
        assert terms(tokenizer, document) == ["<s>", "[DocumentMarker]", "▁late", "</s>"]

    def test_a_missing_marker_is_an_error(self, tmp_path: Path) -> None:
        write_jina_colbert(tmp_path)
        change_json(tmp_path / "artifact.metadata", doc_token_id=NOWHERE)
        with pytest.raises(CheckpointError, match=r"'\[Nowhere\]' is not in the vocabulary"):
            opened(tmp_path)


class TestJacolbert:
    @pytest.mark.parametrize(
        ("tokens", "length"), [(3, 32), (10, 32), (24, 32), (25, 33), (32, 40), (33, 64), (64, 72)]
    )
    def test_the_dynamic_length_is_that_of_the_paper(self, tokens: int, length: int) -> None:
        assert dynamic_length(tokens, multiple=32) == length

    def test_long_queries_are_kept_up_to_the_models_length(self, tmp_path: Path) -> None:
        tokenizer = opened(write_jacolbert(tmp_path))
        short, long, longest = tokenizer.queries(["検索 " * 10, "検索 " * 30, "検索 " * 600])
        assert (len(short), short.read) == (32, 13)
        assert (len(long), long.read) == (64, 33)
        assert (len(longest), longest.read, longest.total) == (512, 512, 603)

    def test_a_limit_makes_the_length_fixed(self, tmp_path: Path) -> None:
        tokenizer = opened(write_jacolbert(tmp_path))
        (text,) = tokenizer.queries(["検索 " * 30], limit=16)
        assert (len(text), text.read, text.total) == (16, 16, 33)

    def test_markers_go_in_by_id_and_offsets_are_unknown(self, tmp_path: Path) -> None:
        tokenizer = opened(write_jacolbert(tmp_path))
        (text,) = tokenizer.documents(["検索とは文書を探すことです。？"])
        pieces = terms(tokenizer, text)
        assert pieces[:2] == ["[CLS]", "[unused1]"]
        assert pieces[-3:] == ["。", "?", "[SEP]"]
        assert text.keep.tolist()[-3:] == [True, False, True]
        assert (text.starts == -1).all()
        assert (text.ends == -1).all()
        assert (text.leading, text.trailing) == (2, 1)

    def test_a_missing_library_is_told_with_its_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_jacolbert(tmp_path)
        monkeypatch.setitem(sys.modules, "fugashi", None)  # as if it were not installed
        with pytest.raises(MissingExtraError, match=r"tercet\[japanese\]"):
            opened(tmp_path)

    def test_a_damaged_vocabulary_is_an_error(self, tmp_path: Path) -> None:
        write_jacolbert(tmp_path)
        (tmp_path / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "none such"}'
        )
        with pytest.raises(CheckpointError, match="no tokenizer can be built"):
            opened(tmp_path)


class TestPylate:
    def test_the_marker_is_one_token_with_its_space(self, tmp_path: Path) -> None:
        tokenizer = opened(write_pylate(tmp_path, backbone="modernbert"))
        (text,) = tokenizer.queries(["  the late"])
        pieces = terms(tokenizer, text)
        assert pieces[:2] == ["[CLS]", "[Q] "]
        assert pieces[-1] == "[MASK]"
        assert len(pieces) == 32
        assert int(text.starts[2]) == 2  # the space in front was taken away, the offset knows it

    def test_without_expansion_queries_are_only_cut(self, tmp_path: Path) -> None:
        tokenizer = opened(write_pylate(tmp_path, expand_queries=False, query_tokens=8))
        short, long = tokenizer.queries(["late", "late " * 20])
        assert (len(short), len(long), long.total) == (4, 8, 23)
        assert len(tokenizer.queries(["late " * 20], limit=12)[0]) == 12

    def test_lower_case_comes_before_special_tokens(self, tmp_path: Path) -> None:
        plain = opened(write_pylate(tmp_path / "plain"))
        lower = opened(write_pylate(tmp_path / "lower", lowercase_texts=True))
        assert terms(plain, plain.documents(["[SEP]"])[0])[2] == "[SEP]"
        assert terms(lower, lower.documents(["[SEP]"])[0])[2] == "["

    def test_offsets_survive_letters_that_grow(self, tmp_path: Path) -> None:
        tokenizer = opened(write_pylate(tmp_path, lowercase_texts=True))
        content = "  İİ late"
        (text,) = tokenizer.documents([content])
        at = terms(tokenizer, text).index("late")
        assert content[text.starts[at] : text.ends[at]] == "late"

    def test_a_missing_marker_is_an_error(self, tmp_path: Path) -> None:
        write_pylate(tmp_path)
        change_json(tmp_path / "config_sentence_transformers.json", query_prefix="[X] ")
        with pytest.raises(CheckpointError, match=r"'\[X\] ' is not in the vocabulary"):
            opened(tmp_path)

    def test_no_marker_is_inserted_for_an_empty_prefix(self, tmp_path: Path) -> None:
        write_pylate(tmp_path)
        change_json(tmp_path / "config_sentence_transformers.json", document_prefix="")
        tokenizer = opened(tmp_path)
        assert terms(tokenizer, tokenizer.documents(["late"])[0]) == ["[CLS]", "late", "[SEP]"]


class TestSentenceTransformersMultiVector:
    def test_prompts_stand_before_the_text_and_offsets_do_not_count_them(
        self, tmp_path: Path
    ) -> None:
        tokenizer = opened(write_multi_vector(tmp_path))
        (text,) = tokenizer.documents(["late ^ vector"])
        pieces = ["[CLS]", "[unused1]", "late", "[UNK]", "vector", "[SEP]"]
        assert terms(tokenizer, text) == pieces
        assert text.starts.tolist() == [-1, -1, 0, 5, 7, -1]
        assert text.keep.all()  # unknown words are no reason to skip unknown tokens
        assert (text.leading, text.prompt) == (2, 2)

    def test_the_skiplist_may_hold_for_queries_alone(self, tmp_path: Path) -> None:
        tokenizer = opened(write_multi_vector(tmp_path, skiplist_tasks=("query",)))
        assert not tokenizer.queries(["late!"])[0].keep.all()
        assert tokenizer.documents(["late!"])[0].keep.all()

    def test_the_minimal_expansion_does_not_cut(self, tmp_path: Path) -> None:
        tokenizer = opened(write_multi_vector(tmp_path, expansion="min", expansion_tokens=8))
        short, long = tokenizer.queries(["late", "late " * 20])
        assert (len(short), len(long)) == (8, 23)
        assert len(tokenizer.queries(["late " * 20], limit=4)[0]) == 8

    def test_another_expansion_token_is_used_or_missed(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        expansion = {"strategy": "fixed", "length": 32}
        path = tmp_path / "sentence_bert_config.json"
        change_json(path, query_expansion=expansion | {"token": "the"})
        tokenizer = opened(tmp_path)
        assert terms(tokenizer, tokenizer.queries(["late"])[0])[-1] == "the"
        change_json(path, query_expansion=expansion | {"token": "[Nowhere]"})
        with pytest.raises(CheckpointError, match=r"expanded with '\[Nowhere\]'"):
            opened(tmp_path)

    def test_prompts_of_slow_tokenizers_are_counted_without_offsets(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path, prompts={"query": "検索 文書 ", "document": ""})
        write_jacolbert(tmp_path / "japanese")
        for path in tmp_path.glob("tokenizer*"):
            path.unlink()
        for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            (tmp_path / "japanese" / name).rename(tmp_path / name)
        tokenizer = opened(tmp_path)
        (text,) = tokenizer.queries(["日本"])
        assert terms(tokenizer, text)[:5] == ["[CLS]", "検索", "文書", "日本", "[SEP]"]
        assert (text.leading, text.prompt) == (3, 3)
        assert tokenizer.documents(["日本"])[0].leading == 1


class TestDense:
    def test_the_prompt_is_counted_with_its_leading_special_token(self, tmp_path: Path) -> None:
        tokenizer = opened(write_dense(tmp_path, prompts={"query": "search the: "}))
        query, document = tokenizer.queries(["late"])[0], tokenizer.documents(["late"])[0]
        assert (query.prompt, query.leading) == (4, 4)
        assert (document.prompt, document.leading) == (0, 1)
        assert query.starts.tolist() == [-1, -1, -1, -1, 0, -1]

    def test_a_normaliser_lower_cases_whatever_the_tokenizer_does(self, tmp_path: Path) -> None:
        write_dense(tmp_path, backbone="modernbert")
        change_json(tmp_path / "sentence_bert_config.json", do_lower_case=True)
        tokenizer = opened(tmp_path)
        upper, lower = tokenizer.documents(["THE late [SEP]", "the late [SEP]"])
        assert upper.ids.tolist() == lower.ids.tolist()
        assert terms(tokenizer, upper)[-2:] == ["[SEP]", "[SEP]"]

    def test_a_vocabulary_alone_makes_a_fast_tokenizer(self, tmp_path: Path) -> None:
        with_json = opened(write_dense(tmp_path))
        expected = with_json.documents(["late vectors"])[0]
        (tmp_path / "tokenizer.json").unlink()
        found = opened(tmp_path).documents(["late vectors"])[0]
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.starts.tolist() == expected.starts.tolist()

    def test_saved_padding_and_truncation_are_left_out(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        saved = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        saved.enable_truncation(4)
        saved.enable_padding(length=64)
        saved.save(str(tmp_path / "tokenizer.json"))
        assert len(opened(tmp_path).documents(["late " * 10])[0]) == 12

    def test_a_damaged_tokenizer_is_an_error(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
        with pytest.raises(CheckpointError, match="cannot be read as a tokenizer"):
            opened(tmp_path)

    def test_without_a_template_an_empty_text_is_one_token(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        vocabulary = {"<unk>": 0, "a": 1}
        bare = tokenizers.Tokenizer(models.WordLevel(vocabulary, "<unk>"))
        bare.pre_tokenizer = pre_tokenizers.Whitespace()
        bare.save(str(tmp_path / "tokenizer.json"))
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            (tmp_path / name).write_text('{"unk_token": {"content": "<unk>"}}')
        tokenizer = opened(tmp_path)
        empty, text = tokenizer.documents(["", "a a"])
        assert (empty.ids.tolist(), text.ids.tolist()) == ([0], [1, 1])
        assert (tokenizer.cls_id, tokenizer.mask_id, text.leading) == (None, None, 0)


class TestTercet:
    def test_special_tokens_may_be_without_vectors(self, tmp_path: Path) -> None:
        tokenizer = opened(write_tercet(tmp_path, keep_special=False))
        text, empty = tokenizer.documents(["late vector", ""])
        assert kept(tokenizer, text) == ["late", "vector"]
        assert kept(tokenizer, empty) == ["[CLS]", "[SEP]"]

    def test_lexical_weights_leave_special_tokens_out(self, tmp_path: Path) -> None:
        tokenizer = opened(write_tercet(tmp_path))
        (text,) = tokenizer.documents(["late ^ [MASK] [SEP]"])
        assert tokenizer.terms(text.ids[text.lexical].tolist()) == ["late", "[MASK]"]

    def test_bge_m3_on_bert_weighs_the_separator_as_its_own_library_does(
        self, tmp_path: Path
    ) -> None:
        folder = write_bge_m3(tmp_path)
        write_bert_tokenizer(folder, max_length=64)
        tokenizer = opened(folder)
        (text,) = tokenizer.documents(["late ^ [PAD]"])
        assert tokenizer.terms(text.ids[text.lexical].tolist()) == ["late", "[SEP]"]


class TestAnyText:
    def test_lone_surrogates_are_replaced_and_said_once(self, tmp_path: Path) -> None:
        tokenizer = opened(write_bge_m3(tmp_path))
        with pytest.warns(UserWarning, match="1 of 2 texts have lone surrogates") as caught:
            broken, _ = tokenizer.documents(["late \ud800 vector", "late"])
        assert len(caught) == 1
        (same,) = tokenizer.documents(["late � vector"])
        assert broken.ids.tolist() == same.ids.tolist()
        assert broken.starts.tolist() == same.starts.tolist()

    def test_ids_do_not_depend_on_the_batch(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        texts = ["late", "", "👩‍👩‍👧 שלום", "a " * 300, "検索とは"]
        together = tokenizer.documents(texts)
        for text, row in zip(texts, together, strict=True):
            assert tokenizer.documents([text])[0].ids.tolist() == row.ids.tolist()
        assert tokenizer.documents([]) == []

    def test_offsets_give_back_the_characters(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        content = "The Índex 👍 of tokens"
        (text,) = tokenizer.documents([content])
        spans = [
            content[start:end]
            for start, end in zip(text.starts.tolist(), text.ends.tolist(), strict=True)
            if start >= 0
        ]
        assert spans == ["The", "Índex", "👍", "of", "token", "s"]

    def test_a_text_of_a_megabyte_is_read_whole(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        started = time.monotonic()
        (text,) = tokenizer.documents(["late vector " * 100_000])
        assert len(text) == text.read == 200_003
        assert time.monotonic() - started < 60

    def test_threads_share_one_tokenizer(self, tmp_path: Path) -> None:
        tokenizer = opened(write_colbert_v2(tmp_path))
        expected = tokenizer.queries(["late vector"])[0].ids.tolist()
        found: list[list[int]] = []

        def work() -> None:
            found.extend(tokenizer.queries(["late vector"])[0].ids.tolist() for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 160

    def test_cleaning_leaves_a_clean_text_alone(self) -> None:
        clean = stripped_and_lowercased("A b", strip=False, lower=False)
        assert (clean.text, clean.stripped, clean.owners) == ("A b", 0, None)
