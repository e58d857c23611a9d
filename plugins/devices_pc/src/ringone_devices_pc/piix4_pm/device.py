"""Intel 82371AB (PIIX4), function 3 (datasheet 290562-001): ACPI power management and the SMBus host.

    PMBASE+00  PMSTS    TMROF 0, GBL 5, PWRBTN 8, RTC 10; writing one clears
    PMBASE+02  PMEN     the same bits
    PMBASE+04  PMCNTRL  SCI_EN 0, BRLD_EN_BM 1, SUS_TYP 12:10, SUS_EN 13 (reads 0)
    PMBASE+08  PMTMR    24 bits at 3.579545 MHz
    B2, B3     APMC, APMS: writing F1 to APMC hands power management to ACPI, F0 takes it back, as the firmware's FADT says
    AFE0       GPE0: no event exists; enables are held

SUS_TYP 0 with SUS_EN is soft off. There is no system management mode, hence APMC_EN is set from reset on, which tells SeaBIOS not to set one up. Suspend
states, device monitors and clock throttling are left out; on the SMBus no device answers.
"""

from __future__ import annotations

import attrs
from ringone.api.devices import DeviceContext, PciBus
from ringone.api.errors import AssemblyError

from ringone_devices_pc.pci_config import STATUS_DEVSEL_MEDIUM, STATUS_FAST_BACK_TO_BACK, PciConfigSpace
from ringone_devices_pc.piix4_pm.config import Piix4PmOptions
from ringone_devices_pc.piix4_pm.smbus import SmbusHost
from ringone_devices_pc.piix4_pm.state import Piix4PmState

PMBASE = 0x40
PMBASE_PORTS = 64
DEVACTB = 0x58
APMC_EN = 1 << 25
PMREGMISC = 0x80
PMIOSE = 1 << 0
SMBBA = 0x90
SMBUS_PORTS = 16
SMBHSTCFG = 0xD2
SMB_HST_EN = 1 << 0

PMSTS_PMEN = 0x00
PMCNTRL = 0x04
PMTMR = 0x08

TMROF = 1 << 0
GBL = 1 << 5
PWRBTN = 1 << 8
RTC = 1 << 10
EVENTS = TMROF | GBL | PWRBTN | RTC

SCI_EN = 1 << 0
BRLD_EN_BM = 1 << 1
SUS_TYP = 7 << 10
SUS_TYP_SOFT_OFF = 0 << 10
SUS_EN = 1 << 13
CONTROL_WRITABLE = SCI_EN | BRLD_EN_BM | SUS_TYP

APMC_ACPI_ENABLE = 0xF1
APMC_ACPI_DISABLE = 0xF0

PM_TIMER_HZ = 3_579_545
PM_TIMER_MASK = 0xFF_FFFF
PM_TIMER_HALF_SHIFT = 23
"""TMROF_STS is set whenever bit 23 of the timer changes."""
NS_PER_S = 1_000_000_000


class Piix4Pm:
    def __init__(self, context: DeviceContext, options: Piix4PmOptions) -> None:
        bus = context.link("pci", PciBus)
        if bus is None:
            raise AssemblyError("power management needs a link 'pci' to a host bridge", component=context.id)
        self._now_ns = context.now_ns
        self._sci = context.output("SCI")
        self._power_off = context.output("POWER_OFF")
        self._overflow = context.timer("overflow", self._update_sci)
        self._state = Piix4PmState()
        self._smbus = SmbusHost()
        self._config = self._make_config(context, options)
        context.map_ports(options.apm_base, 2, read=self._apm_read, write=self._apm_write, name="APM")
        context.map_ports(options.gpe_base, 4, read=self._gpe_read, write=self._gpe_write, name="GPE0")
        context.provide("power-button", self)
        bus.attach(options.device, 3, self._config)

    def _make_config(self, context: DeviceContext, options: Piix4PmOptions) -> PciConfigSpace:
        config = PciConfigSpace(
            vendor_id=0x8086,
            device_id=0x7113,
            class_code=0x068000,
            revision=3,
            status=STATUS_FAST_BACK_TO_BACK | STATUS_DEVSEL_MEDIUM,
            interrupt_pin=1,
        )
        pm_ports = context.map_ports(0, PMBASE_PORTS, read=self._pm_read, write=self._pm_write, widths=(1, 2, 4), name="PM", enabled=False)
        smbus_ports = context.map_ports(0, SMBUS_PORTS, read=self._smbus.read, write=self._smbus.write, name="SMBus", enabled=False)
        preset = options.preset_pm_base
        if preset is not None and (preset % PMBASE_PORTS or not 0 < preset < 0x10000):
            raise AssemblyError(f"preset_pm_base {preset:#x} cannot be decoded; accepted: multiples of {PMBASE_PORTS:#x} below 0x10000", component=context.id)
        config.add_io_base(PMBASE, PMBASE_PORTS, pm_ports, enable=(PMREGMISC, PMIOSE), preset=preset or 0)
        config.register(DEVACTB, 4, APMC_EN, writable=0xFFFF_FFFF)
        config.register(PMREGMISC, 1, PMIOSE if preset else 0, writable=PMIOSE)
        config.add_io_base(SMBBA, SMBUS_PORTS, smbus_ports, enable=(SMBHSTCFG, SMB_HST_EN))
        config.register(SMBHSTCFG, 1, writable=0x0F)
        return config

    # --- PM registers --------------------------------------------------------------------------------------------------------------------------------------

    def _pm_read(self, offset: int, size: int) -> int:
        register = offset & ~3
        if register == PMTMR:
            value = self._ticks() & PM_TIMER_MASK
        elif register == PMSTS_PMEN:
            value = self._status() | self._state.enable << 16
        elif register == PMCNTRL:
            value = self._state.control
        else:
            value = 0
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _pm_write(self, offset: int, size: int, value: int) -> None:
        register = offset & ~3
        shift = 8 * (offset & 3)
        written = ((1 << 8 * size) - 1) << shift & 0xFFFF_FFFF
        value = value << shift & written
        state = self._state
        if register == PMSTS_PMEN:
            self._acknowledge(value & 0xFFFF)
            state.enable = (state.enable & ~(written >> 16) | value >> 16) & EVENTS
            self._update_sci()
        elif register == PMCNTRL:
            self._write_control(state.control & ~written | value)

    def _acknowledge(self, events: int) -> None:
        self._state.status &= ~events
        if events & TMROF:
            self._state.overflow_seen = self._ticks() >> PM_TIMER_HALF_SHIFT

    def _write_control(self, value: int) -> None:
        self._state.control = value & CONTROL_WRITABLE
        self._update_sci()
        if value & SUS_EN and value & SUS_TYP == SUS_TYP_SOFT_OFF:
            self._power_off.set(True)
            self._power_off.set(False)

    def _ticks(self) -> int:
        return self._now_ns() * PM_TIMER_HZ // NS_PER_S

    def _status(self) -> int:
        overflow = TMROF if self._ticks() >> PM_TIMER_HALF_SHIFT != self._state.overflow_seen else 0
        return self._state.status | overflow

    def _update_sci(self) -> None:
        """Level of SCI, and the alarm for the next timer overflow where one would change it."""
        state = self._state
        status = self._status()
        enabled = state.enable if state.control & SCI_EN else 0
        self._sci.set(bool(status & enabled))
        if enabled & TMROF and not status & TMROF:
            next_half = (state.overflow_seen + 1) << PM_TIMER_HALF_SHIFT
            self._overflow.arm_at(-(-next_half * NS_PER_S // PM_TIMER_HZ))
        else:
            self._overflow.cancel()

    def press(self) -> None:
        """The power button: the guest learns of it by SCI, if it listens."""
        self._state.status |= PWRBTN
        self._update_sci()

    # --- APM and GPE0 --------------------------------------------------------------------------------------------------------------------------------------

    def _apm_read(self, offset: int, size: int) -> int:
        return self._state.apm_status if offset else self._state.apm_control

    def _apm_write(self, offset: int, size: int, value: int) -> None:
        state = self._state
        if offset:
            state.apm_status = value
            return
        state.apm_control = value
        if value == APMC_ACPI_ENABLE:
            self._write_control(state.control | SCI_EN)
        elif value == APMC_ACPI_DISABLE:
            self._write_control(state.control & ~SCI_EN)

    def _gpe_read(self, offset: int, size: int) -> int:
        return self._state.gpe_enable >> 8 * (offset - 2) & 0xFF if offset >= 2 else 0

    def _gpe_write(self, offset: int, size: int, value: int) -> None:
        if offset >= 2:
            shift = 8 * (offset - 2)
            self._state.gpe_enable = self._state.gpe_enable & ~(0xFF << shift) | value << shift

    # --- Device --------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._state = Piix4PmState(overflow_seen=self._ticks() >> PM_TIMER_HALF_SHIFT)
        self._smbus.reset()
        self._config.reset()
        self._update_sci()

    def save_state(self) -> Piix4PmState:
        return attrs.evolve(self._state, smbus=self._smbus.save(), config=self._config.save())

    def load_state(self, state: Piix4PmState) -> None:
        self._config.load(state.config)
        self._smbus.load(state.smbus)
        self._state = attrs.evolve(
            state,
            status=state.status & EVENTS & ~TMROF,
            enable=state.enable & EVENTS,
            control=state.control & CONTROL_WRITABLE,
            gpe_enable=state.gpe_enable & 0xFFFF,
            apm_control=state.apm_control & 0xFF,
            apm_status=state.apm_status & 0xFF,
        )
