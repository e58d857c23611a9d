"""Serial ports in VBoxManage's words: ``--uart1 0x3F8 4``, ``--uartmode1 server /tmp/com1`` and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from ringone.api.config import MachineConfig, SerialPort

from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.syntax import Words, integer

PORTS = 4
MAX_IO_BASE = 0xFFF8
MAX_IRQ = 15


@attrs.frozen
class Uart:
    io_base: int
    irq: int


@attrs.frozen
class UartMode:
    driver: str
    options: Mapping[str, str] = attrs.field(factory=dict)


def parse_uart(option: str, words: Words) -> Uart | None:
    word = words.next(option)
    if word == "off":
        return None
    base, irq = integer(word), integer(words.next(option))
    if base is None or irq is None or not 0 <= base <= MAX_IO_BASE or not 0 <= irq <= MAX_IRQ:
        raise VerbSyntaxError(f"Invalid value for option '{option}'; accepted: off, or an I/O base up to {MAX_IO_BASE:#x} and an IRQ up to {MAX_IRQ}")
    return Uart(base, irq)


def parse_uart_mode(option: str, words: Words) -> UartMode:
    word = words.next(option)
    match word:
        case "disconnected":
            return UartMode("")
        case "server":
            return UartMode("unix-socket", {"path": words.next(option), "server": "true"})
        case "client":
            return UartMode("unix-socket", {"path": words.next(option), "server": "false"})
        case "file":
            return UartMode("file", {"path": words.next(option)})
        case "tcpserver":
            return UartMode("tcp", {"port": _tcp_port(option, words.next(option)), "server": "true"})
        case "tcpclient":
            host, _, port = words.next(option).rpartition(":")
            return UartMode("tcp", {"host": host.strip("[]"), "port": _tcp_port(option, port), "server": "false"})
        case "pty" | "stdio":
            return UartMode(word)
    if word.startswith("/"):
        return UartMode("device", {"path": word})
    accepted = "disconnected, server PATH, client PATH, file PATH, tcpserver PORT, tcpclient HOST:PORT, a device's path, pty"
    raise VerbSyntaxError(f"Invalid value '{word}' for option '{option}'; accepted: {accepted}")


def _tcp_port(option: str, word: str) -> str:
    number = integer(word)
    if number is None or not 0 < number < 0x10000:
        raise VerbSyntaxError(f"Invalid port '{word}' for option '{option}'; accepted: 1 to 65535")
    return str(number)


def with_uart(config: MachineConfig, index: int, uart: Uart | None) -> MachineConfig:
    ports = {port.slot: port for port in config.serial_ports}
    old = ports.pop(index - 1, None)
    if uart is not None:
        port = SerialPort(slot=index - 1, io_base=uart.io_base, irq=uart.irq)
        ports[index - 1] = port if old is None else attrs.evolve(old, io_base=uart.io_base, irq=uart.irq)
    return attrs.evolve(config, serial_ports=tuple(ports[slot] for slot in sorted(ports)))


def with_uart_mode(config: MachineConfig, index: int, mode: UartMode) -> MachineConfig:
    if mode.driver and all(port.slot != index - 1 for port in config.serial_ports):
        raise VerbError(f"UART {index} is off and cannot be connected; give --uart{index} with its I/O base and IRQ too", INVALID_ARGUMENT)
    changed = (attrs.evolve(port, driver=mode.driver, options=dict(mode.options)) if port.slot == index - 1 else port for port in config.serial_ports)
    return attrs.evolve(config, serial_ports=tuple(changed))


def mode_text(port: SerialPort) -> str:
    """As showvminfo --machinereadable writes it."""
    options: Mapping[str, Any] = port.options
    path, is_server = options.get("path", ""), options.get("server", "") in ("true", "on", "yes", "1")
    match port.driver:
        case "":
            return "disconnected"
        case "unix-socket":
            return f"{'server' if is_server else 'client'},{path}"
        case "file":
            return f"file,{path}"
        case "tcp" if is_server:
            return f"tcpserver,{options.get('port', '')}"
        case "tcp":
            return f"tcpclient,{options.get('host', '') or '127.0.0.1'}:{options.get('port', '')}"
        case "device":
            return str(path)
    return port.driver
