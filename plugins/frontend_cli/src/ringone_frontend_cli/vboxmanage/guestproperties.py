"""guestproperty: names with values and times that the host keeps with a machine. There are no guest additions, so no guest reads or writes them."""

from __future__ import annotations

import datetime
import fnmatch
import time
from collections.abc import Iterable, Iterator

import attrs
from ringone.api.settings import GuestProperty

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, VerbError
from ringone_frontend_cli.vboxmanage.output import time_text
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, branches, flag, number, option

MAX_NAME = 64
MAX_VALUE = 1024
MAX_COUNT = 256
NAME_WIDTH = 45
SECOND_NS = 10**9
WAIT_STEP_S = 0.1
FLAGS = {
    "TRANSIENT": "transient",
    "TRANSRESET": "transreset",
    "RDONLYGUEST": "read only to the guest",
    "RDONLYHOST": "read only to the host",
    "READONLY": "read only",
}
READ_ONLY_FLAGS = frozenset({"RDONLYHOST", "READONLY"})


def get(context: Context, arguments: Arguments) -> None:
    machine, name = arguments.words
    found = _find(context.machine(machine).loaded.guest_properties, name)
    if found is None:
        print("No value set!")
        return
    print(f"Value: {found.value}")
    if arguments.has("--verbose"):
        print(f"Timestamp: {found.timestamp_ns}")
        print(f"Flags: {found.flags}")


def set_value(context: Context, arguments: Arguments) -> None:
    target, name, *values = arguments.words
    _check(name, MAX_NAME, "name")
    for value in values:
        _check(value, MAX_VALUE, "value")
    _change(context, target, name, values[0] if values else "", arguments.get("--flags"))


def delete(context: Context, arguments: Arguments) -> None:
    target, name = arguments.words
    _change(context, target, name, "", None)


def _change(context: Context, target: str, name: str, value: str, flags: str | None) -> None:
    context.change(target, lambda before: attrs.evolve(before, guest_properties=_changed(before.guest_properties, name, value, flags)))


def enumerate_properties(context: Context, arguments: Arguments) -> None:
    target, *patterns = arguments.words
    patterns += arguments.all("--patterns")
    for one in sorted(_matching(context.machine(target).loaded.guest_properties, patterns), key=lambda one: one.name):
        if arguments.has("--old-format"):
            print(f"Name: {one.name}, value: {one.value}, timestamp: {one.timestamp_ns}, flags: {one.flags}")
        else:
            moment = datetime.datetime.fromtimestamp(one.timestamp_ns // SECOND_NS, datetime.UTC)
            flags = f" {one.flags}" if one.flags else ""
            print(f"{one.name:<{NAME_WIDTH}} = '{one.value}' @ {time_text(moment).partition('.')[0]}Z{flags}")


def wait(context: Context, arguments: Arguments) -> int:
    target, pattern = arguments.words
    deadline = None if arguments.get("--timeout") is None else time.monotonic() + arguments.get("--timeout") / 1000
    before = {one.name: one.timestamp_ns for one in context.machine(target).loaded.guest_properties}
    while deadline is None or time.monotonic() < deadline:
        for one in _matching(context.machine(target).loaded.guest_properties, [pattern]):
            if before.get(one.name) != one.timestamp_ns:
                print(f"Name: {one.name}, value: {one.value}, flags: {one.flags}")
                return 0
        time.sleep(WAIT_STEP_S)
    print("Time out or interruption while waiting for a notification.")
    return 2 if arguments.has("--fail-on-timeout") else 0


def _find(properties: Iterable[GuestProperty], name: str) -> GuestProperty | None:
    return next((one for one in properties if one.name == name), None)


def _matching(properties: Iterable[GuestProperty], patterns: Iterable[str]) -> Iterator[GuestProperty]:
    """Patterns have * and ?, and | between several."""
    wanted = [part for pattern in patterns for part in pattern.split("|") if part]
    for one in properties:
        if not wanted or any(fnmatch.fnmatchcase(one.name, part) for part in wanted):
            yield one


def _changed(properties: tuple[GuestProperty, ...], name: str, value: str, flags: str | None) -> tuple[GuestProperty, ...]:
    """An empty value takes the property away."""
    old = _find(properties, name)
    if old is not None and READ_ONLY_FLAGS & set(_flags(old.flags)):
        raise VerbError(f"The property '{name}' cannot be changed by the host (flags: {old.flags})", INVALID_ARGUMENT)
    kept = tuple(one for one in properties if one.name != name)
    if not value:
        return kept
    if old is None and len(kept) >= MAX_COUNT:
        raise VerbError(f"The machine has {MAX_COUNT} guest properties already; accepted are no more", INVALID_ARGUMENT)
    words = old.flags if flags is None and old is not None else ", ".join(_flags(flags or ""))
    return (*kept, GuestProperty(name=name, value=value, timestamp_ns=time.time_ns(), flags=words))


def _flags(text: str) -> list[str]:
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in FLAGS:
            raise VerbError(f"Invalid flag '{word}'; accepted: {', '.join(FLAGS)}", INVALID_ARGUMENT)
    return words


def _check(text: str, limit: int, what: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if (what == "name" and not text) or size >= limit or any(ord(letter) < 0x20 for letter in text):
        raise VerbError(f"Invalid guest property {what} '{text[:MAX_NAME]}'; accepted: up to {limit - 1} bytes without control characters", INVALID_ARGUMENT)


VERBS = (
    branches(
        "guestproperty",
        "names and values kept with a machine (host side)",
        0,
        (
            Verb(
                name="get", summary="", usage=("<uuid|vmname> <property> [--verbose]",), run=get, options=(option("--verbose", "-v", parse=flag),), words=(2, 2)
            ),
            Verb(
                name="set",
                summary="",
                usage=("<uuid|vmname> <property> [<value> [--flags <flags>]]",),
                run=set_value,
                options=(option("--flags", value="<flags>"),),
                words=(2, 3),
            ),
            Verb(name="delete", summary="", usage=("<uuid|vmname> <property>",), run=delete, words=(2, 2)),
            Verb(name="unset", summary="", usage=("<uuid|vmname> <property>",), run=delete, words=(2, 2)),
            Verb(
                name="enumerate",
                summary="",
                usage=("<uuid|vmname> [<pattern>] [--patterns <patterns>] [--old-format]",),
                run=enumerate_properties,
                options=(option("--patterns"), option("--old-format", parse=flag), option("--sort", parse=flag), option("--no-timestamp", parse=flag)),
                words=(1, None),
            ),
            Verb(
                name="wait",
                summary="",
                usage=("<uuid|vmname> <pattern> [--timeout <msec>] [--fail-on-timeout]",),
                run=wait,
                options=(option("--timeout", parse=number(0, 1 << 31)), option("--fail-on-timeout", parse=flag)),
                words=(2, 2),
            ),
        ),
    ),
)
