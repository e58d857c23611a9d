"""Listening to what the guest writes to its first serial port, whatever the port is connected to, and searching it for a text.

The port's driver is replaced by one that hands everything on; it comes to the machine as every driver does, from a plugin of this run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from ringone.api.config import MachineConfig, SerialPort
from ringone.api.drivers import CharStream, DriverContext, HostDriverSpec
from ringone.api.errors import ConfigError
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions
from ringone.plugins import PluginRegistry

WATCHED = "watched-line"
Listener = Callable[[bytes], None]
MakeListener = Callable[[DriverContext], Listener]


class Unconnected:
    """What a port with nothing connected is connected to."""

    def write(self, data: bytes) -> None:
        """Lost."""

    def attach(self, received: Callable[[], None]) -> None:
        """Nothing comes."""

    def read(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is held."""


class WatchedStream:
    """Another stream; what is written to it is shown to `listener` too."""

    def __init__(self, stream: CharStream, listener: Listener) -> None:
        self.attach = stream.attach
        self.read = stream.read
        self.close = stream.close
        self._pass_on = stream.write
        self._listener = listener

    def write(self, data: bytes) -> None:
        self._pass_on(data)
        self._listener(data)


class TextSearch:
    """A listener that calls `found` once, when `wanted` has been said."""

    def __init__(self, wanted: bytes, found: Callable[[], None]) -> None:
        self._wanted = wanted
        self._found: Callable[[], None] | None = found
        self._tail = b""

    def __call__(self, data: bytes) -> None:
        if self._found is None:
            return
        seen = self._tail + data
        if self._wanted in seen:
            self._found()
            self._found = None
        self._tail = seen[max(0, len(seen) - len(self._wanted) + 1) :]


class WatchPlugin:
    """Offers the driver that shows what `inner` is written (nothing connected where that is None) to a listener of its own."""

    def __init__(self, inner: HostDriverSpec | None, make_listener: MakeListener) -> None:
        self._inner = inner
        self._make_listener = make_listener

    @hookimpl
    def ringone_host_drivers(self) -> Iterable[HostDriverSpec]:
        options = NoOptions if self._inner is None else self._inner.options
        yield HostDriverSpec(name=WATCHED, summary="a line that somebody listens to", kind=CharStream, options=options, create=self._create)

    def _create(self, context: DriverContext, options: object) -> CharStream:
        stream = Unconnected() if self._inner is None else self._inner.create(context, options)
        return WatchedStream(stream, self._make_listener(context))


def search(text: str, found: Callable[[], None]) -> MakeListener:
    """Call `found` on the machine's thread, between instructions, when `text` has been said."""
    if not text:
        raise ConfigError("--until: the text to wait for is empty")
    return lambda context: TextSearch(text.encode(), lambda: context.call_soon(found))


def first_port(config: MachineConfig) -> SerialPort | None:
    return next((port for port in config.serial_ports if port.slot == 0), None)


def watch_for(text: str, config: MachineConfig, registry: PluginRegistry, found: Callable[[], None]) -> tuple[MachineConfig, WatchPlugin]:
    """The machine with its first serial port searched for `text`, and the plugin that it needs."""
    return watch(config, registry, search(text, found))


def watch(config: MachineConfig, registry: PluginRegistry, make_listener: MakeListener) -> tuple[MachineConfig, WatchPlugin]:
    """The machine with a listener at its first serial port, and the plugin that it needs."""
    first = first_port(config)
    if first is None:
        raise ConfigError(f"--until watches serial port 1, which machine {config.name!r} does not have", source=str(config.source or ""))
    inner = registry.host_drivers().pick(first.driver, source="serial port 1") if first.driver else None
    ports = (attrs.evolve(port, driver=WATCHED) if port is first else port for port in config.serial_ports)
    return attrs.evolve(config, serial_ports=tuple(ports)), WatchPlugin(inner, make_listener)
