"""Whole words are hidden, in every script and with every kind of vocabulary."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tercet.training.guessing.masking import UNSCORED, Pieces, choose_words, mask_words, words


def numbered(terms: list[str], *, special: tuple[str, ...] = ("<s>", "</s>")) -> list[int]:
    """The words of a text whose vocabulary is its own tokens."""
    inside: NDArray[np.bool_] = np.array([term not in special for term in terms], dtype=np.bool_)
    return words(np.arange(len(terms)), inside, Pieces.of(terms)).tolist()


def test_pieces_of_wordpiece_continue_a_word() -> None:
    terms = ["<s>", "un", "##believ", "##able", ",", "yes", "</s>"]
    assert numbered(terms) == [-1, 0, 0, 0, 1, 2, -1]


def test_pieces_of_sentencepiece_continue_a_word_letter_to_letter() -> None:
    terms = ["<s>", "\u2581un", "believ", "able", ",", "\u2581ye", "s", "\u2581", "!", "</s>"]
    assert numbered(terms) == [-1, 0, 0, 0, 1, 2, 2, 3, 4, -1]


def test_a_space_of_its_own_belongs_to_the_word_behind_it() -> None:
    assert numbered(["<s>", "\u2581", "token", "izer", "</s>"]) == [-1, 0, 0, 0, -1]


def test_pieces_of_bytes_continue_a_word() -> None:
    assert numbered(["<s>", "Hel", "lo", "\u0120wor", "ld", ".", "</s>"]) == [-1, 0, 0, 1, 1, 2, -1]


def test_a_long_run_without_spaces_is_masked_token_by_token() -> None:
    run = ["\u2581東京", "は", "日本", "の", "首都", "で", "ある", "と", "人", "は", "言う"]
    assert numbered(["<s>", *run, "</s>"]) == [-1, *range(11), -1]
    assert set(numbered(["<s>", *run[:8], "</s>"])[1:-1]) == {0}


def test_a_text_without_tokens_has_no_words() -> None:
    assert numbered(["<s>", "</s>"]) == [-1, -1]


def test_a_special_token_ends_a_word() -> None:
    assert numbered(["<s>", "\u2581a", "</s>", "b"]) == [-1, 0, -1, 1]


def test_words_are_hidden_whole_and_special_tokens_never() -> None:
    word_of = np.array([-1, 0, 0, 1, 2, 2, 2, 3, 4, -1])
    for seed in range(20):
        chosen = choose_words(word_of, share=0.4, random=np.random.default_rng(seed))
        assert not chosen[[0, -1]].any()
        for word in range(5):
            assert len(set(chosen[word_of == word].tolist())) == 1
        assert 4 <= chosen.sum() + 1 <= 7  # 0.4 of 8 tokens, and at most a word beyond


def test_at_least_one_word_is_hidden() -> None:
    word_of = np.array([-1, 0, 1, 1, -1])
    assert choose_words(word_of, share=0.0, random=np.random.default_rng(1)).any()
    assert not choose_words(np.array([-1]), share=0.5, random=np.random.default_rng(1)).any()


def test_hidden_tokens_become_the_mask_any_token_or_stay() -> None:
    ids = np.full(4000, 7)
    masked = mask_words(
        ids,
        np.arange(4000),
        share=1.0,
        mask_id=3,
        vocabulary=1000,
        random=np.random.default_rng(0),
    )
    assert (ids == 7).all()
    assert (masked.labels == 7).all()
    assert np.mean(masked.ids == 3) == pytest.approx(0.8, abs=0.02)
    assert np.mean(masked.ids == 7) == pytest.approx(0.1, abs=0.02)


def test_labels_stand_where_words_are_hidden_alone() -> None:
    ids = np.arange(100, 110)
    word_of = np.array([-1, 0, 0, 1, 1, 2, 2, 3, 3, -1])
    masked = mask_words(
        ids, word_of, share=0.5, mask_id=3, vocabulary=50, random=np.random.default_rng(5)
    )
    guessed = masked.labels != UNSCORED
    assert guessed.sum() == 4
    assert (masked.labels[guessed] == ids[guessed]).all()
    assert (masked.ids[~guessed] == ids[~guessed]).all()
