"""The same machine and workload on several processors, in turn.

Every run starts from the same: a new machine, disks whose writes are forgotten, and lines that are connected to nothing but a listener. A run that ends by what
the guest did is paused at that instruction, so that what is counted and hashed is the guest's doing alone.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import attrs
from ringone.api.config import ClockPolicy, DriverConfig, MachineConfig
from ringone.api.drivers import BlockDevice, CharStream, DriverContext, FixedDisk, HostDriverSpec, RemovableMedium
from ringone.api.errors import ConfigError, RingOneError, StateError, UnsupportedError
from ringone.api.events import MachineState
from ringone.api.frontends import VmSession
from ringone.api.media import AccessMode
from ringone.machine import check_config
from ringone.options import bind_options, describe_options
from ringone.plugins import PluginRegistry

from ringone_frontend_cli import arguments, watching
from ringone_frontend_cli.comparison import Comparison, Result
from ringone_frontend_cli.console import Unattended
from ringone_frontend_cli.endings import EXIT_CODES, Ending, Endings, EndKind, MachineWatch, explain
from ringone_frontend_cli.odometer import Destination, OdometerPlugin, with_odometer
from ringone_frontend_cli.running import assembled, counted, signals_end

DEFAULT_CPUS = ("patm", "patm:patching=off", "recompiler")
"""Those of them that are installed."""
BY_THE_GUEST = frozenset({EndKind.POWERED_OFF, EndKind.UNTIL, EndKind.INSTRUCTIONS, EndKind.RESET})
"""Endings at which equal guests have equal memory."""
LOW_MEMORY_END = 0xA0000
HIGH_MEMORY = 0x100000
"""Between them lie the screen and ROMs."""
CHUNK_BYTES = 4 << 20

Tell = Callable[[str], None]


@attrs.frozen(kw_only=True)
class CompareOptions:
    cpus: Sequence[str] = ()
    until: str | None = None
    instructions: int | None = None
    timeout_s: float | None = None
    no_reboot: bool = False
    expect_equal: bool = False


def compare(config: MachineConfig, registry: PluginRegistry, options: CompareOptions, tell: Tell) -> Comparison:
    """Run `config` on each processor. Raises what is wrong with the description; a run that fails is a result like any other. `tell` is told how it goes."""
    cpus = options.cpus or default_cpus(registry)
    configs = [_on_cpu(equal_start(config, registry), cpu, registry) for cpu in cpus]
    _check(configs, options)
    for variant in configs:
        check_config(variant, registry)
    destination = None if options.instructions is None else Destination(options.instructions)
    runs = deque(_Run(cpu, variant, registry, options, destination) for cpu, variant in zip(cpus, configs, strict=True))
    results: list[Result] = []
    while runs and not any(result.ending.kind is EndKind.INTERRUPTED for result in results):
        results.append(_told(runs.popleft(), f"run {len(results) + 1} of {len(cpus)}", tell))
        gc.collect()  # a machine is held by cycles, and its memory would add to the next one's
    return Comparison(machine=config.name, clock=config.clock.policy, results=tuple(results), expect_equal=options.expect_equal)


def _told(run: _Run, place: str, tell: Tell) -> Result:
    tell(f"{place}: {run.cpu}")
    result = run.result()
    tell(f"{place}: {result.summary()}")
    return result


def default_cpus(registry: PluginRegistry) -> tuple[str, ...]:
    installed = registry.cpu_backends()
    return tuple(cpu for cpu in DEFAULT_CPUS if arguments.named(cpu, "--cpu")[0] in installed)


def _check(configs: Sequence[MachineConfig], options: CompareOptions) -> None:
    arguments.check_timeout(options.timeout_s)
    if len(configs) < 2:
        raise ConfigError("--cpu: one CPU backend cannot be compared; accepted: two or more, each with a --cpu of its own")
    if options.instructions is not None and options.instructions <= 0:
        raise ConfigError(f"--instructions: {options.instructions} is no number of instructions; accepted: 1 and more")
    if options.expect_equal and configs[0].clock.policy is not ClockPolicy.DETERMINISTIC:
        raise ConfigError("--expect-equal: runs are equal where time follows the guest; add --clock deterministic")


def _on_cpu(config: MachineConfig, cpu: str, registry: PluginRegistry) -> MachineConfig:
    """The machine with that processor, whose options are possible."""
    config = arguments.with_cpu(config, cpu)
    spec = registry.cpu_backends().pick(config.cpu.backend, source="--cpu")
    bind_options(spec.options, config.cpu.options, source=f"--cpu {cpu}", base_dir=config.source.parent if config.source else None)
    return config


# --- equal starts


def equal_start(config: MachineConfig, registry: PluginRegistry) -> MachineConfig:
    """The machine cut off from what a run could leave to the next one: disks forget, lines are connected to nothing."""
    console = config.debug_console
    return attrs.evolve(
        arguments.throw_away(config),
        serial_ports=tuple(attrs.evolve(port, driver="", options={}) for port in config.serial_ports),
        debug_console=None if console is None else attrs.evolve(console, instance=watching.Unconnected()),
        drivers=tuple(_cut_off(driver, registry) for driver in config.drivers),
    )


def _cut_off(driver: DriverConfig, registry: PluginRegistry) -> DriverConfig:
    if driver.shares:
        return driver
    if driver.instance is not None:
        raise UnsupportedError(f"slot {driver.slot!r} has a driver that was made for one machine; compared machines need one each", source=driver.source)
    spec = registry.host_drivers().pick(driver.type, source=driver.source or driver.slot)
    if spec.kind is CharStream:
        return attrs.evolve(driver, instance=watching.Unconnected())
    if spec.kind not in (BlockDevice, FixedDisk, RemovableMedium) or driver.options.get("mode", AccessMode.PERSISTENT.value) != AccessMode.PERSISTENT.value:
        return driver
    if not _can_forget(spec):
        raise UnsupportedError(f"slot {driver.slot!r}: the driver {spec.name!r} cannot forget writes, which the next run would find", source=driver.source)
    return attrs.evolve(driver, options={**driver.options, "mode": AccessMode.THROW_AWAY.value})


def _can_forget(spec: HostDriverSpec) -> bool:
    return any(option.name == "mode" and AccessMode.THROW_AWAY.value in option.type.split("|") for option in describe_options(spec.options))


# --- one run


class _Run:
    """`end` is called on the machine's thread, between instructions."""

    def __init__(self, cpu: str, config: MachineConfig, registry: PluginRegistry, options: CompareOptions, destination: Destination | None) -> None:
        self.cpu = cpu
        self._options = options
        self._endings = Endings(options.timeout_s)
        self._serial = hashlib.sha256()
        self._heard = watching.first_port(config) is not None
        self._session: VmSession
        plugins: list[object] = []
        if self._heard or options.until is not None:
            config, plugin = watching.watch(config, registry, self._listener(options.until))
            plugins.append(plugin)
        if destination is not None:
            config = with_odometer(config)
            plugins.append(OdometerPlugin(destination, lambda: self._end(EndKind.INSTRUCTIONS, f"{destination.instructions:,}")))
        self._config = config
        self._registry = registry.extended(plugins)

    def result(self) -> Result:
        with signals_end(self._endings):
            try:
                with assembled(self._config, self._registry) as session:
                    self._session = session
                    ending, wall_s = self._attend()
                    return self._look(ending, wall_s)
            except RingOneError as error:
                return Result(cpu=self.cpu, ending=Ending(EndKind.FAILED, explain(error), EXIT_CODES[EndKind.FAILED]))

    def _listener(self, until: str | None) -> watching.MakeListener:
        if until is None:
            return lambda context: self._serial.update
        search = watching.search(until, lambda: self._end(EndKind.UNTIL, repr(until)))

        def listener(context: DriverContext) -> watching.Listener:
            searched = search(context)

            def listen(data: bytes) -> None:
                self._serial.update(data)
                searched(data)

            return listen

        return listener

    def _end(self, kind: EndKind, detail: str) -> None:
        if self._session.state is MachineState.RUNNING:
            self._session.pause()
        self._endings.put(kind, detail)

    def _attend(self) -> tuple[Ending, float]:
        """How it ended, and the time from power-on to there."""
        session, endings = self._session, self._endings
        watch = MachineWatch(session, endings, no_reboot=self._options.no_reboot, attended=False)
        session.subscribe(watch)
        endings.start_clock()
        started = time.monotonic()
        session.start()
        ending = Unattended().serve(session, watch, endings)
        wall_s = time.monotonic() - started
        with contextlib.suppress(StateError):  # most machines stand by now
            session.pause()
        return ending, wall_s

    def _look(self, ending: Ending, wall_s: float) -> Result:
        virtual_ns, statistics = counted(self._session)
        comparable = ending.kind in BY_THE_GUEST and self._config.clock.policy is ClockPolicy.DETERMINISTIC
        return Result(
            cpu=self.cpu,
            ending=ending,
            wall_s=wall_s,
            virtual_ns=virtual_ns,
            statistics=statistics,
            serial_hash=self._serial.hexdigest() if self._heard else None,
            memory_hash=_memory_hash(self._session) if comparable else None,
        )


def _memory_hash(session: VmSession) -> str:
    digest = hashlib.sha256()
    for start, size in _chunks(session.config.memory_bytes):
        digest.update(session.read_memory(start, size))
    return digest.hexdigest()


def _chunks(memory_bytes: int) -> Iterator[tuple[int, int]]:
    for start, end in ((0, LOW_MEMORY_END), (HIGH_MEMORY, memory_bytes)):
        for address in range(start, end, CHUNK_BYTES):
            yield address, min(CHUNK_BYTES, end - address)
