"""From a description to wired parts: what is chosen, what does not fit, and that failures leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ringone.api.config import Blueprint, BoardSpec, CpuConfig, DeviceConfig, DriverConfig, FirmwareConfig, Link, LinuxBoot, MachineConfig, Wire
from ringone.api.errors import AssemblyError, BackendError, ConfigError, ConfigErrors, DeviceError, RingOneError, UnconnectedPinError
from ringone.api.firmware import FirmwareImage, FirmwareSpec
from ringone.api.options import NoOptions
from ringone.machine.plan import make_plan
from ringone.plugins import PluginRegistry

from .breadboard import SPIN, Bench, HostFile, blueprint, machine_config, plugin

BAY = DeviceConfig(id="bay", type="bay")
SECOND_BAY = DeviceConfig(id="bay2", type="bay")
IN_THE_BAY = DriverConfig(slot="bay.disk", type="host-file")


class Closable:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"devices": (DeviceConfig(id="bay", type="bay", options={"broken": "yes"}),)}, DeviceError, "device bay failed in creation"),
        (
            {"cpu": CpuConfig(backend="tiny", options={"unbuildable": "yes"}), "devices": (BAY,)},
            BackendError,
            "tiny: cannot be created: RuntimeError",
        ),
        (
            {
                "devices": (BAY, SECOND_BAY),
                "drivers": (IN_THE_BAY, DriverConfig(slot="bay2.disk", type="host-file", options={"missing": "yes"})),
            },
            AssemblyError,
            "bay2.disk: host driver 'host-file' cannot be created: FileNotFoundError: gone",
        ),
        ({"devices": (BAY,), "wires": (Wire("ticker.INT", "cpu.INTR"),)}, AssemblyError, "ticker: ticker.INT and cpu.INTR are wired twice"),
    ],
    ids=["device", "cpu", "driver", "wire"],
)
def test_a_failed_assembly_closes_the_drivers_it_opened(changes: dict[str, Any], kind: type[RingOneError], message: str, bench: Bench) -> None:
    with pytest.raises(kind, match=message):
        bench.session(SPIN, **{"drivers": (IN_THE_BAY,), **changes})
    assert HostFile.opened and all(driver.closed for driver in HostFile.opened)


def in_two_bays(first: object, second: object) -> dict[str, Any]:
    drivers = (DriverConfig(slot="bay.disk", instance=first), DriverConfig(slot="bay2.disk", instance=second))
    return {"devices": (BAY, SECOND_BAY), "drivers": drivers}


def test_ready_objects_are_closed_with_the_machine_the_last_first(bench: Bench) -> None:
    order: list[str] = []
    first, second = (SimpleNamespace(close=lambda name=name: order.append(name)) for name in ("first", "second"))
    session = bench.session(SPIN, **in_two_bays(first, second))
    session.close()
    assert order == ["second", "first"]


def test_a_shared_driver_serves_both_slots_and_is_closed_once(bench: Bench) -> None:
    closings: list[str] = []
    file = SimpleNamespace(close=lambda: closings.append("closed"))
    drivers = (DriverConfig(slot="bay.disk", instance=file), DriverConfig(slot="bay2.disk", shares="bay.disk"))
    session = bench.session(SPIN, devices=(BAY, SECOND_BAY), drivers=drivers)
    session.close()
    assert closings == ["closed"]


def test_a_driver_can_be_shared_only_from_an_earlier_slot(bench: Bench) -> None:
    with pytest.raises(AssemblyError, match=r"slot 'bay\.disk' shares the driver of 'bay2\.disk', which has none or comes later"):
        bench.session(SPIN, devices=(BAY, SECOND_BAY), drivers=(DriverConfig(slot="bay.disk", shares="bay2.disk"),))


def test_a_driver_that_cannot_be_closed_does_not_keep_the_others_open(bench: Bench) -> None:
    closable, stubborn = Closable(), SimpleNamespace(close=lambda: 1 / 0)
    session = bench.session(SPIN, **in_two_bays(closable, stubborn))
    session.close()
    assert closable.closed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wires": (Wire("ticker.OUT9", "cpu.NMI"),)}, "ticker: a wire names the output pin 'OUT9'; output pins: INT"),
        ({"wires": (Wire("ticker.INT", "cpu.SMI"),)}, "cpu: a wire names the input pin 'SMI'; input pins: INTR, NMI, A20M"),
        ({"wires": (Wire("pit.OUT0", "cpu.NMI"),)}, "pit: a wire names 'pit.OUT0', but there is no such component; there are: ticker, servant"),
        ({"links": (Link("console.mouse", "ticker.mouse"),)}, "ticker: a link names the interface 'mouse'; interfaces: inta, keyboard, power-button"),
        ({"links": (Link("ticker.pci", "servant.display"),)}, "ticker: a link names the link 'pci'; links: none"),
        ({"devices": (BAY,), "drivers": (DriverConfig(slot="bay.tape", type="host-file"),)}, "bay: a driver names the slot 'tape'; slots: disk"),
    ],
)
def test_a_loose_end_is_named_with_what_there_is(changes: dict[str, Any], message: str, bench: Bench) -> None:
    with pytest.raises(UnconnectedPinError) as caught:
        bench.session(SPIN, **changes)
    assert str(caught.value) == message


def test_an_interrupt_wire_needs_somebody_to_give_the_vector(bench: Bench) -> None:
    def unlinked(config: MachineConfig, firmware: FirmwareImage) -> Blueprint:
        return attrs.evolve(blueprint(config, firmware), links=())

    board = BoardSpec(name="breadboard", summary="", blueprint=unlinked)
    with pytest.raises(UnconnectedPinError, match=r"cpu: cpu\.INTR is wired, but nothing is linked to 'cpu\.inta'"):
        bench.session(SPIN, plugins=[plugin(ringone_boards=lambda: [board])])


def test_all_mistaken_options_are_reported_at_once(bench: Bench) -> None:
    devices = (DeviceConfig(id="bay", type="bay", options={"depth": "deep"}, source="m.vbox:5"), DeviceConfig(id="bay2", type="bay", options={"brken": "on"}))
    with pytest.raises(ConfigErrors) as caught:
        bench.session(SPIN, cpu=CpuConfig(backend="tiny", options={"broken": "maybe"}), devices=devices)
    assert [str(error).split(" (")[0] for error in caught.value.errors] == [
        "options of CPU backend tiny: option 'broken': 'maybe' is not on or off",
        "m.vbox:5: option 'depth': 'deep' is not an integer",
        "bay2: unknown option 'brken'",
    ]


def test_two_devices_of_one_id_do_not_fit(bench: Bench) -> None:
    with pytest.raises(AssemblyError, match="ticker: two devices have this id"):
        bench.session(SPIN, devices=(DeviceConfig(id="ticker", type="bay"),))


# --- Firmware ----------------------------------------------------------------------------------------------------------------------------------------------


def firmware(name: str, preference: int, refusal: str = "") -> FirmwareSpec:
    def load(config: MachineConfig, options: NoOptions) -> FirmwareImage:
        return FirmwareImage(name=name)

    available: Callable[[NoOptions], str] = lambda options: refusal  # noqa: E731
    return FirmwareSpec(name=name, summary="", options=NoOptions, preference=preference, available=available, load=load)


def chosen(*firmwares: FirmwareSpec, **changes: Any) -> str:
    plugins = [plugin(ringone_firmwares=lambda: firmwares)]
    config = machine_config(SPIN, **{"firmware": FirmwareConfig(), **changes})
    return make_plan(config, PluginRegistry(plugins, discover=False)).firmware.name


def test_the_available_firmware_of_the_highest_preference_is_chosen() -> None:
    assert chosen(firmware("plain", 1), firmware("good", 5), firmware("best", 9, "not installed")) == "good"


def test_a_named_firmware_is_taken_whatever_its_preference() -> None:
    assert chosen(firmware("plain", 1), firmware("good", 5), firmware=FirmwareConfig(name="plain")) == "plain"


def test_a_linux_kernel_is_entered_by_its_own_firmware_and_by_no_other_way(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel")
    firmwares = (firmware("plain", 1), firmware("linux", 99))
    assert chosen(*firmwares, linux=LinuxBoot(kernel=kernel)) == "linux"
    assert chosen(*firmwares) == "plain"


def test_where_no_firmware_is_available_every_reason_is_given() -> None:
    with pytest.raises(ConfigError, match="no firmware is available; best: not installed; plain: no ROM file"):
        chosen(firmware("plain", 1, "no ROM file"), firmware("best", 9, "not installed"))


def test_firmware_options_exclude_candidates_that_do_not_have_them() -> None:
    with pytest.raises(ConfigError, match="plain: options of firmware plain: unknown option 'path'"):
        chosen(firmware("plain", 1), firmware=FirmwareConfig(options={"path": "bios.bin"}))
