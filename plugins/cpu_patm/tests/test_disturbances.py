"""Patched code that is interrupted, stopped, saved, stepped and changed at every place: the result must never depend on it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import attrs
import pytest
from ringone.api.cpu import ExitReason, RunBudget
from ringone.testing.cpu_bench import CODE, DATA, Outcome, assemble
from ringone_cpu_patm.backend import PatmBackend
from ringone_cpu_patm.options import PatmOptions
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

from plugins.cpu_patm.tests.rivals import PagedBench, Result, compare, equal
from plugins.cpu_recompiler.tests.child import in_child

HANDLER = CODE + 0x800
COUNTER = DATA + 0x100
INTERRUPT, NMI, DEBUG = 0x30, 2, 1
FRAMES = ".byte 0x0E; pop eax; add ebx, eax; mov eax, ss; add ebx, eax; smsw eax; add ebx, eax"
STRETCH = f"pushfd; cli; inc dword ptr [{COUNTER:#x}]; pushfd; pop eax; add ebx, eax; {FRAMES}; popfd; pushfd; pop eax; add ebx, eax; sti; nop; cli; sti; nop"
LOOP = f"sti; l: {STRETCH}; dec edi; jnz l; cli"
TURNS = 60
SCRUB = "; ".join(["push 0"] * 12) + "; add esp, 48"


def count_interrupts(bench: PagedBench) -> None:
    """A handler that changes nothing else."""
    bench.set_gate(INTERRUPT, HANDLER)
    bench.load(f"push eax; pushfd; pop eax; test eax, 0x200; jz fine; ud2; fine: lock inc dword ptr [{COUNTER + 4:#x}]; pop eax; iretd", address=HANDLER)


def run_disturbed(bench: PagedBench, disturb: Callable[[PagedBench], None], *, turns: int = TURNS, step: Callable[[], int] = lambda: 200) -> Outcome:
    """The loop in small runs, with something between each two."""
    bench.memory.write(CODE, assemble(f"mov edi, {turns}; {LOOP}; {SCRUB}; hlt", CODE))
    count_interrupts(bench)
    bench.cpu.load_state(bench.protected_state())
    for _ in range(200_000):
        if bench.cpu.run(RunBudget(progress=step())).reason is ExitReason.HALT:
            break
        disturb(bench)
    outcome = bench.go_on()
    assert int.from_bytes(bench.memory.read(COUNTER, 4), "little") == turns
    return outcome


def moved(bench: PagedBench) -> None:
    bench.cpu.load_state(bench.cpu.save_state())


def touched(bench: PagedBench) -> None:
    bench.memory.write(CODE + 2, bench.memory.read(CODE + 2, 1))


CHANCE = random.Random(7)
"""Only processes of one scenario draw from it, each from the start."""


def remapped(bench: PagedBench) -> None:
    """Rarely: a change of the map takes its time."""
    if CHANCE.randrange(40) == 0:
        for open_gate in (False, True):
            bench.memory.set_a20(open_gate)


def switched(bench: PagedBench) -> None:
    patching, scanning = CHANCE.choice([("on", "on"), ("off", "on"), ("on", "off")])
    bench.cpu.change_options(PatmOptions(patching=patching == "on", scanning=scanning == "on", hits=True))


DISTURBANCES: dict[str, Callable[[PagedBench], None]] = {
    "nothing": lambda bench: None,
    "save and load": moved,
    "code is written as it was": touched,
    "memory map changes": remapped,
    "options change": switched,
}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES.keys())
def test_small_runs_add_up_to_one(disturb: Callable[[PagedBench], None]) -> None:
    choose = random.Random(7)

    def scenario(bench: PagedBench) -> Outcome:
        return run_disturbed(bench, disturb, step=lambda: choose.choice((1, 1, 3, 20, 200)))

    result = compare(scenario)

    assert result.hits("popf") and result.hits("cli")


def test_a_snapshot_after_every_step_can_be_loaded_into_another_processor() -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.memory.write(CODE, assemble(f"mov edi, 12; {LOOP}; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        other = RecompilerBackend(bench.context, RecompilerOptions())
        processors = [bench.cpu, other]
        bench.memory.listen(other.memory_changed, other.invalidate_code)
        while processors[0].run(RunBudget(progress=1)).reason is ExitReason.BUDGET:
            state = processors[0].save_state()
            processors.reverse()
            processors[0].load_state(state)
        bench.cpu.load_state(attrs.evolve(processors[0].save_state(), halted=False, eip=CODE))
        return bench.go_on()

    equal(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_interrupts_at_random_places_are_all_delivered_and_change_nothing(seed: int) -> None:
    raised: list[int] = []

    def scenario(bench: PagedBench) -> Outcome:
        choose = random.Random(seed)
        raised.append(0)

        def raise_one(bench: PagedBench) -> None:
            if not bench.context.vectors and choose.random() < 0.2:
                raised[-1] += 1
                bench.raise_interrupt(INTERRUPT)

        outcome = run_disturbed(bench, raise_one, step=lambda: choose.randrange(1, 90))
        bench.context.vectors.clear()
        bench.cpu.set_intr(False)
        taken = int.from_bytes(bench.memory.read(COUNTER + 4, 4), "little")
        assert raised[-1] - 1 <= taken <= raised[-1]
        assert taken > 3
        bench.memory.write(COUNTER + 4, bytes(4))
        return attrs.evolve(outcome, state=attrs.evolve(outcome.state, interrupt_shadow=False))

    assert compare(scenario).hits("popf")


def test_exit_requests_from_another_thread_lose_nothing() -> None:
    def program() -> Result:
        bench = PagedBench(lambda context: PatmBackend(context, PatmOptions(hits=True)))
        bench.map_pages()
        bench.memory.write(CODE, assemble(f"mov edi, 500; {LOOP}; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        stop = threading.Event()
        requests = 0

        def request() -> None:
            nonlocal requests
            while not stop.wait(0.00005):
                bench.cpu.request_exit()
                requests += 1

        thread = threading.Thread(target=request)
        thread.start()
        exits = 0
        while bench.cpu.run(RunBudget(progress=1_000_000)).reason is not ExitReason.HALT:
            exits += 1
        stop.set()
        thread.join()
        assert exits
        assert int.from_bytes(bench.memory.read(COUNTER, 4), "little") == 500
        return Result(bench.go_on(), (), dict(bench.cpu.statistics()))

    result = in_child(program)

    assert isinstance(result, Result), result
    assert result.hits("popf") > 200


# --- Interrupt shadows and endless loops ----------------------------------------

ENDLESS = (
    "l: cli; jmp l",
    "l: sti; jmp l",
    "sti; l: jmp l",
    "l: pushfd; popfd; jmp l",
    "push 0x202; popfd; l: jmp l",
    "l: cli; sti; jmp l",
    "l: sti; cli; jmp l",
    "sti; l: hlt; jmp l",
    "sti; nop; l: nop; sti; jmp l",
    "l: pushfd; push 0x202; popfd; nop; cli; popfd; jmp l",
)


@pytest.mark.parametrize("text", ENDLESS)
def test_an_endless_loop_is_interrupted_as_on_the_recompiler(text: str) -> None:
    warm_up = "mov edi, 6; w: cli; nop; nop; nop; nop; sti; nop; dec edi; jnz w"

    def scenario(bench: PagedBench) -> Outcome:
        count_interrupts(bench)
        bench.load(f"mov edx, edx; mov ecx, 6; {warm_up}; cli; {text}")
        bench.set_gate(NMI, HANDLER + 0x100)
        bench.load("mov esp, 0xA000; hlt", address=HANDLER + 0x100)
        bench.cpu.load_state(bench.protected_state())
        for _ in range(8):
            bench.cpu.run(RunBudget(progress=4000))
            if not bench.context.vectors:
                bench.raise_interrupt(INTERRUPT)
        bench.cpu.run(RunBudget(progress=4000))
        bench.context.vectors.clear()
        bench.cpu.set_intr(False)
        bench.cpu.pulse_nmi()
        outcome = bench.go_on(4000)
        bench.memory.write(0x9F00, bytes(0x100))
        return attrs.evolve(outcome, state=attrs.evolve(outcome.state, eip=0, eflags=0, gpr=(), interrupt_shadow=False))

    result = compare(scenario)

    assert result.hits("cli")


@pytest.mark.parametrize("enable", ["sti", "push 0x202; popfd", "pushfd; or dword ptr [esp], 0x200; popfd"], ids=["sti", "popf", "popf of pushf"])
@pytest.mark.parametrize("following", ["nop", "cli", "hlt", "pushfd; pop esi", ".byte 0x0E; pop esi", "mov eax, ss; mov ss, ax; inc ebx"])
def test_a_waiting_interrupt_comes_where_it_would_behind_what_turns_interrupts_on(enable: str, following: str) -> None:
    show = f"push eax; mov eax, [esp+4]; mov [{COUNTER + 8:#x}], eax; inc dword ptr [{COUNTER:#x}]; pop eax; iretd"

    def scenario(bench: PagedBench) -> Outcome:
        bench.set_gate(INTERRUPT, HANDLER)
        bench.load(show, address=HANDLER)
        bench.context.on_port = lambda: bench.raise_interrupt(INTERRUPT)
        return bench.run(
            f"mov edi, 6; l: cli; out 0x80, al; nop; {enable}; {following}; nop; nop; nop; add ecx, [{COUNTER + 8:#x}]; dec edi; jnz l; cli; {SCRUB}"
        )

    result = compare(scenario)

    assert result.hits("cli") or result.hits("pushf") or result.traps("cli")


# --- Single step, breakpoints ----------------------------------------


STEPPED = CODE + 0x900
SET_TF = {
    "popf": "pushfd; or dword ptr [esp], 0x100; popfd; jmp {stepped}",
    "iret": "pushfd; or dword ptr [esp], 0x100; .byte 0x0E; push {stepped}; iretd",
}


@pytest.mark.parametrize("set_tf", SET_TF.values(), ids=SET_TF.keys())
def test_single_step_begins_inside_patched_code(set_tf: str) -> None:
    log = f"push eax; push ecx; mov ecx, [{DATA:#x}]; mov eax, [esp+8]; mov [ecx+{DATA + 0x200:#x}], eax; add dword ptr [{DATA:#x}], 4"

    def scenario(bench: PagedBench) -> Outcome:
        bench.set_gate(DEBUG, HANDLER)
        bench.load(f"{log}; cmp ecx, 0x80; pop ecx; pop eax; jb on; and dword ptr [esp+8], 0xFFFFFEFF; on: iretd", address=HANDLER)
        bench.load("cli; nop; inc ebx; nop; pushfd; pop eax; sti; nop; inc ebx; ret", address=STEPPED)
        body = set_tf.format(stepped=f"{STEPPED:#x}")
        bench.load(f"dec edi; jz e; push {CODE + 0xA00:#x}; {body}; e: cli; {SCRUB}; hlt", address=CODE + 0xA00)
        return bench.run(f"mov edi, 6; jmp {CODE + 0xA00:#x}")

    result = compare(scenario)

    assert result.refused("single step")
    assert result.hits("pushf")


@pytest.mark.parametrize("kind", [0x1, 0xD0001, 0x10001], ids=["execution", "write", "write of a byte"])
def test_breakpoints_in_patched_code(kind: int) -> None:
    where = CODE + 0x900 if kind == 1 else COUNTER

    def scenario(bench: PagedBench) -> Outcome:
        bench.set_gate(DEBUG, HANDLER)
        bench.load(f"inc dword ptr [{COUNTER + 4:#x}]; or dword ptr [esp+8], 0x10000; iretd", address=HANDLER)
        bench.load(f"cli; inc dword ptr [{COUNTER:#x}]; nop; pushfd; pop eax; add ebx, eax; sti; nop; ret", address=CODE + 0x900)
        use = f"mov esi, 5; {{0}}: mov eax, {CODE + 0x900:#x}; call eax; dec esi; jnz {{0}}"
        enable = f"mov eax, {where:#x}; mov dr0, eax; mov eax, {kind:#x}; mov dr7, eax"
        disable = "xor eax, eax; mov dr7, eax"
        return bench.run(f"{use.format('a')}; {enable}; {use.format('b')}; {disable}; {use.format('c')}; cli; {SCRUB}")

    result = equal(scenario)

    assert result.refused("breakpoints")
