"""The configuration space that every PCI chip here builds on."""

import pytest
from ringone.api.errors import AssemblyError, SnapshotError
from ringone_devices_pc.pci_config import BAR0, COMMAND, COMMAND_IO, COMMAND_MEMORY, EXPANSION_ROM, STATUS, PciConfigSpace


class FakeWindow:
    """Remembers where it is shown."""

    def __init__(self) -> None:
        self.base = 0
        self.enabled = False

    def set_enabled(self, enabled: bool) -> None:
        self.enabled = enabled

    def move(self, base: int) -> None:
        self.base = base

    @property
    def shown_at(self) -> int | None:
        return self.base if self.enabled else None


def make_space(**options: int) -> PciConfigSpace:
    return PciConfigSpace(**{"vendor_id": 0x1234, "device_id": 0x5678, "class_code": 0x020000, **options})


@pytest.fixture
def window() -> FakeWindow:
    return FakeWindow()


def test_identity_reads_back_and_cannot_be_written() -> None:
    space = make_space(revision=7)
    for offset, identity in ((0x00, 0x5678_1234), (0x08, 0x0200_0007), (0x2C, 0x1100_1AF4)):
        space.config_write(offset, 4, 0xFFFF_FFFF)
        assert space.config_read(offset, 4) == identity


def test_writable_bits_take_what_is_written_and_the_rest_stays() -> None:
    space = make_space()
    space.register(0x40, 2, 0x8000, writable=0x00F0)
    space.config_write(0x40, 2, 0xFFFF)
    assert space.config_read(0x40, 2) == 0x80F0


def test_status_bits_clear_where_one_is_written() -> None:
    space = make_space()
    space.set(STATUS, 2, 0xF280)
    space.config_write(STATUS, 2, 0x3000)
    assert space.config_read(STATUS, 2) == 0xC280


def test_a_bar_shows_its_size_to_who_writes_ones(window: FakeWindow) -> None:
    space = make_space()
    space.add_io_bar(4, 16, window)
    space.add_memory_bar(0, 0x100000, window, prefetchable=True)
    space.config_write(BAR0 + 16, 4, 0xFFFF_FFFF)
    space.config_write(BAR0, 4, 0xFFFF_FFFF)
    assert space.config_read(BAR0 + 16, 4) == 0xFFFF_FFF1
    assert space.config_read(BAR0, 4) == 0xFFF0_0008


def test_a_window_is_shown_only_while_the_command_register_allows(window: FakeWindow) -> None:
    space = make_space()
    space.add_io_bar(0, 32, window)
    space.config_write(BAR0, 4, 0xC000)
    assert window.shown_at is None
    space.config_write(COMMAND, 2, COMMAND_IO)
    assert window.shown_at == 0xC000
    space.config_write(BAR0, 4, 0xC100)
    assert window.shown_at == 0xC100
    space.config_write(COMMAND, 2, COMMAND_MEMORY)
    assert window.shown_at is None


@pytest.mark.parametrize("base", [0, 0xFFFF_FFE0, 0x1_0000], ids=["nowhere", "while it is sized", "behind the last port"])
def test_a_port_window_is_not_shown_where_no_ports_are(window: FakeWindow, base: int) -> None:
    space = make_space()
    space.add_io_bar(0, 32, window)
    space.config_write(COMMAND, 2, COMMAND_IO)
    space.config_write(BAR0, 4, 0xC000)
    space.config_write(BAR0, 4, base)
    assert window.shown_at is None


def test_a_memory_window_is_not_shown_while_it_is_sized(window: FakeWindow) -> None:
    space = make_space()
    space.add_memory_bar(0, 0x1000, window)
    space.config_write(COMMAND, 2, COMMAND_MEMORY)
    space.config_write(BAR0, 4, 0xFFFF_FFFF)
    assert window.shown_at is None


def test_an_expansion_rom_needs_both_enables(window: FakeWindow) -> None:
    space = make_space()
    space.add_rom_bar(0x10000, window)
    space.config_write(EXPANSION_ROM, 4, 0xFEB0_0001)
    assert window.shown_at is None
    space.config_write(COMMAND, 2, COMMAND_MEMORY)
    assert window.shown_at == 0xFEB0_0000
    space.config_write(EXPANSION_ROM, 4, 0xFEB0_0000)
    assert window.shown_at is None


def test_watchers_hear_of_writes_to_their_registers_only() -> None:
    space = make_space()
    heard: list[int] = []
    space.on_write(0x42, 0x43, lambda: heard.append(space.config_read(0x40, 4)))
    space.register(0x40, 4, writable=0xFFFF_FFFF)
    space.config_write(0x41, 1, 1)
    space.config_write(0x44, 4, 1)
    assert heard == []
    space.config_write(0x40, 4, 0x1234_5678)
    assert heard == [0x1234_5678]


def test_reset_takes_windows_away(window: FakeWindow) -> None:
    space = make_space()
    space.add_io_bar(0, 32, window)
    space.config_write(BAR0, 4, 0xC000)
    space.config_write(COMMAND, 2, COMMAND_IO)
    space.reset()
    assert window.shown_at is None
    assert space.config_read(BAR0, 4) == 1


def test_a_loaded_space_shows_its_windows(window: FakeWindow) -> None:
    saved = make_space()
    saved.add_io_bar(0, 32, FakeWindow())
    saved.config_write(BAR0, 4, 0xC000)
    saved.config_write(COMMAND, 2, COMMAND_IO)
    space = make_space()
    space.add_io_bar(0, 32, window)
    space.load(saved.save())
    assert window.shown_at == 0xC000


@pytest.mark.parametrize("data", [b"", bytes(255), bytes(256)], ids=["nothing", "too short", "of another device"])
def test_a_damaged_space_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="PCI configuration space"):
        make_space().load(data)


@pytest.mark.parametrize("size", [0, 48, 2048], ids=["empty", "no power of two", "less than a page"])
def test_a_memory_window_that_cannot_be_decoded_is_refused(window: FakeWindow, size: int) -> None:
    with pytest.raises(AssemblyError, match="powers of two from 4096"):
        make_space().add_memory_bar(0, size, window)
