"""Power management: ACPI events, the PM timer, the power button, soft off and the empty SMBus."""

import pytest
from ringone.api.errors import AssemblyError
from ringone.testing import DeviceHarness, FakePciBus
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.piix4_pm import SPEC
from ringone_devices_pc.piix4_pm.config import Piix4PmOptions

PM = 0x600
PMSTS, PMEN, PMCNTRL, PMTMR = PM, PM + 2, PM + 4, PM + 8
SMBUS = 0x700
SMBHSTSTS, SMBHSTCNT = SMBUS, SMBUS + 2
APMC, APMS, GPE0 = 0xB2, 0xB3, 0xAFE0
ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0
TMROF, GBL, PWRBTN = 1 << 0, 1 << 5, 1 << 8
SCI_EN, SUS_EN = 1 << 0, 1 << 13
S5, S3 = 0 << 10, 1 << 10
HALF_PERIOD_NS = (1 << 23) * 1_000_000_000 // 3_579_545 + 1


def make_harness(**options: int) -> DeviceHarness:
    return DeviceHarness(SPEC, options=Piix4PmOptions(**options), links={"pci": FakePciBus()})


def config_write(harness: DeviceHarness, offset: int, value: int, size: int = 4) -> None:
    harness.links["pci"].write(1, 3, offset, value, size)  # type: ignore[attr-defined]


def config_read(harness: DeviceHarness, offset: int, size: int = 4) -> int:
    value: int = harness.links["pci"].read(1, 3, offset, size)  # type: ignore[attr-defined]
    return value


@pytest.fixture
def pm() -> DeviceHarness:
    """As SeaBIOS leaves it, with ACPI taken over."""
    harness = make_harness()
    config_write(harness, 0x40, PM | 1)
    config_write(harness, 0x80, 1, size=1)
    config_write(harness, 0x90, SMBUS | 1)
    config_write(harness, 0xD2, 9, size=1)
    harness.write(APMC, ACPI_ENABLE)
    return harness


def test_seabios_finds_apm_enabled_and_so_sets_up_no_smm() -> None:
    assert config_read(make_harness(), 0x58) & 1 << 25


def test_registers_appear_where_and_when_the_bios_says() -> None:
    harness = make_harness()
    config_write(harness, 0x40, PM | 1)
    assert harness.read(PMCNTRL, size=2) == 0xFFFF
    config_write(harness, 0x80, 1, size=1)
    assert harness.read(PMCNTRL, size=2) == 0
    config_write(harness, 0x40, 0xB001)
    assert (harness.read(0xB004, size=2), harness.read(PMCNTRL, size=2)) == (0, 0xFFFF)


def test_a_preset_base_is_decoded_from_reset_on() -> None:
    harness = make_harness(preset_pm_base=PM)
    assert harness.read(PMCNTRL, size=2) == 0
    assert config_read(harness, 0x40) == PM | 1


@pytest.mark.parametrize("base", [0, 0x601, 0x10000], ids=["zero", "misaligned", "behind the last port"])
def test_a_preset_base_that_cannot_be_decoded_is_refused(base: int) -> None:
    with pytest.raises(AssemblyError, match="preset_pm_base"):
        make_harness(preset_pm_base=base)


def test_acpi_is_switched_on_and_off_through_the_command_port(pm: DeviceHarness) -> None:
    assert pm.read(PMCNTRL, size=2) & SCI_EN
    pm.write(APMC, ACPI_DISABLE)
    assert not pm.read(PMCNTRL, size=2) & SCI_EN
    assert pm.read(APMC) == ACPI_DISABLE


def test_the_apm_status_port_holds_a_byte(pm: DeviceHarness) -> None:
    pm.write(APMS, 0x5A)
    assert pm.read(APMS) == 0x5A


def test_the_timer_counts_at_its_frequency_and_wraps_at_24_bits(pm: DeviceHarness) -> None:
    start = pm.read(PMTMR, size=4)
    pm.advance(1_000_000_000)
    assert pm.read(PMTMR, size=4) - start == 3_579_545
    pm.advance(4_000_000_000)
    assert pm.read(PMTMR, size=4) == 5 * 3_579_545 - (1 << 24)


def test_overflow_is_reported_at_every_half_period_once_enabled(pm: DeviceHarness) -> None:
    pm.write(PMEN, TMROF, size=2)
    pm.advance(HALF_PERIOD_NS - 2)
    assert not pm.pin("SCI")
    pm.advance(2)
    assert pm.pin("SCI")
    pm.write(PMSTS, TMROF, size=2)
    assert not pm.pin("SCI")
    pm.advance(HALF_PERIOD_NS)
    assert pm.read(PMSTS, size=2) & TMROF
    assert pm.pin("SCI")


def test_a_disabled_overflow_shows_in_status_only(pm: DeviceHarness) -> None:
    pm.advance(HALF_PERIOD_NS)
    assert pm.read(PMSTS, size=2) == TMROF
    assert not pm.pin("SCI")


def test_the_power_button_interrupts_a_guest_that_listens(pm: DeviceHarness) -> None:
    pm.write(PMEN, PWRBTN, size=2)
    pm.provided("power-button").press()
    assert pm.pin("SCI")
    pm.write(PMSTS, PWRBTN, size=2)
    assert not pm.pin("SCI")


def test_no_sci_is_raised_before_acpi_is_enabled(pm: DeviceHarness) -> None:
    pm.write(APMC, ACPI_DISABLE)
    pm.write(PMEN, PWRBTN, size=2)
    pm.provided("power-button").press()
    assert not pm.pin("SCI")
    pm.write(APMC, ACPI_ENABLE)
    assert pm.pin("SCI")


def test_status_and_enable_can_be_written_in_bytes(pm: DeviceHarness) -> None:
    pm.provided("power-button").press()
    pm.write(PMEN, GBL)
    pm.write(PMEN + 1, PWRBTN >> 8)
    assert pm.read(PMEN, size=2) == GBL | PWRBTN
    pm.write(PMSTS, 0xFF)
    assert pm.read(PMSTS + 1) == PWRBTN >> 8
    pm.write(PMSTS + 1, PWRBTN >> 8)
    assert pm.read(PMSTS, size=2) == 0


def test_soft_off_cuts_the_power(pm: DeviceHarness) -> None:
    pm.write(PMCNTRL, SCI_EN | S5, size=2)
    assert pm.edges("POWER_OFF") == []
    pm.write(PMCNTRL, SCI_EN | S5 | SUS_EN, size=2)
    assert [level for _, level in pm.edges("POWER_OFF")] == [True, False]
    assert pm.read(PMCNTRL, size=2) == SCI_EN | S5


def test_suspend_types_that_are_not_offered_do_nothing(pm: DeviceHarness) -> None:
    pm.write(PMCNTRL, SCI_EN | S3 | SUS_EN, size=2)
    assert pm.edges("POWER_OFF") == []


def test_general_purpose_events_never_happen_but_hold_their_enables(pm: DeviceHarness) -> None:
    pm.write(GPE0, 0xFFFF, size=2)
    pm.write(GPE0 + 2, 0x1234, size=2)
    assert (pm.read(GPE0, size=2), pm.read(GPE0 + 2, size=2)) == (0, 0x1234)


def test_an_smbus_transaction_ends_with_a_device_error(pm: DeviceHarness) -> None:
    pm.write(SMBHSTCNT, 0x48)
    assert pm.read(SMBHSTSTS) == 0x04
    pm.write(SMBHSTSTS, 0x04)
    assert pm.read(SMBHSTSTS) == 0
    assert pm.read(SMBHSTCNT) == 0x08


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return make_harness(preset_pm_base=PM)

    def exercise(self, harness: DeviceHarness) -> None:
        config_write(harness, 0x90, SMBUS | 1)
        config_write(harness, 0xD2, 1, size=1)
        harness.write(SMBHSTCNT, 0x40)
        harness.write(APMC, ACPI_ENABLE)
        harness.write(PMEN, TMROF | PWRBTN, size=2)
        harness.advance(HALF_PERIOD_NS // 2)
