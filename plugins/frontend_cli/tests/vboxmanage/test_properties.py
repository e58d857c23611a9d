from __future__ import annotations

import re

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


def test_the_machines_own_items_cannot_be_set(vbox: VBoxManage, debian: str) -> None:
    answer = vbox("setextradata", debian, "RingOne/Cow", "1")
    assert answer.exit_code == 1
    assert "RingOne/" in answer.err


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
