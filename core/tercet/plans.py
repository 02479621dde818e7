"""Plans: which views bring candidates, how many, and how scores become one ranking.

With U the union of the candidate lists, each of depth max(depth, k):
    "sum"   score = sum over views of w * norm(s), every view scored on all of U
    "rrf"   score = sum over views of w / (60 + rank in that view's own list), absent = 0
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from tercet.embeddings import EncoderSpec, Reduction, Representation
from tercet.errors import MissingViewError

Fusion = Literal["sum", "rrf"]
Normalisation = Literal["none", "min-max", "z-score"]

PLAN_VERSION = 1
DEPTH = 200
"""Candidates of a view: the depth of the published evaluation (Chen et al. 2024, 4.1)."""

RRF_K = 60
"""Cormack, Clarke & Buettcher 2009, "Reciprocal Rank Fusion"."""

DENSE, SPARSE, MULTI_VECTOR = Representation
M3_WEIGHTS = {DENSE: 1.0, SPARSE: 0.3, MULTI_VECTOR: 1.0}
"""Chen et al. 2024, "M3-Embedding", section 4.1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search uses the views.

    Attributes:
        candidates: Depth of the list that each of these views brings.
        weights: Weight of each view in the score.
        fusion: Weighted sum or reciprocal rank fusion.
        normalise: What is done to a view's scores over U before they are summed.
    """

    candidates: Mapping[Representation, int]
    weights: Mapping[Representation, float]
    fusion: Fusion = "sum"
    normalise: Normalisation = "none"
    version: int = field(default=PLAN_VERSION, kw_only=True)

    def __post_init__(self) -> None:
        """Turn names into views; check depths, weights and choices."""
        object.__setattr__(self, "candidates", _by_view(self.candidates, "candidates"))
        object.__setattr__(self, "weights", _by_view(self.weights, "weights"))
        _check_version(self.version)
        if not self.candidates:
            raise ValueError("a plan needs at least one view that brings candidates")
        for view, depth in self.candidates.items():
            if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
                raise ValueError(f"depth of {view} is {depth!r}; a positive whole number is needed")
        for view, weight in self.weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise TypeError(f"weight of {view} is {weight!r}; a number is needed")
        if not any(self.weights.values()) or not all(map(math.isfinite, self.weights.values())):
            raise ValueError(f"weights are {dict(self.weights)}; they must be finite, not all 0")
        if self.fusion not in ("sum", "rrf"):
            raise ValueError(f"no fusion {self.fusion!r}; there are: sum, rrf")
        if self.normalise not in ("none", "min-max", "z-score"):
            raise ValueError(
                f"no normalisation {self.normalise!r}; there are: none, min-max, z-score"
            )
        if self.fusion == "rrf" and not set(self.scored) <= set(self.candidates):
            raise ValueError("rrf ranks lists: every view with a weight must bring candidates")

    @property
    def scored(self) -> tuple[Representation, ...]:
        """The views that the score is made of."""
        return tuple(r for r in Representation if self.weights.get(r))

    @property
    def views(self) -> tuple[Representation, ...]:
        """The views that the plan touches at all."""
        return tuple(r for r in Representation if r in self.candidates or self.weights.get(r))

    def reduction(self, own: Reduction) -> Reduction:
        """How late interaction adds up query tokens here: the mean where it enters a sum.

        Args:
            own: The model's own reduction, kept where the view stands alone.
        """
        return "mean" if self.fusion == "sum" and len(self.scored) > 1 else own

    def to_json(self) -> str:
        """The plan as a JSON object."""
        return json.dumps(
            {
                "version": self.version,
                "candidates": self.candidates,
                "weights": self.weights,
                "fusion": self.fusion,
                "normalise": self.normalise,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that `to_json` wrote.

        Raises:
            ValueError: It is no plan, or one of another version.
        """
        given = json.loads(text)
        if not isinstance(given, dict):
            raise ValueError(f"a plan is a JSON object, not {text!r}")
        _check_version(given.get("version", PLAN_VERSION))
        try:
            return cls(**given)
        except TypeError as error:
            names = ", ".join(f.name for f in fields(cls))
            raise ValueError(f"{error}; a plan has: {names}") from error


def _check_version(version: object) -> None:
    if version != PLAN_VERSION:
        raise ValueError(f"a plan of version {version}; this library reads {PLAN_VERSION}")


def _by_view(given: Mapping[Any, Any], name: str) -> dict[Representation, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} of a plan are {given!r}; a mapping from views belongs there")
    try:
        return {Representation(view): value for view, value in given.items()}
    except ValueError as error:
        raise ValueError(
            f"{name} of a plan: {error}; there are: {', '.join(Representation)}"
        ) from None


def _single(view: Representation) -> Plan:
    return Plan({view: DEPTH}, {view: 1.0})


def _weights(spec: EncoderSpec, *views: Representation) -> dict[Representation, float]:
    return {view: spec.weights.get(view, M3_WEIGHTS[view]) for view in views}


NAMED_PLANS: Mapping[str, Callable[[EncoderSpec], Plan]] = {
    "dense": lambda _: _single(DENSE),
    "sparse": lambda _: _single(SPARSE),
    "multi_vector": lambda _: _single(MULTI_VECTOR),
    "dense>multi_vector": lambda _: Plan({DENSE: DEPTH}, {MULTI_VECTOR: 1.0}),
    "dense+sparse": lambda spec: Plan({DENSE: DEPTH, SPARSE: DEPTH}, _weights(spec, DENSE, SPARSE)),
    "hybrid": lambda spec: Plan(
        {DENSE: DEPTH, SPARSE: DEPTH}, _weights(spec, DENSE, SPARSE, MULTI_VECTOR)
    ),
    "rrf": lambda spec: Plan(
        dict.fromkeys(spec.representations, DEPTH),
        dict.fromkeys(spec.representations, 1.0),
        fusion="rrf",
    ),
    "m3_miracl": lambda _: Plan({DENSE: DEPTH}, M3_WEIGHTS),
    "m3_mldr": lambda _: Plan({DENSE: DEPTH}, {DENSE: 0.15, SPARSE: 0.5, MULTI_VECTOR: 0.35}),
}
"""The plans that have a name; the last two as published (Chen et al. 2024, section 4)."""

DEFAULT_PLANS: Mapping[frozenset[Representation], str] = {
    frozenset({DENSE, SPARSE, MULTI_VECTOR}): "hybrid",
    frozenset({DENSE, SPARSE}): "dense+sparse",
    frozenset({DENSE, MULTI_VECTOR}): "dense>multi_vector",
    frozenset({SPARSE, MULTI_VECTOR}): "rrf",
    frozenset({DENSE}): "dense",
    frozenset({SPARSE}): "sparse",
    frozenset({MULTI_VECTOR}): "multi_vector",
}


def resolve_plan(plan: str | Plan | None, spec: EncoderSpec, *, holder: str | None = None) -> Plan:
    """The plan of that name for a model; None is the model's default.

    Args:
        plan: A name, a plan or None.
        spec: The model, or what an index stores of it.
        holder: What a message says that lacks a view; None is the model.

    Raises:
        TypeError: Neither a name nor a plan.
        ValueError: No plan has that name.
        MissingViewError: The model lacks a view that the plan uses.
    """
    if plan is None:
        plan = DEFAULT_PLANS[frozenset(spec.representations)]
    if not isinstance(plan, str | Plan):
        raise TypeError(f"a plan is a name or a Plan, not {plan!r}")
    resolved = plan if isinstance(plan, Plan) else _named(plan)(spec)
    missing = [view for view in resolved.views if view not in spec.representations]
    if missing:
        named = plan if isinstance(plan, str) else plan.to_json()
        raise MissingViewError(
            f"plan {named!r} uses {', '.join(missing)}, which "
            f"{holder or spec.source or spec.family} does not have; it has "
            f"{', '.join(spec.representations)}: plans {', '.join(plans_of(spec))} work"
        )
    return resolved


def plans_of(spec: EncoderSpec) -> list[str]:
    """Names of the plans that a model can serve."""
    return [
        name
        for name, build in NAMED_PLANS.items()
        if set(build(spec).views) <= set(spec.representations)
    ]


def deepened(plan: Plan, k: int) -> Plan:
    """The plan with every candidate list at least k deep, and no deeper where it is the ranking."""
    if len(plan.views) == 1 and plan.normalise == "none":
        return replace(plan, candidates=dict.fromkeys(plan.candidates, k))
    return replace(plan, candidates={view: max(d, k) for view, d in plan.candidates.items()})


def _named(name: str) -> Callable[[EncoderSpec], Plan]:
    try:
        return NAMED_PLANS[name]
    except KeyError:
        raise ValueError(f"no plan {name!r}; there are: {', '.join(NAMED_PLANS)}") from None
