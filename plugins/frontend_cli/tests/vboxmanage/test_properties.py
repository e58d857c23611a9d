from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage


@pytest.mark.parametrize("target", ["global", "debian"])
def test_extra_data_is_kept_shown_and_taken_away(ok: VBoxManage, debian: str, target: str) -> None:
    assert ok("getextradata", target, "GUI/Colour").out == "No value set!\n"
    ok("setextradata", target, "GUI/Colour", "dark blue")
    ok("setextradata", target, "GUI/Size", "-1")
    assert ok("getextradata", target, "GUI/Colour").out == "Value: dark blue\n"
    assert ok("getextradata", target, "enumerate").lines == ["Key: GUI/Colour, Value: dark blue", "Key: GUI/Size, Value: -1"]
    ok("setextradata", target, "GUI/Colour")
    assert ok("getextradata", target).lines == ["Key: GUI/Size, Value: -1"]


OWN_ITEMS = {
    "RingOne/Cpu/Backend": "recompiler",
    "RingOne/Clock/Policy": "deterministic",
    "RingOne/Firmware/Name": "builtin",
    "RingOne/Linux/Kernel": "/boot/vmlinuz",
    "RingOne/Drive/ide/1/0/Serial": "CD-1",
    "RingOne/DebugConsole/Type": "file",
}


@pytest.mark.parametrize(("name", "value"), OWN_ITEMS.items(), ids=OWN_ITEMS)
def test_items_of_ringones_own_are_set_as_the_machine_files_have_them(ok: VBoxManage, debian: str, home: Path, name: str, value: str) -> None:
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 1, "--device", 0, "--type", "dvddrive", "--medium", "emptydrive")
    ok("setextradata", debian, "GUI/Colour", "blue")
    ok("setextradata", debian, name, value)
    assert ok("getextradata", debian, name).out == f"Value: {value}\n"
    assert f'name="{name}" value="{value}"' in (home / "machines" / debian / f"{debian}.vbox").read_text()
    assert f"Key: {name}, Value: {value}" in ok("getextradata", debian).lines
    ok("setextradata", debian, name)
    assert ok("getextradata", debian).lines == ["Key: GUI/Colour, Value: blue"]


@pytest.mark.parametrize(("name", "value"), [("RingOne/Cow", "1"), ("RingOne/Clock/Policy", "sun"), ("RingOne/Drive/ide/0/0/Mode", "wet")])
def test_items_that_no_machine_has_are_refused(ok: VBoxManage, vbox: VBoxManage, debian: str, name: str, value: str) -> None:
    answer = vbox("setextradata", debian, name, value)
    assert answer.exit_code == 1
    assert name.split("/")[1] in answer.err
    assert ok("getextradata", debian).out == ""


def test_guest_properties_are_set_shown_and_deleted(ok: VBoxManage, debian: str) -> None:
    assert ok("guestproperty", "get", debian, "/a/b").out == "No value set!\n"
    ok("guestproperty", "set", debian, "/a/b", "one", "--flags", "TRANSIENT")
    ok("guestproperty", "set", debian, "/a/c", "two")
    answer = ok("guestproperty", "get", debian, "/a/b", "--verbose")
    assert re.search(r"^Value: (.+?)$", answer.out, re.MULTILINE)[1] == "one"  # type: ignore[index]
    assert re.fullmatch(r"Value: one\nTimestamp: \d+\nFlags: TRANSIENT\n", answer.out)
    assert re.fullmatch(r"/a/b +\s= 'one' @ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ TRANSIENT\n", ok("guestproperty", "enumerate", debian, "--patterns", "/?/b").out)
    assert [line.split()[0] for line in ok("guestproperty", "enumerate", debian).lines] == ["/a/b", "/a/c"]
    ok("guestproperty", "delete", debian, "/a/b")
    ok("guestproperty", "set", debian, "/a/c")
    assert ok("guestproperty", "enumerate", debian).out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("set", "debian", "x" * 64, "v"), "Invalid guest property name"),
        (("set", "debian", "/x", "v" * 1024), "Invalid guest property value"),
        (("set", "debian", "/x", "v", "--flags", "PURPLE"), "Invalid flag 'PURPLE'"),
        (("set", "debian", "/host", "v"), "cannot be changed by the host"),
    ],
    ids=["name", "value", "flag", "read only"],
)
def test_wrong_guest_properties_are_refused(ok: VBoxManage, vbox: VBoxManage, debian: str, words: tuple[str, ...], message: str) -> None:
    ok("guestproperty", "set", debian, "/host", "1", "--flags", "RDONLYHOST")
    answer = vbox("guestproperty", *words)
    assert answer.exit_code == 1
    assert message in answer.err


def test_waiting_for_a_guest_property_ends_with_the_time(vbox: VBoxManage, debian: str) -> None:
    assert "Time out" in vbox("guestproperty", "wait", debian, "/x", "--timeout", 1).out
    assert vbox("guestproperty", "wait", debian, "/x", "--timeout", 1, "--fail-on-timeout").exit_code == 2
