"""storagectl and the places of storageattach as changes to a machine: nothing here touches files."""

from __future__ import annotations

import attrs
from ringone.api.config import Drive, DriveKind, MachineConfig, StorageController

from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, OBJECT_IN_USE, OBJECT_NOT_FOUND, NotSupportedError, VerbError
from ringone_frontend_cli.vboxmanage.words import CONTROLLER_KINDS, controllers, drives_on, kind_of

SUPPORTED_BUSES = ("ide", "floppy")
DEFAULT_TYPES = {"ide": "PIIX4", "floppy": "I82078"}
KINDS_OF_BUS = {"ide": (DriveKind.DISK, DriveKind.CDROM), "floppy": (DriveKind.FLOPPY,)}


@attrs.frozen
class Place:
    controller: StorageController
    port: int
    device: int

    def __str__(self) -> str:
        return f"port {self.port}, device {self.device} of {self.controller.name!r}"


def find_controller(config: MachineConfig, name: str) -> StorageController:
    for controller in controllers(config):
        if controller.name == name:
            return controller
    raise VerbError(f"Could not find a storage controller named '{name}'", OBJECT_NOT_FOUND)


def chip(name: str) -> str:
    """The machine file's word for a chip that ``--controller`` names."""
    for word, kind in CONTROLLER_KINDS.items():
        if name.lower() in (word.lower(), kind.name.lower()):
            return word
    raise VerbError(f"Invalid --controller argument '{name}'; accepted: {', '.join(kind.name for kind in CONTROLLER_KINDS.values())}", INVALID_ARGUMENT)


def add_controller(config: MachineConfig, name: str, bus: str) -> MachineConfig:
    if bus not in SUPPORTED_BUSES:
        raise NotSupportedError(f"--add {bus} is not supported: RingOne has IDE and floppy controllers", ", ".join(SUPPORTED_BUSES))
    have = controllers(config)
    if any(controller.name == name for controller in have):
        raise VerbError(f"Storage controller named '{name}' already exists", OBJECT_IN_USE)
    if any(kind_of(controller).bus == bus for controller in have):
        raise NotSupportedError(f"a second {bus} controller is not supported")
    type = DEFAULT_TYPES[bus]
    return attrs.evolve(config, storage_controllers=(*have, StorageController(name=name, type=type, ports=CONTROLLER_KINDS[type].ports)))


def change_controller(config: MachineConfig, old: StorageController, new: StorageController) -> MachineConfig:
    if kind_of(new).controller != kind_of(old).controller:
        raise NotSupportedError(f"controller {old.name!r} of type {kind_of(old).name} cannot become one of type {kind_of(new).name}")
    if new.name != old.name and any(controller.name == new.name for controller in controllers(config)):
        raise VerbError(f"Storage controller named '{new.name}' already exists", OBJECT_IN_USE)
    changed = (new if controller == old else controller for controller in controllers(config))
    return attrs.evolve(config, storage_controllers=tuple(changed))


def remove_controller(config: MachineConfig, name: str) -> MachineConfig:
    gone = find_controller(config, name)
    lost = drives_on(config, gone).values()
    return attrs.evolve(
        config,
        storage_controllers=tuple(controller for controller in controllers(config) if controller != gone),
        drives=tuple(drive for drive in config.drives if drive not in lost),
    )


def place(config: MachineConfig, name: str, port: int | None, device: int | None) -> Place:
    """Where ``--storagectl``, ``--port`` and ``--device`` point to."""
    controller = find_controller(config, name)
    kind = kind_of(controller)
    if not kind.controller:
        raise NotSupportedError(f"controller '{name}' of type {kind.name} cannot have drives: RingOne has IDE and floppy controllers")
    limits = (("--port", port, min(controller.ports, kind.max_ports)), ("--device", device, kind.devices))
    numbers = []
    for option, number, limit in limits:
        if number is None and limit > 1 and option == "--port":
            raise VerbError(f"Missing {option}; accepted: 0 to {limit - 1}", INVALID_ARGUMENT)
        if number is not None and not 0 <= number < limit:
            raise VerbError(f"{option} {number} is out of range; accepted on '{name}': 0 to {limit - 1}", INVALID_ARGUMENT)
        numbers.append(number or 0)
    return Place(controller, *numbers)


def drive_at(config: MachineConfig, place: Place) -> Drive | None:
    return drives_on(config, place.controller).get((place.port, place.device))


def require_kind(place: Place, kind: DriveKind) -> None:
    accepted = KINDS_OF_BUS[kind_of(place.controller).bus]
    if kind not in accepted:
        words = {DriveKind.DISK: "hdd", DriveKind.CDROM: "dvddrive", DriveKind.FLOPPY: "fdd"}
        raise VerbError(
            f"a drive of type {words[kind]} does not fit controller '{place.controller.name}'; accepted: {', '.join(words[one] for one in accepted)}",
            INVALID_ARGUMENT,
        )


def put_drive(config: MachineConfig, place: Place, drive: Drive | None) -> MachineConfig:
    """The machine with `drive` in the place of what is there; None detaches."""
    old = drive_at(config, place)
    others = tuple(other for other in config.drives if other is not old)
    have = controllers(config)
    return attrs.evolve(config, storage_controllers=have, drives=others if drive is None else (*others, drive))
