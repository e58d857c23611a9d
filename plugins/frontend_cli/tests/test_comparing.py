from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api import statistics as names
from ringone.api.config import ClockPolicy, DriverConfig, MachineConfig
from ringone.api.cpu import CpuBackend, CpuBackendSpec, CpuCapabilities, CpuContext, RunBudget, RunResult
from ringone.api.drivers import BlockDevice, HostDriverSpec
from ringone.api.errors import ConfigError
from ringone.api.hooks import hookimpl
from ringone.api.media import AccessMode
from ringone.api.options import NoOptions
from ringone.plugins import PluginRegistry
from ringone_frontend_cli.arguments import MachineArguments, machine_config
from ringone_frontend_cli.comparing import CompareOptions, compare, default_cpus, equal_start
from ringone_frontend_cli.comparison import Comparison, Result, markdown_table
from ringone_frontend_cli.endings import Ending, EndKind
from ringone_frontend_cli.main import run_command_line
from ringone_frontend_cli.report import Report

from guests.demo.build import build

SAID = b"guest is ready\r\n"
PRINT = bytes.fromhex("fc 31c0 8ed8 be807c ac 84c0 7406 baf803 ee ebf5")
"""Sends the text at 0x7C80 to COM1."""
ENDINGS = {
    "power off": bytes.fromhex("ba0406 b80020 ef f4"),  # SLP_EN into PIIX4's PMCNTRL
    "loop": bytes.fromhex("40 ebfd"),
    "copy itself to the next sector": bytes.fromhex("31c0 8ec0 b80103 bb007c b90200 31d2 cd13 40 ebfd"),
}
KEYS = [
    *("cpu", "ending", "detail", "exit_code", "wall_s", "virtual_s", "instructions", "traps", "traps_by_cause", "traps_per_million"),
    *("patches", "patches_by_kind", "recompiler_share", "serial_hash", "memory_hash"),
]
TWO = ["--cpu", "recompiler", "--cpu", "recompiler:tsc_mhz=2000"]
EXACT = ["--clock", "deterministic", "--firmware", "builtin", "--memory", "4M", "--timeout", "30"]


def floppy(path: Path, ending: str) -> Path:
    code = (PRINT + ENDINGS[ending]).ljust(0x80, b"\0") + SAID + b"\0"
    path.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1440 << 10, b"\0"))
    return path


@pytest.fixture
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A floppy whose boot sector says that it is ready on COM1 and then does what the test's parameter says."""
    return floppy(tmp_path / "guest.img", request.param)


class ComparedRuns:
    """What the command printed."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str, exit_code: int = 0) -> list[dict[str, Any]]:
        assert run_command_line(["compare", "--json", *arguments]) == exit_code
        captured = self._capfd.readouterr()
        self.progress = captured.err.splitlines()
        document = json.loads(captured.out)
        assert list(document) == ["runs"]
        runs: list[dict[str, Any]] = document["runs"]
        return runs


@pytest.fixture
def compared(capfd: pytest.CaptureFixture[str]) -> ComparedRuns:
    return ComparedRuns(capfd)


# --- runs


def test_the_demo_leaves_the_same_memory_on_equal_processors(compared: ComparedRuns) -> None:
    runs = compared(*TWO, *EXACT, "--hda", str(build()), "--memory", "16M", "--until", "DEMO PASSED", "--expect-equal")
    first, second = runs
    assert [list(run) for run in runs] == [KEYS, KEYS]
    assert [run["cpu"] for run in runs] == ["recompiler", "recompiler:tsc_mhz=2000"]
    assert {run["ending"] for run in runs} == {"the text appeared"}
    for name in ("instructions", "traps_by_cause", "serial_hash", "memory_hash", "virtual_s"):
        assert first[name] == second[name], name
    assert first["traps"] == sum(first["traps_by_cause"].values())
    assert first["traps_by_cause"]["page-fault"] > 0
    assert first["traps_per_million"] == pytest.approx(first["traps"] * 1e6 / first["instructions"], abs=0.001)
    assert (first["patches"], first["patches_by_kind"], first["recompiler_share"]) == (0, {}, 1.0)
    assert first["wall_s"] > 0


@pytest.mark.parametrize("guest", ["power off"], indirect=True)
def test_progress_is_told_run_by_run(guest: Path, compared: ComparedRuns) -> None:
    compared(*TWO, *EXACT, "--fda", str(guest))
    assert compared.progress[0::2] == ["ringone: run 1 of 2: recompiler", "ringone: run 2 of 2: recompiler:tsc_mhz=2000"]
    for line in compared.progress[1::2]:
        assert re.fullmatch(r"ringone: run [12] of 2: powered off: .*; [0-9.]+ s, [0-9,]+ instructions, [0-9,]+ traps", line)


@pytest.mark.parametrize("guest", ["power off"], indirect=True)
def test_the_host_clock_has_no_memory_hash_but_a_hash_of_what_was_said(guest: Path, compared: ComparedRuns) -> None:
    for run in compared(*TWO, "--fda", str(guest), "--timeout", "30"):
        assert run["memory_hash"] is None
        assert run["serial_hash"] == hashlib.sha256(SAID).hexdigest()


@pytest.mark.parametrize("guest", ["loop"], indirect=True)
def test_a_number_of_instructions_is_the_same_moment_for_all(guest: Path, compared: ComparedRuns) -> None:
    first, second = compared(*TWO, *EXACT, "--fda", str(guest), "--instructions", "5000000", "--expect-equal")
    assert first["ending"] == "the instructions were executed"
    assert 5_000_000 <= first["instructions"] < 8_000_000
    assert (first["instructions"], first["virtual_s"], first["memory_hash"]) == (second["instructions"], second["virtual_s"], second["memory_hash"])


@pytest.mark.parametrize("guest", ["loop"], indirect=True)
def test_instructions_end_a_run_on_the_host_clock_too(guest: Path, compared: ComparedRuns) -> None:
    for run in compared(*TWO, "--fda", str(guest), "--timeout", "30", "--instructions", "1000000"):
        assert run["instructions"] >= 1_000_000


@pytest.mark.parametrize("guest", ["loop"], indirect=True)
def test_a_timeout_is_a_failure_of_its_run(guest: Path, compared: ComparedRuns) -> None:
    runs = compared(*TWO, *EXACT, "--fda", str(guest), "--timeout", "0.3", exit_code=1)
    assert [(run["ending"], run["exit_code"], run["memory_hash"]) for run in runs] == [("timeout", 124, None)] * 2


@pytest.mark.parametrize("guest", ["copy itself to the next sector"], indirect=True)
def test_disks_forget_what_a_run_writes(guest: Path, compared: ComparedRuns) -> None:
    before = guest.read_bytes()
    assert before[512:1024] == bytes(512)
    compared(*TWO, *EXACT, "--fda", str(guest), "--instructions", "1000000", "--expect-equal")
    assert guest.read_bytes() == before
    assert run_command_line(["run", "--fda", str(guest), "--display", "none", "--firmware", "builtin", "--timeout", "1"]) == 124
    assert guest.read_bytes()[512:1024] == before[:512], "it does write"


@pytest.mark.parametrize("guest", ["power off"], indirect=True)
def test_a_machine_file_is_compared_and_stays_as_it_is(guest: Path, compared: ComparedRuns, tmp_path: Path) -> None:
    file = tmp_path / "machine.vbox"
    file.write_text(
        '<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux">'
        '<Machine uuid="{00000000-0000-0000-0000-000000000001}" name="small"><Hardware><Memory RAMSize="4"/>'
        f'<UART><Port slot="0" enabled="true" IOBase="0x3f8" IRQ="4" hostMode="RawFile" path="{tmp_path / "com1"}"/></UART></Hardware></Machine></VirtualBox>'
    )
    before = file.read_bytes()
    runs = compared(*TWO, "--clock", "deterministic", "--instructions", "100000", str(file))
    assert runs[0]["memory_hash"] == runs[1]["memory_hash"] is not None
    assert file.read_bytes() == before
    assert not (tmp_path / "com1").exists()


@pytest.mark.parametrize("guest", ["power off"], indirect=True)
def test_the_table_is_markdown(guest: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["compare", *TWO, *EXACT, "--fda", str(guest)]) == 0
    lines = capfd.readouterr().out.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert lines[0] == "machine, deterministic clock"
    assert re.fullmatch(r"\| +\| +recompiler \| +recompiler \|", table[0])
    assert re.fullmatch(r"\|:-+\|-+:\|-+:\|", table[1])
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == ["tsc_mhz", "", "2000"]
    assert len({len(line) for line in table}) == 1
    assert lines[-2:] == ["serial output: equal", "memory: equal"]


# --- mistakes


def mistakes(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    vbox = tmp_path / "some.vbox"
    vbox.write_text("<VirtualBox/>")
    return {
        "one processor": (["--cpu", "recompiler"], "one CPU backend cannot be compared"),
        "unknown backend": (["--cpu", "recompiler", "--cpu", "abacus"], "unknown CPU backend 'abacus'; known: .*recompiler"),
        "unknown option": (["--cpu", "recompiler", "--cpu", "recompiler:colour=red"], "recompiler:colour=red: unknown option 'colour'; known: tsc_mhz"),
        "no truth value": (["--cpu", "recompiler", "--cpu", "patm:patching=maybe"], "'patching': 'maybe' is not on or off"),
        "instructions": ([*TWO, "--instructions", "0"], "0 is no number of instructions"),
        "timeout": ([*TWO, "--timeout", "-1"], "is no time"),
        "no text": ([*TWO, "--until", ""], "the text to wait for is empty"),
        "equal on the host clock": ([*TWO, "--expect-equal"], "add --clock deterministic"),
        "clock": ([*TWO, "--clock", "sundial"], "'sundial' is no clock"),
        "no such disk": ([*TWO, "--hda", str(tmp_path / "none.img")], "none.img does not exist"),
        "file and options": ([*TWO, "--memory", "4M", "--hda", "x", str(vbox)], "--memory, --hda: .*some.vbox describes the machine"),
    }


def test_every_mistake_is_one_clear_line_before_anything_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, (arguments, message) in mistakes(tmp_path).items():
        exit_code = run_command_line(["compare", *arguments])
        captured = capfd.readouterr()
        assert exit_code == 2, (name, captured)
        assert re.fullmatch(f"ringone: error: .*{message}.*\n", captured.err), (name, captured.err)
        assert captured.out == "", name


@pytest.mark.parametrize("word", ["on", "off", "true", "FALSE", "yes", "no", "1", "0"])
def test_a_backends_switch_takes_the_usual_words(word: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["compare", "--cpu", "recompiler", "--cpu", f"patm:patching={word}", "--hda", "none.img"]) == 2
    assert "none.img does not exist" in capfd.readouterr().err


def test_a_single_run_explains_a_switch_as_well(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "--cpu", "patm:patching=maybe", "--timeout", "1"]) == 2
    assert "'patching': 'maybe' is not on or off (true/false, yes/no, 1/0)" in capfd.readouterr().err


# --- processors and parts that fail


class Broken:
    """A processor that fails as soon as it is to run."""

    def __init__(self, inner: CpuBackend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, budget: RunBudget) -> RunResult:
        raise ZeroDivisionError("out of order")


class FakePlugin:
    """Processors that fail early and late, and a disk driver that keeps what is written."""

    @hookimpl
    def ringone_cpu_backends(self) -> Iterable[CpuBackendSpec]:
        recompiler = PluginRegistry().cpu_backends()["recompiler"]
        for name, create in (("never", self._never), ("broken", lambda context, options: Broken(recompiler.create(context, recompiler.options())))):
            yield CpuBackendSpec(name=name, summary="", options=NoOptions, capabilities=CpuCapabilities(exact_progress=True), create=create)

    @hookimpl
    def ringone_host_drivers(self) -> Iterable[HostDriverSpec]:
        yield HostDriverSpec(name="stone", summary="", kind=BlockDevice, options=NoOptions, create=lambda context, options: None)

    def _never(self, context: CpuContext, options: Any) -> CpuBackend:
        raise OSError("no such processor")


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry([FakePlugin()])


@pytest.mark.parametrize("guest", ["loop"], indirect=True)
def test_a_run_that_fails_is_shown_and_the_others_still_run(guest: Path, registry: PluginRegistry) -> None:
    config = machine_config(MachineArguments(memory="4M", firmware="builtin", clock="deterministic", images={"--fda": str(guest)}))
    options = CompareOptions(cpus=("never", "recompiler", "broken", "recompiler"), instructions=100_000, timeout_s=30)
    found = compare(config, registry, options, tell=lambda line: None)
    assert [result.ending.kind for result in found.results] == [EndKind.FAILED, EndKind.INSTRUCTIONS, EndKind.ABORTED, EndKind.INSTRUCTIONS]
    assert found.exit_code == 1
    lines = list(found.lines())
    rows = {cells[0]: cells[1:] for line in lines if line.startswith("|") for cells in [[cell.strip() for cell in line.split("|")[1:-1]]]}
    assert rows["ended"] == ["failed", "instructions", "aborted", "instructions"]
    assert (rows["wall time, s"][0], rows["relative"][:3]) == ("-", ["-", "1.00", "-"])
    assert "never: failed: CPU backend never: cannot be created: OSError: no such processor" in lines
    assert any(line.startswith("broken: aborted: CPU backend broken: ZeroDivisionError: out of order;") for line in lines)
    assert lines[-4:-2] == ["serial output: equal", "memory: equal"]


def test_two_processors_or_more_are_installed_by_default(registry: PluginRegistry) -> None:
    assert default_cpus(registry) == ("patm", "patm:patching=off", "recompiler")
    assert default_cpus(PluginRegistry([FakePlugin()], discover=False)) == ()


def test_extra_disks_forget_too_and_extra_lines_are_cut_off(registry: PluginRegistry) -> None:
    disk = DriverConfig(slot="a.disk", type="disk-image", options={"path": "x.img"})
    read_only = DriverConfig(slot="b.disk", type="disk-image", options={"path": "x.img", "mode": "read-only"})
    line = DriverConfig(slot="c.line", type="file", options={"path": "out"})
    config = equal_start(MachineConfig(name="m", drivers=(disk, read_only, line), debug_console=line), registry)
    assert [driver.options.get("mode") for driver in config.drivers] == [AccessMode.THROW_AWAY.value, "read-only", None]
    assert config.drivers[2].instance is not None
    assert config.debug_console is not None and config.debug_console.instance is not None


def test_a_disk_that_cannot_forget_is_refused(registry: PluginRegistry) -> None:
    with pytest.raises(ConfigError, match=r"slot 'a\.disk': the driver 'stone' cannot forget writes"):
        equal_start(MachineConfig(name="m", drivers=(DriverConfig(slot="a.disk", type="stone"),)), registry)


# --- tables and reports


def result(
    cpu: str, *, serial: str = "aa", memory: str | None = "bb", kind: EndKind = EndKind.UNTIL, exit_code: int = 0, statistics: Mapping[str, int] | None = None
) -> Result:
    return Result(cpu=cpu, ending=Ending(kind, "", exit_code), wall_s=2.0, statistics=statistics or {}, serial_hash=serial, memory_hash=memory)


def compared_results(*results: Result, expect_equal: bool = False) -> Comparison:
    return Comparison(machine="m", clock=ClockPolicy.DETERMINISTIC, results=results, expect_equal=expect_equal)


@pytest.mark.parametrize(("other", "different"), [({"serial": "cc"}, "serial output"), ({"memory": "cc"}, "memory")], ids=["serial", "memory"])
def test_a_difference_is_said_and_is_an_error_where_none_is_expected(other: dict[str, Any], different: str) -> None:
    results = result("a"), result("b", **other)
    assert f"{different}: DIFFERENT" in list(compared_results(*results).lines())
    assert compared_results(*results).exit_code == 0
    assert compared_results(*results, expect_equal=True).exit_code == 1


def test_only_runs_that_ended_well_are_held_against_each_other() -> None:
    found = compared_results(result("a"), result("b", memory=None, kind=EndKind.TIMEOUT, exit_code=124), result("c"))
    assert list(found.verdicts()) == [("serial output", True), ("memory", True)]
    assert found.exit_code == 1


def test_an_interrupted_comparison_ends_as_the_signal_says() -> None:
    assert compared_results(result("a"), result("b", kind=EndKind.INTERRUPTED, exit_code=130)).exit_code == 130


def test_each_runs_most_frequent_causes_are_rows() -> None:
    many = {f"EM/Traps/rare-{number}": number for number in range(1, 8)}
    found = compared_results(result("a", statistics=many), result("b", statistics={"EM/Traps/hlt": 100}))
    causes = [line.split("|")[1].strip() for line in found.lines() if line.startswith("| - ")]
    assert causes == ["- hlt", "- rare-7", "- rare-6", "- rare-5", "- rare-4", "- rare-3"]


def test_counters_that_a_backend_does_not_have_are_left_open() -> None:
    shown = result("kvm").as_json()
    assert [shown[name] for name in ("instructions", "traps", "traps_per_million", "recompiler_share")] == [None] * 4


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    assert list(markdown_table(["", "x"], iter([["row", "1,000"]]))) == ["|     |     x |", "|:----|------:|", "| row | 1,000 |"]


def test_a_report_tells_of_raw_mode_where_there_was_any() -> None:
    counters = {names.TRAPS: 7, "EM/Traps/hlt": 5, "EM/Traps/int": 2, names.PATCHES: 3, "PATM/Patches/cli": 3, names.RAW_TIME: 3, names.RECOMPILER_TIME: 1}
    report = Report(machine="m", ending=Ending(EndKind.UNTIL), wall_s=1, virtual_ns=1, statistics=counters)
    assert list(report.lines())[-3:] == ["  traps         7: 5 hlt, 2 int", "  patches       3: 3 cli", "  recompiler    25.0% of the time"]
    without = attrs.evolve(report, statistics={**counters, names.RAW_TIME: 0, names.PATCHES: 0})
    assert not any("traps" in line for line in without.lines())
