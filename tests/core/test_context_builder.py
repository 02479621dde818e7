"""Contexts: never over the budget, never beside the text, nothing twice, whatever is given."""

from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.callable_encoder import CallableEncoder
from tercet.context.builder import Context, ContextBuilder
from tercet.context.counting import token_counter
from tercet.context.layout import Order
from tercet.context.sentences import character_starts
from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.encoder import Token
from tercet.errors import MissingViewError, ModelMismatchError
from tercet.ranking import Hit, Ranking
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

QUERY = "where do owls sleep?"

OWLS = "Owls sleep in hollow trees by day. Their eyes are large."
TOWER = "The owls of the old tower sleep where nobody sees them."
NIGHT = "The night was long and nobody spoke. Rain fell on the roof for hours on end."
LONG = " ".join([NIGHT, "It rained.", OWLS, NIGHT.replace("night", "day"), "An end."])


def words(text: str) -> int:
    return len(text.split())


COUNTERS: dict[str, Callable[[str], int]] = {
    "cl100k_base": token_counter("cl100k_base"),
    "words": words,
    "characters": len,
    "bytes": lambda text: len(text.encode(errors="replace")),
    "more than the parts": lambda text: len(text) ** 2 // 20,
    "less than the parts": lambda text: 7 + len(text) // 9,
}


@pytest.fixture(scope="module")
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def builder(encoder: HashEncoder) -> ContextBuilder:
    return ContextBuilder(encoder, counter=words, passage_tokens=12)


def documents(*texts: str) -> list[Document]:
    return [Document(id=f"d{n}", text=text) for n, text in enumerate(texts)]


def check(context: Context, given_: Sequence[Hit | Document], builder: ContextBuilder) -> None:
    """What holds for every context."""
    of = [hit.document if isinstance(hit, Hit) else hit for hit in given_]
    layout, pieces = builder.layout, context.pieces
    assert context.text == layout.separator.join(piece.label + piece.text for piece in pieces)
    assert context.tokens <= context.budget
    assert context.tokens == (builder.counter(context.text) if pieces else 0)
    assert [piece.number for piece in pieces] == list(range(1, len(pieces) + 1))
    for piece in pieces:
        document = of[piece.place]
        assert (piece.document_id, piece.text) == (
            document.id,
            document.text[piece.start : piece.end],
        )
        assert piece.text == piece.text.rstrip() != ""
        assert {piece.start, piece.end} <= set(character_starts(document.text).tolist())
    spans = sorted((piece.place, piece.start, piece.end) for piece in pieces)
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(spans))
    if layout.order == "document":
        assert [(piece.place, piece.start, piece.end) for piece in pieces] == spans
    else:
        scores = [piece.score for piece in pieces]
        assert scores == sorted(scores, reverse=True)
    shown = {piece.place for piece in pieces}
    assert len(shown) + len(context.left_out) + len(context.repeated) == len(of)
    assert len({" ".join(of[place].text.split()) for place in shown}) == len(shown)


pieces_of_text = st.sampled_from(
    [
        *(
            "Owls sleep here. ",
            "Results. ",
            "The owl of the old tower sleeps by day and hunts at night. ",
        ),
        *(
            "猫は木で眠る。",
            "夜に鳴く！",
            "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}",
            "e\N{COMBINING ACUTE ACCENT}",
        ),
        *("\n\n", "x" * 90, "3.5 ", "“Who?” ", "<|endoftext|>", "\ud800"),
    ]
)
texts = st.lists(st.lists(pieces_of_text, max_size=12).map("".join), max_size=5)


@given(
    texts,
    st.integers(1, 80),
    st.sampled_from(sorted(COUNTERS)),
    st.sampled_from([("document", ""), ("score", "[{number}] "), ("document", "<{id}>\n")]),
    st.sampled_from([None, HashEncoder()]),
)
def test_every_context_keeps_its_promises(
    found: list[str],
    budget: int,
    counter: str,
    layout: tuple[Order, str],
    encoder: HashEncoder | None,
) -> None:
    order, label = layout
    builder = ContextBuilder(
        encoder,
        counter=COUNTERS[counter],
        order=order,
        label=label,
        passage_tokens=10,
    )
    hits = [Hit(d, 1 / n, {}, n) for n, d in enumerate(documents(*found), start=1)]
    check(builder.build(QUERY, hits, budget=budget), hits, builder)


def test_documents_that_all_fit_are_shown_whole(builder: ContextBuilder) -> None:
    hits = [
        Hit(d, 0.5 / n, {}, n)
        for n, d in enumerate(documents(f"{LONG} {TOWER}", f"{TOWER} Whole."), 1)
    ]
    context = builder.build(QUERY, Ranking(tuple(hits)), budget=80)
    assert (
        context.text == f"[1] {LONG} {TOWER}\n\n[2] Whole."
    )  # the rest of the second is in the first
    assert [piece.score for piece in context.pieces] == [0.5, 0.25]
    assert (context.tokens, context.budget) == (words(context.text), 80)
    assert context.left_out == context.repeated == ()


def test_of_long_documents_the_passages_nearest_the_query_are_shown(
    builder: ContextBuilder,
) -> None:
    given_ = documents(LONG, NIGHT + " Nothing of the kind was ever seen again in this town.")
    context = builder.build(QUERY, given_, budget=14)
    assert context.text == f"[1] {OWLS}"
    assert context.left_out == ("d1",)
    wider = builder.build(QUERY, given_, budget=24)
    assert OWLS in wider.text
    assert wider.tokens > 14
    assert not any(piece.cut for piece in wider.pieces)


def test_passages_that_follow_each_other_become_one_piece(encoder: HashEncoder) -> None:
    sentences = ContextBuilder(encoder, counter=words, passage_tokens=1, label="")
    context = sentences.build("owls sleep large eyes", documents(LONG), budget=11)
    assert [piece.text for piece in context.pieces] == [OWLS]


def test_the_first_passage_without_room_is_shown_as_far_as_there_is(
    encoder: HashEncoder,
) -> None:
    builder = ContextBuilder(encoder, counter=words, passage_tokens=13, label="")
    begun = f"{OWLS} Nobody saw an owl there. None."
    context = builder.build(QUERY, documents(f"{begun} The night was long. It went."), budget=17)
    assert context.text == begun
    assert not any(piece.cut for piece in context.pieces)


def test_pieces_stand_in_the_order_asked_for(encoder: HashEncoder) -> None:
    far = f"{NIGHT} {OWLS}"
    near = "Where do owls sleep? In trees. " + NIGHT.replace("Rain", "Snow")
    by_place = ContextBuilder(encoder, counter=words, passage_tokens=8)
    by_score = ContextBuilder(encoder, counter=words, passage_tokens=8, order="score")
    assert [p.place for p in by_place.build(QUERY, documents(far, near), budget=18).pieces] == [
        0,
        1,
    ]
    assert [p.place for p in by_score.build(QUERY, documents(far, near), budget=18).pieces] == [
        1,
        0,
    ]


def test_without_an_encoder_documents_are_whole_or_left_out() -> None:
    builder = ContextBuilder(counter=words, label="")
    context = builder.build(QUERY, documents(OWLS, LONG, "Short."), budget=20)
    assert context.text == f"{OWLS}\n\nShort."
    assert context.left_out == ("d1",)


def test_a_sentence_longer_than_the_budget_is_cut_and_reported() -> None:
    builder = ContextBuilder(counter=words, label="")
    (piece,) = builder.build(QUERY, documents(OWLS), budget=3).pieces
    assert (piece.text, piece.cut) == ("Owls sleep in", True)
    (piece,) = builder.build(QUERY, documents(OWLS), budget=9).pieces
    assert (piece.text, piece.cut) == ("Owls sleep in hollow trees by day.", False)
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    letters = ContextBuilder(counter=len, label="")
    (piece,) = letters.build(QUERY, documents("abcdef" + family), budget=8).pieces
    assert (piece.text, piece.cut) == ("abcdef", True)
    assert letters.build(QUERY, documents(family), budget=2).pieces == ()


def test_nothing_fits_in_no_room() -> None:
    builder = ContextBuilder(counter=len, label="[{number}] ")
    context = builder.build(QUERY, documents("a", ""), budget=4)
    assert context == Context("", (), 0, 4, ("d0", "d1"), ())
    assert builder.build(QUERY, [], budget=1).text == ""


def test_a_text_is_shown_once(builder: ContextBuilder) -> None:
    context = builder.build(
        QUERY, documents(OWLS, "Results. A.", f" {OWLS}\n", "Results. B."), budget=50
    )
    assert context.text == f"[1] {OWLS}\n\n[2] Results. A.\n\n[3] Results. B."
    assert context.repeated == ("d2",)


def test_chunks_that_overlap_do_not_repeat_sentences(builder: ContextBuilder) -> None:
    one, two = (
        "Owls sleep in the hollow trees of the north.",
        "The day is their night, as it were, here.",
    )
    three = "They wake when the lamps are lit in town."
    context = builder.build(QUERY, documents(f"{one} {two}", f"{two} {three}", two), budget=90)
    assert [piece.text for piece in context.pieces] == [f"{one} {two}", three]
    assert context.repeated == ("d2",)


def test_a_text_left_out_does_not_count_as_repeated() -> None:
    context = ContextBuilder(counter=words).build(QUERY, documents("Owl.", LONG, LONG), budget=3)
    assert (context.left_out, context.repeated) == (("d1", "d2"), ())


def test_labels_are_formats(encoder: HashEncoder) -> None:
    document = Document(id="a", text="Owls.", header="About owls\n", metadata={"year": 1999})
    label = "<{number} {id} {header}{metadata[year]}> "
    builder = ContextBuilder(encoder, counter=words, label=label, separator="---")
    assert builder.build(QUERY, [document], budget=9).text == "<1 a About owls\n1999> Owls."
    for wrong in ("{metadata[title]}", "{title}", "{header.x}", "{number", "{0}"):
        with pytest.raises(ValueError, match="cannot be written for document 'a'"):
            ContextBuilder(counter=words, label=wrong).build(QUERY, [document], budget=9)


def test_a_header_counts_for_the_scores_and_not_for_the_offsets(encoder: HashEncoder) -> None:
    builder = ContextBuilder(encoder, counter=words, passage_tokens=12)
    plain = builder.build(QUERY, documents(LONG), budget=14).pieces[0]
    headed = Document(id="d0", text=LONG, header="Where do owls sleep?\n")
    assert builder.build(QUERY, [headed], budget=14).pieces[0] == plain


class Counting(HashEncoder):
    """Notes which documents it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.encoded += texts
        return super().encode_documents(texts)


def test_a_document_is_encoded_once_and_not_if_an_index_has_it() -> None:
    encoder = Counting()
    with Retriever.create(encoder=encoder) as retriever:
        retriever.add(documents(LONG))
        encoder.encoded.clear()
        builder = ContextBuilder(encoder, counter=words, passage_tokens=12, index=retriever.index)
        other = f"{NIGHT} The owls of the old tower never sleep."
        stored = builder.build(QUERY, documents(LONG, other), budget=14)
        assert encoder.encoded == [other]
        fresh = ContextBuilder(encoder, counter=words, passage_tokens=12)
        assert fresh.build(QUERY, documents(LONG, other), budget=14).text == stored.text
        assert encoder.encoded == [other, LONG, other]
        fresh.build(QUERY, documents(OWLS), budget=20)  # it fits: nothing to choose
        assert len(encoder.encoded) == 3


def test_an_index_of_another_model_is_refused(encoder: HashEncoder) -> None:
    other = Retriever.create(encoder=HashEncoder(8, 8))
    with other, pytest.raises(ModelMismatchError):
        ContextBuilder(encoder, counter=words, index=other.index)


def test_passages_without_a_token_vector_come_last() -> None:
    class Cut(HashEncoder):
        """Reads the first six words."""

        def encode_documents(
            self, texts: Sequence[str], *, show_progress: bool = False
        ) -> Embeddings:
            return super().encode_documents([" ".join(text.split()[:6]) for text in texts])

        def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
            return [tokens[:6] for tokens in super().tokens(texts)]

    text = "Nobody knows the owl of night now. Where do owls sleep?"
    builder = ContextBuilder(Cut(), counter=words, passage_tokens=1, label="", order="score")
    assert (
        builder.build(QUERY, documents(text), budget=7).text == "Nobody knows the owl of night now."
    )


def test_tokens_that_do_not_answer_for_the_vectors_are_refused() -> None:
    class Wrong(HashEncoder):
        def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
            return [tokens[1:] for tokens in super().tokens(texts)]

    with pytest.raises(ValueError, match=r"document 'd0' has \d+ token vectors, but .* \d+ tokens"):
        ContextBuilder(Wrong(), counter=words).build(QUERY, documents(LONG), budget=9)


def test_views_that_were_promised_must_come() -> None:
    class Empty(HashEncoder):
        def encode_queries(
            self, texts: Sequence[str], *, show_progress: bool = False
        ) -> Embeddings:
            return Embeddings.from_dense([[1.0]])

    with pytest.raises(MissingViewError, match="the encoder gave no token vectors"):
        ContextBuilder(Empty(), counter=words).build(QUERY, documents(LONG), budget=9)


async def test_async_gives_the_same(builder: ContextBuilder) -> None:
    given_ = documents(LONG, OWLS)
    assert await builder.abuild(QUERY, given_, budget=20) == builder.build(QUERY, given_, budget=20)


def test_wrong_arguments_are_refused_by_name(encoder: HashEncoder, builder: ContextBuilder) -> None:
    dense = CallableEncoder(lambda t: [[1.0]] * len(t), lambda t: [[1.0]] * len(t), name="x")
    with pytest.raises(TypeError, match="encoder is a CallableEncoder, without tokens"):
        ContextBuilder(dense)
    with pytest.raises(MissingViewError, match="no token vectors; it has dense"):
        ContextBuilder(HashEncoder(representations=["dense"]))
    with pytest.raises(ValueError, match="no order 'random'; there are: document, score"):
        ContextBuilder(order="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="passage_tokens is 0"):
        ContextBuilder(passage_tokens=0)
    with pytest.raises(TypeError, match="counter is 3"):
        ContextBuilder(counter=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a query is one string"):
        builder.build(["q"], [], budget=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="budget is True"):
        builder.build("q", [], budget=True)
    with pytest.raises(ValueError, match="budget is 0"):
        builder.build("q", [], budget=0)
    with pytest.raises(TypeError, match="hits is a Document"):
        builder.build("q", documents("a")[0], budget=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"hits\[0\] is a str"):
        builder.build("q", ["a"], budget=1)  # type: ignore[list-item]


def test_a_context_does_not_change(builder: ContextBuilder) -> None:
    context = builder.build(QUERY, documents(OWLS), budget=20)
    with pytest.raises(FrozenInstanceError):
        context.text = ""  # type: ignore[misc]


def test_an_index_needs_an_encoder(encoder: HashEncoder) -> None:
    retriever = Retriever.create(encoder=encoder)
    with retriever, pytest.raises(ValueError, match="index= holds vectors"):
        ContextBuilder(counter=words, index=retriever.index)
