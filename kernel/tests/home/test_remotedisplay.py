"""A remote display while its machine runs: started as the machine file says, changed, and never half changed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ringone.api.config import RemoteDisplay
from ringone.api.errors import ConfigError, DriverError, RingOneError, StateError, UnsupportedError
from ringone.api.frontends import FrontendSpec
from ringone.api.remotedisplay import Endpoint
from ringone.home.remotedisplay import ServedDisplay

SESSION: Any = SimpleNamespace(config=SimpleNamespace(name="test"))
PORTS = "TCP/Ports"
ON = RemoteDisplay(enabled=True, properties={PORTS: "5000"})
OFF = attrs.evolve(ON, enabled=False)


@attrs.define
class Host:
    """Ports, of which some are taken, and a machine file."""

    file: RemoteDisplay
    taken: set[int] = attrs.field(factory=set)
    log: list[str] = attrs.field(factory=list)
    disk_is_full: bool = False

    def save(self, change: Callable[[RemoteDisplay], RemoteDisplay]) -> None:
        if self.disk_is_full:
            raise DriverError("no room")
        self.file = change(self.file)

    def make(self, display: RemoteDisplay) -> Server:
        return Server(self, int(display.properties[PORTS]))

    def display(self, wanted: RemoteDisplay | None = None) -> ServedDisplay:
        offers = {"vnc": spec("vnc"), "rdp": attrs.evolve(spec("rdp"), remote_display=self.make)}
        display = ServedDisplay(SESSION, wanted or self.file, offers, self.save)
        display.start()
        return display


@attrs.define
class Server:
    host: Host
    port: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"port {self.port}")

    def start(self, session: object) -> None:
        if self.port in self.host.taken:
            raise DriverError(f"port {self.port} is in use")
        self.host.taken.add(self.port)
        self.host.log.append(f"start {self.port}")

    def stop(self) -> None:
        self.host.taken.remove(self.port)
        self.host.log.append(f"stop {self.port}")

    def endpoint(self) -> Endpoint:
        return Endpoint(address="127.0.0.1", port=self.port, fingerprint="ab:cd")


def spec(name: str) -> FrontendSpec:
    return FrontendSpec(name=name, summary="", options=object, create=lambda options: Server(Host(ON), 1))


def test_it_is_served_while_the_machine_runs() -> None:
    host = Host(ON)
    display = host.display()
    assert (display.info().port, display.info().error) == (5000, "")
    display.stop()
    assert host.log == ["start 5000", "stop 5000"]
    with pytest.raises(StateError, match="ends"):
        display.change(enabled=False)


def test_one_that_is_off_is_not_served_until_it_is_switched_on() -> None:
    host = Host(OFF)
    display = host.display()
    assert (display.info().port, host.log) == (-1, [])
    assert display.change(enabled=True).port == 5000
    assert host.file == ON
    assert display.change(enabled=False).port == -1
    assert (host.file, host.log) == (OFF, ["start 5000", "stop 5000"])


def test_what_is_switched_on_for_a_run_is_not_written_down_by_another_change() -> None:
    host = Host(OFF)
    display = host.display(ON)
    assert display.change(properties={PORTS: "5001"}).port == 5001
    assert host.file == attrs.evolve(OFF, properties={PORTS: "5001"})


def test_a_port_that_is_taken_is_a_warning_at_the_start_and_can_be_changed_then() -> None:
    host = Host(ON, taken={5000})
    display = host.display()
    assert (display.info().port, display.info().error) == (-1, "port 5000 is in use")
    assert display.change(properties={PORTS: "5001"}).error == ""
    assert display.info().port == 5001


def test_a_frontend_with_a_fault_costs_no_run(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(attrs.evolve(ON, properties={}))
    display = host.display()
    assert (display.info().port, display.info().error) == (-1, "KeyError: 'TCP/Ports'")
    assert "a part of it failed" in caplog.text
    assert display.change(properties={PORTS: "5001"}).port == 5001


@pytest.mark.parametrize(("port", "kind"), [("5001", DriverError), ("0", ConfigError)], ids=["taken", "wrong"])
def test_a_change_that_cannot_be_served_changes_nothing(port: str, kind: type[RingOneError]) -> None:
    host = Host(ON, taken={5001})
    display = host.display()
    with pytest.raises(kind, match=port):
        display.change(properties={PORTS: port})
    assert (display.info().port, display.info().display, display.info().error, host.file) == (5000, ON, "", ON)


def test_a_change_that_cannot_be_written_down_changes_nothing() -> None:
    host = Host(ON, disk_is_full=True)
    display = host.display()
    with pytest.raises(DriverError, match="no room"):
        display.change(properties={PORTS: "5001"})
    assert (display.info().port, host.file) == (5000, ON)


def test_clients_stay_where_nothing_changes() -> None:
    host = Host(ON)
    host.display().change(enabled=True, properties={PORTS: "5000"})
    assert host.log == ["start 5000"]


def test_an_empty_property_is_taken_away() -> None:
    host = Host(attrs.evolve(OFF, properties={PORTS: "5000", "Security/Method": "TLS"}))
    host.display().change(properties={"Security/Method": ""})
    assert host.file == OFF


@pytest.mark.parametrize(
    ("names", "kind", "said"), [((), UnsupportedError, "no plugin serves"), (("a", "b"), ConfigError, "several frontends serve remote displays: a, b")]
)
def test_who_serves_it_is_never_guessed(names: tuple[str, ...], kind: type[RingOneError], said: str) -> None:
    host = Host(OFF)
    display = ServedDisplay(SESSION, OFF, {name: attrs.evolve(spec(name), remote_display=host.make) for name in names}, host.save)
    display.start()
    with pytest.raises(kind, match=said):
        display.change(enabled=True)
    assert host.file == OFF
