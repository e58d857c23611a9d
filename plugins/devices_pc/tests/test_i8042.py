"""The keyboard controller with its keyboard and mouse, as drivers talk to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i8042 import SPEC, scancodes

DATA, STATUS = 0x60, 0x64
OBF, SYSTEM_FLAG, COMMAND, AUXB = 0x01, 0x04, 0x08, 0x20
KEYBOARD_INTERRUPT, AUXILIARY_INTERRUPT, DISABLE_KEYBOARD, DISABLE_AUXILIARY, TRANSLATE = 0x01, 0x02, 0x10, 0x20, 0x40
MILLISECOND = 1_000_000
ACK = 0xFA
LEFT, RIGHT, MIDDLE = 1, 2, 4
BACK, FORWARD = 8, 16


@pytest.fixture
def kbc() -> DeviceHarness:
    return DeviceHarness(SPEC)


def command(kbc: DeviceHarness, code: int, *parameters: int) -> None:
    kbc.write(STATUS, code)
    for parameter in parameters:
        kbc.write(DATA, parameter)


def answer(kbc: DeviceHarness) -> int:
    """The controller's own answer, which is there at once."""
    assert kbc.read(STATUS) & OBF
    return kbc.read(DATA)


def receive(kbc: DeviceHarness) -> list[int]:
    """Everything that comes, read as it arrives; bytes from the mouse have bit 8 set."""
    received = []
    for _ in range(200):
        kbc.advance(MILLISECOND)
        status = kbc.read(STATUS)
        if status & OBF:
            received.append(kbc.read(DATA) | (0x100 if status & AUXB else 0))
    return received


def to_keyboard(kbc: DeviceHarness, *codes: int) -> list[int]:
    """Send bytes, each after the answer to the one before, and return all answers."""
    answers = []
    for code in codes:
        kbc.write(DATA, code)
        answers += receive(kbc)
    return answers


def to_mouse(kbc: DeviceHarness, *codes: int) -> list[int]:
    answers = []
    for code in codes:
        command(kbc, 0xD4, code)
        answers += receive(kbc)
    assert all(byte & 0x100 for byte in answers), "a mouse's bytes are marked"
    return [byte & 0xFF for byte in answers]


def set_command_byte(kbc: DeviceHarness, value: int) -> None:
    command(kbc, 0x60, value)


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        set_command_byte(harness, TRANSLATE | KEYBOARD_INTERRUPT | AUXILIARY_INTERRUPT)
        to_mouse(harness, 0xF4)
        harness.provided("mouse").move(300, -20, 1, LEFT)
        harness.provided("mouse").move(1, 1, 0, 0)
        harness.provided("keyboard").put_scancodes(bytes.fromhex("1e9e e048 e0c8 e11d45e19dc5"))
        harness.advance(3 * MILLISECOND)
        harness.read(DATA)
        harness.advance(MILLISECOND)
        command(harness, 0xD4, 0xF3)
        command(harness, 0xD3)


# --- Controller ----------------------------------------------------------------------------------------------------------------------------------------------


def test_the_self_test_passes_and_sets_the_system_flag(kbc: DeviceHarness) -> None:
    assert not kbc.read(STATUS) & SYSTEM_FLAG
    command(kbc, 0xAA)
    assert answer(kbc) == 0x55
    assert kbc.read(STATUS) & SYSTEM_FLAG


def test_the_command_byte_reads_as_written(kbc: DeviceHarness) -> None:
    set_command_byte(kbc, 0x47)
    command(kbc, 0x20)
    assert answer(kbc) == 0x47


def test_the_controllers_ram_reads_as_written(kbc: DeviceHarness) -> None:
    command(kbc, 0x7F, 0x12)
    command(kbc, 0x3F)
    assert answer(kbc) == 0x12


@pytest.mark.parametrize(("code", "bit", "value"), [(0xA7, 0x20, 0x20), (0xA8, 0x20, 0), (0xAD, 0x10, 0x10), (0xAE, 0x10, 0)], ids=["A7", "A8", "AD", "AE"])
def test_port_switches_show_in_the_command_byte(kbc: DeviceHarness, code: int, bit: int, value: int) -> None:
    set_command_byte(kbc, bit ^ value)
    command(kbc, code)
    command(kbc, 0x20)
    assert answer(kbc) & bit == value


@pytest.mark.parametrize(("code", "expected"), [(0xA9, 0x00), (0xAB, 0x00), (0xA4, 0xF1), (0xC0, 0x80), (0xD0, 0xCF), (0xE0, 0x00)])
def test_fixed_answers(kbc: DeviceHarness, code: int, expected: int) -> None:
    command(kbc, code)
    assert answer(kbc) == expected


def test_status_tells_commands_from_data(kbc: DeviceHarness) -> None:
    kbc.write(STATUS, 0xAE)
    assert kbc.read(STATUS) & COMMAND
    kbc.write(DATA, 0xF4)
    assert not kbc.read(STATUS) & COMMAND


def test_the_auxiliary_loop_passes_as_linux_tests_it(kbc: DeviceHarness) -> None:
    command(kbc, 0xD3, 0x5A)
    assert kbc.read(STATUS) & (OBF | AUXB) == OBF | AUXB
    assert kbc.read(DATA) == 0x5A
    assert not kbc.read(STATUS) & (OBF | AUXB)
    set_command_byte(kbc, TRANSLATE | AUXILIARY_INTERRUPT | DISABLE_KEYBOARD)
    command(kbc, 0xD3, 0xA5)
    assert (kbc.pin("IRQ1"), kbc.pin("IRQ12")) == (False, True)
    assert kbc.read(DATA) == 0xA5
    assert not kbc.pin("IRQ12")


def test_the_keyboard_loop_looks_like_the_keyboard(kbc: DeviceHarness) -> None:
    command(kbc, 0xD2, 0x1E)
    assert kbc.pin("IRQ1")
    assert kbc.read(STATUS) & (OBF | AUXB) == OBF
    assert kbc.read(DATA) == 0x1E


def test_a20_follows_the_output_port(kbc: DeviceHarness) -> None:
    assert kbc.pin("A20")
    command(kbc, 0xD1, 0xDD)
    assert not kbc.pin("A20")
    command(kbc, 0xD1, 0xDF)
    assert kbc.pin("A20")
    command(kbc, 0xDD)
    assert not kbc.pin("A20")


@pytest.mark.parametrize("codes", [(0xFE,), (0xF0,), (0xD1, 0xDE)], ids=["pulse", "pulse all", "output port"])
def test_reset_is_pulsed(kbc: DeviceHarness, codes: tuple[int, ...]) -> None:
    command(kbc, *codes)
    assert kbc.edges("RESET") == [(0, True)]


def test_a_pulse_of_other_bits_does_not_reset(kbc: DeviceHarness) -> None:
    command(kbc, 0xFF)
    command(kbc, 0xF1)
    assert not kbc.edges("RESET")


def test_an_answer_waits_while_a_key_is_unread(kbc: DeviceHarness) -> None:
    kbc.provided("keyboard").put_scancodes(b"\x1e")
    kbc.advance(MILLISECOND)
    command(kbc, 0x20)
    assert kbc.read(DATA) == 0x1E
    assert answer(kbc) == 0x41


# --- Keyboard ------------------------------------------------------------------------------------------------------------------------------------------------


def test_a_key_arrives_translated_with_an_interrupt_edge_for_each_byte(kbc: DeviceHarness) -> None:
    kbc.provided("keyboard").put_scancodes(b"\x1e\x9e")
    assert receive(kbc) == [0x1E, 0x9E]
    assert [level for _, level in kbc.edges("IRQ1")] == [True, False, True, False]


def test_the_next_byte_comes_only_after_the_last_was_read(kbc: DeviceHarness) -> None:
    keyboard = kbc.provided("keyboard")
    keyboard.put_scancodes(b"\x1e\x30")
    kbc.advance(100 * MILLISECOND)
    assert keyboard.pending == 1
    assert kbc.read(DATA) == 0x1E
    assert not kbc.read(STATUS) & OBF
    kbc.advance(MILLISECOND - 1)
    assert not kbc.read(STATUS) & OBF
    kbc.advance(1)
    assert kbc.read(DATA) == 0x30
    assert keyboard.pending == 0


def test_keys_wait_while_the_port_is_disabled(kbc: DeviceHarness) -> None:
    command(kbc, 0xAD)
    kbc.provided("keyboard").put_scancodes(b"\x1e\x9e")
    assert receive(kbc) == []
    command(kbc, 0xAE)
    assert receive(kbc) == [0x1E, 0x9E]


def test_keys_wait_while_scanning_is_disabled(kbc: DeviceHarness) -> None:
    assert to_keyboard(kbc, 0xF5) == [ACK]
    kbc.provided("keyboard").put_scancodes(b"\x1e\x9e")
    assert receive(kbc) == []
    assert to_keyboard(kbc, 0xF4) == [ACK, 0x1E, 0x9E]


def test_a_long_paste_loses_nothing(kbc: DeviceHarness) -> None:
    text = bytes([0x1E, 0x9E, 0x30, 0xB0]) * 40
    kbc.provided("keyboard").put_scancodes(text)
    received: list[int] = []
    while kbc.provided("keyboard").pending:
        received += receive(kbc)
    assert bytes(received) == text


@given(st.lists(st.sampled_from([0xE0, *range(1, 0x60)]), max_size=8))
def test_translation_gives_every_key_back(makes: list[int]) -> None:
    stream = bytes(code for make in makes for code in ((make,) if make == 0xE0 else (make, make | 0x80)))
    set2 = b"".join(scancodes.to_set2(code) for code in stream)
    back = bytearray()
    broken = 0
    for code in set2:
        if code == 0xF0:
            broken = 0x80
            continue
        back.append(scancodes.TRANSLATION[code] | broken)
        broken = 0
    assert bytes(back) == stream


@pytest.mark.parametrize(
    ("set1", "set2"),
    [
        pytest.param("1e9e", "1cf01c", id="A"),
        pytest.param("3bbb", "05f005", id="F1"),
        pytest.param("41c1", "83f083", id="F7"),
        pytest.param("e048e0c8", "e075e0f075", id="Up"),
        pytest.param("e11d45e19dc5", "e11477e1f014f077", id="Pause"),
        pytest.param("54d4", "84f084", id="Alt+SysRq"),
    ],
)
def test_without_translation_keys_arrive_in_set_2(kbc: DeviceHarness, set1: str, set2: str) -> None:
    set_command_byte(kbc, KEYBOARD_INTERRUPT)
    kbc.provided("keyboard").put_scancodes(bytes.fromhex(set1))
    assert bytes(receive(kbc)).hex() == set2


def test_set_1_arrives_as_it_is(kbc: DeviceHarness) -> None:
    set_command_byte(kbc, KEYBOARD_INTERRUPT)
    assert to_keyboard(kbc, 0xF0, 0x01) == [ACK, ACK]
    kbc.provided("keyboard").put_scancodes(bytes.fromhex("1e9ee048e0c8"))
    assert bytes(receive(kbc)).hex() == "1e9ee048e0c8"


@pytest.mark.parametrize(
    ("codes", "answers"),
    [
        pytest.param((0xFF,), [ACK, 0xAA], id="reset"),
        pytest.param((0xF2,), [ACK, 0xAB, 0x83], id="identify"),
        pytest.param((0xEE,), [0xEE], id="echo"),
        pytest.param((0xED, 0x02), [ACK, ACK], id="LEDs"),
        pytest.param((0xF3, 0x00), [ACK, ACK], id="rate"),
        pytest.param((0xF0, 0x00), [ACK, ACK, 0x02], id="which set"),
        pytest.param((0xF0, 0x03), [ACK, 0xFE], id="set 3"),
        pytest.param((0xF6,), [ACK], id="defaults"),
        pytest.param((0xEE, 0xFE), [0xEE, 0xEE], id="resend"),
        pytest.param((0x12,), [0xFE], id="unknown"),
        pytest.param((0xED, 0xF4), [ACK, ACK], id="a command in place of a parameter"),
    ],
)
def test_keyboard_commands(kbc: DeviceHarness, codes: tuple[int, ...], answers: list[int]) -> None:
    set_command_byte(kbc, KEYBOARD_INTERRUPT)
    assert to_keyboard(kbc, *codes) == answers


def test_the_identity_is_translated_as_drivers_know_it(kbc: DeviceHarness) -> None:
    assert to_keyboard(kbc, 0xF2) == [ACK, 0xAB, 0x41]


def test_leds_are_shown_to_the_host(kbc: DeviceHarness) -> None:
    to_keyboard(kbc, 0xED, 0x05)
    assert kbc.provided("keyboard").leds == 5


def test_sending_to_the_keyboard_enables_its_port(kbc: DeviceHarness) -> None:
    command(kbc, 0xAD)
    assert to_keyboard(kbc, 0xEE) == [0xEE]


def test_an_answer_does_not_tear_a_break_code_apart(kbc: DeviceHarness) -> None:
    kbc.provided("keyboard").put_scancodes(b"\x9e")
    kbc.advance(MILLISECOND)
    kbc.write(DATA, 0xF2)
    assert receive(kbc) == [0x9E, ACK, 0xAB, 0x41]


# --- Mouse ---------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "answers"),
    [
        pytest.param((0xFF,), [ACK, 0xAA, 0x00], id="reset"),
        pytest.param((0xF2,), [ACK, 0x00], id="identify"),
        pytest.param((0xE9,), [ACK, 0x00, 0x02, 100], id="status"),
        pytest.param((0xE8, 0x03, 0xF3, 0x28, 0xE7, 0xF4, 0xE9), [ACK] * 6 + [ACK, 0x30, 0x03, 0x28], id="status after changes"),
        pytest.param((0xF0, 0xE9), [ACK, ACK, 0x40, 0x02, 100], id="remote"),
        pytest.param((0xEE, 0x42, 0xF2, 0xEC, 0xF2), [ACK, 0x42, 0xF2, ACK, ACK, 0x00], id="wrap"),
        pytest.param((0xF2, 0xFE), [ACK, 0x00, 0x00], id="resend"),
        pytest.param((0xE1,), [0xFE], id="unknown"),
    ],
)
def test_mouse_commands(kbc: DeviceHarness, codes: tuple[int, ...], answers: list[int]) -> None:
    assert to_mouse(kbc, *codes) == answers


def packets(kbc: DeviceHarness) -> list[int]:
    return [byte & 0xFF for byte in receive(kbc)]


def test_movement_is_reported_with_y_upwards(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    kbc.provided("mouse").move(10, 5, 0, 0)
    assert packets(kbc) == [0x28, 10, 256 - 5]


def test_nothing_is_reported_before_reporting_is_enabled(kbc: DeviceHarness) -> None:
    kbc.provided("mouse").move(10, 5, 0, LEFT)
    assert packets(kbc) == []
    assert to_mouse(kbc, 0xE9)[1] == 0x04


def test_movements_are_summed_and_clicks_are_not(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    mouse = kbc.provided("mouse")
    for dx, dy, buttons in ((1, 0, 0), (2, 0, 0), (0, 0, LEFT), (0, 0, 0), (0, 0, RIGHT | MIDDLE)):
        mouse.move(dx, dy, 0, buttons)
    assert packets(kbc) == [0x08, 3, 0, 0x09, 0, 0, 0x08, 0, 0, 0x0E, 0, 0]


def test_large_movements_take_several_packets(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    kbc.provided("mouse").move(-600, 0, 0, 0)
    assert packets(kbc) == [0x18, 1, 0, 0x18, 1, 0, 0x18, 256 - 90, 0]


def test_a_guest_that_never_reads_costs_bounded_memory(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    for count in range(10_000):
        kbc.provided("mouse").move(100_000, 0, 0, count & 7)
    assert len(kbc.save()["state"]["mouse"]["movements"]) <= 32


def test_the_knock_makes_a_wheel_mouse_until_reset(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF3, 200, 0xF3, 100, 0xF3, 80)
    assert to_mouse(kbc, 0xF2) == [ACK, 0x03]
    to_mouse(kbc, 0xF4)
    kbc.provided("mouse").move(0, 0, -1, 0)
    assert packets(kbc) == [0x08, 0, 0, 0xFF]
    kbc.provided("mouse").move(1, 0, 9, 0)
    assert packets(kbc) == [0x08, 1, 0, 7, 0x08, 0, 0, 2]
    to_mouse(kbc, 0xFF)
    assert to_mouse(kbc, 0xF2) == [ACK, 0x00]


def test_another_knock_makes_a_mouse_with_five_buttons_until_reset(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF3, 200, 0xF3, 200, 0xF3, 80)
    assert to_mouse(kbc, 0xF2) == [ACK, 0x04]
    to_mouse(kbc, 0xF4)
    mouse = kbc.provided("mouse")
    for dz, buttons in ((0, BACK), (-1, BACK | FORWARD | LEFT), (7, FORWARD), (0, 0)):
        mouse.move(0, 0, dz, buttons)
    assert packets(kbc) == [0x08, 0, 0, 0x10, 0x09, 0, 0, 0x3F, 0x08, 0, 0, 0x27, 0x08, 0, 0, 0x00]
    to_mouse(kbc, 0xF6, 0xF4)
    mouse.move(1, 0, 0, BACK)
    assert packets(kbc) == [0x08, 1, 0, 0x10]
    to_mouse(kbc, 0xFF)
    assert to_mouse(kbc, 0xF2) == [ACK, 0x00]


def test_mouse_that_was_not_asked_for_five_buttons_has_three(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF4)
    kbc.provided("mouse").move(0, 0, 0, BACK | FORWARD)
    kbc.provided("mouse").move(0, 0, 0, FORWARD | RIGHT)
    assert packets(kbc) == [0x0A, 0, 0, 0]


def test_remote_mode_reports_when_asked(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF0)
    kbc.provided("mouse").move(7, 0, 0, LEFT)
    assert packets(kbc) == []
    assert to_mouse(kbc, 0xEB) == [ACK, 0x09, 7, 0]
    assert to_mouse(kbc, 0xEB) == [ACK, 0x09, 0, 0]


def test_scaling_2_1_bends_small_movements(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xE7, 0xF4)
    for dx in (1, 3, -5, 10):
        kbc.provided("mouse").move(dx, 0, 0, 0)
        received = packets(kbc)
        assert received[1] == {1: 1, 3: 3, -5: 256 - 9, 10: 20}[dx]


def test_the_mouse_interrupts_on_its_own_line(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    set_command_byte(kbc, TRANSLATE | KEYBOARD_INTERRUPT | AUXILIARY_INTERRUPT)
    kbc.clear_edges()
    kbc.provided("mouse").move(1, 0, 0, 0)
    packets(kbc)
    assert [level for _, level in kbc.edges("IRQ12")] == [True, False] * 3
    assert not kbc.edges("IRQ1")


def test_a_disabled_auxiliary_port_holds_the_mouse(kbc: DeviceHarness) -> None:
    to_mouse(kbc, 0xF4)
    command(kbc, 0xA7)
    kbc.provided("mouse").move(1, 0, 0, 0)
    assert packets(kbc) == []
    command(kbc, 0xA8)
    assert packets(kbc) == [0x08, 1, 0]


def test_a_long_paste_does_not_starve_the_mouse(kbc: DeviceHarness) -> None:
    kbc.provided("keyboard").put_scancodes(b"\x1e" * 500)
    command(kbc, 0xD4, 0xF2)
    assert {byte for byte in receive(kbc)[:5] if byte & 0x100} == {0x100 | ACK, 0x100}
