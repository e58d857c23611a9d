"""Serial ports: ``UART/Port`` and what it says with ``hostMode``, both ways.

Host drivers that VirtualBox has no mode for (``pty``, ``stdio`` ...) are written as Disconnected, with their name and options in ExtraData items
``RingOne/Serial/<slot>/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ringone.api.config import SerialPort
from ringone.api.errors import ConfigError

from ringone_config_xml.document import Document, Element

UART_REGISTERS = 8
SERVER_WORDS = frozenset({"true", "yes", "on", "1"})
Options = dict[str, str]


def read_serial_ports(document: Document, extras: Mapping[int, Mapping[str, str]]) -> tuple[SerialPort, ...]:
    """Enabled ports by slot. `extras` are the ``RingOne/Serial/<slot>/`` items, by slot."""
    ports: dict[int, SerialPort] = {}
    seen = set()
    for element in port_elements(document):
        slot = document.number(element, "slot", -1)
        if slot in seen:
            document.problem(element, f"two serial ports in slot {slot}; accepted is one Port for each slot")
        seen.add(slot)
        if document.flag(element, "enabled", False):
            ports[slot] = _read_port(document, element, slot, extras.get(slot, {}))
    return tuple(ports[slot] for slot in sorted(ports))


def port_elements(document: Document) -> list[Element]:
    return list(document.find_all(document.machine, "Hardware/UART/Port"))


def _read_port(document: Document, element: Element, slot: int, extra: Mapping[str, str]) -> SerialPort:
    io_base, irq = document.number(element, "IOBase"), document.number(element, "IRQ")
    if io_base > 0x10000 - UART_REGISTERS:
        document.problem(element, f"Port IOBase is {io_base:#x}; accepted: 0x0 to {0x10000 - UART_REGISTERS:#x}")
    mode = document.text(element, "hostMode", "").strip()
    if not mode:
        document.problem(element, "Port lacks the attribute hostMode; accepted: Disconnected, HostPipe, HostDevice, RawFile, TCP")
    try:
        driver, options = _READERS.get(mode.lower(), _disconnected)(document.text(element, "path"), document.flag(element, "server", False))
    except ConfigError as error:
        document.problem(element, error.message)
        driver, options = "", {}
    if "Driver" in extra:
        driver, options = extra["Driver"], {}
    options |= {name.removeprefix("Options/"): value for name, value in extra.items() if name != "Driver"}
    return SerialPort(slot=slot, io_base=io_base, irq=irq, driver=driver, options=options)


def _disconnected(path: str, server: bool) -> tuple[str, Options]:
    return "", {}


def _raw_file(path: str, server: bool) -> tuple[str, Options]:
    return "file", {"path": _required("RawFile", path)}


def _host_device(path: str, server: bool) -> tuple[str, Options]:
    return "device", {"path": _required("HostDevice", path)}


def _host_pipe(path: str, server: bool) -> tuple[str, Options]:
    return "unix-socket", {"path": _required("HostPipe", path), "server": _word(server)}


def _tcp(path: str, server: bool) -> tuple[str, Options]:
    host, colon, port = path.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 0x10000) or not (server or host):
        accepted = "a port such as 2323" if server else "host:port, such as localhost:2323"
        raise ConfigError(f"Port path is {path[:60]!r}; accepted for hostMode TCP with server={_word(server)}: {accepted}")
    return "tcp", ({"host": host} if colon else {}) | {"port": port, "server": _word(server)}


_READERS: Mapping[str, Callable[[str, bool], tuple[str, Options]]] = {
    "disconnected": _disconnected,
    "rawfile": _raw_file,
    "hostdevice": _host_device,
    "hostpipe": _host_pipe,
    "tcp": _tcp,
}


def _required(mode: str, path: str) -> str:
    if not path:
        raise ConfigError(f"Port lacks the attribute path; accepted for hostMode {mode}: the path of a file")
    return path


def port_attributes(port: SerialPort) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes of ``Port`` that say as much as VirtualBox can, and the ``RingOne/Serial/<slot>/`` items for the rest."""
    options = dict(port.options)
    mode = _mode(port.driver, options)
    if mode is not None:
        return mode, _named(options)
    return {"hostMode": "Disconnected"}, {"Driver": port.driver} | _named(port.options)


def _mode(driver: str, options: Options) -> dict[str, str] | None:
    """VirtualBox's words for a driver and its options, which are taken out of `options`; None where it has none."""
    match driver:
        case "":
            return {"hostMode": "Disconnected"}
        case "file" if "path" in options:
            return {"hostMode": "RawFile", "path": options.pop("path")}
        case "device" if "path" in options:
            return {"hostMode": "HostDevice", "path": options.pop("path")}
        case "unix-socket" if {"path", "server"} <= options.keys():
            return {"hostMode": "HostPipe", "path": options.pop("path"), "server": _server(options)}
        case "tcp" if {"port", "server"} <= options.keys():
            host, port = options.pop("host", None), options.pop("port")
            address = f"[{host}]" if host and ":" in host else host
            return {"hostMode": "TCP", "path": port if host is None else f"{address}:{port}", "server": _server(options)}
    return None


def _server(options: Options) -> str:
    return _word(options.pop("server").lower() in SERVER_WORDS)


def _named(options: Mapping[str, str]) -> dict[str, str]:
    return {f"Options/{name}": value for name, value in options.items()}


def _word(flag: bool) -> str:
    return "true" if flag else "false"
