"""What a model family is: data alone, so that nothing else knows a model by its name.

A published family is one value (`bge_m3.BGE_M3`); the layout of a checkpoint fills in what its own
files say (`layouts.detect`), and the encoder follows the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tercet.embeddings import Reduction, Representation

Pooling = Literal["cls", "mean", "max", "mean_sqrt", "weighted_mean", "last"]
"""How token states become one vector: the first, their mean, maximum, sum / sqrt(tokens), mean
weighted by position from 1, or the last."""

Residual = Literal["none", "identity", "linear"]
"""What a linear layer adds to its output: nothing, its input, or a projection of its input."""

ExpansionRule = Literal["fixed", "at_least", "dynamic"]
"""How many tokens an expanded query has. "fixed": exactly `length`, longer queries are cut;
"at_least": `length` or more; "dynamic": JaColBERTv2.5's rule (arXiv 2407.20750)."""


Lowercase = Literal["no", "normaliser", "text"]
"""Who lower-cases texts beside the tokenizer's own rules."""


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """One linear layer of a head: activation(W x + b), plus the residual.

    Attributes:
        inputs: Length of x.
        outputs: Length of the result.
        file: File of its tensors, relative to the checkpoint's folder.
        prefix: Stands before `weight` and `bias` in that file, with its dot.
        bias: Whether there is one.
        activation: Dotted name of a `torch.nn` module without arguments; "" for none.
        residual: What is added; the tensor of "linear" is `residual.weight`.
    """

    inputs: int
    outputs: int
    file: str = ""
    prefix: str = ""
    bias: bool = True
    activation: str = ""
    residual: Residual = "none"


@dataclass(frozen=True, slots=True)
class DenseHead:
    """One vector a text.

    Attributes:
        pooling: How token states become one vector; several are put one after another.
        layers: Linear layers after the pooling, in order.
        normalise: Whether the vector is scaled to unit length.
        include_prompt: Whether the prompt's tokens are pooled too.
    """

    pooling: tuple[Pooling, ...] = ("cls",)
    layers: tuple[LinearLayer, ...] = ()
    normalise: bool = True
    include_prompt: bool = True


@dataclass(frozen=True, slots=True)
class SparseHead:
    """Lexical weights: ReLU of one linear layer, the maximum a term id.

    Attributes:
        layer: From a token state to one number.
        drop_special: Whether cls, sep, eos, pad and unknown tokens have no weight.
        keep_sep: Whether sep has one all the same, unless it is the eos token too.
    """

    layer: LinearLayer
    drop_special: bool = True
    keep_sep: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """How queries are filled up with mask tokens.

    Attributes:
        length: Tokens of a short query after it, special tokens and marker included.
        rule: What happens to others.
        attended: Whether tokens see the masks added.
        token: The token added; None for the tokenizer's own mask token.
    """

    length: int
    rule: ExpansionRule = "fixed"
    attended: bool = False
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Skiplist:
    """Tokens that have no vector.

    Attributes:
        words: What is skipped.
        first_piece: Whether a word stands for the first id of tokenising it alone (Stanford), or
            for the vocabulary's entry of that very name (PyLate, sentence-transformers).
        unknown: Whether a word that the vocabulary lacks skips every unknown token.
        pad: Whether pad tokens written in a text are skipped.
        queries: Whether queries are treated like documents.
        documents: Whether documents are.
    """

    words: tuple[str, ...]
    first_piece: bool = False
    unknown: bool = True
    pad: bool = False
    queries: bool = False
    documents: bool = True


@dataclass(frozen=True, slots=True)
class LateInteraction:
    """One vector a token.

    Attributes:
        dim: E, length of a token vector.
        layers: Linear layers from a token state to a token vector, in order.
        keep_first: Whether the first token has a vector.
        keep_special: Whether other special tokens have one; a text without any other token keeps
            them all the same.
        reduction: How the model's own late interaction adds up query tokens.
        expansion: How queries are filled up; None for not at all.
        skiplist: Which tokens have no vector; None for none.
    """

    dim: int
    layers: tuple[LinearLayer, ...] = ()
    keep_first: bool = True
    keep_special: bool = True
    reduction: Reduction = "sum"
    expansion: Expansion | None = None
    skiplist: Skiplist | None = None


@dataclass(frozen=True, slots=True)
class TextSide:
    """How the texts of one role are written for the model.

    Attributes:
        prompt: Text that stands before every text.
        marker: Token inserted by id behind the first token; None for none.
        marker_may_lack: Whether the unknown token stands in for a marker that the vocabulary
            lacks, as in Stanford's library.
        tokens: Published length, special tokens and marker included; None for the model's own.
    """

    prompt: str = ""
    marker: str | None = None
    marker_may_lack: bool = False
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Where the tokenizer of a checkpoint is.

    Attributes:
        folder: Relative to the checkpoint's folder; "" for that itself.
        fast: Whether `tokenizer.json` is there; else transformers reads a slow one.
        lowercase: Who lower-cases texts beside the tokenizer's own rules: nobody; a "normaliser"
            put before them, which leaves special tokens written in a text as they are
            (sentence-transformers 6); or "text", before the tokenizer sees it (5, PyLate).
        strip: Whether white space round a text is taken away first.
        pad_as_mask: Whether pad tokens written in a query count as masks (Stanford).
    """

    folder: str = ""
    fast: bool = True
    lowercase: Lowercase = "no"
    strip: bool = False
    pad_as_mask: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model family, or one checkpoint of it.

    Attributes:
        name: Of the family, as `bge-m3`; also when a fine-tuned copy has another hub id.
        source: Where the published checkpoint is: a hub id or `tercet/mini`.
        revision: Commit that golden values were made with, 40 hex digits; None where they were
            made with none.
        license: SPDX identifier, lower case; "" where the checkpoint does not say.
        layout: Which of the known layouts the checkpoint's files have.
        architecture: `model_type` of the backbone in transformers.
        config: Arguments of that configuration, corrected where published files mislead.
        weights: Files of the backbone, relative to the folder.
        prefix: Stands before the backbone's tensor names in those files.
        max_tokens: Length of the longest text that one pass reads, special tokens included.
        hidden: H, length of a token state.
        vocabulary: V, rows of the embedding table.
        dense: The dense view; None where there is none.
        sparse: Lexical weights.
        multi_vector: Token vectors.
        query: How queries are written.
        document: How documents are written.
        tokenizer: Where the tokenizer is.
        hybrid_weights: Weight of each view in the plans `hybrid` and `dense+sparse`.
    """

    name: str
    source: str = ""
    revision: str | None = None
    license: str = ""
    layout: str = ""
    architecture: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    prefix: str = ""
    max_tokens: int = 512
    hidden: int = 0
    vocabulary: int = 0
    dense: DenseHead | None = None
    sparse: SparseHead | None = None
    multi_vector: LateInteraction | None = None
    query: TextSide = TextSide()
    document: TextSide = TextSide()
    tokenizer: TokenizerFiles = TokenizerFiles()
    hybrid_weights: Mapping[Representation, float] = field(default_factory=dict)

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that it makes."""
        return tuple(r for r in Representation if getattr(self, r.value) is not None)

    @property
    def dense_dim(self) -> int | None:
        """E of the dense view; None where there is none."""
        if self.dense is None:
            return None
        if self.dense.layers:
            return self.dense.layers[-1].outputs
        return self.hidden * len(self.dense.pooling)

    @property
    def head_layers(self) -> tuple[tuple[str, LinearLayer], ...]:
        """The linear layers of all heads, each with a name: `dense.0.`, `sparse.`, ..."""
        found: list[tuple[str, LinearLayer]] = []
        if self.dense is not None:
            found += ((f"dense.{n}.", layer) for n, layer in enumerate(self.dense.layers))
        if self.sparse is not None:
            found.append(("sparse.", self.sparse.layer))
        if self.multi_vector is not None:
            layers = self.multi_vector.layers
            found += ((f"multi_vector.{n}.", layer) for n, layer in enumerate(layers))
        return tuple(found)

    @property
    def forbids_commercial_use(self) -> bool:
        """Whether the licence does."""
        return "-nc" in self.license
