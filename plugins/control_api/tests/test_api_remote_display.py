"""The remote display over the API: shown, switched and changed by whoever keeps it for the machine."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from ringone.api.config import RemoteDisplay
from ringone.api.errors import DriverError, UnsupportedError
from ringone.api.remotedisplay import Endpoint, RemoteClient, RemoteDisplayInfo

from .conftest import ServedGuest

PORTS = "TCP/Ports"


@attrs.define
class Control:
    """`ringone.api.remotedisplay.RemoteDisplayControl`, with port 5000 taken."""

    display: RemoteDisplay = attrs.field(factory=RemoteDisplay)

    def info(self) -> RemoteDisplayInfo:
        if not self.display.enabled:
            return RemoteDisplayInfo(display=self.display)
        who = RemoteClient(address="127.0.0.1", user="alice")
        port = int(self.display.properties[PORTS])
        endpoint = Endpoint(address="127.0.0.1", port=port, fingerprint="ab:cd", clients=(who,), clients_so_far=3, sent_bytes=4000, received_bytes=300)
        return RemoteDisplayInfo(display=self.display, endpoint=endpoint)

    def change(self, *, enabled: bool | None = None, properties: Mapping[str, str] | None = None) -> RemoteDisplayInfo:
        if (properties or {}).get(PORTS) == "5000":
            raise DriverError("every port of 5000 is in use")
        if "Security/CACertificate" in (properties or {}):
            raise UnsupportedError("Security/CACertificate is not supported")
        changed = attrs.evolve(self.display, properties={**self.display.properties, **(properties or {})})
        self.display = changed if enabled is None else attrs.evolve(changed, enabled=enabled)
        return self.info()


@pytest.fixture
def control(off: ServedGuest) -> Control:
    off.session.remote_display = control = Control()
    return control


def test_one_that_is_off_is_shown(off: ServedGuest, control: Control) -> None:
    assert off.http.get("/remote-display").json() == {
        "enabled": False,
        "port": -1,
        "address": "",
        "fingerprint": "",
        "error": "",
        "clients": [],
        "clients_so_far": 0,
        "sent_bytes": 0,
        "received_bytes": 0,
        "properties": {},
    }


def test_it_is_switched_on_and_tells_who_looks(off: ServedGuest, control: Control) -> None:
    answer = off.http.patch("/remote-display", json={"enabled": True, "properties": {PORTS: "5001"}})
    assert answer.json() == off.http.get("/remote-display").json()
    assert answer.json() == {
        "enabled": True,
        "port": 5001,
        "address": "127.0.0.1",
        "fingerprint": "ab:cd",
        "error": "",
        "clients": [{"address": "127.0.0.1", "user": "alice"}],
        "clients_so_far": 3,
        "sent_bytes": 4000,
        "received_bytes": 300,
        "properties": {PORTS: "5001"},
    }


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"properties": {PORTS: "5000"}}, 409, "every port of 5000 is in use"),
        ({"properties": {"Security/CACertificate": "/ca.pem"}}, 422, "Security/CACertificate is not supported"),
        ({"properties": {"": "x"}}, 422, "at least 1 character"),
        ({"on": True}, 422, "on: Extra inputs"),
    ],
    ids=["taken", "unsupported", "no-name", "field"],
)
def test_what_cannot_be_is_a_problem_and_changes_nothing(off: ServedGuest, control: Control, body: object, status: int, detail: str) -> None:
    answer = off.http.patch("/remote-display", json=body)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert control.display == RemoteDisplay()


def test_a_machine_of_no_home_has_none(off: ServedGuest) -> None:
    answer = off.http.get("/remote-display")
    assert (answer.status_code, answer.json()["type"]) == (409, "StateError")
