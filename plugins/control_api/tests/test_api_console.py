"""Keyboard, mouse and screen of a real guest, over HTTP."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from .conftest import ServedGuest


def test_typed_text_arrives_complete_and_in_order(guest: ServedGuest) -> None:
    text = "".join(f"line {number} of it, {number * 7919}\n" for number in range(12))
    assert guest.post("/keyboard/text", text=text).json() == {"characters": len(text)}
    assert guest.wait(serial=text.replace("\n", "\r")).status_code == 200


def test_keys_are_pressed_by_name_in_a_layout(guest: ServedGuest) -> None:
    assert guest.post("/keyboard/keys", keys=["shift+a", "z", "1"], layout="de").status_code == 204
    assert guest.wait(serial="Ay1").status_code == 200


def test_scancodes_go_to_the_guest_as_they_are(guest: ServedGuest) -> None:
    assert guest.post("/keyboard/scancodes", codes=[0x2A, 0x23, 0xA3, 0xAA, 0x17, 0x97]).status_code == 204
    assert guest.wait(serial="Hi").status_code == 200


def test_the_keyboards_lights_and_queue_are_told(guest: ServedGuest) -> None:
    guest.post("/machine/pause")
    guest.post("/keyboard/scancodes", codes=[0x1E, 0x9E])
    info = guest.http.get("/keyboard").json()
    assert info["leds"] in range(8)
    assert info["pending"] == 2


def test_what_a_layout_lacks_is_refused_before_the_first_key(guest: ServedGuest) -> None:
    answer = guest.post("/keyboard/text", text="aй", layout="us")
    assert (answer.status_code, answer.json()["type"]) == (422, "UnsupportedError")
    assert guest.http.get("/keyboard").json()["pending"] == 0


def test_an_unknown_layout_is_named(guest: ServedGuest) -> None:
    answer = guest.post("/keyboard/text", text="a", layout="xx")
    assert answer.status_code == 422
    assert "'xx'" in answer.json()["detail"]


def test_the_mouse_moves_by_so_much(guest: ServedGuest) -> None:
    assert guest.post("/mouse", dx=10, dy=-3, wheel=1, buttons=1).status_code == 204


def test_the_mouse_cannot_be_put_somewhere_and_the_problem_says_why(guest: ServedGuest) -> None:
    answer = guest.post("/mouse", x=100, y=50)
    assert (answer.status_code, answer.json()["type"]) == (422, "UnsupportedError")
    assert "PS/2 mouse" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{"dx": 1, "x": 1, "y": 1}, {"dx": 1 << 20}, {"buttons": 32}], ids=["mixed", "far", "buttons"])
def test_other_mouse_movements_are_refused(guest: ServedGuest, body: dict[str, int]) -> None:
    assert guest.post("/mouse", **body).status_code == 422


@pytest.mark.parametrize("action", ["pause", "nmi"])
def test_the_screen_is_there_paused_or_not(guest: ServedGuest, action: str) -> None:
    guest.post(f"/machine/{action}")
    png = guest.http.get("/screen.png")
    assert png.headers["Content-Type"] == "image/png"
    picture = Image.open(io.BytesIO(png.content))
    pixels = guest.http.get("/screen.rgb")
    assert (int(pixels.headers["Ringone-Screen-Width"]), int(pixels.headers["Ringone-Screen-Height"])) == picture.size
    assert len(pixels.content) == picture.width * picture.height * 3


def test_the_text_on_the_screen_is_exact(guest: ServedGuest) -> None:
    assert "ECHO READY" in guest.http.get("/screen/text").text.splitlines()
    screen = guest.http.get("/screen/cells").json()
    assert (screen["columns"], len(screen["rows"]), len(screen["palette"])) == (80, 25, 16)
    row = next(number for number, text in enumerate(screen["rows"]) if text.startswith("ECHO READY"))
    assert screen["attributes"][row][:20] == "07" * 10
    assert screen["cursor"] == {"column": 0, "row": row + 1}
