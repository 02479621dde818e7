"""Segment files: written as safetensors, read by mapping, refused when damaged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tercet.embeddings import SparseVectors
from tercet.errors import IndexCorruptError, IndexFormatError
from tercet.indexes.local.columns.sparse import SparseColumn
from tercet.indexes.local.columns.tokens import Half
from tercet.indexes.local.files.segments import Column, open_segment, write_segment


def columns() -> dict[str, Column]:
    return {
        "halves": Column.of("float16", np.asarray([[1, 2, 3]], np.float16)),
        "dense": Column.of("float32", np.asarray([[1.5], [2.5]], np.float32)),
        "places": Column.of("int64", np.asarray([1, 2**40])),
        "none": Column.of("int32", np.empty(0, np.int32)),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "one.safetensors"
    write_segment(target, columns(), rows=2)
    return target


def test_a_segment_is_a_safetensors_file(path: Path) -> None:
    arrays = load_file(path)
    assert set(arrays) == set(columns())
    assert arrays["places"].tolist() == [1, 2**40]
    assert arrays["dense"].tolist() == [[1.5], [2.5]]


def test_a_segment_reads_as_it_was_written(path: Path) -> None:
    segment = open_segment(path, rows=2)
    assert segment.array("halves", "float16").tolist() == [[1, 2, 3]]
    assert segment.array("none", "int32").shape == (0,)
    assert not segment.array("dense", "float32").flags.writeable


def test_an_array_that_lacks_or_has_another_codec_is_named(path: Path) -> None:
    segment = open_segment(path, rows=2)
    with pytest.raises(IndexCorruptError, match=r"one.safetensors has no array 'tokens'"):
        segment.array("tokens", "float16")
    with pytest.raises(IndexFormatError, match="'dense' as 'float32'; this version reads 'int8'"):
        segment.array("dense", "int8")


@pytest.mark.parametrize("size", [0, 5, 40, 300, -1])
def test_a_truncated_segment_is_named(path: Path, size: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(IndexCorruptError, match=r"one.safetensors is damaged or truncated"):
        open_segment(path, rows=2)


@pytest.mark.parametrize("header", [b"[]", b"{}", b'{"__metadata__": {"rows": "x"}}', b"\xff\xfe"])
def test_a_header_that_says_nothing_is_refused(path: Path, header: bytes) -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(IndexCorruptError):
        open_segment(path, rows=2)


def test_a_segment_of_other_documents_is_refused(path: Path) -> None:
    with pytest.raises(IndexCorruptError, match="holds 2 documents, the catalogue says 3"):
        open_segment(path, rows=3)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[np.ndarray]:
        yield np.zeros(1, np.float32)
        raise OSError(28, "No space left on device")

    column = Column("float32", np.dtype("<f4"), (2,), pieces())
    with pytest.raises(OSError, match="No space"):
        write_segment(tmp_path / "x", {"a": column}, rows=2)
    assert list(tmp_path.iterdir()) == []


def test_token_vectors_that_float16_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="float16, which ends at 65504"):
        Half().encode(np.asarray([[70_000.0]], np.float32), None)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 9), st.floats(0, 8, width=16), max_size=5),
        min_size=1,
        max_size=6,
    ),
    chosen=st.lists(st.integers(0, 5), max_size=8),
)
def test_sparse_rows_come_back_from_their_columns(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, chosen: Any
) -> None:
    path = tmp_path_factory.mktemp("sparse") / "s"
    weights = SparseVectors.from_dicts(rows)
    write_segment(path, SparseColumn.store(weights), rows=len(rows))
    column = SparseColumn(open_segment(path, rows=len(rows)))
    wanted = [n % len(rows) for n in chosen]
    decoded = column.decode(np.asarray(wanted, dtype=np.int64))
    assert decoded.to_dicts() == [rows[n] for n in wanted]
