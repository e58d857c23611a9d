"""The two ways in which VBoxManage shows a machine: ``key="value"`` lines for programs, aligned labels for people."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Iterator

import attrs

LABEL_WIDTH = 28


class Style(enum.Enum):
    DETAILS = "details"
    MACHINE_READABLE = "machine-readable"


@attrs.frozen
class Bare:
    """A value that machine-readable lines have without quotes."""

    text: str


Value = str | int | bool | Bare


@attrs.frozen
class Row:
    """One fact. A row without `label` is for programs alone, one without `key` for people; `shown` is the value for people where it is another one."""

    key: str
    label: str
    value: Value
    shown: str | None = None
    quoted_key: bool = False


def lines(rows: Iterable[Row], style: Style) -> Iterator[str]:
    for row in rows:
        if style is Style.MACHINE_READABLE and row.key:
            yield machine_line(row)
        elif style is Style.DETAILS and row.label:
            yield f"{row.label:<{LABEL_WIDTH}} {_for_people(row)}".rstrip()


def machine_line(row: Row) -> str:
    key = f'"{escaped(row.key)}"' if row.quoted_key else row.key
    return f"{key}={machine_value(row.value)}"


def machine_value(value: Value) -> str:
    match value:
        case bool():
            return '"on"' if value else '"off"'
        case int():
            return str(value)
        case Bare():
            return value.text
    return f'"{escaped(value)}"'


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _for_people(row: Row) -> str:
    if row.shown is not None:
        return row.shown
    match row.value:
        case bool():
            return "enabled" if row.value else "disabled"
        case Bare():
            return row.value.text
    return str(row.value)


def time_text(moment: datetime.datetime) -> str:
    """With nanoseconds, as VirtualBox writes times."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%S.%f}000"
