"""Files of examples: each layout is read as a stream, bad lines are named by file and number."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tercet.errors import SourceError
from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.flag_embedding import write_flag_embedding
from tercet.training.datasets.layouts import ExampleFiles, layout_of
from tercet.training.datasets.pairs import is_held_out
from tercet.training.datasets.settings import DataSettings, read_examples, read_texts
from tercet.training.datasets.texts import TextFiles

LINE = {"query": "q", "pos": ["p"], "neg": ["n", "m"]}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(path: Path, **options: Any) -> list[Example]:
    return list(ExampleFiles([path], **options))


def test_flag_embedding_lines_are_read_with_scores_and_prompts(tmp_path: Path) -> None:
    rows = [
        {**LINE, "pos_scores": [2], "neg_scores": [0.5, -1], "type": "normal", "pos_id": ["d1"]},
        {"prompt": "find: ", "query": "q", "pos": ["p", "r"], "pos_scores": None},
        "",
        {"query": "q", "pos": ["p"], "neg": [], "pos_scores": [1.5]},
    ]
    assert read(write_lines(tmp_path / "train.jsonl.gz", rows)) == [
        Example("q", ("p",), ("n", "m"), (2,), (0.5, -1)),
        Example("find: q", ("p", "r")),
        Example("q", ("p",), (), (1.5,), ()),
    ]


def test_written_examples_are_read_again(tmp_path: Path) -> None:
    examples = [Example("ü", ("p", "r"), ("n",)), Example("q", ("p",), (), (0.1,), ())]
    path = tmp_path / "train.jsonl"
    assert write_flag_embedding(examples, path) == 2
    assert read(path) == examples
    assert [file.name for file in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: .* is no JSON object"),
        ({"query": "q", "pos": []}, "line 2: no positive"),
        ({"query": "q"}, "line 2: no positive"),
        ({"pos": ["p"]}, "line 2: 'query' is null, not a string"),
        ({"query": ["q"], "pos": ["p"]}, "line 2: 'query' is .*, not a string"),
        ({"query": "q", "pos": "p"}, "line 2: 'pos' is \"p\", not a list"),
        ({"query": "q", "pos": [{"text": "p"}]}, "line 2: positive 0 is {'text': 'p'}, not a str"),
        ({**LINE, "type": 3}, "line 2: 'type' is 3, not a string"),
        ({**LINE, "pos_scores": [1], "neg_scores": [1]}, "line 2: 1 scores for 2 negatives"),
        ({**LINE, "pos_scores": [1]}, "line 2: the positives have scores, the negatives have none"),
        ('{"query": "q", "pos": ["p"], "neg": [], "pos_scores": [NaN]}', "line 2: .* is nan"),
        ({**LINE, "pos_scores": ["1"], "neg_scores": [1, 2]}, "line 2: .* 0 is '1', not a number"),
    ],
)
def test_a_bad_line_of_flag_embedding_is_named(row: Any, message: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "train.jsonl", [LINE, row])
    with pytest.raises(SourceError, match=f"train.jsonl, {message}"):
        read(path)


def test_missing_negatives_and_scores_are_refused_only_where_they_are_needed(
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "train.jsonl", [LINE, {"query": "q", "pos": ["p"], "neg": []}])
    assert len(read(path)) == 2
    with pytest.raises(SourceError, match=r"train\.jsonl, line 2: 0 negatives, .* needs 1"):
        read(path, demand=Demand(negatives=1))
    with pytest.raises(SourceError, match=r"train\.jsonl, line 1: no scores"):
        read(path, demand=Demand(scores=True))


def test_columns_are_read_from_json_lines_and_tables(tmp_path: Path) -> None:
    triplet = Example("q, 1", ("p\n2",), ("n",))
    lines = write_lines(
        tmp_path / "a.jsonl", [{"anchor": "q, 1", "positive": "p\n2", "negative": "n"}]
    )
    (tmp_path / "b.csv").write_text('query,answer,negative\n"q, 1","p\n2",n\n\n', encoding="utf-8")
    (tmp_path / "c.tsv").write_text('question\tpositive\tn\nq, 1\t"p\n2"\tn\n', encoding="utf-8")
    assert read(lines) == read(tmp_path / "b.csv") == read(tmp_path / "c.tsv") == [triplet]


def test_lists_of_scores_go_to_the_documents(tmp_path: Path) -> None:
    row = {"anchor": "q", "positive": "p", "negative_1": "n", "negative_2": "m"}
    scored = [Example("q", ("p",), ("n", "m"), (3.0,), (1.0, 2.0))]
    assert read(write_lines(tmp_path / "a.jsonl", [{**row, "label": [3.0, 1.0, 2.0]}])) == scored
    table = 'anchor,positive,negative_1,negative_2,scores\nq,p,n,m,"[3.0, 1.0, 2.0]"\n'
    (tmp_path / "b.csv").write_text(table, encoding="utf-8")
    assert read(tmp_path / "b.csv") == scored


def test_columns_of_other_names_are_read_in_their_order_when_the_layout_is_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_text("frage,antwort\nq,p\n", encoding="utf-8")
    with pytest.raises(SourceError, match="its columns are frage, antwort; there are: flag-embed"):
        read(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", layout="sentence-transformers") == [Example("q", ("p",))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("anchor,positive\nq,p\nq\n", "line 3: 1 fields; there are 2 columns: anchor, positive"),
        ('anchor,positive\nq,"p" x\n', "line 2: ',' expected after '\"'; JSON lines need"),
        ("anchor,anchor\nq,p\n", "line 1: two columns have one name"),
        ("anchor,label\nq,p\n", "line 2: the columns are anchor, label; a query and a positive"),
        ("anchor,positive,label\nq,p,0.8\n", "line 2: 'label' is .*; a list belongs there"),
        ("anchor,positive,label\nq,p,good\n", "line 2: 'label' is 'good'; a list belongs there"),
        ("anchor,positive,label\nq,p,[]\n", "line 2: 0 scores for 1 positives"),
    ],
)
def test_a_bad_line_of_a_table_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=f"train.csv, {message}"):
        read(tmp_path / "train.csv", layout="sentence-transformers")


def test_json_lines_with_other_columns_than_the_first_are_named(tmp_path: Path) -> None:
    rows = [{"anchor": "q", "positive": "p"}, {"anchor": "q", "answer": "p"}]
    with pytest.raises(SourceError, match=r"line 2: the columns are anchor, answer; those of the"):
        read(write_lines(tmp_path / "a.jsonl", rows))


def beir(folder: Path) -> Path:
    corpus = [{"_id": f"d{n}", "title": "T" * (n == 1), "text": f"text {n}"} for n in range(4)]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", [{"_id": "a", "text": "one"}, {"_id": "b", "text": "2"}])
    header = "query-id\tcorpus-id\tscore"
    write_lines(folder / "qrels/train.tsv", [header, "a\td1\t1", "a\td2\t0"])
    write_lines(folder / "qrels.test.tsv", [header, "b\td3\t2"])
    return folder


def test_judgements_become_positives_and_negatives(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    assert read(folder) == [Example("one", ("T text 1",), ("text 2",))]
    assert read(folder, split="test") == [Example("2", ("text 3",))]
    with pytest.raises(SourceError, match=r"split 'dev' .* looked for qrels/dev.tsv, qrels.dev.ts"):
        read(folder, split="dev")


def test_a_judged_document_without_text_and_a_query_without_positive_are_named(
    tmp_path: Path,
) -> None:
    folder = beir(tmp_path)
    write_lines(folder / "qrels/train.tsv", ["a\td9\t1"])
    with pytest.raises(SourceError, match=r"train.tsv, query 'a': the document 'd9' is not in"):
        read(folder)
    write_lines(folder / "qrels/train.tsv", ["a\td1\t0"])
    with pytest.raises(SourceError, match=r"train.tsv, query 'a': no positive"):
        read(folder)


def pairs(folder: Path) -> Path:
    """Documents by the side of the split on which they are: t0 t1 ... and d0 d1 ..."""
    sides: dict[str, list[str]] = {"t": [], "d": []}
    for n in range(200):
        sides["d" if is_held_out(f"text {n}") else "t"].append(f"text {n}")
    rows = [
        {"_id": f"{side}{n}", "lang": "en", "title": "", "text": text}
        for side, texts in sides.items()
        for n, text in enumerate(texts[:3])
    ]
    write_lines(
        folder / "passages.jsonl", [*rows, {"_id": "de", "lang": "de", "title": "A", "text": "b"}]
    )
    queries = [
        {"_id": "1", "lang": "en", "query": "train?", "pos": ["t0"], "neg": ["t1", "d1"]},
        {"_id": "2", "lang": "en", "query": "dev?", "pos": ["d0"], "neg": []},
        {"_id": "3", "lang": "en", "query": "both?", "pos": ["t0", "d0"]},
        {"_id": "4", "lang": "de", "query": "deutsch?", "pos": ["de"]},
    ]
    write_lines(folder / "pairs.jsonl.gz", queries)
    return folder


def queries_of(folder: Path, **options: Any) -> list[str]:
    return [example.query for example in read(folder, **options)]


def test_a_folder_of_pairs_is_split_by_the_text_of_its_documents(tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    assert queries_of(folder) == ["train?", "dev?", "both?", "deutsch?"]
    assert queries_of(folder, split="dev") == ["dev?"]
    assert queries_of(folder, split="train", language="en") == ["train?"]
    train = read(folder, split="train", language="en")[0]
    assert (len(train.positives), len(train.negatives)) == (1, 2)
    assert is_held_out(train.negatives[1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"pos": ["nowhere"]}, "'pos' names 'nowhere', which is no document there"),
        ({"pos": []}, "no positive: 'pos' names no document"),
        ({"pos": "t0"}, "'pos' is 't0', not a list of ids"),
    ],
)
def test_a_bad_pair_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    (folder / "pairs.jsonl.gz").unlink()
    write_lines(folder / "pairs.jsonl", [{"_id": "1", "lang": "en", "query": "q", **row}])
    with pytest.raises(SourceError, match=f"pairs.jsonl, line 1: {message}"):
        read(folder)


def test_splits_that_are_not_there_are_refused(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "pairs")
    with pytest.raises(SourceError, match="no split 'test'; there are: train, dev"):
        read(folder, split="test")
    with pytest.raises(SourceError, match="no pairs of split 'dev' in the language 'de'"):
        read(folder, split="dev", language="de")
    file = write_lines(tmp_path / "train.jsonl", [LINE])
    with pytest.raises(SourceError, match="flag-embedding, which has no splits and languages"):
        read(file, split="train")


def test_a_path_of_no_layout_is_told_which_layouts_there_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        layout_of(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no layout 'parquet'; there are: flag-embedding, sent"):
        layout_of(tmp_path, "parquet")
    with pytest.raises(SourceError, match="of no layout that we know; there are: flag-embedding: "):
        layout_of(tmp_path)
    empty = write_lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(SourceError, match="of no layout that we know; there are"):
        layout_of(empty)


def test_texts_are_read_from_lines_and_collections(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \n", encoding="utf-8")
    lines = write_lines(tmp_path / "b.jsonl", [{"title": "T", "text": "three"}, {"text": "four"}])
    paths = [tmp_path / "a.txt", lines, beir(tmp_path / "beir"), pairs(tmp_path / "pairs")]
    texts = list(TextFiles(paths[:2]))
    assert texts == ["one", "two", "T three", "four"]
    assert list(TextFiles(paths[2:3])) == ["text 0", "T text 1", "text 2", "text 3"]
    assert len(list(TextFiles(paths[3:]))) == 7
    assert list(TextFiles(paths[3:], language="de")) == ["A b"]
    train = list(TextFiles(paths[3:], split="train", language="en"))
    assert len(train) == 3
    assert not any(map(is_held_out, train))
    assert all(map(is_held_out, TextFiles(paths[3:], split="dev", language="en")))
    with pytest.raises(SourceError, match="no split 'test'; there are: train, dev"):
        list(TextFiles(paths[3:], split="test"))


def test_texts_of_no_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        TextFiles([tmp_path / "nowhere.txt"])
    (tmp_path / "a.pdf").touch()
    with pytest.raises(SourceError, match=r"of no form that is read; there are: \.txt"):
        TextFiles([tmp_path / "a.pdf"])


def test_a_recipe_names_its_data(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "train.jsonl", [{**LINE, "query": f"q{n}"} for n in range(20)])
    (tmp_path / "texts.txt").write_text("one\ntwo\n", encoding="utf-8")
    settings = DataSettings(examples=(path,), texts=(tmp_path / "texts.txt",), limit=5)
    some = read_examples(settings)
    assert len(some) == 5
    assert some == read_examples(settings)
    assert read_texts(settings) == ["one", "two"]
    with pytest.raises(SourceError, match="line 1: 2 negatives, and this training needs 3"):
        read_examples(settings, demand=Demand(negatives=3))


def test_a_recipe_without_data_says_which_key_lacks(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no examples are named, .*: \[data\] examples"):
        read_examples(DataSettings())
    with pytest.raises(SourceError, match=r"no texts are named, .*: \[data\] texts"):
        read_texts(DataSettings())
    (tmp_path / "texts.txt").touch()
    with pytest.raises(SourceError, match=r"nothing is in .*texts\.txt"):
        read_texts(DataSettings(texts=(tmp_path / "texts.txt",)))
