"""VBoxManage's option syntax: long options with one or two dashes, ``--name value`` and ``--name=value``, options with a number in their name, words.

Dashes inside a name do not count (``--os-type`` is ``--ostype``), as VirtualBox 7 spells many options another way than its predecessors.
A verb describes itself as a table of `Option`s; values come out in the order in which they were given.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from ringone_frontend_cli.vboxmanage.errors import VerbSyntaxError

MIB = 1 << 20

T = TypeVar("T")


class Words:
    """What is left of a command line."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = deque(words)

    def __bool__(self) -> bool:
        return bool(self._words)

    def next(self, option: str = "") -> str:
        if not self._words:
            raise VerbSyntaxError(f"Missing value for option '{option}'" if option else "Not enough parameters")
        return self._words.popleft()

    def peek(self) -> str:
        return self._words[0] if self._words else ""

    def push(self, word: str) -> None:
        self._words.appendleft(word)

    def rest(self) -> list[str]:
        words = list(self._words)
        self._words.clear()
        return words


Parser = Callable[[str, Words], Any]
"""(option as written, words behind it) -> value."""


def text(option: str, words: Words) -> str:
    return words.next(option)


def flag(option: str, words: Words) -> bool:
    return True


def on_off(option: str, words: Words) -> bool:
    word = words.next(option)
    values = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}
    if word.lower() not in values:
        raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: on, off")
    return values[word.lower()]


def integer(word: str) -> int | None:
    """Decimal or 0x hexadecimal, as VBoxManage takes numbers; None for what is none."""
    match = re.fullmatch(r"([+-]?)(?:0[xX]([0-9a-fA-F]{1,16})|([0-9]{1,20}))", word, re.ASCII)
    if match is None:
        return None
    number = int(match[2], 16) if match[2] else int(match[3])
    return -number if match[1] == "-" else number


def number(low: int, high: int) -> Parser:
    def parse(option: str, words: Words) -> int:
        word = words.next(option)
        value = integer(word)
        if value is None or not low <= value <= high:
            raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: {low} to {high}")
        return value

    return parse


def choice(*accepted: str) -> Parser:
    def parse(option: str, words: Words) -> str:
        word = words.next(option).lower()
        if word not in accepted:
            raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: {', '.join(accepted)}")
        return word

    return parse


def uuid_text(option: str, words: Words) -> str:
    word = words.next(option)
    try:
        return str(uuid.UUID(word))
    except ValueError:
        raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: a UUID") from None


@attrs.frozen
class Option:
    """`names` are written with their dashes, the first one is the option's; ``<N>`` in a name stands for a number from 1."""

    names: tuple[str, ...]
    parse: Parser = text
    value: str = ""
    """How the value is written in the usage."""

    @property
    def key(self) -> str:
        return canonical(self.names[0])


def option(*names: str, parse: Parser = text, value: str = "") -> Option:
    return Option(names, parse, value)


@attrs.frozen
class Given:
    """An option as it was given: `key` is its canonical name, `index` the number in it or 0."""

    key: str
    index: int
    value: Any
    written: str


@attrs.frozen
class Arguments:
    words: tuple[str, ...]
    given: tuple[Given, ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        """The last value of an option."""
        return next((given.value for given in reversed(self.given) if given.key == canonical(name)), default)

    def all(self, name: str) -> list[Any]:
        return [given.value for given in self.given if given.key == canonical(name)]

    def has(self, name: str) -> bool:
        return any(given.key == canonical(name) for given in self.given)

    def require(self, name: str) -> Any:
        if not self.has(name):
            raise VerbSyntaxError(f"Required parameter {name} is missing")
        return self.get(name)


def canonical(name: str) -> str:
    return name.strip("-").replace("-", "")


def parse(words: Sequence[str], options: Sequence[Option], *, least: int, most: int | None) -> Arguments:
    """Raises `VerbSyntaxError` for an unknown option and for too few or too many words; `most` None is any number of them."""
    named, numbered = _tables(options)
    left, plain, given = Words(words), [], []
    while left:
        word = left.next()
        if word == "--":
            plain += left.rest()
        elif len(word) > 1 and word.startswith("-") and integer(word) is None:
            given.append(_given(word, left, named, numbered))
        else:
            plain.append(word)
    if len(plain) < least:
        raise VerbSyntaxError("Not enough parameters")
    if most is not None and len(plain) > most:
        raise VerbSyntaxError(f"Invalid parameter '{plain[most]}'")
    return Arguments(tuple(plain), tuple(given))


def _tables(options: Sequence[Option]) -> tuple[Mapping[str, Option], Mapping[str, Option]]:
    """Options by canonical name, without and with a number behind it."""
    names = [(canonical(name), option) for option in options for name in option.names]
    numbered = {name.removesuffix("<N>"): option for name, option in names if name.endswith("<N>")}
    return {name: option for name, option in names if not name.endswith("<N>")}, numbered


def _given(word: str, left: Words, named: Mapping[str, Option], numbered: Mapping[str, Option]) -> Given:
    written, separator, value = _split(word)
    name, index = canonical(written), 0
    option = named.get(name)
    if option is None and (match := re.fullmatch(r"(.*?)([1-9][0-9]{0,3})", name)):
        option, index = numbered.get(match[1]), int(match[2])
    if option is None:
        raise VerbSyntaxError(f"Unknown option: {written}")
    if separator:
        if option.parse is flag:
            raise VerbSyntaxError(f"Option '{written}' takes no value")
        left.push(value)
    return Given(option.key.removesuffix("<N>"), index, option.parse(written, left), written)


def _split(word: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(--?[^=:]+)([=:])(.*)", word, re.DOTALL)
    return (match[1], match[2], match[3]) if match else (word, "", "")


# --- Verbs -------------------------------------------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Verb:
    """`usage` is what stands behind the verb's name, a line each form. `words` is how many words it takes at least and at most (None: any number); `raw` verbs
    take everything behind the words before it as it is."""

    name: str
    summary: str
    usage: tuple[str, ...]
    run: Callable[[Any, Arguments], int | None]
    options: tuple[Option, ...] = ()
    words: tuple[int, int | None] = (0, 0)
    raw: bool = False

    def parse(self, words: Sequence[str]) -> Arguments:
        if not self.raw:
            return parse(words, self.options, least=self.words[0], most=self.words[1])
        if len(words) < self.words[0]:
            raise VerbSyntaxError("Not enough parameters")
        if self.words[1] is not None and len(words) > self.words[1]:
            raise VerbSyntaxError(f"Invalid parameter '{words[self.words[1]]}'")
        return Arguments(tuple(words))


@attrs.frozen(kw_only=True)
class Branches:
    """A verb of several: the word at `position` says which, ``snapshot VM take NAME``."""

    name: str
    summary: str
    position: int
    verbs: Mapping[str, Verb]
    refused: Mapping[str, str] = attrs.field(factory=dict)
    """What VBoxManage knows and RingOne does not have, with the reason."""

    @property
    def usage(self) -> tuple[str, ...]:
        subject = "<uuid|vmname> " * self.position
        return tuple(f"{subject}{verb.name} {line}".rstrip() for verb in dict.fromkeys(self.verbs.values()) for line in verb.usage)


def branches(name: str, summary: str, position: int, verbs: Sequence[Verb], refused: Mapping[str, str] | None = None) -> Branches:
    return Branches(name=name, summary=summary, position=position, verbs={verb.name: verb for verb in verbs}, refused=refused or {})


def usage_lines(program: str, verb: Verb | Branches) -> Iterator[str]:
    """A line of the usage that is indented goes on with the one before."""
    start = f"{program} {verb.name} "
    for line in verb.usage:
        yield (" " * len(start) + line.strip() if line.startswith(" ") else start + line).rstrip()
