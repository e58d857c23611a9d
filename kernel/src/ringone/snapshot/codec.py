"""State objects to JSON and back, by the annotations of their attrs classes.

Loading trusts nothing: every field must be there, none may be extra, every value must be of the annotated type (a bool is no int) and pass the validators.
There is no pickle and no code in a saved state.
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import attrs

from ringone.api.errors import PluginError, SnapshotError

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]
T = TypeVar("T")

INT_LIMIT = 1 << 64
"""Integers in a state are smaller than this in magnitude, unless a validator says less."""

_Dump = Callable[[Any, str], Json]
_Load = Callable[[Any, str], Any]


def dump(state: object, *, name: str = "state") -> Json:
    """The JSON form of an attrs object; byte strings become base64."""
    kind: Any = type(state)
    return _codec(kind)[0](state, name)


def load(kind: type[T], data: Json, *, name: str = "state") -> T:
    """The object that `data` describes; `SnapshotError` names the field that is wrong."""
    annotation: Any = kind
    return cast(T, _codec(annotation)[1](data, name))


def _wrong(name: str, data: Any, expected: str) -> SnapshotError:
    shown = repr(data)
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    return SnapshotError(f"{name}: {shown} is not {expected}")


@functools.cache
def _codec(kind: Any) -> tuple[_Dump, _Load]:
    """How values of an annotation are written and read."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SIMPLE:
        return _simple(kind)
    if kind in (bytes, bytearray):
        return _bytes(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(kind, arguments)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum(kind)
    if isinstance(kind, type) and attrs.has(kind):
        return _attrs(kind)
    if origin is list:
        return _sequence(list, arguments[0])
    if origin is tuple:
        return _sequence(tuple, arguments[0]) if len(arguments) == 2 and arguments[1] is ... else _fixed_tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(*arguments)
    raise PluginError(f"a state cannot hold {kind!r}; accepted: int, bool, str, bytes, None, enums, attrs classes, and lists, tuples and dicts of those")


_SIMPLE: dict[Any, str] = {int: "an integer", bool: "true or false", str: "a string", type(None): "null"}


def _simple(kind: Any) -> tuple[_Dump, _Load]:
    expected = _SIMPLE[kind]

    def dump_simple(value: Any, name: str) -> Json:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"{name} holds {value!r}, which is not {expected}")
        return int(value) if kind is int else cast(Json, value)

    def load_simple(data: Any, name: str) -> Any:
        if type(data) is not kind:
            raise _wrong(name, data, expected)
        if kind is int and not -INT_LIMIT < data < INT_LIMIT:
            raise SnapshotError(f"{name}: an integer of {data.bit_length()} bits is out of range")
        return data

    return dump_simple, load_simple


def _bytes(kind: type[bytes] | type[bytearray]) -> tuple[_Dump, _Load]:
    def dump_bytes(value: Any, name: str) -> Json:
        return {"base64": base64.b64encode(value).decode("ascii")}

    def load_bytes(data: Any, name: str) -> Any:
        match data:
            case {"base64": str(text), **rest} if not rest:
                try:
                    return kind(base64.b64decode(text, validate=True))
                except (binascii.Error, ValueError) as error:
                    raise SnapshotError(f"{name}: damaged base64: {error}") from error
        raise _wrong(name, data, "a byte string (base64)")

    return dump_bytes, load_bytes


def _optional(kind: Any, arguments: tuple[Any, ...]) -> tuple[_Dump, _Load]:
    inner = [argument for argument in arguments if argument is not type(None)]
    if len(inner) != 1:
        raise PluginError(f"a state cannot hold {kind!r}: of unions only ``X | None`` can be told apart")
    dump_inner, load_inner = _codec(inner[0])

    def dump_optional(value: Any, name: str) -> Json:
        return None if value is None else dump_inner(value, name)

    def load_optional(data: Any, name: str) -> Any:
        return None if data is None else load_inner(data, name)

    return dump_optional, load_optional


def _enum(kind: type[enum.Enum]) -> tuple[_Dump, _Load]:
    def dump_enum(value: Any, name: str) -> Json:
        return kind(value).name

    def load_enum(data: Any, name: str) -> Any:
        if not isinstance(data, str) or data not in kind.__members__:
            raise _wrong(name, data, f"one of {', '.join(kind.__members__)}")
        return kind[data]

    return dump_enum, load_enum


def _attrs(kind: type[Any]) -> tuple[_Dump, _Load]:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field.alias or field.name for field in attrs.fields(kind)}
    codecs = {field: _codec(hints[field]) for field in fields}

    def dump_attrs(value: Any, name: str) -> Json:
        if type(value) is not kind:
            raise TypeError(f"{name} holds {value!r}, which is not of {kind.__name__}")
        return {field: dump_field(getattr(value, field), f"{name}.{field}") for field, (dump_field, _) in codecs.items()}

    def load_attrs(data: Any, name: str) -> Any:
        if not isinstance(data, dict):
            raise _wrong(name, data, f"an object with {kind.__name__}'s fields")
        if data.keys() != codecs.keys():
            missing, unknown = sorted(codecs.keys() - data.keys()), sorted(data.keys() - codecs.keys())
            raise SnapshotError(f"{name}: missing fields {missing[:5]}, unknown fields {unknown[:5]} of {kind.__name__}")
        values = {fields[field]: load_field(data[field], f"{name}.{field}") for field, (_, load_field) in codecs.items()}
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:
            raise SnapshotError(f"{name}: {error.args[0] if error.args else error}") from error

    return dump_attrs, load_attrs


def _sequence(build: type[list[Any]] | type[tuple[Any, ...]], item: Any) -> tuple[_Dump, _Load]:
    dump_item, load_item = _codec(item)

    def dump_sequence(value: Any, name: str) -> Json:
        return [dump_item(element, f"{name}[{index}]") for index, element in enumerate(value)]

    def load_sequence(data: Any, name: str) -> Any:
        if not isinstance(data, list):
            raise _wrong(name, data, "a list")
        return build(load_item(element, f"{name}[{index}]") for index, element in enumerate(data))

    return dump_sequence, load_sequence


def _fixed_tuple(items: tuple[Any, ...]) -> tuple[_Dump, _Load]:
    codecs = [_codec(item) for item in items]

    def dump_tuple(value: Any, name: str) -> Json:
        return [dump_item(element, f"{name}[{index}]") for index, (element, (dump_item, _)) in enumerate(zip(value, codecs, strict=True))]

    def load_tuple(data: Any, name: str) -> Any:
        if not isinstance(data, list) or len(data) != len(codecs):
            raise _wrong(name, data, f"a list of {len(codecs)}")
        return tuple(load_item(element, f"{name}[{index}]") for index, (element, (_, load_item)) in enumerate(zip(data, codecs, strict=True)))

    return dump_tuple, load_tuple


def _mapping(key: Any, item: Any) -> tuple[_Dump, _Load]:
    if key not in (str, int):
        raise PluginError(f"a state's dicts are keyed by str or int, not {key!r}")
    dump_item, load_item = _codec(item)

    def dump_mapping(value: Any, name: str) -> Json:
        return {str(entry): dump_item(value[entry], f"{name}[{entry}]") for entry in sorted(value)}

    def load_mapping(data: Any, name: str) -> Any:
        if not isinstance(data, dict):
            raise _wrong(name, data, "an object")
        return {_load_key(key, entry, name): load_item(element, f"{name}[{entry}]") for entry, element in data.items()}

    return dump_mapping, load_mapping


def _load_key(kind: Any, key: str, name: str) -> Any:
    if kind is str:
        return key
    if len(key) > 20 or not key.removeprefix("-").isdecimal() or str(int(key)) != key:
        raise _wrong(f"{name}: the key", key, "a decimal integer")
    return int(key)
