"""What the fixture does with machines, told by a machine that writes it down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import ringone.client

from plugins.pytest_ringone.tests.fake_machine import PNG, FakeMachine, FakePlace

pytest_plugins = ["pytester"]

COPY_AND_BOOT = ["copy debian of None at ''", "start copy", "checkpoint", "roll back to 7"]


@pytest.fixture(autouse=True)
def only_this_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading all that is installed takes longer than the tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_ringone.plugin")


@pytest.fixture(autouse=True)
def history(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of all machines."""
    copies = ModuleType("ringone.client.copies")
    monkeypatch.setattr(copies, "copy_machine", FakeMachine.copied, raising=False)
    monkeypatch.setitem(sys.modules, "ringone.client.copies", copies)
    monkeypatch.setattr("ringone.client.places.place_of", lambda machine, home, arguments: FakePlace(machine))
    monkeypatch.setattr("ringone.client.places.answers", lambda socket: socket == "socket of running")
    monkeypatch.setattr(ringone.client, "Machine", FakeMachine)
    FakeMachine.history.clear()
    return FakeMachine.history


def test_a_machine_boots_once_and_goes_back_before_every_test(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("""
        def test_one(machine): machine.history.append("one")
        def test_two(machine): machine.history.append("two")
    """)
    pytester.runpytest("--ringone-machine=debian").assert_outcomes(passed=2)
    assert history == [*COPY_AND_BOOT, "one", "roll back to 7", "two", "end copy"]


def test_the_checkpoint_waits_until_the_machine_is_ready(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    pytester.runpytest("--ringone-machine=debian", "--ringone-ready=login:", "--ringone-timeout=30").assert_outcomes(passed=1)
    assert history[2:4] == ["wait for 'login:' 30 s wall", "checkpoint"]


def test_machines_stand_in_the_configuration_file(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makeini("[pytest]\nringone_machines =\n  debian@fresh\n  machines/freedos.vbox\nringone_ready = login:\nringone_home = home\n")
    pytester.makepyfile("def test_one(machine): pass\ndef test_two(machine): pass")
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*test_one?debian@fresh?*", "*test_two?debian@fresh?*", "*test_one?freedos?*", "*test_two?freedos?*"])
    assert [line for line in history if line.startswith(("copy", "end"))] == [
        f"copy debian of {pytester.path / 'home'} at 'fresh'",
        "end copy",
        f"copy freedos.vbox of {pytester.path / 'home'} at ''",
        "end copy",
    ]


def test_a_marker_names_machines_for_its_tests(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("""
        import pytest
        @pytest.mark.machine("netbsd", ready_serial="# ", timeout_s=5)
        def test_one(machine): machine.history.append("one")
        def test_two(machine): machine.history.append("two")
    """)
    pytester.runpytest("--ringone-machine=debian").assert_outcomes(passed=2)
    assert history.index("copy netbsd of None at ''") < history.index("one") < history.index("copy debian of None at ''") < history.index("two")


def test_disks_are_kept_where_asked_for(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    pytester.runpytest("--ringone-machine=debian", "--ringone-disks=keep").assert_outcomes(passed=1)
    assert history == ["start debian", "checkpoint", "roll back to 7", "end debian"]


def test_a_machine_that_runs_is_not_taken_over(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    result = pytester.runpytest("--ringone-machine=running", "--ringone-disks=keep")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*LockedError: 'running' runs already; with disks=keep, tests need the machine for themselves, in one worker"])
    assert history == []


def test_a_machine_that_a_test_switched_off_runs_again_in_the_next(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("""
        from ringone.api.events import MachineState
        def test_off(machine): machine.state = MachineState.POWERED_OFF
        def test_on(machine): assert machine.state is MachineState.RUNNING
    """)
    pytester.runpytest("--ringone-machine=debian").assert_outcomes(passed=2)
    assert history == [*COPY_AND_BOOT, "roll back to 7", "resume", "end copy"]


def test_a_machine_whose_process_died_is_booted_again(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile("""
        def test_kill(machine): machine.alive = False
        def test_next(machine): assert machine.alive
    """)
    pytester.runpytest("--ringone-machine=debian").assert_outcomes(passed=2)
    assert history == [*COPY_AND_BOOT, "end copy", *COPY_AND_BOOT, "end copy"]


FAILING = """
    def test_quiet(machine):
        machine.serial.said += b"said before"
    def test_broken(machine):
        machine.serial.said += b"kernel panic\\r\\n\\x1b[0m"
        machine.serial.read()
        assert "root" in machine.screen.text()
"""


def test_a_failing_test_shows_its_machine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    result = pytester.runpytest("--ringone-machine=debian", "--ringone-artifacts=kept")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*- machine screen -*", "*screen.png", "debian login:", "*- machine serial port -*", "*serial.log", "kernel panic"])
    result.stdout.no_fnmatch_line("*said before*")
    (folder,) = (pytester.path / "kept").iterdir()
    assert (folder / "screen.png").read_bytes() == PNG
    assert (folder / "serial.log").read_bytes() == b"kernel panic\r\n\x1b[0m"
    assert "test_broken" in folder.name


def test_a_machine_that_does_not_get_ready_shows_how_far_it_came(pytester: pytest.Pytester, history: list[str]) -> None:
    pytester.makepyfile(FAILING)
    result = pytester.runpytest("--ringone-machine=debian", "--ringone-ready=never")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E *WaitTimeoutError: 'never' did not come", "*- machine screen -*", "*screen.png", "debian login:"])
    assert (history.count("start copy"), history[-1]) == (1, "end copy")


def test_screens_go_to_pytests_temporary_folder_where_no_other_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    pytester.runpytest("--ringone-machine=debian", f"--basetemp={pytester.path / 'temporary'}")
    assert [path.read_bytes() for path in (pytester.path / "temporary").rglob("screen.png")] == [PNG]


def test_pytest_html_gets_the_screen(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    pytester.makeconftest("""
        import sys, types
        import pytest
        extras = types.SimpleNamespace(png=lambda content: f"picture of {len(content)}", text=lambda text, name: name)
        sys.modules["pytest_html"] = types.ModuleType("pytest_html")
        sys.modules["pytest_html.extras"] = extras
        def pytest_configure(config): config.pluginmanager.register(object(), "html")
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if report.failed: print("EXTRAS", *report.extras, sep="|")
            return report
    """)
    result = pytester.runpytest("--ringone-machine=debian", "-s")
    result.stdout.fnmatch_lines(["*EXTRAS|picture of 16|machine screen|machine serial port*"])


def test_a_passing_test_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    pytester.runpytest("--ringone-machine=debian", "--ringone-artifacts=kept").assert_outcomes(passed=1)
    assert not (pytester.path / "kept").exists()


def test_without_a_machine_the_three_ways_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no machine was named; use --ringone-machine, ringone_machines in the configuration file, or the marker*"])


@pytest.mark.parametrize(
    ("option", "complaint"),
    [("--ringone-disks=float", "*'float' is not a valid Disks*"), ("--ringone-timeout=soon", "*could not convert*'soon'*a timeout is in seconds*")],
    ids=["disks", "timeout"],
)
def test_a_bad_option_is_explained(pytester: pytest.Pytester, option: str, complaint: str) -> None:
    pytester.makepyfile("def test_one(machine): pass")
    result = pytester.runpytest("--ringone-machine=debian", option)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([complaint])


def test_a_misspelt_marker_argument_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.machine('debian', snapshots='x')\ndef test_one(machine): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*has no argument snapshots; accepted: disks, ready, ready_serial, snapshot, timeout_s*"])


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    pytester.makepyfile("def test_one(): pass")
    pytester.runpytest("-p", "no:ringone").assert_outcomes(passed=1)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    program = "import sys, pytest_ringone.plugin; print(*(name for name in ('httpx', 'ringone.client', 'ringone.home', 'lxml', 'PIL') if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(sys.prefix))
    assert found.stdout.split() == []
