"""Documents in, ranked documents out, over the encoder that needs no weights."""

import asyncio
import copy
import gc
import inspect
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding.options import LoadOptions
from tercet.errors import MissingViewError, ModelMismatchError, TercetError
from tercet.indexes.base import Index
from tercet.indexes.ingest import BATCH_DOCUMENTS
from tercet.plans import Plan
from tercet.retriever import Retriever
from tercet.testing import HashEncoder
from tercet.testing.checkpoints import write_bge_m3, write_dense

TEXTS = {
    "cat": "the cat sat on the mat",
    "dog": "a dog ran through the park",
    "sun": "the sun is a star of the milky way",
    "sea": "fish swim in the deep blue sea",
}
DOCUMENTS = [
    Document(id=name, text=text, metadata={"lang": "en", "length": len(text)})
    for name, text in TEXTS.items()
]


class EncoderThatCounts(HashEncoder):
    """Remembers how many documents each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.sizes.append(len(texts))
        return super().encode_documents(texts)


@pytest.fixture
def retriever(tmp_path: Path) -> Iterator[Retriever]:
    with Retriever.create(tmp_path / "idx", encoder=HashEncoder()) as made:
        made.add(DOCUMENTS)
        yield made


@pytest.mark.parametrize(
    "plan",
    [
        None,
        "dense",
        "sparse",
        "multi_vector",
        "dense>multi_vector",
        "dense+sparse",
        "hybrid",
        "rrf",
    ],
)
def test_every_plan_finds_the_document_that_has_the_words(
    retriever: Retriever, plan: str | None
) -> None:
    hits = retriever.retrieve("deep blue sea", k=2, plan=plan)
    assert hits[0].document.id == "sea"
    assert hits[0].document.text == TEXTS["sea"]
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_a_hit_shows_the_score_of_each_view_of_the_plan(retriever: Retriever) -> None:
    plan = Plan({"dense": 10}, {"dense": 2.0, "sparse": 0.5})
    hit = retriever.retrieve("blue sea", plan=plan)[0]
    assert set(hit.scores) == {"dense", "sparse"}
    assert hit.score == pytest.approx(2 * hit.scores["dense"] + 0.5 * hit.scores["sparse"])


def test_a_filter_leaves_only_what_passes(retriever: Retriever) -> None:
    hits = retriever.retrieve("the", k=10, filter={"length": {"$lt": 25}})
    assert {hit.document.id for hit in hits} == {"cat"}


def test_adding_again_skips_what_has_not_changed(retriever: Retriever) -> None:
    changed = Document(id="cat", text="the cat left")
    report = retriever.add([*DOCUMENTS[1:], changed])
    assert (report.committed, report.replaced, report.skipped) == (1, 1, 3)
    assert retriever.index.get(["cat"])[0].text == "the cat left"


def test_of_equal_ids_the_last_wins_and_is_reported(retriever: Retriever) -> None:
    report = retriever.add([Document(id="x", text="first"), Document(id="x", text="second")])
    assert report.duplicate_ids == ("x",)
    assert retriever.index.get(["x"])[0].text == "second"


def test_equal_ids_in_distant_batches_are_reported_too(retriever: Retriever) -> None:
    many = [Document(id=f"n{n}", text="word") for n in range(BATCH_DOCUMENTS + 1)]
    report = retriever.add([*many, Document(id="n0", text="another")])
    assert report.duplicate_ids == ("n0",)
    assert retriever.index.get(["n0"])[0].text == "another"


def test_a_stream_is_read_in_batches(retriever: Retriever) -> None:
    encoder = EncoderThatCounts()
    with Retriever(encoder, retriever.index) as streaming:
        report = streaming.add(Document(id=f"s{n}", text=f"t {n}") for n in range(300))
    assert report.committed == 300
    assert max(encoder.sizes) <= BATCH_DOCUMENTS


def test_long_texts_fill_a_batch_early(retriever: Retriever) -> None:
    long = [Document(id=f"long{n}", text="word " * 300_000) for n in range(2)]
    assert retriever.add(long).committed == 2


def test_deleted_documents_are_not_found(retriever: Retriever) -> None:
    assert retriever.delete(["sea", "nothing"]) == 1
    assert "sea" not in {hit.document.id for hit in retriever.retrieve("sea", k=10)}


def test_k_beyond_the_corpus_gives_the_corpus(retriever: Retriever) -> None:
    assert len(retriever.retrieve("the", k=1000, plan="dense")) == len(TEXTS)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(retriever: Retriever, k: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        retriever.retrieve("x", k=k)


def test_wrong_types_are_refused(retriever: Retriever) -> None:
    with pytest.raises(TypeError, match="whole number"):
        retriever.retrieve("x", k="3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one string"):
        retriever.retrieve(["x"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="iterable of Document belongs there"):
        retriever.add("a text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no Document"):
        retriever.add(["a text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="no Document"):
        retriever.add([DOCUMENTS[0], "a text"])  # type: ignore[list-item]


def test_an_unknown_plan_names_the_known_ones(retriever: Retriever) -> None:
    with pytest.raises(ValueError, match="no plan 'hybird'; there are: dense"):
        retriever.retrieve("x", plan="hybird")


def test_given_views_take_the_place_of_encoded_ones(retriever: Retriever) -> None:
    sea = retriever.encoder.encode_queries(["fish swim in the deep blue sea"])
    given = Embeddings(dense=sea.dense)
    by_vector = retriever.retrieve("the sun", plan="dense", embeddings=given)
    assert by_vector[0].document.id == "sea"
    mixed = retriever.retrieve("the sun", plan="dense+sparse", embeddings=given)
    assert mixed[0].scores["dense"] == pytest.approx(by_vector[0].scores["dense"])
    with pytest.raises(ValueError, match="of 2 queries"):
        retriever.retrieve("x", embeddings=Embeddings(dense=np.zeros((2, 64), np.float32)))


def test_diversity_prefers_what_is_unlike_the_first(tmp_path: Path) -> None:
    documents = [
        Document(id="a", text="red green blue"),
        Document(id="b", text="red green blue"),
        Document(id="c", text="red yellow"),
    ]
    with Retriever.create(tmp_path / "idx", encoder=HashEncoder()) as retriever:
        retriever.add(documents)
        alike = retriever.retrieve_diverse("red green blue", k=2, diversity=0.0)
        unlike = retriever.retrieve_diverse("red green blue", k=2, diversity=0.7)
    assert [hit.document.id for hit in alike] == ["a", "b"]
    assert [hit.document.id for hit in unlike] == ["a", "c"]
    assert [hit.rank for hit in unlike] == [1, 2]


def test_diversity_needs_the_dense_view(tmp_path: Path) -> None:
    encoder = HashEncoder(representations=("sparse",))
    with Retriever.create(tmp_path / "idx", encoder=encoder) as retriever:
        retriever.add(DOCUMENTS)
        with pytest.raises(MissingViewError, match="dense view"):
            retriever.retrieve_diverse("x")


def test_an_index_can_keep_fewer_views_than_the_model_makes(tmp_path: Path) -> None:
    views = ("dense", "sparse")
    encoder = HashEncoder()
    with Retriever.create(tmp_path / "i", encoder=encoder, representations=views) as retriever:
        retriever.add(DOCUMENTS)
        assert set(retriever.retrieve("blue sea")[0].scores) == {"dense", "sparse"}
        with pytest.raises(MissingViewError, match="multi_vector"):
            retriever.retrieve("blue sea", plan="multi_vector")


def test_the_asynchronous_methods_give_the_same(retriever: Retriever) -> None:
    async def run() -> list[str]:
        await retriever.aadd([Document(id="new", text="entirely new words")])
        await retriever.adelete(["cat"])
        return [hit.document.id for hit in await retriever.aretrieve("new words", k=1)]

    assert asyncio.run(run()) == ["new"]
    assert len(retriever.index) == len(TEXTS)


def test_another_model_is_refused(retriever: Retriever) -> None:
    with pytest.raises(ModelMismatchError, match="vectors of hash-encoder"):
        Retriever(HashEncoder(dense_dim=8), retriever.index)


def test_other_document_options_are_refused_before_anything_is_encoded(
    retriever: Retriever,
) -> None:
    encoder = EncoderThatCounts()
    options = {"long_documents": "plain"}
    encoder._spec = replace(encoder.spec, document_id="other", options=options)
    again = Retriever(encoder, retriever.index)
    assert again.retrieve("blue sea")[0].document.id == "sea"
    with pytest.raises(ModelMismatchError, match="long_documents None there and 'plain' here"):
        again.add([Document("new", "text")])
    assert encoder.sizes == []


def test_an_index_without_a_loadable_model_wants_the_encoder(tmp_path: Path) -> None:
    with Retriever.create(tmp_path / "idx", encoder=HashEncoder()) as retriever:
        retriever.add(DOCUMENTS)
    with pytest.raises(TercetError, match="pass the encoder"):
        Retriever.open(tmp_path / "idx")
    with Retriever.open(tmp_path / "idx", encoder=HashEncoder()) as again:
        assert again.retrieve("blue sea")[0].document.id == "sea"


def test_the_options_of_create_are_those_of_the_encoder() -> None:
    of_encoder = inspect.signature(Encoder.from_pretrained).parameters
    assert set(LoadOptions.__annotations__) == set(of_encoder) - {"source"}


def test_model_options_beside_a_loaded_encoder_are_refused() -> None:
    with pytest.raises(TypeError, match="dtype"):
        Retriever.create(encoder=HashEncoder(), dtype="float32")


def test_a_temporary_index_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    retriever = Retriever.create(encoder=HashEncoder())
    retriever.add(DOCUMENTS)
    (folder,) = tmp_path.iterdir()
    index = retriever.index
    del retriever
    gc.collect()
    assert len(index) == len(DOCUMENTS)  # somebody holds it still
    del index
    gc.collect()
    assert not folder.exists()


def test_copies_are_the_same_object_and_pickles_are_refused(retriever: Retriever) -> None:
    assert copy.deepcopy(retriever) is retriever
    with pytest.raises(TypeError, match=r"Retriever\.open"):
        pickle.dumps(retriever)
    assert "Retriever(" in repr(retriever)


def test_progress_goes_to_stderr(retriever: Retriever, capsys: pytest.CaptureFixture[str]) -> None:
    retriever.add([Document(id="p", text="progress")], show_progress=True)
    captured = capsys.readouterr()
    assert "indexing" in captured.err
    assert captured.out == ""


def test_the_index_serves_readers_opened_beside_it(retriever: Retriever, tmp_path: Path) -> None:
    with Index.open(tmp_path / "idx", read_only=True) as reader:
        queries = retriever.encoder.encode_queries(["blue sea"])
        assert reader.search(queries, k=1)[0][0].document.id == "sea"


def test_one_document_given_twice_is_reported_as_a_duplicate(retriever: Retriever) -> None:
    document = Document(id="twice", text="the same object")
    report = retriever.add([document, document])
    assert (report.committed, report.duplicate_ids) == (1, ("twice",))


@pytest.mark.parametrize("given", ["text", b"text", None, 5, {"id": "x"}, Document("x", "text")])
def test_documents_that_are_no_iterable_of_documents_are_refused(
    retriever: Retriever, given: object
) -> None:
    with pytest.raises(TypeError, match="an iterable of Document belongs there"):
        retriever.add(given)  # type: ignore[arg-type]


def test_embeddings_that_are_raw_arrays_are_refused(retriever: Retriever) -> None:
    with pytest.raises(TypeError, match="embeddings are a list, not Embeddings"):
        retriever.retrieve("sea", embeddings=[[1.0]])  # type: ignore[arg-type]


def test_lone_surrogates_are_reported_once_a_call(tmp_path: Path) -> None:
    model = write_dense(tmp_path / "model")
    count = BATCH_DOCUMENTS + 1
    with (
        Retriever.create(tmp_path / "idx", model=str(model)) as retriever,
        pytest.warns(UserWarning, match=f"{count} documents have lone surrogates") as said,
    ):
        retriever.add(Document(id=str(n), text=f"{n} \ud800") for n in range(count))
    assert len(said) == 1
    assert said[0].filename == __file__


def test_an_encoder_of_no_view_is_refused() -> None:
    with pytest.raises(ValueError, match="no view was asked for; there are: dense"):
        HashEncoder(representations=[])


def test_what_was_cut_is_reported_once_a_call(tmp_path: Path) -> None:
    model = write_bge_m3(tmp_path / "model")
    created = Retriever.create(
        tmp_path / "idx",
        model=str(model),
        dtype="float32",
        long_documents="plain",
        document_tokens=16,
    )
    many = [Document(id=f"d{n}", text="the cat sat on the mat " * 20) for n in range(300)]
    with (
        created as retriever,
        pytest.warns(UserWarning, match="300 documents were cut; the first: 'd0' has") as caught,
    ):
        retriever.add(many)
    assert len(caught) == 1


def test_the_last_of_equal_ids_wins_though_the_index_has_its_text(tmp_path: Path) -> None:
    with Retriever.create(tmp_path / "idx", encoder=HashEncoder()) as retriever:
        retriever.add([Document(id="x", text="as stored")])
        filler = [Document(id=f"f{n}", text="filler") for n in range(BATCH_DOCUMENTS)]
        again = Document(id="x", text="as stored")
        report = retriever.add([Document(id="x", text="another"), *filler, again])
        assert retriever.index.get(["x"])[0].text == "as stored"
    assert report.duplicate_ids == ("x",)
