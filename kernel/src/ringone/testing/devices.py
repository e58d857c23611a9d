"""Conformance kit for devices: subclass `DeviceConformance` in a test module and say how to put your device on the bench.

The kit plays a guest that does anything at all: reads and writes of all widths anywhere in the device's ports and MMIO, its PCI configuration space where a
`FakePciBus` is linked, changing input pins, passing time. Nothing may raise, and a device that is saved and loaded in the middle must go on as if nothing
had been.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringone.api.errors import SnapshotError
from ringone.testing.harness import DeviceHarness, FakePciBus

Step = tuple[str, int, int, int]
"""What is done, and three numbers that are fitted to what the device has."""

_VALUES = st.one_of(st.integers(0, 0xFF), st.integers(0, 0xFFFF_FFFF), st.sampled_from([0, 0x80, 0xFF, 0xFFFF, 0xFFFF_FFFF]))
_KINDS = st.sampled_from(["port-write", "port-write", "port-read", "mmio-write", "mmio-read", "pci-write", "pci-read", "pin", "time"])
_PLACES = st.one_of(st.integers(0, 64), st.integers(0, 0xFFFF))
_SCRIPTS = st.lists(st.tuples(_KINDS, _PLACES, st.integers(0, 2), _VALUES), max_size=40)
_SIZES = (1, 2, 4)
_DURATIONS_NS = (1, 400, 1_000, 55_000, 1_000_000, 20_000_000)
_SETTINGS = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def perform(harness: DeviceHarness, step: Step) -> object:
    """Do one step and return what the guest sees of it."""
    kind, place, size_index, value = step
    size = _SIZES[size_index]
    value &= (1 << 8 * size) - 1
    match kind:
        case "port-read" | "port-write":
            return _port_step(harness, kind, place, size, value)
        case "mmio-read" | "mmio-write":
            return _mmio_step(harness, kind, place, size, value)
        case "pci-read" | "pci-write":
            return _pci_step(harness, kind, place, size, value)
        case "pin":
            if harness.inputs:
                harness.drive(harness.inputs[place % len(harness.inputs)], bool(value & 1))
        case "time":
            harness.advance(_DURATIONS_NS[place % len(_DURATIONS_NS)])
    return None


def _port_step(harness: DeviceHarness, kind: str, place: int, size: int, value: int) -> object:
    claims = [claim for claim in harness.ports.claims if claim.enabled and 0 <= claim.base < 0x1_0000]
    if not claims:
        return None
    claim = sorted(claims, key=lambda claim: claim.base)[place % len(claims)]
    port = min(claim.base + place // len(claims) % claim.count, 0xFFFF)
    if kind == "port-write":
        harness.write(port, value, size)
        return None
    return _within(harness.read(port, size), size)


def _mmio_step(harness: DeviceHarness, kind: str, place: int, size: int, value: int) -> object:
    regions = [region for region in harness.memory.regions if region.enabled and region.handlers]
    if not regions:
        return None
    region = sorted(regions, key=lambda region: region.base)[place % len(regions)]
    address = region.base + (place // len(regions) if place < 256 else place * 37) % region.size
    if kind == "mmio-write":
        harness.mmio_write(address, value, size)
        return None
    return _within(harness.mmio_read(address, size), size)


def _pci_step(harness: DeviceHarness, kind: str, place: int, size: int, value: int) -> object:
    bus = harness.links.get("pci")
    if not isinstance(bus, FakePciBus) or not bus.functions:
        return None
    function = sorted(bus.functions)[place % len(bus.functions)]
    offset = place // len(bus.functions) % 256 & -size
    if kind == "pci-write":
        bus.write(*function, offset, value, size)
        return None
    return _within(bus.read(*function, offset, size), size)


def _within(value: int, size: int) -> int:
    assert type(value) is int, f"a read returned {value!r} instead of an int"
    assert 0 <= value < 1 << 8 * size, f"a read of {size} bytes returned {value:#x}"
    return value


def observe(harness: DeviceHarness, steps: list[Step]) -> list[object]:
    """What the outside sees while the steps are done: values read, levels and time after each."""
    seen: list[object] = []
    for step in steps:
        value = perform(harness, step)
        seen.append((step[0], value, harness.now_ns, {pin: harness.pin(pin) for pin in harness.outputs}))
    return seen


class DeviceConformance:
    """Subclass it, implement `make_harness`, and pytest runs the kit.

    Drivers and links that remember things (a disk's contents, pending input) belong to the host and are not saved; where yours do, `carry_host_state` brings
    them over to the harness that takes up a saved state.
    """

    def make_harness(self) -> DeviceHarness:
        """A new device on a new bench; every call the same."""
        raise TypeError(f"{type(self).__name__} does not say how to make its device: define make_harness()")

    def exercise(self, harness: DeviceHarness) -> None:
        """Drive the device into the middle of an operation that is worth saving."""

    def carry_host_state(self, source: DeviceHarness, target: DeviceHarness) -> None:
        """Copy what drivers and links of `source` remember to those of `target`."""

    def _resumed(self, harness: DeviceHarness) -> DeviceHarness:
        saved = json.loads(json.dumps(harness.save()))
        other = self.make_harness()
        self.carry_host_state(harness, other)
        other.load(saved)
        other.clear_edges()
        harness.clear_edges()
        return other

    def test_reset_leads_to_the_state_after_power_on(self) -> None:
        harness = self.make_harness()
        fresh = harness.save()["state"]
        harness.reset()
        assert harness.save()["state"] == fresh, "a second reset changes the state"

    def test_reset_in_the_middle_of_an_operation_is_idempotent(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        harness.reset()
        once = harness.save()
        harness.reset()
        assert harness.save() == once, "resetting twice differs from resetting once"

    def test_saving_changes_nothing(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        assert harness.save() == harness.save()

    def test_a_saved_state_does_not_change_with_the_device(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        state = harness.device.save_state()
        kept = copy.deepcopy(state)
        for place in range(32):
            perform(harness, ("port-write", place, 0, 0x55))
            perform(harness, ("mmio-write", place, 0, 0x55))
        for pin in harness.inputs:
            harness.drive(pin, True)
        harness.advance(1_000_000)
        harness.reset()
        assert state == kept, "save_state handed out an object that the device goes on changing"

    def test_loading_restores_everything_that_was_saved(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        assert self._resumed(harness).save() == harness.save()

    def test_load_tells_no_pin_anything(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        saved = harness.save()
        harness.load(saved)
        harness.clear_edges()
        harness.load(saved)
        assert not any(harness.edges(pin) for pin in harness.outputs), "loading the present state moved an output"

    @_SETTINGS
    @given(before=_SCRIPTS, after=_SCRIPTS)
    def test_a_resumed_device_goes_on_like_an_uninterrupted_one(self, before: list[Step], after: list[Step]) -> None:
        harness = self.make_harness()
        observe(harness, before)
        resumed = self._resumed(harness)
        assert observe(resumed, after) == observe(harness, after)
        assert {pin: resumed.edges(pin) for pin in resumed.outputs} == {pin: harness.edges(pin) for pin in harness.outputs}
        assert resumed.save() == harness.save()

    @_SETTINGS
    @given(after=_SCRIPTS)
    def test_a_device_resumed_in_mid_operation_goes_on_like_an_uninterrupted_one(self, after: list[Step]) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        resumed = self._resumed(harness)
        assert observe(resumed, after) == observe(harness, after)
        assert resumed.save() == harness.save()

    def test_damaged_states_are_refused(self) -> None:
        harness = self.make_harness()
        self.exercise(harness)
        saved = harness.save()
        for what, state in damaged_states(harness.device.save_state(), saved["state"]):
            with pytest.raises(SnapshotError):
                self.make_harness().load({**saved, "state": state})
                pytest.fail(f"a state was accepted although {what}")

    def test_states_of_other_types_and_versions_are_refused(self) -> None:
        harness = self.make_harness()
        saved = harness.save()
        for wrong in ({"type": "no-such-device"}, {"version": saved["version"] + 1}):
            with pytest.raises(SnapshotError):
                harness.load({**saved, **wrong})


def damaged_states(state: object, saved: Any) -> Iterator[tuple[str, Any]]:
    """Variants of a saved state, each with one thing wrong, and what that is."""
    for path, value in _places(state, saved):
        where = ".".join(map(str, path))
        yield f"{where} has the wrong type", _replaced(saved, path, {"wrong": []})
        if isinstance(value, int) and not isinstance(value, bool):
            yield f"{where} is beyond every range", _replaced(saved, path, 1 << 200)
            yield f"{where} is a bool", _replaced(saved, path, True)
        if isinstance(value, dict) and "base64" in value:
            yield f"{where} is no base64", _replaced(saved, path, {"base64": "*"})
    for path in _objects(state):
        where = ".".join(map(str, path)) or "the state"
        fields = _at(saved, path)
        yield f"{where} has an extra field", _replaced(saved, path, {**fields, "no such field": 0})
        for field in fields:
            yield f"{where} lacks {field}", _replaced(saved, path, {name: value for name, value in fields.items() if name != field})


def _places(state: object, saved: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Where something can be replaced; of lists, the ends."""
    yield path, saved
    for key, value in _children(state):
        yield from _places(value, saved[key], (*path, key))


def _objects(state: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where attrs objects are."""
    if attrs.has(type(state)):
        yield path
    for key, value in _children(state):
        yield from _objects(value, (*path, key))


def _children(state: Any) -> list[tuple[str | int, object]]:
    if attrs.has(type(state)):
        return [(field.name, getattr(state, field.name)) for field in attrs.fields(type(state))]
    if isinstance(state, (list, tuple)) and state:
        return [(index, state[index]) for index in sorted({0, len(state) - 1})]
    return []


def _at(saved: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        saved = saved[key]
    return saved


def _replaced(saved: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(saved)
    changed[path[0]] = _replaced(saved[path[0]], path[1:], value)
    return changed
