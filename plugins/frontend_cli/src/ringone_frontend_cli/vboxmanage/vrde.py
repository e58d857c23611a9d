"""The remote display in VBoxManage's words: modifyvm's options and showvminfo's lines. Who serves it is a frontend's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from ringone.api.config import MachineConfig, RemoteDisplay

from ringone_frontend_cli.vboxmanage.errors import VerbSyntaxError
from ringone_frontend_cli.vboxmanage.output import Row
from ringone_frontend_cli.vboxmanage.syntax import Option, Words, choice, on_off, option, text

PORTS, ADDRESS, VIDEO_CHANNEL = "TCP/Ports", "TCP/Address", "VideoChannel/Enabled"
DEFAULT_PORTS = "3389"
ANY_ADDRESS = "0.0.0.0"
MAX_PORT = 0xFFFF
DEFAULT_WORDS = frozenset({"default", ""})

Change = Callable[[RemoteDisplay, Any], RemoteDisplay]


def _field(name: str, convert: Callable[[Any], Any] = lambda value: value) -> Change:
    return lambda display, value: attrs.evolve(display, **{name: convert(value)})


def _property(name: str) -> Change:
    return lambda display, value: with_property(display, (name, "" if value in DEFAULT_WORDS else value))


def with_property(display: RemoteDisplay, item: tuple[str, str]) -> RemoteDisplay:
    """An empty value takes the property away."""
    name, value = item
    properties = {**display.properties, name: value}
    return attrs.evolve(display, properties={key: kept for key, kept in properties.items() if kept})


def _ports(option: str, words: Words) -> str:
    """``5000,5010-5012``"""
    word = words.next(option)
    if word in DEFAULT_WORDS:
        return word
    ports = [port for part in word.split(",") for port in part.split("-", 1)]
    if not all(port.isascii() and port.isdecimal() and int(port[:6]) <= MAX_PORT for port in ports):
        raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: default, ports and ranges of them such as 5000,5010-5012")
    return word


def _pair(option: str, words: Words) -> tuple[str, str]:
    name, equals, value = words.next(option).partition("=")
    if not name or not equals:
        raise VerbSyntaxError(f"Invalid value '{name}' for option '{option}'; accepted: name=value")
    return name, value


SETTINGS: tuple[tuple[Option, Change], ...] = (
    (option("--vrde", parse=on_off, value="on|off"), _field("enabled")),
    (option("--vrdeport", parse=_ports, value="default|<ports>"), _property(PORTS)),
    (option("--vrdeaddress", parse=text, value="default|<address>"), _property(ADDRESS)),
    (option("--vrdeauthtype", parse=choice("null", "external", "guest"), value="null|external|guest"), _field("auth_type", str.capitalize)),
    (option("--vrdemulticon", parse=on_off, value="on|off"), _field("allow_multi_connection")),
    (option("--vrdereusecon", parse=on_off, value="on|off"), _field("reuse_single_connection")),
    (option("--vrdeproperty", parse=_pair, value="<name=[value]>"), with_property),
)


def effect(change: Change) -> Callable[[MachineConfig, int, Any], MachineConfig]:
    return lambda config, index, value: attrs.evolve(config, remote_display=change(config.remote_display, value))


def rows(display: RemoteDisplay) -> Iterator[Row]:
    if not display.enabled:
        yield Row("vrde", "VRDE:", False)
        return
    ports, address = display.properties.get(PORTS, DEFAULT_PORTS), display.properties.get(ADDRESS, ANY_ADDRESS)
    words = f"(Address {address}, Ports {ports}, MultiConn: {_on_off(display.allow_multi_connection)}, ReuseSingleConn: "
    yield Row("vrde", "VRDE:", True, f"enabled {words}{_on_off(display.reuse_single_connection)}, Authentication type: {display.auth_type.lower()})")
    yield Row("vrdeport", "", -1)
    yield Row("vrdeports", "", ports)
    yield Row("vrdeaddress", "", address)
    yield Row("vrdeauthtype", "", display.auth_type.lower())
    yield Row("vrdemulticon", "", display.allow_multi_connection)
    yield Row("vrdereusecon", "", display.reuse_single_connection)
    yield Row("vrdevideochannel", "", display.properties.get(VIDEO_CHANNEL, "").lower() in ("1", "true", "on"))
    for name, value in display.properties.items():
        yield Row(f"vrdeproperty[{name}]", f"VRDE property {name}:", value)


def _on_off(value: bool) -> str:
    return "on" if value else "off"
