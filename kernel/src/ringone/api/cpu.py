"""CPU execution: what a backend promises and what it is given."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ringone.api import API_VERSION

if TYPE_CHECKING:
    from ringone.api.memory import MapChange, PhysicalMemory
    from ringone.api.scan import CodeScanner


class ExitReason(enum.Enum):
    """Why `CpuBackend.run` returned."""

    BUDGET = "budget"
    """The budget is used up."""
    HALT = "halt"
    """HLT executed and nothing deliverable is pending; the next `run` returns HALT again until an interrupt is."""
    EXIT_REQUESTED = "exit-requested"
    """`request_exit` was called."""
    SHUTDOWN = "shutdown"
    """Triple fault: the processor has shut down (SDM vol. 3, 6.15, interrupt 8) and needs a reset."""


@attrs.frozen(kw_only=True)
class RunBudget:
    """How far one `run` may go; at least one limit is given.

    `progress` is exact and deterministic, in the backend's progress units: the run stops at the first instruction boundary at which they are used up.
    `host_ns` is approximate, in nanoseconds of host time; backends return within a millisecond or so of it.
    """

    progress: int | None = None
    host_ns: int | None = None


@attrs.frozen(kw_only=True)
class RunResult:
    reason: ExitReason


@attrs.frozen(kw_only=True)
class CpuModel:
    """What CPUID tells the guest. Features that the backend cannot execute are refused with a `ConfigError`.

    `vendor` has 12 characters. `features` are names as Linux prints them in /proc/cpuinfo, for example ``fpu``, ``pae``, ``sse2``, ``nx``.
    """

    vendor: str = "GenuineIntel"
    family: int = 6
    model: int = 14
    stepping: int = 8
    brand: str = "RingOne Virtual CPU"
    features: frozenset[str] = frozenset(
        ("fpu", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "sep", "pge", "mca", "cmov", "mmx", "fxsr", "sse", "sse2", "nx"),
    )


@attrs.frozen(kw_only=True)
class SegmentState:
    """A segment register with its hidden part. `attributes` holds descriptor bits 40-55 (type, S, DPL, P, AVL, L, D/B, G) as bits 0-15, `limit` is in bytes."""

    selector: int
    base: int
    limit: int
    attributes: int


@attrs.frozen(kw_only=True)
class TableState:
    """GDTR or IDTR."""

    base: int
    limit: int


@attrs.frozen(kw_only=True)
class CpuState:
    """Architectural state only, so that a machine saved under one backend resumes under another.

    `gpr` is EAX ECX EDX EBX ESP EBP ESI EDI. `fpu` is a 512-byte FXSAVE image (SDM vol. 1, 10.5.1). `msr` maps index to value.
    `interrupt_shadow`: the next instruction runs before any maskable interrupt (after STI, MOV SS, POP SS). `nmi_blocked`: an NMI handler has not yet
    executed IRET. `tsc_offset_ns` makes the time-stamp counter continue: it is virtual time minus the counter's zero.
    """

    gpr: tuple[int, ...]
    eip: int
    eflags: int
    cs: SegmentState
    ss: SegmentState
    ds: SegmentState
    es: SegmentState
    fs: SegmentState
    gs: SegmentState
    ldtr: SegmentState
    tr: SegmentState
    gdtr: TableState
    idtr: TableState
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    dr: tuple[int, ...]
    msr: Mapping[int, int]
    fpu: bytes
    tsc_offset_ns: int = 0
    halted: bool = False
    shutdown: bool = False
    interrupt_shadow: bool = False
    nmi_blocked: bool = False
    nmi_pending: bool = False


class CpuContext(Protocol):
    """All that a backend sees of the machine."""

    @property
    def memory(self) -> PhysicalMemory: ...
    @property
    def model(self) -> CpuModel: ...
    @property
    def log(self) -> logging.Logger: ...
    @property
    def read_port(self) -> Callable[[int, int], int]:
        """``(port, size) -> value``; size is 1, 2 or 4. Never raises for guest nonsense; a device's bug raises `DeviceError`."""
        ...

    @property
    def write_port(self) -> Callable[[int, int, int], None]:
        """``(port, size, value)``."""
        ...

    @property
    def acknowledge_interrupt(self) -> Callable[[], int]:
        """The INTA cycle: the vector of the interrupt that the controller presents. Called once per delivered interrupt."""
        ...

    @property
    def now_ns(self) -> Callable[[], int]:
        """Virtual time, for the time-stamp counter."""
        ...

    def code_scanner(self, name: str) -> CodeScanner:
        """A new code scanner with its default options. Raises `ConfigError` where none of that name is installed; the message lists those that are."""
        ...


class CpuBackend(Protocol):
    """A processor. Every method but `request_exit` is called by the machine's own thread only.

    `set_intr`, `pulse_nmi`, `memory_changed` and `invalidate_code` may be called while `run` is on the stack (from a port or MMIO handler) and take effect at
    the next instruction boundary or block end.
    """

    def run(self, budget: RunBudget) -> RunResult: ...
    def progress(self) -> int:
        """Progress units since creation. Never falls; may be read inside a port handler, where it counts up to the current block."""
        ...

    def request_exit(self) -> None:
        """Ask `run` to return at an instruction boundary. Any thread, idempotent; a request made outside `run` ends the next one at once."""
        ...

    def set_intr(self, level: bool) -> None:
        """The INTR pin. The vector is fetched through the context when the guest can take it."""
        ...

    def pulse_nmi(self) -> None: ...
    def reset(self) -> None:
        """RESET pin: the state of SDM vol. 3, table 9-1."""
        ...

    def memory_changed(self, changes: Sequence[MapChange]) -> None: ...
    def invalidate_code(self, start: int, size: int) -> None:
        """Guest-physical bytes were written behind the backend's back (DMA, restore, a debugger)."""
        ...

    def forget_code(self) -> None:
        """Between runs: whatever was learned of the guest's code must not show in the progress of later runs. From equal states follow equal runs."""
        ...

    def save_state(self) -> CpuState: ...
    def load_state(self, state: CpuState) -> None: ...
    def change_options(self, options: Any) -> None:
        """Go on with other options, of the class that the backend was created with. Raises `ConfigError`, changing nothing, where one that differs is fixed for
        the machine's life."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Counters under VirtualBox's component words, the same names on every backend (`ringone.api.statistics`)."""
        ...

    def close(self) -> None: ...


@attrs.frozen(kw_only=True)
class CpuCapabilities:
    """Declared, not guessed: the conformance kit runs what is declared and checks that the rest refuses.

    `exact_progress`: equal runs use equal progress, so the deterministic clock works. `long_mode`: 64-bit guests run.
    """

    exact_progress: bool = False
    long_mode: bool = False


@attrs.frozen(kw_only=True)
class CpuBackendSpec:
    """Yielded by the hook ``ringone_cpu_backends``. `options` is a frozen attrs class whose fields have ``metadata["help"]`` (`ringone.api.options.option`)."""

    name: str
    summary: str
    options: type[Any]
    capabilities: CpuCapabilities
    create: Callable[[CpuContext, Any], CpuBackend]
    api_version: int = API_VERSION
