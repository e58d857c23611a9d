"""Serial lines that are shared: the driver notices nothing, listeners hear everything, and senders come before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import pytest
from ringone.api.config import MachineConfig, SerialPort
from ringone.api.drivers import CharStream, HostDriverSpec
from ringone.api.errors import StateError, UnknownNameError
from ringone.api.hooks import hookimpl
from ringone.api.options import option
from ringone.machine.lines import SEND_LIMIT_BYTES, SharedLine, share_serial_ports
from ringone.plugins import PluginRegistry


@attrs.frozen(kw_only=True)
class TapeOptions:
    label: str = option(help="what is on it")


class Tape:
    """A driver that keeps what it is given."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.written = b""
        self.input = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def attach(self, received: Callable[[], None]) -> None:
        self.received = received

    def read(self, size: int) -> bytes:
        data, self.input = self.input[:size], self.input[size:]
        return data

    def close(self) -> None:
        self.closed = True


class TapePlugin:
    def __init__(self) -> None:
        self.made: list[Tape] = []

    @hookimpl
    def ringone_host_drivers(self) -> Iterable[HostDriverSpec]:
        yield HostDriverSpec(name="tape", summary="", kind=CharStream, options=TapeOptions, create=self._create)

    def _create(self, context: object, options: TapeOptions) -> Tape:
        self.made.append(Tape(options.label))
        return self.made[-1]


class Machine:
    """Runs what it is asked to at once."""

    component = "com1.stream"

    def call_soon(self, function: Callable[[], None]) -> None:
        function()


@pytest.fixture
def tapes() -> TapePlugin:
    return TapePlugin()


def assembled(tapes: TapePlugin, *ports: SerialPort) -> dict[int, SharedLine]:
    """What assembly does with the drivers of serial ports."""
    registry = PluginRegistry([tapes], discover=False, strict=True)
    shared, registry, lines = share_serial_ports(MachineConfig(name="m", serial_ports=ports), registry)
    for port in shared.serial_ports:
        spec = registry.host_drivers()[port.driver]
        spec.create(Machine(), spec.options(**port.options))  # type: ignore[arg-type]
    return dict(lines)


def com(slot: int, driver: str = "tape") -> SerialPort:
    return SerialPort(slot=slot, io_base=0x3F8, irq=4, driver=driver, options={"label": f"tape {slot}"} if driver else {})


def test_what_the_guest_says_goes_to_the_driver_and_to_listeners(tapes: TapePlugin) -> None:
    line = assembled(tapes, com(0))[0]
    heard: list[bytes] = []
    forget = line.listen(heard.append)
    line.write(b"one")
    forget()
    line.write(b"two")
    assert heard == [b"one"]
    assert (tapes.made[0].label, tapes.made[0].written) == ("tape 0", b"onetwo")


def test_what_is_sent_wakes_the_chip_and_comes_before_the_drivers_input(tapes: TapePlugin) -> None:
    line = assembled(tapes, com(0))[0]
    woken: list[bytes] = []
    line.attach(lambda: woken.append(line.read(2)))
    tapes.made[0].input = b"tape"
    assert line.send(b"sent") == 4
    assert woken == [b"se"]
    assert [line.read(16), line.read(16), line.read(16)] == [b"nt", b"tape", b""]
    assert tapes.made[0].received is not None


def test_ports_have_lines_of_their_own_and_unconnected_ones_have_too(tapes: TapePlugin) -> None:
    lines = assembled(tapes, com(0), com(2, driver=""))
    assert sorted(lines) == [0, 2]
    heard: list[bytes] = []
    lines[2].listen(heard.append)
    lines[2].write(b"x")
    lines[2].send(b"y")
    assert (heard, lines[2].read(16), lines[0].read(16)) == ([b"x"], b"y", b"")


def test_closing_closes_the_driver(tapes: TapePlugin) -> None:
    assembled(tapes, com(0))[0].close()
    assert tapes.made[0].closed


def test_more_than_the_guest_may_leave_lying_is_refused_as_a_whole(tapes: TapePlugin) -> None:
    line = assembled(tapes, com(0))[0]
    line.send(bytes(SEND_LIMIT_BYTES - 1))
    with pytest.raises(StateError, match="serial port 0 has 1048575 bytes that the guest has not taken; 2 more"):
        line.send(b"ab")
    assert line.send(b"a") == SEND_LIMIT_BYTES


def test_an_unknown_driver_is_the_ports_mistake(tapes: TapePlugin) -> None:
    with pytest.raises(UnknownNameError, match=r"serial port 2: unknown host driver 'tap'"):
        assembled(tapes, com(1, driver="tap"))
