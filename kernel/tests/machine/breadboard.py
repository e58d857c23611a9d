"""A board for the tiny processor: a ticker that interrupts, a port that does as told, a drive bay, and programs written as hex."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from ringone.api.config import Blueprint, BoardSpec, ClockConfig, ClockPolicy, CpuConfig, DeviceConfig, FirmwareConfig, Link, MachineConfig, Wire
from ringone.api.console import Frame, TextScreen
from ringone.api.devices import DeviceContext, DeviceSpec
from ringone.api.drivers import DriverContext, HostDriverSpec
from ringone.api.events import MediumFull
from ringone.api.firmware import FirmwareImage, FirmwareSpec, MemoryImage
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions, option
from ringone.machine import Session, create_session
from ringone.plugins import PluginRegistry

from . import tiny_cpu
from .tiny_cpu import START

TICK_NS = 1_000_000
VECTOR = 0x20
HANDLER = 0x2000
COUNTER = 0x3000
"""Where `COUNT_TICKS` counts interrupts."""

SPIN = "EB FE"
HALT_FOR_EVER = "FA F4 EB FD"
WAIT_FOR_INTERRUPTS = "FB F4 EB FD"
WAIT_FOR_TICKS = "B0 01 E6 40 FB F4 EB FD"
"""Start the ticker, enable interrupts, halt again and again."""
COUNT_TICKS = "A1 00300000 40 A3 00300000 E6 21 CF"
"""The interrupt handler: one more, acknowledge, return."""
TRIPLE_FAULT = "F1"


RESET, POWER_OFF, FAIL, MEDIUM_FULL = 1, 2, 3, 4
"""What port 0x80 obeys."""


def say(text: bytes) -> str:
    """Send `text` to the servant."""
    return "".join(out(0xE9, byte) for byte in text)


def out(port: int, value: int) -> str:
    return f" B0 {value:02X} E6 {port:02X} "


def order(command: int) -> str:
    return out(0x80, command) + SPIN


HLT = " F4 "
START_TICKING = "B0 01 E6 40 FB"


def ticks_then(count: int, command: int) -> str:
    """Wait for `count` ticks, give an order, spin."""
    return START_TICKING + HLT * count + order(command)


# --- Chips -------------------------------------------------------------------------------------------------------------------------------------------------


@attrs.define(slots=True)
class TickerState:
    ticks: int = 0
    pressed: int = 0


class Ticker:
    """Port 0x40 starts an alarm every millisecond; each raises INT until the INTA cycle. Port 0x21 ends the interrupt. Also keyboard and power button."""

    def __init__(self, context: DeviceContext, options: NoOptions) -> None:
        context.map_ports(0x40, 1, write=self._start)
        context.map_ports(0x21, 1, write=self._end_of_interrupt)
        context.provide("inta", self)
        context.provide("keyboard", self)
        context.provide("power-button", self)
        self._int = context.output("INT")
        self._timer = context.timer("tick", self._tick)
        self.state = TickerState()
        self.leds = 0

    def _start(self, offset: int, size: int, value: int) -> None:
        self._timer.arm_after(TICK_NS)

    def _end_of_interrupt(self, offset: int, size: int, value: int) -> None: ...

    def _tick(self) -> None:
        self.state.ticks += 1
        self._int.set(True)
        self._timer.arm_after(TICK_NS)

    def acknowledge(self) -> int:
        self._int.set(False)
        return VECTOR

    def put_scancodes(self, codes: bytes) -> None:
        if codes == b"\xff":
            raise ValueError("no such key")
        self.state.pressed += len(codes)
        self._int.set(True)

    @property
    def pending(self) -> int:
        return self.state.pressed

    def press(self) -> None:
        self._int.set(True)

    def reset(self) -> None:
        self._timer.cancel()
        self._int.set(False)
        self.state = TickerState()

    def save_state(self) -> TickerState:
        return attrs.evolve(self.state)

    def load_state(self, state: TickerState) -> None:
        self.state = attrs.evolve(state)


@attrs.define(slots=True)
class ServantState:
    received: bytes = b""


class Servant:
    """Port 0xE9 remembers bytes, port 0x80 obeys a command of `ORDERS`. Also the display."""

    generation = 1

    def __init__(self, context: DeviceContext, options: NoOptions) -> None:
        context.map_ports(0xE9, 1, write=self._receive)
        context.map_ports(0x80, 1, write=self._obey)
        context.provide("display", self)
        self.block = context.memory_block("screen", 4096)
        self._reset = context.output("RESET")
        self._power = context.output("POWER_OFF")
        self._nmi = context.output("NMI")
        self._a20 = context.output("A20")
        self._emit = context.emit
        self.state = ServantState()

    def _receive(self, offset: int, size: int, value: int) -> None:
        self.state.received += bytes((value,))

    def _obey(self, offset: int, size: int, value: int) -> None:
        ORDERS[value](self)

    def order_reset(self) -> None:
        self._reset.set(True)

    def order_power_off(self) -> None:
        self._power.set(True)

    def order_failure(self) -> None:
        raise ZeroDivisionError("a bug in this chip")

    def order_medium_full(self) -> None:
        self._emit(MediumFull("bay.disk", "0 bytes left"))

    def frame(self) -> Frame:
        return Frame(1, 1, 1, bytes(3))

    def text(self) -> TextScreen | None:
        return None

    def reset(self) -> None:
        if b"unresettable" in self.state.received:
            raise RuntimeError("this chip does not reset any more")
        self._a20.set(True)
        for pin in (self._reset, self._power, self._nmi):
            pin.set(False)
        self.state = ServantState()

    def save_state(self) -> ServantState:
        return attrs.evolve(self.state)

    def load_state(self, state: ServantState) -> None:
        if state.received == b"poison":
            raise ValueError("poison")
        self.state = attrs.evolve(state)


ORDERS: Mapping[int, Callable[[Servant], None]] = {
    RESET: Servant.order_reset,
    POWER_OFF: Servant.order_power_off,
    FAIL: Servant.order_failure,
    MEDIUM_FULL: Servant.order_medium_full,
}


class Bay:
    """Has a slot and nothing else; `broken` fails at creation."""

    def __init__(self, context: DeviceContext, options: BayOptions) -> None:
        self.medium = context.driver("disk", object)
        if options.broken:
            raise RuntimeError("the bay is bent")

    def reset(self) -> None: ...

    def save_state(self) -> NoOptions:
        return NoOptions()

    def load_state(self, state: NoOptions) -> None: ...


@attrs.frozen(kw_only=True)
class BayOptions:
    broken: bool = option(False, help="fail at creation")
    depth: int = option(1, help="a number")


class HostFile:
    """A driver that knows whether it was closed."""

    opened: list[HostFile] = []  # noqa: RUF012

    def __init__(self, context: DriverContext, options: HostFileOptions) -> None:
        if options.missing:
            raise FileNotFoundError("gone")
        self.context = context
        self.closed = False
        self.images: list[Path | None] = []
        HostFile.opened.append(self)

    def change(self, image: Path | None) -> None:
        self.images.append(image)

    def close(self) -> None:
        self.closed = True


@attrs.frozen(kw_only=True)
class HostFileOptions:
    missing: bool = option(False, help="fail at creation")


# --- The plugin --------------------------------------------------------------------------------------------------------------------------------------------

TICKER = DeviceSpec(
    name="ticker", summary="", options=NoOptions, state=TickerState, create=Ticker, outputs=("INT",), interfaces=("inta", "keyboard", "power-button")
)
SERVANT = DeviceSpec(
    name="servant", summary="", options=NoOptions, state=ServantState, create=Servant, outputs=("RESET", "POWER_OFF", "NMI", "A20"), interfaces=("display",)
)
BAY = DeviceSpec(name="bay", summary="", options=BayOptions, state=NoOptions, create=Bay, slots=("disk",))
HOST_FILE = HostDriverSpec(name="host-file", summary="", kind=object, options=HostFileOptions, create=HostFile)

WIRES = (
    Wire("ticker.INT", "cpu.INTR"),
    Wire("servant.NMI", "cpu.NMI"),
    Wire("servant.A20", "cpu.A20M"),
    Wire("servant.RESET", "system.RESET"),
    Wire("servant.POWER_OFF", "system.POWER_OFF"),
)
LINKS = (
    Link("cpu.inta", "ticker.inta"),
    Link("console.keyboard", "ticker.keyboard"),
    Link("console.power-button", "ticker.power-button"),
    Link("console.display", "servant.display"),
)


def blueprint(config: MachineConfig, firmware: FirmwareImage) -> Blueprint:
    devices = (DeviceConfig(id="ticker", type="ticker"), DeviceConfig(id="servant", type="servant"), *config.devices)
    return Blueprint(devices=devices, wires=(*WIRES, *config.wires), links=(*LINKS, *config.links), drivers=config.drivers)


@attrs.frozen(kw_only=True)
class ProgramOptions:
    code: str = option(help="hex bytes at 0x1000, entered at reset")
    handler: str = option(COUNT_TICKS, help="hex bytes of the interrupt handler")


def load_program(config: MachineConfig, options: ProgramOptions) -> FirmwareImage:
    table = HANDLER.to_bytes(4, "little") * 256
    images = ((0, table), (START, bytes.fromhex(options.code)), (HANDLER, bytes.fromhex(options.handler)))
    return FirmwareImage(name="program", ram=tuple(MemoryImage(address=address, data=data) for address, data in images), entry=tiny_cpu.reset_state())


def always(options: Any) -> str:
    return ""


PROGRAM = FirmwareSpec(name="program", summary="", options=ProgramOptions, preference=1, available=always, load=load_program)


def plugin(**changes: Callable[..., Any]) -> SimpleNamespace:
    """The plugin of all this, with hooks added or replaced."""
    hooks: dict[str, Callable[..., Any]] = {
        "ringone_cpu_backends": lambda: [tiny_cpu.SPEC],
        "ringone_boards": lambda: [BoardSpec(name="breadboard", summary="", blueprint=blueprint)],
        "ringone_device_types": lambda: [TICKER, SERVANT, BAY],
        "ringone_host_drivers": lambda: [HOST_FILE],
        "ringone_firmwares": lambda: [PROGRAM],
        **changes,
    }
    return SimpleNamespace(__name__="breadboard", **{name: hookimpl(hook) for name, hook in hooks.items()})


def machine_config(code: str, **changes: Any) -> MachineConfig:
    """A machine that runs `code`, with time that follows its progress: one microsecond an instruction."""
    config = MachineConfig(
        name="bench",
        board="breadboard",
        memory_bytes=1 << 20,
        cpu=CpuConfig(backend="tiny"),
        clock=ClockConfig(policy=ClockPolicy.DETERMINISTIC, ns_per_1000_progress=1_000_000),
        firmware=FirmwareConfig(options={"code": code}),
    )
    return attrs.evolve(config, **changes)


HOST_CLOCK = ClockConfig(policy=ClockPolicy.HOST)


class Bench:
    """Makes sessions and closes them at the end of a test."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.events: list[object] = []

    def session(self, code: str, *, plugins: Sequence[object] | None = None, **changes: Any) -> Session:
        session = create_session(machine_config(code, **changes), PluginRegistry(plugins or [plugin()], discover=False, strict=True))
        self.sessions.append(session)
        session.subscribe(self.events.append)
        return session

    def started(self, code: str, **changes: Any) -> Session:
        session = self.session(code, **changes)
        session.start()
        return session

    def close(self) -> None:
        for session in self.sessions:
            session.close()


def count(session: Session) -> int:
    """How many interrupts `COUNT_TICKS` has counted."""
    return int.from_bytes(session.read_memory(COUNTER, 4), "little")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, patiently: it is the machine's own progress that is waited for."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("this never became true")
