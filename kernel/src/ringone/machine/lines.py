"""Serial ports that frontends share with whatever they are connected to: what the guest says is shown to listeners too, and others can talk to it.

Each port's driver is replaced by one that hands everything on. A port that nothing is connected to gets a line as well, whose other end are the listeners.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import attrs

from ringone.api.config import MachineConfig, SerialPort
from ringone.api.drivers import CharStream, DriverContext, HostDriverSpec
from ringone.api.errors import StateError
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions
from ringone.plugins import PluginRegistry

SEND_LIMIT_BYTES = 1 << 20
"""Sent and not yet taken by the guest."""


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


class SharedLine:
    """A `CharStream` around another one, and `ringone.api.frontends.SerialLine` for everybody else."""

    def __init__(self, slot: int, stream: CharStream, context: DriverContext) -> None:
        self._slot = slot
        self._stream = stream
        self._pass_on = stream.write
        self._context = context
        self._listeners: tuple[Callable[[bytes], None], ...] = ()
        self._received: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._sent = bytearray()

    # --- the chip's side

    def write(self, data: bytes) -> None:
        self._pass_on(data)
        for listener in self._listeners:
            listener(data)

    def attach(self, received: Callable[[], None]) -> None:
        self._received = received
        self._stream.attach(received)

    def read(self, size: int) -> bytes:
        if not self._sent:
            return self._stream.read(size)
        with self._lock:
            data = bytes(self._sent[:size])
            del self._sent[:size]
        return data

    def close(self) -> None:
        self._stream.close()

    # --- everybody else's side

    def listen(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def forget() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return forget

    def send(self, data: bytes) -> int:
        with self._lock:
            pending = len(self._sent)
            if pending + len(data) > SEND_LIMIT_BYTES:
                raise StateError(
                    f"serial port {self._slot} has {pending} bytes that the guest has not taken; {len(data)} more are over the limit of {SEND_LIMIT_BYTES}"
                )
            self._sent += data
        self._context.call_soon(self._received)
        return pending + len(data)


class SharedLines:
    """The lines of one machine, by slot, as they come to be; and the plugin that makes them."""

    def __init__(self) -> None:
        self.by_slot: dict[int, SharedLine] = {}
        self._specs: list[HostDriverSpec] = []

    @hookimpl
    def ringone_host_drivers(self) -> Iterable[HostDriverSpec]:
        return self._specs

    def share(self, config: MachineConfig, registry: PluginRegistry) -> MachineConfig:
        """The same machine on shared lines."""
        return attrs.evolve(config, serial_ports=tuple(self._shared(port, registry) for port in config.serial_ports))

    def _shared(self, port: SerialPort, registry: PluginRegistry) -> SerialPort:
        inner = registry.host_drivers().pick(port.driver, source=f"serial port {port.slot + 1}") if port.driver else None
        spec = HostDriverSpec(
            name=f"shared-line-{port.slot}",
            summary="a line that frontends share",
            kind=CharStream,
            options=NoOptions if inner is None else inner.options,
            create=partial(self._create, port.slot, inner),
        )
        self._specs.append(spec)
        return attrs.evolve(port, driver=spec.name)

    def _create(self, slot: int, inner: HostDriverSpec | None, context: DriverContext, options: object) -> SharedLine:
        stream = Unconnected() if inner is None else inner.create(context, options)
        line = self.by_slot[slot] = SharedLine(slot, stream, context)
        return line


def share_serial_ports(config: MachineConfig, registry: PluginRegistry) -> tuple[MachineConfig, PluginRegistry, Mapping[int, SharedLine]]:
    """The machine on shared lines, the plugins that it needs, and the lines by slot, which are there once it is assembled."""
    lines = SharedLines()
    shared = lines.share(config, registry)
    return shared, registry.extended([lines]), lines.by_slot
