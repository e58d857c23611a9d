"""Words of VirtualBox's machine files and of VBoxManage for the same things, and which values hold where a file says nothing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from ringone.api.config import BootDevice, Drive, DriveKind, MachineConfig, StorageController

TRUE_WORDS = frozenset({"true", "yes", "1"})

KEPT_FLAGS: Mapping[str, bool] = {
    "ioapic": False,
    "hpet": False,
    "pagefusion": False,
    "longmode": False,
    "apic": True,
    "x2apic": False,
    "nested-hw-virt": False,
    "hwvirtex": True,
    "nestedpaging": True,
    "largepages": False,
    "vtxvpid": True,
    "vtxux": True,
    "accelerate3d": False,
    "accelerate2dvideo": False,
    "bioslogofadein": True,
    "bioslogofadeout": True,
    "audioenabled": False,
}
"""Switches that machine files hold and RingOne does not follow, with what their absence means."""
KEPT_NUMBERS: Mapping[str, int] = {
    "cpuexecutioncap": 100,
    "cpuid-portability-level": 0,
    "monitorcount": 1,
    "guestmemoryballoon": 0,
    "bioslogodisplaytime": 0,
}
KEPT_WORDS: Mapping[str, Mapping[str, str]] = {
    # setting: VBoxManage's word -> the file's word; the first one holds where the file says nothing
    "biosapic": {"apic": "APIC", "disabled": "Disabled", "x2apic": "X2APIC"},
    "paravirtprovider": {"default": "Default", "none": "None", "legacy": "Legacy", "minimal": "Minimal", "hyperv": "HyperV", "kvm": "KVM"},
    "graphicscontroller": {"vboxvga": "VBoxVGA", "vmsvga": "VMSVGA", "vboxsvga": "VBoxSVGA", "none": "None"},
    "hidpointing": {"ps2mouse": "PS2Mouse", "usbmouse": "USBMouse", "usbtablet": "USBTablet", "usbmultitouch": "USBMultiTouch", "none": "None"},
    "hidkeyboard": {"ps2kbd": "PS2Keyboard", "usbkbd": "USBKeyboard", "none": "None"},
    "clipboard": {"disabled": "Disabled", "hosttoguest": "HostToGuest", "guesttohost": "GuestToHost", "bidirectional": "Bidirectional"},
    "draganddrop": {"disabled": "Disabled", "hosttoguest": "HostToGuest", "guesttohost": "GuestToHost", "bidirectional": "Bidirectional"},
}

BOOT_WORDS: Mapping[str, BootDevice] = {"floppy": BootDevice.FLOPPY, "dvd": BootDevice.CDROM, "disk": BootDevice.DISK, "net": BootDevice.NETWORK}
BOOT_NAMES: Mapping[BootDevice, str] = {
    BootDevice.FLOPPY: "Floppy",
    BootDevice.CDROM: "DVD",
    BootDevice.DISK: "HardDisk",
    BootDevice.NETWORK: "Network",
}
BOOT_POSITIONS = 4


@attrs.frozen(kw_only=True)
class ControllerKind:
    """A chip: `name` is VBoxManage's, `bus` what ``storagectl --add`` calls it, `controller` the name in `Drive` ("" for one that RingOne does not have)."""

    name: str
    bus: str
    controller: str = ""
    max_ports: int
    devices: int
    ports: int = 1


CONTROLLER_KINDS: Mapping[str, ControllerKind] = {
    "PIIX3": ControllerKind(name="PIIX3", bus="ide", controller="ide", max_ports=2, devices=2, ports=2),
    "PIIX4": ControllerKind(name="PIIX4", bus="ide", controller="ide", max_ports=2, devices=2, ports=2),
    "ICH6": ControllerKind(name="ICH6", bus="ide", controller="ide", max_ports=2, devices=2, ports=2),
    "I82078": ControllerKind(name="I82078", bus="floppy", controller="floppy", max_ports=1, devices=2),
    "AHCI": ControllerKind(name="IntelAhci", bus="sata", max_ports=30, devices=1),
    "LsiLogic": ControllerKind(name="LsiLogic", bus="scsi", max_ports=16, devices=1),
    "BusLogic": ControllerKind(name="BusLogic", bus="scsi", max_ports=16, devices=1),
    "LsiLogicSas": ControllerKind(name="LsiLogicSas", bus="sas", max_ports=8, devices=1),
    "USB": ControllerKind(name="USB", bus="usb", max_ports=8, devices=1),
    "NVMe": ControllerKind(name="NVMe", bus="pcie", max_ports=255, devices=1),
    "VirtioSCSI": ControllerKind(name="VirtioSCSI", bus="virtio", max_ports=256, devices=1),
}
"""The machine file's word to the chip."""
UNKNOWN_KIND = ControllerKind(name="unknown", bus="", max_ports=1, devices=1)
IMPLIED = (StorageController(name="IDE", type="PIIX4"), StorageController(name="Floppy", type="I82078", ports=1))
"""What a machine has that names no controllers and has drives."""
DRIVE_TYPES: Mapping[DriveKind, str] = {DriveKind.DISK: "hdd", DriveKind.CDROM: "dvddrive", DriveKind.FLOPPY: "fdd"}


def kind_of(controller: StorageController) -> ControllerKind:
    return CONTROLLER_KINDS.get(controller.type, UNKNOWN_KIND)


def controllers(config: MachineConfig) -> tuple[StorageController, ...]:
    """The machine's controllers, those that only its drives imply included."""
    have = {kind_of(controller).controller for controller in config.storage_controllers}
    needed = {drive.controller for drive in config.drives} - have
    return config.storage_controllers + tuple(controller for controller in IMPLIED if kind_of(controller).controller in needed)


def drives_on(config: MachineConfig, controller: StorageController) -> dict[tuple[int, int], Drive]:
    """The drives by port and device. Of several controllers on one bus the first has them."""
    name = kind_of(controller).controller
    first = next((other for other in controllers(config) if kind_of(other).controller == name), None)
    if not name or first != controller:
        return {}
    return {(drive.port, drive.device): drive for drive in config.drives if drive.controller == name}


def kept_flag(config: MachineConfig, name: str) -> bool:
    value = config.unmodelled.get(name)
    return KEPT_FLAGS[name] if value is None else value.strip().lower() in TRUE_WORDS


def kept_number(config: MachineConfig, name: str) -> int:
    value = config.unmodelled.get(name, "").strip()
    return int(value) if value.isdecimal() and value.isascii() else KEPT_NUMBERS[name]


def kept_word(config: MachineConfig, name: str) -> str:
    """VBoxManage's word."""
    words, value = KEPT_WORDS[name], config.unmodelled.get(name, "").strip().lower()
    return next((word for word, in_file in words.items() if in_file.lower() == value), next(iter(words)))
