"""modifyvm's options: each with its parser and what it does to a machine.

Four kinds: what RingOne follows; what a machine file keeps and nothing follows; what RingOne does not have, where only "none" or "off" is accepted; and what
VBoxManage knows and is refused whatever its value is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from ringone.api.config import ClockPolicy, FirmwareConfig, MachineConfig
from ringone.api.settings import MachineSettings

from ringone_frontend_cli.arguments import named
from ringone_frontend_cli.vboxmanage import recording, serial, vrde
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.ostypes import find_os_type
from ringone_frontend_cli.vboxmanage.syntax import MIB, Option, Parser, Words, choice, flag, number, on_off, option, text
from ringone_frontend_cli.vboxmanage.words import BOOT_POSITIONS, BOOT_WORDS, KEPT_FLAGS, KEPT_WORDS

Effect = Callable[[MachineSettings, int, Any], MachineSettings]
"""(settings, the number in the option's name, value) -> settings."""

MEMORY_MB = (4, 3584)
VRAM_MB = (1, 256)
MAX_CPUS = 64
NICS = 8


@attrs.frozen
class Setting:
    option: Option
    effect: Effect
    early: bool = False
    """Done before the others: what they build on."""


def _config(change: Callable[[MachineConfig, int, Any], MachineConfig]) -> Effect:
    return lambda settings, index, value: attrs.evolve(settings, config=change(settings.config, index, value))


def _field(name: str) -> Effect:
    return _config(lambda config, index, value: attrs.evolve(config, **{name: value}))


def _feature(name: str) -> Effect:
    """A feature of the processor."""

    def change(config: MachineConfig, index: int, value: bool) -> MachineConfig:
        features = config.cpu.model.features
        features = features | {name} if value else features - {name}
        return attrs.evolve(config, cpu=attrs.evolve(config.cpu, model=attrs.evolve(config.cpu.model, features=features)))

    return _config(change)


def _clock(name: str, convert: Callable[[Any], Any] = lambda value: value) -> Effect:
    return _config(lambda config, index, value: attrs.evolve(config, clock=attrs.evolve(config.clock, **{name: convert(value)})))


def keep(config: MachineConfig, name: str, value: str) -> MachineConfig:
    return attrs.evolve(config, unmodelled={**config.unmodelled, name: value})


def _kept(name: str, words: Mapping[str, str] | None = None) -> Effect:
    """Kept in the file in its words."""

    def in_file(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        return words[value] if words else str(value)

    return _config(lambda config, index, value: keep(config, name, in_file(value)))


def kept_flag(name: str, *aliases: str) -> Setting:
    return Setting(option(f"--{name}", *aliases, parse=on_off, value="on|off"), _kept(name))


def kept_word(setting: str, *names: str) -> Setting:
    words = KEPT_WORDS[setting]
    return Setting(option(*names, parse=choice(*words), value="|".join(words)), _kept(setting, words))


def absent(what: str, *names: str, accepted: tuple[str, ...] = ("off",)) -> Setting:
    """Hardware that RingOne does not have: asking for none is no mistake."""

    def refuse(settings: MachineSettings, index: int, value: str) -> MachineSettings:
        if value not in accepted:
            number = index or ""
            raise NotSupportedError(f"{names[0].replace('<N>', str(number))} {value} is not supported: RingOne has no {what}", ", ".join(accepted))
        return settings

    return Setting(option(*names, parse=_lower, value="|".join(accepted)), refuse)


def refused(what: str, *names: str, parse: Parser = text) -> Setting:
    def refuse(settings: MachineSettings, index: int, value: Any) -> MachineSettings:
        raise NotSupportedError(f"{names[0].replace('<N>', str(index or ''))} is not supported: RingOne has no {what}")

    return Setting(option(*names, parse=parse, value="..."), refuse)


def ignored(*names: str, parse: Parser = text, value: str = "...") -> Setting:
    """Settings of hardware that is absent anyway."""
    return Setting(option(*names, parse=parse, value=value), _unchanged)


def _lower(option: str, words: Words) -> str:
    return words.next(option).lower()


def _megabytes(low: int, high: int) -> Parser:
    parse = number(low, high)
    return lambda option, words: parse(option, words) * MIB


def _os_type(option: str, words: Words) -> str:
    return find_os_type(words.next(option)).id


def with_boot_order(config: MachineConfig, chosen: Sequence[tuple[int, str]]) -> MachineConfig:
    """`chosen` are positions with their words, all of one command line: only then is a device that stands twice taken out."""
    order = [*config.boot_order, *[None] * BOOT_POSITIONS][:BOOT_POSITIONS]
    for position, word in chosen:
        if not 1 <= position <= BOOT_POSITIONS:
            raise VerbSyntaxError(f"Invalid boot slot number {position}; accepted: 1 to {BOOT_POSITIONS}")
        order[position - 1] = BOOT_WORDS.get(word)
    return attrs.evolve(config, boot_order=tuple(dict.fromkeys(device for device in order if device is not None)))


def _unchanged(settings: MachineSettings, index: int, value: Any) -> MachineSettings:
    return settings


def _cpus(settings: MachineSettings, index: int, count: int) -> MachineSettings:
    if count != 1:
        raise NotSupportedError(f"--cpus {count} is not supported: machines have one processor", "1")
    return settings


def _nic(settings: MachineSettings, index: int, mode: str) -> MachineSettings:
    if not 1 <= index <= NICS:
        raise VerbSyntaxError(f"Invalid NIC slot number {index}; accepted: 1 to {NICS}")
    if mode != "none":
        raise NotSupportedError(f"--nic{index} {mode} is not supported: RingOne has no network adapters", "none")
    unmodelled = {name: value for name, value in settings.config.unmodelled.items() if name != f"nic{index}"}
    return attrs.evolve(settings, config=attrs.evolve(settings.config, unmodelled=unmodelled))


def _audio(settings: MachineSettings, index: int, driver: str) -> MachineSettings:
    if driver not in ("none", "null", "off"):
        raise NotSupportedError(f"--audio {driver} is not supported: RingOne has no sound card", "none, null")
    return attrs.evolve(settings, config=keep(settings.config, "audioenabled", "false"))


def _natpf(option: str, words: Words) -> str:
    first = words.next(option)
    return f"delete {words.next(option)}" if first == "delete" else first


def _uart(option: str, words: Words) -> serial.Uart | None:
    return serial.parse_uart(option, words)


def _groups(option: str, words: Words) -> tuple[str, ...]:
    return parse_groups(words.next(option))


def parse_groups(value: str) -> tuple[str, ...]:
    groups = tuple(dict.fromkeys(filter(None, value.split(",")))) or ("/",)
    for group in groups:
        if not group.startswith("/") or (group != "/" and any(not part or part in (".", "..") for part in group[1:].split("/"))):
            raise VerbError(f"Invalid group '{group}'; accepted: / or names with a / before each, for example /tests/linux", INVALID_ARGUMENT)
    return groups


FOLLOWED = (
    Setting(option("--name", value="<name>"), _field("name")),
    Setting(option("--groups", parse=_groups, value="<group>, ..."), lambda settings, index, value: attrs.evolve(settings, groups=value)),
    Setting(option("--description", value="<desc>"), _field("description")),
    Setting(option("--ostype", parse=_os_type, value="<ostype>"), _field("os_type")),
    Setting(option("--memory", parse=_megabytes(*MEMORY_MB), value="<MB>"), _field("memory_bytes")),
    Setting(option("--vram", parse=_megabytes(*VRAM_MB), value="<MB>"), _field("vram_bytes")),
    Setting(option("--cpus", parse=number(1, MAX_CPUS), value="1"), _cpus),
    Setting(option("--pae", parse=on_off, value="on|off"), _feature("pae")),
    Setting(option("--triplefaultreset", parse=on_off, value="on|off"), _field("triple_fault_reset")),
    Setting(option("--acpi", parse=on_off, value="on|off"), _field("acpi")),
    Setting(
        option("--biosbootmenu", parse=choice("disabled", "menuonly", "messageandmenu"), value="disabled|menuonly|messageandmenu"),
        _config(lambda config, index, value: attrs.evolve(config, boot_menu=value != "disabled")),
    ),
    Setting(option("--biossystemtimeoffset", parse=number(-(1 << 62), 1 << 62), value="<msec>"), _clock("offset_ms")),
    Setting(option("--rtcuseutc", parse=on_off, value="on|off"), _clock("local_time", lambda utc: not utc)),
    Setting(option("--boot<N>", parse=choice("none", *BOOT_WORDS), value="none|floppy|dvd|disk|net"), _unchanged),  # see with_boot_order
    Setting(
        option("--uart<N>", parse=_uart, value="off|<I/O base> <IRQ>"),
        _config(lambda config, index, value: serial.with_uart(config, _uart_number(index), value)),
        early=True,
    ),
    Setting(
        option(
            "--uartmode<N>", parse=serial.parse_uart_mode, value="disconnected|server <pipe>|client <pipe>|tcpserver <port>|tcpclient <host:port>|file <file>"
        ),
        _config(lambda config, index, value: serial.with_uart_mode(config, _uart_number(index), value)),
    ),
)


def _uart_number(index: int) -> int:
    if not 1 <= index <= serial.PORTS:
        raise VerbSyntaxError(f"Invalid UART number {index}; accepted: 1 to {serial.PORTS}")
    return index


def _named(name: str, change: Callable[[MachineConfig, str, dict[str, str]], MachineConfig]) -> Setting:
    """One of RingOne's own, ``NAME[:option=value,...]``."""

    def effect(config: MachineConfig, index: int, value: str) -> MachineConfig:
        chosen, options = named(value, name)
        return change(config, chosen, options)

    return Setting(option(name, value="NAME[:option=value,...]"), _config(effect))


OWN = (
    _named("--ringone-cpu", lambda config, name, options: attrs.evolve(config, cpu=attrs.evolve(config.cpu, backend=name, options=options))),
    _named("--ringone-firmware", lambda config, name, options: attrs.evolve(config, firmware=FirmwareConfig(name=name, options=options))),
    Setting(
        option("--ringone-clock", parse=choice(*(policy.value for policy in (ClockPolicy.HOST, ClockPolicy.DETERMINISTIC))), value="host|deterministic"),
        _clock("policy", ClockPolicy),
    ),
)
"""What VirtualBox does not have."""

KEPT_ALIASES = {"nested-hw-virt": ("--nestedhwvirt",), "bioslogofadein": (), "vtxux": ("--x86-vtx-ux",), "vtxvpid": ("--x86-vtx-vpid",)}
NOT_SWITCHES = frozenset({"audioenabled"})

KEPT = (
    *(Setting(option, _config(vrde.effect(change))) for option, change in vrde.SETTINGS),
    *(Setting(option, _config(recording.effect)) for option in recording.SETTINGS),
    *(kept_flag(name, *KEPT_ALIASES.get(name, ())) for name in KEPT_FLAGS if name not in NOT_SWITCHES),
    Setting(option("--cpuexecutioncap", parse=number(1, 100), value="1-100"), _kept("cpuexecutioncap")),
    Setting(option("--cpuid-portability-level", parse=number(0, 3), value="0-3"), _kept("cpuid-portability-level")),
    Setting(option("--bioslogodisplaytime", parse=number(0, 1 << 30), value="<msec>"), _kept("bioslogodisplaytime")),
    Setting(option("--guestmemoryballoon", parse=number(0, 4096), value="<MB>"), _kept("guestmemoryballoon")),
    Setting(option("--monitorcount", parse=number(1, 64), value="<number>"), _kept("monitorcount")),
    kept_word("biosapic", "--biosapic"),
    kept_word("paravirtprovider", "--paravirtprovider"),
    kept_word("graphicscontroller", "--graphicscontroller"),
    kept_word("clipboard", "--clipboard", "--clipboard-mode"),
    kept_word("draganddrop", "--draganddrop"),
    Setting(
        option("--mouse", parse=choice("ps2", "usb", "usbtablet", "usbmultitouch"), value="ps2|usb|usbtablet"),
        _kept("hidpointing", {"ps2": "PS2Mouse", "usb": "USBMouse", "usbtablet": "USBTablet", "usbmultitouch": "USBMultiTouch"}),
    ),
    Setting(option("--keyboard", parse=choice("ps2", "usb"), value="ps2|usb"), _kept("hidkeyboard", {"ps2": "PS2Keyboard", "usb": "USBKeyboard"})),
)

ABSENT = (
    Setting(option("--nic<N>", parse=_lower, value="none"), _nic),
    Setting(option("--audio", "--audio-driver", parse=_lower, value="none|null"), _audio),
    absent("chipset but the PIIX3", "--chipset", accepted=("piix3",)),
    absent("firmware but a BIOS", "--firmware", accepted=("bios",)),
    absent("processor profiles", "--cpu-profile", accepted=("host",)),
    absent("hot-plugged processors", "--cpuhotplug"),
    absent("parallel ports", "--lpt<N>"),
    absent("USB", "--usb", "--usb-ohci"),
    absent("USB", "--usbehci", "--usb-ehci"),
    absent("USB", "--usbxhci", "--usb-xhci"),
    absent("USB card readers", "--usbcardreader"),
    absent("sound card", "--audioin"),
    absent("sound card", "--audioout"),
    absent("sound card", "--audio-enabled"),
    absent("teleportation", "--teleporter"),
    absent("tracing", "--tracing-enabled"),
    absent("autostart", "--autostart-enabled"),
    absent("IOMMU", "--iommu", accepted=("none",)),
    absent("TPM", "--tpm-type", accepted=("none",)),
    absent("other UARTs", "--uarttype<N>", accepted=("16550a", "16450")),
    absent("PXE debugging", "--biospxedebug"),
    ignored("--cableconnected<N>", parse=on_off, value="on|off"),
    ignored("--macaddress<N>"),
    ignored("--nictype<N>"),
    ignored("--nicpromisc<N>"),
    ignored("--nicspeed<N>"),
    ignored("--nicbootprio<N>"),
    ignored("--nictrace<N>", parse=on_off, value="on|off"),
    ignored("--audiocontroller", "--audio-controller"),
    ignored("--audiocodec", "--audio-codec"),
    ignored("--usbrename"),
    ignored("--defaultfrontend"),
    ignored("--hwvirtexexcl", parse=on_off, value="on|off"),
    ignored("--vm-process-priority"),
)

REFUSED = (
    refused("network adapters", "--natpf<N>", parse=_natpf),
    refused("network adapters", "--bridgeadapter<N>"),
    refused("network adapters", "--hostonlyadapter<N>"),
    refused("network adapters", "--intnet<N>"),
    refused("network adapters", "--natnet<N>"),
    refused("network adapters", "--nat-network<N>"),
    refused("network adapters", "--nicgenericdrv<N>"),
    refused("boot logos", "--bioslogoimagepath"),
    refused("CPUID overrides", "--cpuidset"),
    refused("CPUID overrides", "--cpuidremove"),
    refused("CPUID overrides", "--cpuidremoveall", parse=flag),
    refused("PCI passthrough", "--pciattach"),
    refused("another hardware UUID than the machine's", "--hardwareuuid"),
    refused("icons", "--iconfile"),
)

SETTINGS: Mapping[str, Setting] = {setting.option.key.removesuffix("<N>"): setting for setting in (*FOLLOWED, *OWN, *KEPT, *ABSENT, *REFUSED)}
"""Key of the option to what it does."""
