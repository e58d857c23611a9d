"""The fixture ``machine``: a whole PC that every test finds as it was when it had just become ready."""

from __future__ import annotations

import base64
import importlib
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ringone import plan

if TYPE_CHECKING:
    from ringone.client import Machine

    from pytest_ringone.evidence import Capture, Evidence
    from pytest_ringone.shared import SharedMachine

SHARED = "ringone_shared_machine"


def pytest_addoption(parser: pytest.Parser) -> None:
    plan.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "machine(*machines, ready='', ready_serial='', timeout_s=120, disks='throw-away', snapshot=''): which machines the fixture `machine` gives this test",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if SHARED in metafunc.fixturenames:
        plans = plan.plans_of(metafunc.definition, metafunc.config)
        metafunc.parametrize(SHARED, plans or [None], ids=[each.id for each in plans] or ["none"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def ringone_shared_machine(request: pytest.FixtureRequest) -> Iterator[SharedMachine]:
    """Boots when the first test needs it; pytest runs the tests of one machine together and ends it behind the last."""
    from pytest_ringone.shared import SharedMachine

    if request.param is None:
        raise pytest.UsageError("no machine was named; use --ringone-machine, ringone_machines in the configuration file, or the marker `machine`")
    shared = SharedMachine(request.param)
    yield shared
    shared.close()


@pytest.fixture
def machine(ringone_shared_machine: SharedMachine) -> Machine:
    """A `ringone.client.Machine`, running, in the state of its checkpoint."""
    return ringone_shared_machine.rewind()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    captured = _captured(item, report)
    if captured is not None:
        from pytest_ringone.evidence import keep

        shared: SharedMachine = item.funcargs[SHARED]  # type: ignore[attr-defined]
        evidence = keep(captured, tuple(shared.events), _folder(item))
        report.sections += evidence.sections
        if item.config.pluginmanager.hasplugin("html"):
            _attach(report, evidence)
    return report


def _captured(item: pytest.Item, report: pytest.TestReport) -> Capture | None:
    """The machine of a test that failed, or that could not begin because the machine was not ready."""
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    if not report.failed or SHARED not in arguments:
        return None
    shared: SharedMachine = arguments[SHARED]
    if report.when == "call" and "machine" in arguments:
        from pytest_ringone.evidence import capture

        return capture(arguments["machine"], shared.serial_start)
    return shared.not_ready if report.when == "setup" else None


def _folder(item: pytest.Item) -> Path:
    chosen = plan.option(item.config, "artifacts")
    if chosen:
        return item.config.invocation_params.dir / chosen / _file_name(item.nodeid)[-200:]
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    return factory.mktemp(_file_name(item.name)[:60])


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.@-]+", "-", text).strip("-")


def _attach(report: Any, evidence: Evidence) -> None:
    """To pytest-html's report."""
    extras = importlib.import_module("pytest_html.extras")
    attached = [extras.png(base64.b64encode(evidence.png).decode())] if evidence.png else []
    report.extras = [*getattr(report, "extras", []), *attached, *(extras.text(text, name=title) for title, text in evidence.sections)]
