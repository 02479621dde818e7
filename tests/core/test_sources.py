"""Files into documents: every form that is read, and what is said about one that is not."""

import gzip
import json
import operator
import os
from pathlib import Path
from typing import Any

import pytest

from tercet.documents import Document
from tercet.errors import SourceError, TercetError
from tercet.sources.beir import choices, find_choice
from tercet.sources.files import DocumentFiles
from tercet.sources.jsonl import documents_of


def write_lines(path: Path, *records: dict[str, Any]) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(*paths: Path, corpus: str | None = None) -> list[Document]:
    return list(DocumentFiles(paths, corpus=corpus))


def parse(*lines: bytes) -> list[Document]:
    return list(documents_of(lines, name="stdin"))


def test_a_text_file_is_a_document_under_its_name(tmp_path: Path) -> None:
    path = write_text(tmp_path / "note.txt", "two\nlines\n")
    assert read(path) == [Document(id="note.txt", text="two\nlines\n")]


def test_a_folder_is_walked_in_order_and_hidden_files_stay_out(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/.secret.txt", ".git/x.md", "picture.png"):
        write_text(tmp_path / name, name)
    assert [d.id for d in read(tmp_path)] == ["a/z.txt", "b.md"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_bytes(b"\xef\xbb\xbf# Title")
    assert read(tmp_path / "note.md")[0].text == "# Title"


def test_a_folder_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [d.id for d in read(tmp_path)] == ["a.txt"]


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.jsonl.gz", "NOTES.JSONL"])
def test_json_lines_hold_a_document_each(tmp_path: Path, name: str) -> None:
    path = write_lines(
        tmp_path / name,
        {"id": "a", "text": "one", "metadata": {"lang": "en"}},
        {"_id": 7, "text": "two", "metadata": None},
    )
    assert read(path) == [
        Document(id="a", text="one", metadata={"lang": "en"}),
        Document(id="7", text="two"),
    ]


def test_a_title_stands_before_the_text_and_in_the_metadata() -> None:
    [document] = parse(b'{"_id": "a", "title": "On cats", "text": "They sleep."}')
    assert document.content == "On cats They sleep."
    assert document.text == "They sleep."
    assert document.metadata == {"title": "On cats"}


def test_an_empty_title_leaves_no_trace() -> None:
    [document] = parse(b'{"_id": "a", "title": "", "text": "They sleep."}')
    assert (document.header, document.metadata) == ("", {})


def test_keys_of_other_names_become_metadata_and_metadata_wins() -> None:
    [document] = parse(
        b'{"id": "a", "text": "x", "lang": "en", "year": 1, "metadata": {"year": 2}}'
    )
    assert document.metadata == {"lang": "en", "year": 2}


def test_empty_lines_are_left_out() -> None:
    assert [d.id for d in parse(b"\n", b'{"id": "a", "text": ""}\n', b"  \n")] == ["a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "a", ', r"stdin, line 2: no JSON: .* column 13"),
        (b'["a"]', r'stdin, line 2: \["a"\] is no JSON object'),
        (b'{"text": "x"}', "stdin, line 2: an id is needed, under 'id' or '_id'; there is: text"),
        (b"{}", "an id is needed, under 'id' or '_id'; there is: no key"),
        (b'{"id": true, "text": "x"}', "stdin, line 2: an id is needed"),
        (b'{"id": "a"}', "stdin, line 2: 'text' is null, not a string"),
        (b'{"id": "a", "text": 3}', "stdin, line 2: 'text' is 3, not a string"),
        (b'{"id": "a", "text": "x", "title": 3}', "stdin, line 2: 'title' is 3, not a string"),
        (b'{"id": "a", "text": "x", "metadata": [1]}', r"line 2: metadata is \[1\], not an object"),
        (b'{"id": "a", "text": "x", "n": NaN}', "stdin, line 2: metadata .* is not JSON"),
        (b'{"id": "", "text": "x"}', "stdin, line 2: document id '' has 0 bytes"),
        (b'{"id": "\\u0000", "text": "x"}', "stdin, line 2: document id .* no NUL"),
        (b'{"id": "\xe9"}', "stdin, line 2: byte 0xe9 at position 8 is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse(b'{"id": "ok", "text": "x"}\n', line)


def test_a_lone_surrogate_in_a_text_is_left_to_the_index() -> None:
    [document] = parse(b'{"id": "a", "text": "\\ud800"}')
    assert document.text == "\ud800"


def test_of_a_beir_folder_only_the_corpus_is_read(tmp_path: Path) -> None:
    write_lines(tmp_path / "set/corpus.jsonl.gz", {"_id": "d", "title": "T", "text": "x"})
    write_lines(tmp_path / "set/queries.jsonl", {"_id": "q", "text": "y"})
    write_text(tmp_path / "set/README.md", "about")
    write_text(tmp_path / "note.md", "beside it")
    assert [d.id for d in read(tmp_path / "set")] == ["d"]
    assert [d.id for d in read(tmp_path)] == ["note.md", "d"]


def test_one_corpus_of_several_is_chosen_by_its_language(tmp_path: Path) -> None:
    for language in ("en", "de"):
        write_lines(tmp_path / f"corpus.{language}.jsonl", {"_id": language, "text": "x"})
    assert [d.id for d in read(tmp_path, corpus="de")] == ["de"]
    with pytest.raises(SourceError, match=r"no corpus\.jsonl in .*corpus\.de\.jsonl, corpus\.en"):
        read(tmp_path)
    with pytest.raises(SourceError, match=r"no corpus\.fr\.jsonl in"):
        read(tmp_path, corpus="fr")


def test_the_only_corpus_needs_no_choice(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "corpus.en.jsonl", {"_id": "a", "text": "x"})
    write_lines(tmp_path / "corpus_old.jsonl", {"_id": "b", "text": "x"})
    assert choices(tmp_path, "corpus") == {"en": path}
    assert find_choice(tmp_path, "corpus", None) == path
    with pytest.raises(SourceError, match="there is: nothing of the kind"):
        find_choice(tmp_path, "queries", None)


def test_documents_can_be_gone_through_again_and_their_number_is_known(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"id": "a", "text": "x"}, {"id": "b", "text": "y"})
    write_text(tmp_path / "c.txt", "z")
    files = DocumentFiles([tmp_path])
    assert operator.length_hint(files) == 3
    assert [d.id for d in files] == [d.id for d in files] == ["a", "b", "c.txt"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no file or folder '.*missing'"):
        DocumentFiles([tmp_path / "missing"])


def test_a_file_of_another_form_is_an_error_that_names_the_forms(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"paper\.pdf is of no form that is read; .*\.txt, "):
        DocumentFiles([write_text(tmp_path / "paper.pdf", "%PDF")])


def test_a_folder_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no documents in"):
        DocumentFiles([tmp_path])


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl.gz", *({"id": str(n), "text": "x"} for n in range(99)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"a\.jsonl\.gz is damaged"):
        read(path)


def test_a_text_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(TercetError, match=r"old\.txt: byte 0xe9 at position 3 is not UTF-8"):
        read(path)


def test_a_path_too_long_for_an_id_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 200) / ("e" * 200) / ("f" * 200)
    path = write_text(folder / "a.txt", "x")
    assert len(os.fspath(path)) > 512
    with pytest.raises(SourceError, match="ids have 1 to 512"):
        read(tmp_path)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000 + "]" * 100_000])
def test_json_that_python_cannot_hold_is_an_error_that_names_the_line(value: str) -> None:
    line = f'{{"id": "a", "text": "x", "metadata": {{"v": {value}}}}}'
    with pytest.raises(SourceError, match="stdin, line 2: "):
        parse(b"", line.encode())
