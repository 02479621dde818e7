"""A training recipe: a TOML file that names a model, data, and the stages of the training."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tercet.errors import RecipeError
from tercet.models.spec import Pooling
from tercet.training.datasets.settings import DataSettings
from tercet.training.monitoring.card import CardSettings
from tercet.training.monitoring.following import EvaluationSettings
from tercet.training.recipes.naming import nearest
from tercet.training.recipes.tables import read_table
from tercet.training.stages.table import Stage, stage_class

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[model]`: what is trained.

    Attributes:
        source: `tercet/mini`, a folder, or a hub id; a folder is relative to the recipe's.
        pooling: How a bare backbone's token states become the dense vector.
        sparse: Whether a head of lexical weights is added where there is none.
        multi_vector: Length of the token vectors of a head that is added where there is none.
    """

    source: str
    pooling: Pooling | None = None
    sparse: bool = False
    multi_vector: int | None = None


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """`[save]`: how the trained model is written.

    Attributes:
        layout: Of its files; "tercet" opens in this library and in sentence-transformers.
    """

    layout: str = "tercet"


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One of `[[stages]]`.

    Attributes:
        kind: Which stage it is.
        stage: Its settings.
        data: What it learns from.
    """

    kind: str
    stage: Stage
    data: DataSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Attributes:
        model: What is trained.
        stages: What is done with it, in order.
        seed: Of everything random.
        save: How it is written.
        evaluation: What it is measured on meanwhile.
        card: What its card tells beside the recipe.
        text: The file as it was read; a run is resumed under the same recipe only.
    """

    model: ModelSettings
    stages: tuple[StageEntry, ...]
    seed: int = 0
    save: SaveSettings = field(default_factory=SaveSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    card: CardSettings = field(default_factory=CardSettings)
    text: str = ""


TABLES = frozenset({"seed", "model", "data", "save", "evaluation", "card", "stages"})


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe; files that it names are not opened yet.

    Args:
        path: A TOML file. Paths in it are relative to its folder.

    Raises:
        RecipeError: It is no TOML, or a table, key or value is wrong.
        OSError: It cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    try:
        return parse_recipe(text, base=path.parent)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def parse_recipe(text: str, *, base: Path) -> Recipe:
    """Check a recipe.

    Args:
        text: TOML.
        base: What relative paths in it are relative to.

    Raises:
        RecipeError: It is no TOML, or a table, key or value is wrong.
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"no TOML: {error}") from error
    return _recipe(told, text, base)


def _recipe(told: Mapping[str, Any], text: str, base: Path) -> Recipe:
    for key in told:
        if key not in TABLES:
            raise RecipeError(f"a recipe has no table or key {key!r}{nearest(key, TABLES)}")
    default = _table(DataSettings, told.get("data", {}), "data", base)
    model = _table(ModelSettings, told.get("model", {}), "model", base)
    if (base / model.source).is_dir():
        model = replace(model, source=str(base / model.source))
    seed = told.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise RecipeError(f"seed is {seed!r}; a whole number from 0 belongs there")
    stages = told.get("stages")
    if not isinstance(stages, list) or not stages:
        raise RecipeError("a recipe needs at least one [[stages]]")
    return Recipe(
        model=model,
        stages=tuple(
            _stage(entry, f"stages[{n}]", default, base) for n, entry in enumerate(stages)
        ),
        seed=seed,
        save=_table(SaveSettings, told.get("save", {}), "save", base),
        evaluation=_table(EvaluationSettings, told.get("evaluation", {}), "evaluation", base),
        card=_table(CardSettings, told.get("card", {}), "card", base),
        text=text,
    )


def _stage(entry: object, where: str, default: DataSettings, base: Path) -> StageEntry:
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        raise RecipeError(f'[{where}] lacks its kind, as kind = "m3"')
    rest = {key: value for key, value in entry.items() if key not in {"kind", "data"}}
    own = _table(DataSettings, entry["data"], f"{where}.data", base) if "data" in entry else None
    return StageEntry(
        kind=entry["kind"],
        stage=read_table(stage_class(entry["kind"]), rest, where=where, base=base),
        data=own or default,
    )


def _table(kind: type[Record], table: object, where: str, base: Path) -> Record:
    if not isinstance(table, dict):
        raise RecipeError(f"{where} is {table!r}; a table belongs there")
    return read_table(kind, table, where=where, base=base)
