"""The remote display in VBoxManage's words: modifyvm's options, controlvm's verbs and showvminfo's lines. Who serves it is a frontend's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from ringone.api.config import MachineConfig, RemoteDisplay

from ringone_frontend_cli.vboxmanage.errors import VerbSyntaxError
from ringone_frontend_cli.vboxmanage.output import Row
from ringone_frontend_cli.vboxmanage.syntax import Option, Words, choice, on_off, option, text

if TYPE_CHECKING:
    from ringone.api.remotedisplay import Endpoint
    from ringone.client import RemoteDisplayInfo

PORTS, ADDRESS, VIDEO_CHANNEL = "TCP/Ports", "TCP/Address", "VideoChannel/Enabled"
DEFAULT_PORTS = "3389"
OWN_ADDRESS = "127.0.0.1"
"""Where RingOne listens unless told otherwise; VirtualBox listens everywhere."""
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


def changed_ports(words: Sequence[str]) -> Mapping[str, str]:
    """For ``controlvm vrdeport``."""
    ports = _ports("vrdeport", Words(words))
    return {PORTS: "" if ports in DEFAULT_WORDS else ports}


def changed_property(words: Sequence[str]) -> Mapping[str, str]:
    """For ``controlvm vrdeproperty``."""
    return dict([_pair("vrdeproperty", Words(words))])


def served_at(place: RemoteDisplayInfo | Endpoint) -> str:
    return f"address {place.address}, port {place.port}, certificate SHA-256 {place.fingerprint}"


def rows(display: RemoteDisplay, served: RemoteDisplayInfo | None = None) -> Iterator[Row]:
    """`served` is what the machine's process says, where the machine runs."""
    if served is not None:
        display = attrs.evolve(display, enabled=served.enabled, properties=served.properties)
    if not display.enabled:
        yield Row("vrde", "VRDE:", False)
        return
    ports, address = display.properties.get(PORTS, DEFAULT_PORTS), display.properties.get(ADDRESS, OWN_ADDRESS)
    words = f"(Address {address}, Ports {ports}, MultiConn: {_on_off(display.allow_multi_connection)}, ReuseSingleConn: "
    yield Row("vrde", "VRDE:", True, f"enabled {words}{_on_off(display.reuse_single_connection)}, Authentication type: {display.auth_type.lower()})")
    port = -1 if served is None else served.port
    yield Row("vrdeport", "VRDE port:" if port >= 0 else "", port)
    yield Row("vrdeports", "", ports)
    yield Row("vrdeaddress", "", address)
    yield Row("vrdeauthtype", "", display.auth_type.lower())
    yield Row("vrdemulticon", "", display.allow_multi_connection)
    yield Row("vrdereusecon", "", display.reuse_single_connection)
    yield Row("vrdevideochannel", "", display.properties.get(VIDEO_CHANNEL, "").lower() in ("1", "true", "on"))
    for name, value in display.properties.items():
        yield Row(f"vrdeproperty[{name}]", f"VRDE property {name}:", value)


def connection_rows(served: RemoteDisplayInfo | None) -> Iterator[Row]:
    """Of a machine that runs. The certificate and the error are RingOne's own."""
    active = served is not None and bool(served.clients)
    yield Row("VRDEActiveConnection", "VRDE Connection:", active, "active" if active else "not active")
    yield Row("VRDEClients", "Clients so far:", 0 if served is None else served.clients_so_far)
    if served is None:
        return
    yield Row("VRDEBytesSentTotal", "Sent total:", served.sent_bytes, f"{served.sent_bytes} Bytes")
    yield Row("VRDEBytesReceivedTotal", "Received total:", served.received_bytes, f"{served.received_bytes} Bytes")
    if served.clients:
        newest = served.clients[-1]
        yield Row("VRDEUserName", "User name:", newest["user"])
        yield Row("VRDEClientIP", "Client IP:", newest["address"])
    if served.fingerprint:
        yield Row("VRDECertificateFingerprint", "VRDE certificate:", served.fingerprint, f"SHA-256 {served.fingerprint}")
    if served.error:
        yield Row("VRDEError", "VRDE error:", served.error)


def _on_off(value: bool) -> str:
    return "on" if value else "off"
