"""Checkpoints over HTTP, media, and what can be seen inside of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import ServedGuest


def test_rolling_back_undoes_what_happened_and_goes_on(guest: ServedGuest) -> None:
    before = guest.post("/checkpoints")
    assert before.status_code == 201
    checkpoint = before.json()
    guest.post("/keyboard/text", text="undo me")
    assert guest.wait(text="undo me").status_code == 200
    answer = guest.post(f"/checkpoints/{checkpoint['id']}/roll-back").json()
    assert answer["serial_positions"]["0"] >= checkpoint["serial_positions"]["0"] + len("undo me")
    assert "undo me" not in guest.http.get("/screen/text").text
    assert guest.http.get("/machine").json()["state"] == "running"
    assert guest.http.delete(f"/checkpoints/{checkpoint['id']}").status_code == 204


def test_a_machine_that_is_off_can_be_rolled_back(guest: ServedGuest) -> None:
    checkpoint = guest.post("/checkpoints").json()["id"]
    guest.post("/machine/power-off")
    assert guest.post(f"/checkpoints/{checkpoint}/roll-back").status_code == 200
    assert guest.http.get("/machine").json()["state"] == "paused"
    guest.http.delete(f"/checkpoints/{checkpoint}")


def test_a_checkpoint_that_there_is_not_is_not_found(guest: ServedGuest) -> None:
    for method, path in (("POST", "/checkpoints/4711/roll-back"), ("DELETE", "/checkpoints/4711")):
        answer = guest.http.request(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/snapshots"),
        ("POST", "/snapshots"),
        ("POST", "/snapshots/a/restore"),
        ("PATCH", "/snapshots/a"),
        ("DELETE", "/snapshots/a"),
        ("POST", "/machine/save"),
    ],
    ids=lambda part: part.strip("/").replace("/", "-"),
)
def test_a_machine_without_a_home_has_no_snapshots(guest: ServedGuest, method: str, path: str) -> None:
    answer = guest.http.request(method, path, json={"name": "a"} if method in ("POST", "PATCH") else None)
    assert (answer.status_code, answer.json()["detail"]) == (409, "'echo' has no place on disk, and so no snapshots and no saved state")


def test_a_medium_is_changed_and_ejected(guest: ServedGuest, tmp_path: Path) -> None:
    image = tmp_path / "a.iso"
    image.write_bytes(bytes(2048 * 16))
    assert guest.http.put("/media/ide.drive10", json={"image": str(image)}).status_code == 204
    assert guest.http.put("/media/ide.drive10", json={"image": None}).status_code == 204


@pytest.mark.parametrize(
    ("drive", "image", "status"),
    [
        ("ide.drive00", "null", 404),
        ("ide.drive10", '"/nowhere/a.iso"', 409),
        ("ide.drive10", '"a.iso"', 422),
        ("ide.drive10", '"/a\\u0000b"', 422),
        ("ide.drive10", '"/\\ud800"', 422),
    ],
    ids=["fixed", "missing", "relative", "zero", "surrogate"],
)
def test_media_that_cannot_be_are_refused(guest: ServedGuest, drive: str, image: str, status: int) -> None:
    answer = guest.http.put(f"/media/{drive}", content=f'{{"image": {image}}}', headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_registers_have_their_names_from_the_manual(guest: ServedGuest) -> None:
    guest.post("/machine/pause")
    registers = guest.http.get("/registers").json()
    state = guest.session.registers()
    assert (registers["eip"], registers["esp"], registers["cs"]["selector"]) == (state.eip, state.gpr[4], state.cs.selector)
    assert (registers["cr0"], registers["dr7"], registers["fcw"]) == (state.cr0, state.dr[7], int.from_bytes(state.fpu[:2], "little"))
    assert [len(value) for value in (*registers["st"], *registers["xmm"])] == [20] * 8 + [32] * 8


def test_memory_is_read_as_the_guest_has_it(guest: ServedGuest) -> None:
    assert guest.http.get("/memory", params={"address": 0x7DFE, "size": 2}).content == b"\x55\xaa"
    assert guest.http.get("/memory", params={"address": 0x7D00, "size": 10}).content == b"ECHO READY"
    assert guest.http.get("/memory", params={"address": (1 << 32) - (1 << 20), "size": 1 << 20}).status_code == 200


@pytest.mark.parametrize(
    "query", [{"address": 0}, {"address": -1, "size": 1}, {"address": 0, "size": 0}, {"address": 0, "size": 1 << 25}, {"address": (1 << 32) - 1, "size": 2}]
)
def test_memory_that_there_cannot_be_is_refused(guest: ServedGuest, query: dict[str, int]) -> None:
    assert guest.http.get("/memory", params=query).status_code == 422


def test_statistics_count(guest: ServedGuest) -> None:
    statistics = guest.http.get("/statistics").json()
    assert {name.partition("/")[0] for name in statistics} >= {"Devices", "IOM", "PGM"}
    assert all(isinstance(value, int) for value in statistics.values())


def test_a_processors_options_are_changed_while_it_runs(guest: ServedGuest) -> None:
    answer = guest.http.patch("/cpu/options", json={"options": {"patching": "off"}})
    assert answer.json()["options"]["patching"] == "off"
    assert guest.http.patch("/cpu/options", json={"options": {"patching": "on"}}).status_code == 200
    assert guest.http.patch("/cpu/options", json={"options": {"speed": "ludicrous"}}).status_code == 422


def test_the_log_is_served_and_one_that_is_not_there_is_a_problem(guest: ServedGuest) -> None:
    assert guest.http.get("/log").status_code == 409
    guest.log.write_text("00:00:00.000000 all is well\n")
    assert guest.http.get("/log").text == "00:00:00.000000 all is well\n"
    guest.log.unlink()
