"""Text from machine files and command lines to options objects, and options classes to help.

How each annotation is written is said in `ringone.api.options`. All mistakes of one component are reported together.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from ringone.api.errors import ConfigError, ConfigErrors, PluginError, UnknownNameError

T = TypeVar("T")

_INTEGER = re.compile(r"([+-]?)(0x[0-9a-f]+|[0-9]+)([kmg]?)", re.IGNORECASE)
_SUFFIXES = {"": 0, "k": 10, "m": 20, "g": 30}
_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
_NONE_WORDS = ("", "none")


@attrs.frozen(kw_only=True)
class OptionHelp:
    """One row of an options table. `default` is as a user would write it, "" where the option is `required`."""

    name: str
    type: str
    default: str
    required: bool
    unit: str
    help: str


@attrs.frozen
class _Kind:
    """How one annotation is read: `parse` raises ValueError, `accepted` says what it takes."""

    label: str
    accepted: str
    parse: Callable[[str, Path | None], Any]


def bind_options(cls: type[T], mapping: Mapping[str, str], *, source: str = "", base_dir: Path | None = None) -> T:
    """An instance of the options class `cls` from text values; relative paths count from `base_dir`.

    Raises `ConfigError` (`ConfigErrors` for several mistakes) with `source` as the place.
    """
    kinds = _kinds(cls)
    fields = {name: field for name, field in attrs.fields_dict(cast(Any, cls)).items() if field.init}
    values: dict[str, Any] = {}
    errors: list[ConfigError] = []
    for name, text in mapping.items():
        if name not in fields:
            errors.append(UnknownNameError("option", name, list(fields), source=source))
            continue
        kind = kinds[name]
        try:
            values[name] = kind.parse(text.strip(), base_dir)
        except ValueError:
            errors.append(ConfigError(f"option {name!r}: {text!r} is not {kind.accepted}", source=source))
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in mapping:
            errors.append(ConfigError(f"option {name!r} is required: {kinds[name].accepted} ({field.metadata.get('help', '')})", source=source))
    if not errors:
        errors = _refusals(cls, values, mapping, source)
    if not errors:
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            errors.append(ConfigError(_text(error), source=source))
    raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


def describe_options(cls: type[Any]) -> tuple[OptionHelp, ...]:
    """The options of a class, in the order of its fields."""
    kinds = _kinds(cls)
    return tuple(
        OptionHelp(
            name=field.name,
            type=kinds[field.name].label,
            default=_shown(_default(field)),
            required=field.default is attrs.NOTHING,
            unit=field.metadata.get("unit", ""),
            help=field.metadata.get("help", ""),
        )
        for field in attrs.fields(cls)
        if field.init
    )


def _refusals(cls: type[Any], values: Mapping[str, Any], mapping: Mapping[str, str], source: str) -> list[ConfigError]:
    """What the fields' validators say, each one asked: the class itself would stop at the first."""
    probe = object.__new__(cls)
    for field in attrs.fields(cls):
        object.__setattr__(probe, field.name, values.get(field.name, _default(field)))
    errors = []
    for field in attrs.fields(cls):
        if field.validator is None or field.name not in values:
            continue
        try:
            field.validator(probe, field, values[field.name])
        except (ValueError, TypeError) as error:
            errors.append(ConfigError(f"option {field.name!r}: {mapping[field.name]!r} is not possible: {_text(error)}", source=source))
    return errors


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _default(field: Any) -> Any:
    """A field's default; None where only an instance could tell."""
    default = field.default
    if hasattr(default, "takes_self"):
        return None if default.takes_self else default.factory()
    return default


def _shown(default: Any) -> str:
    if default is attrs.NOTHING:
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, enum.Enum):
        return str(default.value)
    return "none" if default is None else str(default)


def _kinds(cls: type[Any]) -> dict[str, _Kind]:
    if not attrs.has(cls):
        raise PluginError(f"the options class {cls.__qualname__} is not an attrs class")
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise PluginError(f"an annotation of the options class {cls.__qualname__} is not importable at run time: {error}") from error
    return {field.name: _kind(hints.get(field.name, field.type), f"{cls.__qualname__}.{field.name}") for field in attrs.fields(cls) if field.init}


def _kind(annotation: Any, where: str) -> _Kind:
    if annotation in _SIMPLE_KINDS:
        return _SIMPLE_KINDS[annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
        if len(inner) == 1:
            kind = _kind(inner[0], where)
            return _Kind(f"{kind.label} or none", f"{kind.accepted}, or none", lambda text, base: _none_or(kind, text, base))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        members = {str(member.value): member for member in annotation}
        return _Kind("|".join(members), f"one of {', '.join(members)}", lambda text, base: _word(members, text))
    raise PluginError(f"the option {where} has the type {annotation!r}, which no text can become")


def _none_or(kind: _Kind, text: str, base: Path | None) -> Any:
    return None if text.lower() in _NONE_WORDS else kind.parse(text, base)


def _integer(text: str, base: Path | None) -> int:
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 40:
        raise ValueError(text)
    sign, digits, suffix = match.groups()
    value = int(digits, 16 if digits[:2].lower() == "0x" else 10) << _SUFFIXES[suffix.lower()]
    return -value if sign == "-" else value


def _word(words: Mapping[str, Any], text: str) -> Any:
    if text not in words:
        raise ValueError(text)
    return words[text]


def _path(text: str, base: Path | None) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    path = Path(text).expanduser()
    return base / path if base is not None else path


_SIMPLE_KINDS: dict[Any, _Kind] = {
    int: _Kind("integer", "an integer (decimal, 0x hex, with a suffix K, M or G)", _integer),
    bool: _Kind("on|off", "on or off (true/false, yes/no, 1/0)", lambda text, base: _word(_WORDS, text.lower())),
    float: _Kind("number", "a number", lambda text, base: float(text)),
    str: _Kind("text", "text", lambda text, base: text),
    Path: _Kind("path", "a path", _path),
}
