"""Lines: wired OR, edges only on change, callbacks that drive further pins, saved levels."""

from __future__ import annotations

import pytest
from ringone.api.errors import AssemblyError, SnapshotError, UnconnectedPinError
from ringone.irq import LineNetwork


def test_a_change_reaches_the_input_and_a_repeated_level_does_not() -> None:
    lines = LineNetwork()
    seen: list[bool] = []
    out = lines.output("pit", "OUT0")
    pin = lines.input("pic", "IR0", seen.append)
    lines.connect("pit.OUT0", "pic.IR0")
    for level in (True, True, False, False):
        out.set(level)
    assert seen == [True, False]
    assert pin.level is False


def test_an_input_is_the_or_of_its_sources() -> None:
    lines = LineNetwork()
    seen: list[bool] = []
    outs = [lines.output(name, "INTA") for name in ("ide", "usb")]
    lines.input("pic", "IR3", seen.append)
    for name in ("ide", "usb"):
        lines.connect(f"{name}.INTA", "pic.IR3")
    for index, level in ((0, True), (1, True), (0, False), (1, False)):
        outs[index].set(level)
    assert seen == [True, False]


def test_an_output_drives_several_inputs() -> None:
    lines = LineNetwork()
    seen: dict[str, list[bool]] = {"x": [], "y": []}
    out = lines.output("a", "OUT")
    for name, levels in seen.items():
        lines.input(name, "IN", levels.append)
        lines.connect("a.OUT", f"{name}.IN")
    out.set(True)
    assert seen == {"x": [True], "y": [True]}


def test_an_unconnected_output_goes_nowhere() -> None:
    out = LineNetwork().output("a", "OUT")
    out.set(True)
    assert out.level


def test_a_wire_from_a_high_output_raises_its_input() -> None:
    lines = LineNetwork()
    seen: list[bool] = []
    lines.output("a", "OUT").set(True)
    pin = lines.input("b", "IN", seen.append)
    lines.connect("a.OUT", "b.IN")
    assert (pin.level, seen) == (True, [True])


def test_a_callback_that_takes_the_level_back_shows_no_glitch_to_shared_inputs() -> None:
    lines = LineNetwork()
    shared: list[bool] = []
    pulse, steady = lines.output("a", "PULSE"), lines.output("b", "STEADY")
    lines.input("first", "IN", lambda level: pulse.set(False))
    lines.input("second", "IN", shared.append)
    lines.connect("a.PULSE", "first.IN")
    lines.connect("a.PULSE", "second.IN")
    lines.connect("b.STEADY", "second.IN")
    steady.set(True)
    pulse.set(True)
    assert shared == [True]
    assert not lines.inputs["first.IN"].level
    steady.set(False)
    assert shared == [True, False]


@pytest.mark.parametrize(("source", "target"), [("pit.OUT9", "pic.IR0"), ("pit.OUT0", "pic.IR9"), ("pic.IR0", "pit.OUT0")])
def test_wires_between_pins_that_do_not_exist_are_refused(source: str, target: str) -> None:
    lines = LineNetwork()
    lines.output("pit", "OUT0")
    lines.input("pic", "IR0")
    with pytest.raises(UnconnectedPinError):
        lines.connect(source, target)


def test_the_message_about_an_unknown_pin_lists_the_known_ones() -> None:
    lines = LineNetwork()
    lines.output("pit", "OUT0")
    lines.input("pic", "IR0")
    with pytest.raises(UnconnectedPinError, match=r"no output 'pit\.OUT9'; outputs of pit: pit\.OUT0"):
        lines.connect("pit.OUT9", "pic.IR0")


def test_a_pin_exists_once_and_is_wired_once() -> None:
    lines = LineNetwork()
    lines.output("a", "X")
    lines.input("b", "Y")
    lines.connect("a.X", "b.Y")
    with pytest.raises(AssemblyError, match="exists already"):
        lines.input("a", "X")
    with pytest.raises(AssemblyError, match="wired twice"):
        lines.connect("a.X", "b.Y")


def test_restored_levels_reach_the_inputs_without_a_callback() -> None:
    lines = LineNetwork()
    seen: list[bool] = []
    out = lines.output("a", "OUT")
    pin = lines.input("b", "IN", seen.append)
    lines.connect("a.OUT", "b.IN")
    out.set(True)
    saved = lines.save()
    out.set(False)
    seen.clear()
    lines.restore(saved)
    assert (out.level, pin.level, seen) == (True, True, [])


@pytest.mark.parametrize("levels", [{}, {"a.OUT": True, "c.OUT": False}])
def test_levels_of_another_machine_are_refused(levels: dict[str, bool]) -> None:
    lines = LineNetwork()
    lines.output("a", "OUT")
    with pytest.raises(SnapshotError, match="another machine"):
        lines.restore(levels)
