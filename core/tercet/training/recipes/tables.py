"""Tables of a TOML file as records: unknown keys, wrong types and missing values are named."""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from tercet.errors import RecipeError
from tercet.training.recipes.naming import nearest

Record = TypeVar("Record")

HERE = Path()

NUMBERS: dict[type, tuple[type, ...]] = {float: (int, float), int: (int,)}
"""What may be written where a number is asked for; `true` is none."""


def read_table(
    kind: type[Record],
    table: Mapping[str, object],
    *,
    where: str,
    base: Path = HERE,
    default: Record | None = None,
) -> Record:
    """A table as a record of its kind.

    Args:
        kind: A dataclass; its fields are the keys.
        table: What was written.
        where: The table's name, for messages.
        base: What relative paths are relative to.
        default: Has the value of every key that was not written; None for the kind's own defaults.

    Raises:
        RecipeError: A key is unknown, lacks, or has a value that does not fit.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise RecipeError(f"[{where}] has no key {key!r}{nearest(key, known)}")
    lacking = [name for name, field in known.items() if _required(field) and name not in table]
    if lacking and default is None:
        raise RecipeError(f"[{where}] lacks {', '.join(map(repr, lacking))}")
    hints = typing.get_type_hints(kind)
    given = {
        key: _value(hints[key], value, f"{where}.{key}", base, _default(known[key]))
        for key, value in table.items()
    }
    try:
        return kind(**given) if default is None else replace(default, **given)  # type: ignore[type-var]
    except ValueError as error:
        raise RecipeError(f"[{where}]: {error}") from error


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default(field: Field[Any]) -> Any:
    """What a field has where nothing is written; None where something must be."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _value(hint: Any, value: object, where: str, base: Path, default: Any = None) -> Any:
    """A value as its field has it.

    Raises:
        RecipeError: It does not fit.
    """
    if get_origin(hint) in (Union, UnionType):  # X | None: TOML has no null, so it is X
        hint = next(option for option in get_args(hint) if option is not NoneType)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise RecipeError(
                f"{where} is {value!r}{nearest(str(value), map(str, get_args(hint)))}"
            )
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{where} is {value!r}; a list belongs there")
        inner = get_args(hint)[0]
        return tuple(_value(inner, item, f"{where}[{n}]", base) for n, item in enumerate(value))
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is {value!r}; a table belongs there")
        return read_table(hint, value, where=where, base=base, default=default)
    return _plain(hint, value, where, base)


def _plain(hint: Any, value: object, where: str, base: Path) -> Any:
    if hint is Path and isinstance(value, str):
        return base / Path(value).expanduser()
    wanted = NUMBERS.get(hint, (hint,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise RecipeError(f"{where} is {value!r}; {hint.__name__} belongs there")
    return hint(value)
