"""Sentences in several scripts, and offsets that never cut a character."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tercet.context.sentences import LONGEST, character_starts, sentence_spans, word_edges

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
JAPAN = "\N{REGIONAL INDICATOR SYMBOL LETTER J}\N{REGIONAL INDICATOR SYMBOL LETTER P}"
ACUTE = "\N{COMBINING ACUTE ACCENT}"

texts = st.lists(
    st.sampled_from(
        [*"aZé猫。！？.!?…\"') \n\r\t-1", FAMILY, JAPAN, ACUTE, "\ufe0f", "\u200d", "Dr. ", "e.g. "]
    ),
    max_size=60,
).map("".join)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said: "Go." Then (see above.) he went.', None),
        ("Dr. Smith and J. R. Jones of the U.S. Navy came at 3.5 p.m. with Fig. 3.", None),
        ("as shown by Li et al. (2003). No. 5 is e.g. Mr. Ito", None),
        ("Wait... what? Yes!", ["Wait... what?", "Yes!"]),
        ('"Go!" he said. "No." It was over.', ['"Go!" he said.', '"No."', "It was over."]),
        ("Really?! Indeed.", ["Really?!", "Indeed."]),
        ("猫である。名前は「まだ。」無い！何", ["猫である。", "名前は「まだ。」", "無い！", "何"]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
        ("A title\n\nwrapped\nline\r\n\r\nend", ["A title", "wrapped\nline", "end"]),
        ("To do:\n- one\n* two\n10. three", ["To do:", "- one", "* two", "10. three"]),
        (" \n\t ", []),
        ("", []),
    ],
)
def test_sentences_end_where_readers_see_it(text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = {
            "He": ['He said: "Go."', "Then (see above.) he went."],
            "Dr": [text],
            "as": ["as shown by Li et al. (2003).", "No. 5 is e.g. Mr. Ito"],
        }[text[:2]]
    assert sentences(text) == expected


def test_what_has_no_end_is_divided_between_words() -> None:
    parts = sentences("word " * 600)
    assert max(map(len, parts)) <= LONGEST < len(parts) * 500
    assert {word for part in parts for word in part.split()} == {"word"}
    assert [len(part) for part in sentences("x" * 2500)] == [1000, 1000, 500]
    assert sentences("x" * 999 + " " * 50 + "y") == ["x" * 999, "y"]
    assert sentences("x" * 1000 + " \n") == ["x" * 1000]
    assert sentences("x" * 999 + f"e{ACUTE * 5}") == ["x" * 999 + f"e{ACUTE * 5}"]
    assert {*"".join(sentences(FAMILY * LONGEST))} == {*FAMILY}
    assert len(sentences(FAMILY * LONGEST)) > 1


@pytest.mark.parametrize("endless", [".", "\n", " ", "。", "a ", "é ", '."', "\r\n", "!?", "- \n"])
def test_text_that_only_repeats_takes_no_longer(endless: str) -> None:
    sentence_spans(endless * 20_000)


def test_a_character_is_what_readers_see() -> None:
    assert character_starts(f"e{ACUTE}{FAMILY}{JAPAN}x\r\n").tolist() == [0, 2, 7, 9, 10, 12]
    assert character_starts("abc").tolist() == [0, 1, 2, 3]
    assert character_starts("").tolist() == [0]


def test_words_have_edges_in_every_script() -> None:
    assert word_edges("two words") == [3, 4, 9]
    assert word_edges("カタカナ語") == [4, 5]
    assert word_edges("") == []
    assert word_edges(FAMILY) == [len(FAMILY)]


@given(texts)
def test_sentences_are_in_order_and_leave_out_white_space_alone(text: str) -> None:
    spans = sentence_spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    between = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert all(not gap.strip() for gap in between)
    assert all(part.strip() and part == part.rstrip() for part in sentences(text))


@given(texts)
def test_no_character_is_cut(text: str) -> None:
    starts = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    assert set(character_starts(text).tolist()) == starts
    assert {edge for span in sentence_spans(text) for edge in span} <= starts
    assert set(word_edges(text)) <= starts
