"""Intel 82371SB PCI ISA Xcelerator, function 0 (datasheet 290550-002): the ISA bridge.

    60-63  PIRQRC[A:D]  bit 7 disables the route, bits 3:0 name the ISA interrupt of PIRQA# to PIRQD#
    CF9    RC           bit 1 hard reset, bit 2 resets on its rise

A routed interrupt is the level of all PIRQ# pins that share it. X-bus chip selects, ISA timing and the interrupt routing of MIRQ0 are held as plain
registers; DMA, timers and interrupt controllers of the package are chips of their own here, ELCR included.
"""

from __future__ import annotations

from collections.abc import Callable

from ringone.api.devices import DeviceContext, PciBus
from ringone.api.errors import AssemblyError

from ringone_devices_pc.pci_config import COMMAND_IO, COMMAND_MASTER, COMMAND_MEMORY, HEADER_MULTIFUNCTION, STATUS_DEVSEL_MEDIUM, PciConfigSpace
from ringone_devices_pc.piix3.config import Piix3Options
from ringone_devices_pc.piix3.state import Piix3State

PIRQS = ("PIRQA", "PIRQB", "PIRQC", "PIRQD")
IRQS = (3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15)
"""The ISA interrupts that PCI may use; the rest is reserved in PIRQRC and routes nowhere."""

PIRQRC = 0x60
PIRQRC_DISABLE = 1 << 7
PIRQRC_IRQ = 0x0F

RC = 0xCF9
RC_HARD_RESET = 1 << 1
RC_RESET_CPU = 1 << 2

REGISTERS = (
    # offset, size, after reset, writable
    (0x4C, 1, 0x4D, 0xFF),  # IORT: ISA I/O recovery timer
    (0x4E, 2, 0x0003, 0x07FF),  # XBCS: X-bus chip select
    (0x69, 1, 0x02, 0xFE),  # TOM: top of memory
    (0x6A, 2, 0x0000, 0x8017),  # MSTAT: miscellaneous status
    (0x70, 1, 0x80, 0xEF),  # MBIRQ0: motherboard interrupt route
    (0x76, 1, 0x0C, 0x8F),  # MBDMA0
    (0x77, 1, 0x0C, 0x8F),  # MBDMA1
    (0x78, 2, 0x0002, 0xFFFF),  # PCSC: programmable chip select
    (0x82, 1, 0x00, 0x0F),  # DLC: deterministic latency control
    (0xA0, 1, 0x08, 0x1F),  # SMICNTL
    (0xA2, 2, 0x0000, 0x00FF),  # SMIEN
    (0xA4, 4, 0x00000000, 0xFFFFFFFF),  # SEE: system event enable
    (0xA8, 1, 0x0F, 0xFF),  # FTMR: fast-off timer
    (0xAC, 1, 0x00, 0xFF),  # CTLTMR: clock throttle, low
    (0xAE, 1, 0x00, 0xFF),  # CTHTMR: clock throttle, high
)


class Piix3:
    def __init__(self, context: DeviceContext, options: Piix3Options) -> None:
        bus = context.link("pci", PciBus)
        if bus is None:
            raise AssemblyError("the ISA bridge needs a link 'pci' to a host bridge", component=context.id)
        self._reset_control = 0
        self._inputs = [context.input(pin, self._pin_changed(index)) for index, pin in enumerate(PIRQS)]
        self._outputs = {irq: context.output(f"IRQ{irq}") for irq in IRQS}
        self._reset_pin = context.output("RESET")
        self._routes = [0, 0, 0, 0]
        self._config = self._make_config()
        bus.attach(options.device, 0, self._config)
        context.map_ports(RC, 1, read=self._rc_read, write=self._rc_write, name="RC")

    def _make_config(self) -> PciConfigSpace:
        config = PciConfigSpace(
            vendor_id=0x8086,
            device_id=0x7000,
            class_code=0x060100,
            header_type=HEADER_MULTIFUNCTION,
            command=COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER,
            command_writable=0,
            status=STATUS_DEVSEL_MEDIUM,
        )
        for offset, size, value, writable in REGISTERS:
            config.register(offset, size, value, writable=writable)
        for index in range(len(PIRQS)):
            config.register(PIRQRC + index, 1, PIRQRC_DISABLE, writable=PIRQRC_DISABLE | PIRQRC_IRQ)
        config.on_write(PIRQRC, PIRQRC + len(PIRQS) - 1, self._routes_written)
        return config

    # --- Interrupt routing ---------------------------------------------------------------------------------------------------------------------------------

    def _pin_changed(self, index: int) -> Callable[[bool], None]:
        def changed(level: bool) -> None:
            self._drive(self._routes[index])

        return changed

    def _drive(self, irq: int) -> None:
        output = self._outputs.get(irq)
        if output is not None:
            output.set(any(pin.level for pin, route in zip(self._inputs, self._routes, strict=True) if route == irq))

    def _read_routes(self) -> None:
        registers = self._config.data[PIRQRC : PIRQRC + len(PIRQS)]
        self._routes = [0 if register & PIRQRC_DISABLE else register & PIRQRC_IRQ for register in registers]

    def _routes_written(self) -> None:
        self._read_routes()
        for irq in IRQS:
            self._drive(irq)

    # --- Reset control -------------------------------------------------------------------------------------------------------------------------------------

    def _rc_read(self, offset: int, size: int) -> int:
        return self._reset_control

    def _rc_write(self, offset: int, size: int, value: int) -> None:
        self._reset_control = value & RC_HARD_RESET
        if value & RC_RESET_CPU:
            self._reset_pin.set(True)
            self._reset_pin.set(False)

    # --- Device --------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._reset_control = 0
        self._config.reset()

    def save_state(self) -> Piix3State:
        return Piix3State(reset_control=self._reset_control, config=self._config.save())

    def load_state(self, state: Piix3State) -> None:
        self._config.load(state.config)
        self._read_routes()
        self._reset_control = state.reset_control & RC_HARD_RESET
