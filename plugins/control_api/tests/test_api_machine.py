"""The machine over HTTP: its front panel, and the problems that say why something cannot be."""

from __future__ import annotations

import os

import pytest

from .conftest import ServedGuest


def test_the_machine_says_what_it_is(guest: ServedGuest) -> None:
    info = guest.http.get("/machine").json()
    assert (info["name"], info["uuid"], info["state"], info["backend"]) == ("echo", guest.session.config.uuid, "running", "patm")
    assert (info["pid"], info["memory_bytes"], info["error"]) == (os.getpid(), 4 << 20, None)
    assert info["virtual_ns"] > 0 and info["uptime_s"] > 0


def test_pause_stops_the_guests_clock_and_resume_goes_on(guest: ServedGuest) -> None:
    paused = guest.post("/machine/pause").json()
    assert paused["state"] == "paused"
    assert guest.http.get("/machine").json()["virtual_ns"] == paused["virtual_ns"]
    assert guest.post("/machine/resume").json()["state"] == "running"


def test_what_the_state_does_not_allow_is_a_conflict_that_says_why(guest: ServedGuest) -> None:
    answer = guest.post("/machine/resume")
    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail = "cannot resume 'echo': it is running, and would have to be paused"
    assert answer.json() == {"type": "StateError", "title": "Conflict", "status": 409, "detail": detail}


def test_reset_starts_the_guest_over(guest: ServedGuest) -> None:
    assert guest.post("/machine/reset").json()["state"] == "running"
    assert guest.wait(serial="READY").json()["start"] >= guest.since


def test_power_off_pulls_the_plug_and_nothing_that_needs_power_works_then(guest: ServedGuest) -> None:
    assert guest.post("/machine/power-off").json()["state"] == "poweroff"
    for path in ("/machine/pause", "/machine/power-off", "/machine/power-button", "/machine/nmi", "/machine/reset"):
        assert guest.post(path).status_code == 409, path


@pytest.mark.parametrize("button", ["power-button", "nmi"])
def test_buttons_reach_the_guest(guest: ServedGuest, button: str) -> None:
    assert guest.post(f"/machine/{button}").json()["state"] in ("running", "gurumeditation")


def test_the_reason_of_a_state_is_told(guest: ServedGuest) -> None:
    guest.post("/keyboard/scancodes", codes=[0x01, 0x81])
    assert guest.wait(state="poweroff").status_code == 200
    info = guest.http.get("/machine").json()
    assert (info["state"], info["reason"]) == ("poweroff", "the guest switched off")


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        pytest.param("GET", "/machines", 404, "Not Found", id="path"),
        pytest.param("GET", "/machine/pause", 405, "Method Not Allowed", id="method"),
        pytest.param("GET", "/machine?verbose=1", 422, "unknown parameter 'verbose'; known: none", id="parameter"),
        pytest.param("GET", "/memory?address=0&size=1&bytes=1", 422, "unknown parameter 'bytes'; known: address, size", id="another-parameter"),
    ],
)
def test_what_there_is_not_is_a_problem_too(off: ServedGuest, method: str, path: str, status: int, detail: str) -> None:
    answer = off.http.request(method, path)
    assert (answer.status_code, answer.headers["Content-Type"], answer.json()["detail"]) == (status, "application/problem+json", detail)


def test_the_api_describes_itself(off: ServedGuest) -> None:
    document = off.http.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation["tags"] and operation["description"] for operation in operations)
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
