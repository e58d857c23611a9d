"""What is written on the command line, to a machine description: sizes, images, lines, names with options.

Every mistake is a `ConfigError` that names the option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from ringone.api.config import (
    BootDevice,
    ClockConfig,
    ClockPolicy,
    CpuConfig,
    Drive,
    DriveKind,
    DriverConfig,
    FirmwareConfig,
    LinuxBoot,
    MachineConfig,
    SerialPort,
)
from ringone.api.errors import ConfigError
from ringone.api.media import AccessMode

MIB = 1 << 20

BOOT_LETTERS = {"a": BootDevice.FLOPPY, "c": BootDevice.DISK, "d": BootDevice.CDROM, "n": BootDevice.NETWORK}
SERIAL_PORTS = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
"""I/O base and interrupt of COM1 to COM4."""
PLACES = {
    # option: kind, controller, port, device
    "--hda": (DriveKind.DISK, "ide", 0, 0),
    "--hdb": (DriveKind.DISK, "ide", 0, 1),
    "--cdrom": (DriveKind.CDROM, "ide", 1, 0),
    "--fda": (DriveKind.FLOPPY, "floppy", 0, 0),
    "--fdb": (DriveKind.FLOPPY, "floppy", 0, 1),
}
LINES = {
    # word: driver, how it is written
    "none": ("", "none"),
    "stdio": ("stdio", "stdio"),
    "pty": ("pty", "pty"),
    "file": ("file", "file:PATH[,append=on]"),
    "tcp": ("tcp", "tcp:HOST:PORT[,server=off]"),
    "unix": ("unix-socket", "unix:PATH[,server=off]"),
    "device": ("device", "device:PATH"),
}

_SIZE = re.compile(r"([0-9]+)([kmgKMG]?)(i?[bB])?")
_SIZE_UNITS = {"": MIB, "k": 1 << 10, "m": MIB, "g": 1 << 30}
_TRAILING_OPTIONS = re.compile(r"(.*?)((?:,[a-z_]+=[^,=]*)*)", re.DOTALL)


DEFAULT_CPU = CpuConfig().backend


def images(**drives: str | None) -> dict[str, str]:
    """Image specifications by option, of those drives (``hda``) that have one."""
    return {f"--{drive}": image for drive, image in drives.items() if image is not None}


@attrs.frozen(kw_only=True)
class MachineArguments:
    """The options of ``ringone run`` that describe the machine, as written."""

    name: str = "machine"
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    images: Mapping[str, str] = attrs.field(factory=dict)
    """Option (``--hda``) to image specification."""
    throw_away: bool = False
    boot: str = ""
    memory: str = "128M"
    cpu: str = DEFAULT_CPU
    clock: str = ClockPolicy.HOST.value
    serial: Sequence[str] = ()
    debugcon: str = "none"
    firmware: str = "auto"


def machine_config(arguments: MachineArguments) -> MachineConfig:
    cpu, cpu_options = named(arguments.cpu, "--cpu")
    firmware, firmware_options = named(arguments.firmware, "--firmware")
    config = MachineConfig(
        name=arguments.name,
        memory_bytes=size(arguments.memory, "--memory"),
        cpu=CpuConfig(backend=cpu, options=cpu_options),
        clock=ClockConfig(policy=_clock_policy(arguments.clock)),
        firmware=FirmwareConfig(name=firmware, options=firmware_options),
        linux=_linux(arguments),
        drives=tuple(drive(option, text) for option, text in arguments.images.items()),
        serial_ports=serial_ports(arguments.serial or ("none",)),
        debug_console=_debug_console(arguments.debugcon),
    )
    if arguments.boot:
        config = attrs.evolve(config, boot_order=boot_order(arguments.boot))
    return throw_away(config) if arguments.throw_away else config


def given(arguments: MachineArguments) -> list[str]:
    """The options that describe another machine than the default one."""
    defaults = MachineArguments()
    names = (field.name for field in attrs.fields(MachineArguments) if field.name not in ("images", "throw_away"))
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) != getattr(defaults, name)] + list(arguments.images)


def throw_away(config: MachineConfig) -> MachineConfig:
    """The same machine, forgetting every write to its disks and floppies when it ends."""
    drives = (attrs.evolve(drive, mode=AccessMode.THROW_AWAY) if drive.mode is AccessMode.PERSISTENT else drive for drive in config.drives)
    return attrs.evolve(config, drives=tuple(drives))


def with_cpu(config: MachineConfig, text: str) -> MachineConfig:
    backend, options = named(text, "--cpu")
    return attrs.evolve(config, cpu=attrs.evolve(config.cpu, backend=backend, options=options))


def with_clock(config: MachineConfig, text: str) -> MachineConfig:
    return attrs.evolve(config, clock=attrs.evolve(config.clock, policy=_clock_policy(text)))


def check_timeout(timeout_s: float | None) -> None:
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"--timeout: {timeout_s:g} is no time; accepted: seconds above 0")


def uses_stdio(config: MachineConfig) -> bool:
    """Whether one of the machine's lines is this process's standard input and output. Two cannot be."""
    users = [f"COM{port.slot + 1}" for port in config.serial_ports if port.driver == "stdio"]
    if config.debug_console is not None and config.debug_console.type == "stdio":
        users.append("the debug console")
    if len(users) > 1:
        raise ConfigError(f"only one line can be connected to stdio; these are: {', '.join(users)}")
    return bool(users)


def size(text: str, option: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(text) > 20:
        raise ConfigError(f"{option}: {text!r} is not a size; accepted: a number with K, M or G behind it (M where there is none), for example 256M")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def named(text: str, option: str) -> tuple[str, dict[str, str]]:
    """``NAME[:key=value,...]``"""
    name, _, rest = text.partition(":")
    if not name:
        raise ConfigError(f"{option}: {text!r} names nothing; accepted: NAME[:option=value,...]")
    options: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise ConfigError(f"{option}: {part!r} is not option=value")
        if key in options:
            raise ConfigError(f"{option}: {key!r} is given twice")
        options[key] = value
    return name, options


def drive(option: str, text: str) -> Drive:
    """``IMAGE[,format=FORMAT][,mode=MODE]``; other commas belong to the image's path."""
    kind, controller, port, device = PLACES[option]
    path, options = _trailing_options(text, option, ("format", "mode"))
    if not path:
        raise ConfigError(f"{option}: {text!r} names no image")
    mode = options.get("mode", AccessMode.PERSISTENT.value)
    modes = {member.value: member for member in AccessMode}
    if mode not in modes:
        raise ConfigError(f"{option}: {mode!r} is not a mode; accepted: {', '.join(modes)}")
    return Drive(kind=kind, controller=controller, port=port, device=device, image=Path(path).expanduser(), format=options.get("format", ""), mode=modes[mode])


def boot_order(text: str) -> tuple[BootDevice, ...]:
    """Words with commas, or letters as in ``dca``."""
    words = {device.value: device for device in BootDevice}
    parts = text.lower().split(",")
    if all(part in words for part in parts):
        order = tuple(words[part] for part in parts)
    elif all(letter in BOOT_LETTERS for letter in text.lower()):
        order = tuple(BOOT_LETTERS[letter] for letter in text.lower())
    else:
        letters = ", ".join(f"{letter} ({device.value})" for letter, device in BOOT_LETTERS.items())
        raise ConfigError(f"--boot: {text!r} is no boot order; accepted: {', '.join(words)}, separated by commas, or the letters {letters}")
    if len(set(order)) < len(order):
        raise ConfigError(f"--boot: {text!r} names a device twice")
    return order


def serial_ports(texts: Sequence[str]) -> tuple[SerialPort, ...]:
    if len(texts) > len(SERIAL_PORTS):
        raise ConfigError(f"--serial: given {len(texts)} times; the machine has up to {len(SERIAL_PORTS)} serial ports")
    ports = []
    for slot, text in enumerate(texts):
        driver, options = line(text, "--serial")
        io_base, irq = SERIAL_PORTS[slot]
        ports.append(SerialPort(slot=slot, io_base=io_base, irq=irq, driver=driver, options=options))
    return tuple(ports)


def line(text: str, option: str) -> tuple[str, dict[str, str]]:
    """Driver and options of what a character line is connected to."""
    word, colon, rest = text.partition(":")
    if word not in LINES or bool(colon) != (":" in LINES[word][1]) or (colon and not rest):
        raise ConfigError(f"{option}: {text!r} is nothing to connect to; accepted: {', '.join(form for _, form in LINES.values())}")
    driver = LINES[word][0]
    if word == "tcp":
        return driver, _tcp(rest, option)
    if word == "file":
        path, options = _trailing_options(rest, option, ("append",))
    elif word == "unix":
        path, options = _trailing_options(rest, option, ("server",))
    else:
        path, options = rest, {}
    return driver, {**options, "path": path} if colon else options


def _tcp(text: str, option: str) -> dict[str, str]:
    address, options = _trailing_options(text, option, ("server",))
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 0x10000:
        raise ConfigError(f"{option}: {address!r} is no TCP address; accepted: HOST:PORT with a port from 1 to 65535")
    return {**options, "host": host.strip("[]") or "127.0.0.1", "port": port}


def _trailing_options(text: str, option: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    match = _TRAILING_OPTIONS.fullmatch(text)
    assert match is not None
    options = dict(part.split("=", 1) for part in match[2].split(",")[1:])
    for key in options:
        if key not in known:
            raise ConfigError(f"{option}: unknown setting {key!r}; known: {', '.join(known)}")
    return match[1], options


def _clock_policy(text: str) -> ClockPolicy:
    accepted = (ClockPolicy.HOST, ClockPolicy.DETERMINISTIC)
    for policy in accepted:
        if policy.value == text:
            return policy
    raise ConfigError(f"--clock: {text!r} is no clock; accepted: {', '.join(policy.value for policy in accepted)}")


def _linux(arguments: MachineArguments) -> LinuxBoot | None:
    if arguments.kernel is None:
        for option, given in (("--initrd", arguments.initrd is not None), ("--append", bool(arguments.append))):
            if given:
                raise ConfigError(f"{option} needs --kernel")
        return None
    for option, path in (("--kernel", arguments.kernel), ("--initrd", arguments.initrd)):
        if path is not None and path.is_char_device():  # it may have no end
            raise ConfigError(f"{option}: {path} is a device, not a file")
    return LinuxBoot(kernel=arguments.kernel, initrd=arguments.initrd, append=arguments.append)


def _debug_console(text: str) -> DriverConfig | None:
    driver, options = line(text, "--debugcon")
    return DriverConfig(slot="", type=driver, options=options, source="--debugcon") if driver else None
