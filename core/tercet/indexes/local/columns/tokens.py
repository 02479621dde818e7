"""Codecs of token vectors: float16, int8 with a scale each, centroid and residual in few bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.codebooks import Codebook

Vectors = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Cells = NDArray[np.uint16]

TOKENS, SCALES, CELLS = (f"multi_vector.{name}" for name in ("tokens", "scales", "cells"))
LARGEST = float(np.finfo(np.float16).max)
LARGEST_INT8 = 127
BYTE: np.dtype[Any] = np.dtype("u1")

LEVELS: Mapping[int, list[float]] = {
    1: [0.7979],
    2: [0.4528, 1.5104],
    4: [0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0691, 2.7326],
}
"""What a normally distributed number is rounded to, and the same below 0, by bits.

Source: Max 1960, "Quantizing for minimum distortion", table I.
"""


class TokenCodec(Protocol):
    """How token vectors are stored; arrays hold one item a token each."""

    @property
    def name(self) -> str:
        """What a segment calls it."""
        ...

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """Element types of its arrays."""
        ...

    def width(self, dim: int) -> int:
        """Elements of a token in the array `TOKENS`."""
        ...

    def encode(self, vectors: Vectors, cells: Cells | None) -> Arrays:
        """Token vectors to arrays."""
        ...

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Vectors:
        """Arrays to token vectors, [tokens, E]."""
        ...


class Half:
    """float16."""

    name = "float16"
    dtypes: Mapping[str, np.dtype[Any]] = {TOKENS: np.dtype("<f2")}

    def width(self, dim: int) -> int:
        """One number a dimension."""
        return dim

    def encode(self, vectors: Vectors, cells: Cells | None) -> Arrays:
        """Token vectors to arrays.

        Raises:
            ValueError: A value that no float16 holds.
        """
        del cells
        if len(vectors) and float(np.abs(vectors).max()) > LARGEST:
            raise ValueError(
                f"vectors are stored as float16, which ends at {LARGEST:g}: scale them, "
                "to unit length as a rule"
            )
        return {TOKENS: vectors.astype(np.float16)}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Vectors:
        """Arrays to token vectors."""
        return arrays[TOKENS].astype(np.float32)


class Int8:
    """int8 with a scale a token."""

    name = "int8"
    dtypes: Mapping[str, np.dtype[Any]] = {TOKENS: np.dtype("i1"), SCALES: np.dtype("<f4")}

    def width(self, dim: int) -> int:
        """One number a dimension."""
        return dim

    def encode(self, vectors: Vectors, cells: Cells | None) -> Arrays:
        """Token vectors to arrays."""
        del cells
        scales = np.abs(vectors).max(axis=1, initial=0.0) / np.float32(LARGEST_INT8)
        scales = np.maximum(scales, np.finfo(np.float32).tiny)
        return {TOKENS: np.rint(vectors / scales[:, None]).astype(np.int8), SCALES: scales}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Vectors:
        """Arrays to token vectors."""
        values: Vectors = arrays[TOKENS].astype(np.float32)
        values *= arrays[SCALES][:, None]
        return values


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """The centroid of a token's cell, and what is left in few bits a dimension.

    Each dimension is measured by its own spread, which the codebook knows, and each token by its
    own scale: one set of steps for all would lose what a few dimensions of large values leave,
    which is how codecs made for 128 dimensions collapse at 1,024 (RAGatouille#150).

    Attributes:
        codebook: The centroids.
        bits: Of a dimension.
    """

    codebook: Codebook
    bits: int

    @property
    def name(self) -> str:
        """Bits, and the codebook that they need."""
        return f"{self.bits}bit of codebook {self.codebook.key}"

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """Element types of its arrays."""
        return {TOKENS: BYTE, SCALES: np.dtype("<f4")}

    def width(self, dim: int) -> int:
        """Bytes of a token."""
        return -(-dim * self.bits // 8)

    def encode(self, vectors: Vectors, cells: Cells | None) -> Arrays:
        """Token vectors to arrays."""
        if cells is None:
            raise ValueError("residuals need the cells of their tokens")
        rest = (vectors - self.codebook.centroids[cells]) / self.codebook.spread
        norms = np.sqrt(np.einsum("te,te->t", rest, rest) / rest.shape[1])
        norms = np.maximum(norms, np.finfo(np.float32).tiny)
        positive = np.asarray(LEVELS[self.bits], dtype=np.float32)
        levels = np.concatenate((-positive[::-1], positive))
        codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, rest / norms[:, None])
        coded = levels[codes]
        # The scale that brings back the length along the residual itself (RaBitQ's estimator).
        along = np.einsum("te,te->t", rest, coded)
        scales = norms * norms * rest.shape[1] / np.maximum(along, np.finfo(np.float32).tiny)
        return {
            TOKENS: self._packed(codes.astype(np.uint8)),
            SCALES: scales.astype(np.float32),
        }

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Vectors:
        """Arrays to token vectors; `CELLS` are those of the segment."""
        packed = arrays[TOKENS]
        dim = self.codebook.centroids.shape[1]
        table = self.table()  # [256, numbers of a byte]
        shape = len(packed), packed.shape[1] * table.shape[1]
        values: Vectors = np.take(table, packed, axis=0).reshape(shape)[:, :dim]
        np.multiply(values, self.codebook.spread, out=values)
        np.multiply(values, arrays[SCALES][:, None], out=values)
        np.add(values, self.codebook.centroids[arrays[CELLS]], out=values)
        return values

    def table(self) -> Vectors:
        """The numbers that each byte stands for."""
        positive = np.asarray(LEVELS[self.bits], dtype=np.float32)
        levels = np.concatenate((-positive[::-1], positive))
        each = 8 // self.bits
        codes = np.arange(256)[:, None] >> (np.arange(each) * self.bits) & ((1 << self.bits) - 1)
        table: Vectors = levels[codes]
        return table

    def _packed(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        each = 8 // self.bits
        padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % each)))
        packed = np.zeros((len(codes), padded.shape[1] // each), dtype=np.uint8)
        for place in range(each):
            packed |= padded[:, place::each] << np.uint8(place * self.bits)
        return packed


def codec_named(name: str, codebook: Codebook | None) -> TokenCodec | None:
    """The codec that an array was written with, if this version knows it."""
    if name in ("float16", "int8"):
        return Half() if name == "float16" else Int8()
    bits, _, rest = name.partition("bit of codebook ")
    if codebook is not None and bits in ("1", "2", "4") and rest == str(codebook.key):
        return Residual(codebook, int(bits))
    return None


def codec_for(tokens: str, codebook: Codebook | None) -> TokenCodec:
    """The codec that new segments are written with; residuals wait for their codebook."""
    if tokens == "float16":
        return Half()
    if tokens == "int8" or codebook is None:
        return Int8()
    return Residual(codebook, int(tokens.removesuffix("bit")))
