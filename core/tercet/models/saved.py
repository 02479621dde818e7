"""A model's description as JSON and back: what `tercet.json` of a saved folder holds."""

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from tercet.embeddings import Representation
from tercet.models.spec import ModelSpec

Record = TypeVar("Record")


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """The description as a JSON object."""
    told: dict[str, Any] = _plain(spec)
    return told


def spec_from_json(told: dict[str, Any]) -> ModelSpec:
    """The description that `spec_to_json` wrote; fields that this version lacks are left out.

    Raises:
        KeyError, TypeError, ValueError: It is damaged.
    """
    spec: ModelSpec = _record(ModelSpec, told)
    return spec


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _record(kind: type[Record], told: dict[str, Any]) -> Record:
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], told[name]) for name in hints if name in told})


def _value(hint: Any, told: Any) -> Any:
    """The value of a field: records and tuples come back as such, everything else as it is."""
    if told is None:
        return None
    if get_origin(hint) in (Union, UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, told)
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in told)
    if get_args(hint)[:1] == (Representation,):
        return {Representation(view): float(weight) for view, weight in told.items()}
    return told
