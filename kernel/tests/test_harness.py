"""The bench and the conformance kit, tried on a small chip, and the kit's eye for broken ones."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
from ringone.api.devices import DeviceContext, DeviceSpec
from ringone.api.errors import AssemblyError, DeviceError, SnapshotError, UnconnectedPinError
from ringone.api.options import option
from ringone.device_context import Grant, InterfaceRegistry
from ringone.testing import DeviceHarness, FakePciBus
from ringone.testing.devices import DeviceConformance, Step, damaged_states


@attrs.frozen(kw_only=True)
class AlarmOptions:
    base: int = option(0x70, help="ports")


@attrs.define(slots=True)
class AlarmState:
    delay: int = attrs.field(default=0, validator=[attrs.validators.ge(0), attrs.validators.le(0xFF)])
    rings: int = attrs.field(default=0, validator=[attrs.validators.ge(0), attrs.validators.le(0xFF)])
    silent: bool = False
    history: list[int] = attrs.field(factory=list)


class Alarm:
    """Port 0: delay in microseconds, starts; port 1: rings so far. BELL toggles with each ring unless SILENT is high; a page of MMIO shows the history."""

    def __init__(self, context: DeviceContext, options: AlarmOptions) -> None:
        self.state = AlarmState()
        self.context = context
        self.bell = context.output("BELL")
        self.timer = context.timer("alarm", self.ring)
        self.listener = context.driver("listener", list)
        self.parent = context.link("parent", object)
        self.block = context.memory_block("notes", 4096)
        context.input("SILENT", self.silent_changed)
        context.map_ports(options.base, 2, read=self.read, write=self.write)
        context.map_mmio(0xFE00_0000, 4096, read=self.read_history, write=self.write_history, widths=(1,))
        context.map_memory(self.block, 0xFD00_0000, 4096)
        context.provide("alarm", self)

    def silent_changed(self, level: bool) -> None:
        self.state.silent = level

    def read(self, offset: int, size: int) -> int:
        return self.state.rings if offset else self.state.delay

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == 0:
            self.state.delay = value
            self.timer.arm_after(value * 1000)

    def ring(self) -> None:
        self.state.rings = self.state.rings + 1 & 0xFF
        self.state.history = [*self.state.history, self.state.delay][-4:]
        self.block.data[self.state.rings] = 1
        self.context.stats.add("Rings")
        self.context.emit("ring")
        if self.listener is not None:
            self.listener.append(self.state.rings)
        if not self.state.silent:
            self.bell.set(not self.bell.level)

    def read_history(self, offset: int, size: int) -> int:
        return self.state.history[offset] if offset < len(self.state.history) else 0

    def write_history(self, offset: int, size: int, value: int) -> None:
        self.state.history = []

    def reset(self) -> None:
        self.timer.cancel()
        self.state = AlarmState(silent=self.state.silent)
        self.bell.set(False)

    def save_state(self) -> AlarmState:
        return attrs.evolve(self.state, history=list(self.state.history))

    def load_state(self, state: AlarmState) -> None:
        self.state = attrs.evolve(state, history=list(state.history))


def spec(create: Any = Alarm) -> DeviceSpec:
    return DeviceSpec(
        name="alarm",
        summary="",
        options=AlarmOptions,
        state=AlarmState,
        create=create,
        inputs=("SILENT",),
        outputs=("BELL",),
        interfaces=("alarm",),
        links=("parent",),
        slots=("listener",),
    )


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(spec())

    def exercise(self, harness: DeviceHarness) -> None:
        harness.write(0x70, 20)
        harness.advance(25_000)
        harness.write(0x70, 100)
        harness.advance(7)


def test_the_bench_plays_guest_and_neighbours() -> None:
    heard: list[int] = []
    bench = DeviceHarness(spec(), options=AlarmOptions(base=0x200), drivers={"listener": heard}, links={"parent": "mother"}, device_id="clock")
    bench.write(0x200, 5)
    bench.advance(5_000)
    assert bench.read(0x201) == 1
    assert bench.read(0x200, 2) == 0x0105
    assert bench.mmio_read(0xFE00_0000) == 5
    assert bench.pin("BELL")
    assert bench.edges("BELL") == [(5_000, True)]
    assert (heard, bench.events, bench.stats.collect()) == ([1], ["ring"], {"Rings": 1})
    assert bench.provided("alarm") is bench.device
    assert bench.device.parent == "mother"
    bench.drive("SILENT", True)
    bench.write(0x200, 1)
    bench.advance(1_000)
    assert (bench.now_ns, bench.pin("BELL")) == (6_000, True)
    bench.mmio_write(0xFE00_0000, 0)
    assert bench.mmio_read(0xFE00_0000) == 0
    assert bench.memory.read(0xFD00_0000, 4) == b"\0\1\1\0"
    bench.reset()
    assert bench.read(0x201) == 0


def test_a_saved_bench_goes_on_elsewhere() -> None:
    bench = DeviceHarness(spec())
    bench.write(0x70, 5)
    bench.memory.write(0x1234, b"guest")
    other = DeviceHarness(spec())
    other.memory.write(0x9000, b"old")
    other.load(bench.save())
    other.advance(5_000)
    assert other.edges("BELL") == [(5_000, True)]
    assert other.memory.read(0x1234, 5) == b"guest"
    assert other.memory.read(0x9000, 3) == bytes(3)


def test_every_grant_is_recorded() -> None:
    grants = DeviceHarness(spec()).context.grants
    assert Grant("ports", "", "0x0070-0x0071") in grants
    assert Grant("output", "BELL") in grants
    assert Grant("memory block", "notes", "0x1000 bytes") in grants


def test_the_door_closes_after_assembly() -> None:
    bench = DeviceHarness(spec())
    with pytest.raises(AssemblyError, match="device: timer 'late' was asked for after assembly"):
        bench.context.timer("late", lambda: None)


@pytest.mark.parametrize(
    ("request_it", "message"),
    [
        (lambda context: context.output("BEL"), r"alarm declares no output pin 'BEL'; declared: BELL"),
        (lambda context: context.input("NMI"), "no input pin 'NMI'"),
        (lambda context: context.driver("disk", object), "no driver slot 'disk'"),
        (lambda context: context.link("pci", object), "no link 'pci'"),
        (lambda context: context.provide("pci", 0), "no interface 'pci'"),
        (lambda context: context.map_ports(0x70, 1, read=lambda offset, size: 0, widths=(3,)), r"widths \(3,\) are not possible"),
        (lambda context: context.memory_block("notes", -1), "does not fit"),
    ],
)
def test_undeclared_and_impossible_requests_are_assembly_errors(request_it: Any, message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        DeviceHarness(spec(lambda context, options: request_it(context)))


def test_a_family_of_pins_is_declared_with_a_star() -> None:
    class Family(Alarm):
        def __init__(self, context: DeviceContext, options: AlarmOptions) -> None:
            super().__init__(context, options)
            context.output("IRQ5").set(True)

    family = attrs.evolve(spec(Family), outputs=("BELL", "IRQ*"))
    assert DeviceHarness(family).pin("IRQ5")


def test_a_link_to_something_that_nobody_provided_is_named() -> None:
    interfaces = InterfaceRegistry()
    interfaces.provide("bridge", "isa", 1)
    interfaces.connect("ide.pci", "bridge.pci")
    with pytest.raises(UnconnectedPinError, match=r"ide\.pci is linked to 'bridge\.pci', .*provided: bridge\.isa"):
        interfaces.link("ide.pci")
    with pytest.raises(AssemblyError, match="linked to both"):
        interfaces.connect("ide.pci", "bridge.isa")
    with pytest.raises(AssemblyError, match="provided twice"):
        interfaces.provide("bridge", "isa", 2)
    assert interfaces.link("ide.isa") is None


def test_the_fake_pci_bus_takes_one_function_a_place() -> None:
    bus = FakePciBus()
    bus.attach(1, 0, None)  # type: ignore[arg-type]
    with pytest.raises(AssemblyError, match=r"1\.0 is taken"):
        bus.attach(1, 0, None)  # type: ignore[arg-type]


class SharesItsState(Alarm):
    def save_state(self) -> AlarmState:
        return self.state


class ForgetsItsHistory(Alarm):
    def save_state(self) -> AlarmState:
        return attrs.evolve(self.state, history=[])


class ResetsHalfWay(Alarm):
    def reset(self) -> None:
        self.state.rings = self.state.rings + 1 & 0xFF


class RingsWhileLoading(Alarm):
    def load_state(self, state: AlarmState) -> None:
        super().load_state(state)
        self.bell.set(not self.bell.level)


class ReturnsTooMuch(Alarm):
    def read(self, offset: int, size: int) -> int:
        return 0x100


class KeepsTimeToItself(Alarm):
    """Its alarm is a field that is not in the state."""

    def __init__(self, context: DeviceContext, options: AlarmOptions) -> None:
        super().__init__(context, options)
        self.due = False

    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value)
        self.due = True

    def ring(self) -> None:
        if self.due:
            super().ring()


class StumblesOverValues(Alarm):
    def write(self, offset: int, size: int, value: int) -> None:
        super().write(offset, size, value)
        [0][value >> 7]


RESUMED = "test_a_resumed_device_goes_on_like_an_uninterrupted_one"
RING = [("port-write", 0, 0, 1), ("time", 4, 0, 0)]


@pytest.mark.parametrize(
    ("broken", "test", "script"),
    [
        (SharesItsState, "test_a_saved_state_does_not_change_with_the_device", {}),
        (ForgetsItsHistory, RESUMED, {"before": RING, "after": [("mmio-read", 0, 0, 0)]}),
        (ResetsHalfWay, "test_reset_in_the_middle_of_an_operation_is_idempotent", {}),
        (ResetsHalfWay, "test_reset_leads_to_the_state_after_power_on", {}),
        (RingsWhileLoading, "test_load_tells_no_pin_anything", {}),
        (ReturnsTooMuch, RESUMED, {"before": [("port-read", 0, 0, 0)], "after": []}),
        (StumblesOverValues, RESUMED, {"before": [("port-write", 0, 0, 0xFF)], "after": []}),
        (KeepsTimeToItself, RESUMED, {"before": RING[:1], "after": RING[1:]}),
    ],
)
def test_the_kit_finds_a_device_that(broken: type[Alarm], test: str, script: dict[str, list[Step]]) -> None:
    class Kit(TestConformance):
        __test__ = False

        def make_harness(self) -> DeviceHarness:
            return DeviceHarness(spec(broken))

    kit_test: Any = getattr(Kit, test)
    if script:
        kit_test = kit_test.hypothesis.inner_test
    with pytest.raises((AssertionError, DeviceError)):
        kit_test(Kit(), **script)


def test_the_kit_damages_every_field_and_the_ends_of_lists() -> None:
    kinds = [what for what, _ in damaged_states(AlarmState(history=[1, 2, 3]), {"delay": 0, "rings": 0, "silent": False, "history": [1, 2, 3]})]
    assert "delay is a bool" in kinds
    assert "history.2 is beyond every range" in kinds
    assert "history.1 has the wrong type" not in kinds
    assert "the state lacks silent" in kinds


@pytest.mark.parametrize("change", [{"type": "other"}, {"version": 2}, {"state": {}}, {"blocks": {}}, {"lines": {}}, {"clock": {}}])
def test_the_bench_refuses_what_is_not_its_own(change: dict[str, Any]) -> None:
    bench = DeviceHarness(spec())
    with pytest.raises(SnapshotError):
        bench.load({**bench.save(), **change})


def test_a_device_that_refuses_its_state_is_a_snapshot_error() -> None:
    class Refuses(Alarm):
        def load_state(self, state: AlarmState) -> None:
            raise IndexError("no such counter")

    bench = DeviceHarness(spec(Refuses))
    with pytest.raises(SnapshotError, match="device: the device refuses its saved state: no such counter"):
        bench.load(bench.save())


def test_a_bench_logs_under_its_name() -> None:
    assert DeviceHarness(spec(), device_id="pit").context.log is logging.getLogger("ringone.bench.pit")
