"""National Semiconductor NS16550A UART (datasheet DS8652, "PC16550D") as a PC wires it: OUT2 opens the interrupt.

Bytes are transmitted as they are written, so the transmitter is always empty again at once; received bytes wait in the stream until there is room, so a guest
loses none to an overrun, except in loopback. Line errors and break never come from a stream and are left out. With a stream connected the other side asserts
CTS, DSR and DCD.
"""

from __future__ import annotations

from collections import deque

import attrs
from ringone.api.devices import DeviceContext
from ringone.api.drivers import CharStream

from ringone_devices_pc.ns16550.config import Ns16550Options
from ringone_devices_pc.ns16550.state import Ns16550State

DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)

IER_ERBFI = 1 << 0
IER_ETBEI = 1 << 1
IER_ELSI = 1 << 2
IER_EDSSI = 1 << 3
IIR_MODEM_STATUS = 0x00
IIR_NONE = 0x01
IIR_THR_EMPTY = 0x02
IIR_DATA_AVAILABLE = 0x04
IIR_LINE_STATUS = 0x06
IIR_TIMEOUT = 0x0C
IIR_FIFOS_ENABLED = 0xC0
FCR_ENABLE = 1 << 0
FCR_RESET_RECEIVER = 1 << 1
FCR_TRIGGERS = (1, 4, 8, 14)
LCR_WLS = 3
LCR_STB = 1 << 2
LCR_PEN = 1 << 3
LCR_DLAB = 1 << 7
MCR_DTR = 1 << 0
MCR_RTS = 1 << 1
MCR_OUT1 = 1 << 2
MCR_OUT2 = 1 << 3
MCR_LOOP = 1 << 4
MCR_WRITABLE = 0x1F
LSR_DR = 1 << 0
LSR_OE = 1 << 1
LSR_THRE = 1 << 5
LSR_TEMT = 1 << 6
MSR_TERI = 1 << 2
MSR_DELTAS = 0x0F
MSR_CTS = 1 << 4
MSR_DSR = 1 << 5
MSR_RI = 1 << 6
MSR_DCD = 1 << 7
LOOPBACK_LINES = ((MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD))

FIFO_BYTES = 16
TIMEOUT_CHARACTERS = 4
CLOCK_HZ = 1_843_200
CLOCKS_PER_BIT = 16
ONE_BYTE = tuple(bytes([value]) for value in range(256))


class Ns16550:
    def __init__(self, context: DeviceContext, options: Ns16550Options) -> None:
        self._state = Ns16550State()
        self._received: deque[int] = deque()
        self._irq = context.output("IRQ")
        self._timeout = context.timer("receiver-timeout", self._timed_out)
        self._stream = context.driver("stream", CharStream)
        self._line_inputs = MSR_CTS | MSR_DSR | MSR_DCD if self._stream else 0
        self._readers = (self._read_rbr, self._read_ier, self._read_iir, self._read_lcr, self._read_mcr, self._read_lsr, self._read_msr, self._read_scr)
        self._writers = (self._write_thr, self._write_ier, self._write_fcr, self._write_lcr, self._write_mcr, None, None, self._write_scr)
        context.map_ports(options.base, 8, read=self.read, write=self.write)
        if self._stream is not None:
            self._stream.attach(self._receive)

    def reset(self) -> None:
        self._state = Ns16550State(msr=self._line_inputs)
        self._received.clear()
        self._timeout.cancel()
        self._irq.set(False)

    def save_state(self) -> Ns16550State:
        return attrs.evolve(self._state, received=bytes(self._received))

    def load_state(self, state: Ns16550State) -> None:
        self._state = attrs.evolve(state, received=b"")
        self._received = deque(state.received[:FIFO_BYTES])

    def read(self, offset: int, size: int) -> int:
        return self._readers[offset]()

    def write(self, offset: int, size: int, value: int) -> None:
        writer = self._writers[offset]
        if writer is not None:
            writer(value)

    # --- Interrupts ----------------------------------------------------------------------------------------------------------------------------------------

    def _cause(self) -> int:
        """The highest-priority interrupt as IIR shows it (datasheet table 4)."""
        state = self._state
        ier = state.ier
        if ier & IER_ELSI and state.overrun:
            return IIR_LINE_STATUS
        if ier & IER_ERBFI:
            if len(self._received) >= state.trigger:
                return IIR_DATA_AVAILABLE
            if state.timeout_interrupt:
                return IIR_TIMEOUT
        if ier & IER_ETBEI and state.thre_interrupt:
            return IIR_THR_EMPTY
        if ier & IER_EDSSI and state.msr & MSR_DELTAS:
            return IIR_MODEM_STATUS
        return IIR_NONE

    def _update_irq(self) -> None:
        self._irq.set(self._state.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2 and self._cause() != IIR_NONE)

    def _timed_out(self) -> None:
        if self._received:
            self._state.timeout_interrupt = True
            self._update_irq()

    def _restart_timeout(self) -> None:
        """Data below the trigger level interrupts after four character times without a read or an arrival."""
        state = self._state
        state.timeout_interrupt = False
        if not self._received or not state.fifo_enabled:
            self._timeout.cancel()
            return
        lcr = state.lcr
        bits = 7 + (lcr & LCR_WLS) + bool(lcr & LCR_PEN) + bool(lcr & LCR_STB)
        self._timeout.arm_after(TIMEOUT_CHARACTERS * bits * CLOCKS_PER_BIT * (state.dl or 1) * 1_000_000_000 // CLOCK_HZ)

    # --- Data ----------------------------------------------------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Fill the receiver from the stream."""
        state = self._state
        stream = self._stream
        if stream is None or state.mcr & MCR_LOOP:
            return
        room = (FIFO_BYTES if state.fifo_enabled else 1) - len(self._received)
        if room <= 0:
            return
        data = stream.read(room)
        if data:
            self._received.extend(data)
            self._restart_timeout()
            self._update_irq()

    def _read_rbr(self) -> int:
        state = self._state
        if state.lcr & LCR_DLAB:
            return state.dl & 0xFF
        received = self._received
        if not received:
            return 0
        value = received.popleft()
        self._restart_timeout()
        self._update_irq()
        self._receive()
        return value

    def _write_thr(self, value: int) -> None:
        state = self._state
        if state.lcr & LCR_DLAB:
            state.dl = state.dl & 0xFF00 | value
            return
        if state.mcr & MCR_LOOP:
            self._loop_back(value)
        elif self._stream is not None:
            self._stream.write(ONE_BYTE[value])
        if state.thre_interrupt and state.ier & IER_ETBEI:
            state.thre_interrupt = False
            self._update_irq()
        state.thre_interrupt = True
        self._update_irq()

    def _loop_back(self, value: int) -> None:
        state = self._state
        if len(self._received) < (FIFO_BYTES if state.fifo_enabled else 1):
            self._received.append(value)
        else:
            state.overrun = True
            if not state.fifo_enabled:
                self._received[0] = value
        self._restart_timeout()
        self._update_irq()

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def _read_ier(self) -> int:
        state = self._state
        return state.dl >> 8 if state.lcr & LCR_DLAB else state.ier

    def _write_ier(self, value: int) -> None:
        state = self._state
        if state.lcr & LCR_DLAB:
            state.dl = state.dl & 0xFF | value << 8
            return
        if value & ~state.ier & IER_ETBEI:
            state.thre_interrupt = True
        state.ier = value & 0x0F
        self._update_irq()

    def _read_iir(self) -> int:
        state = self._state
        cause = self._cause()
        if cause == IIR_THR_EMPTY:
            state.thre_interrupt = False
            self._update_irq()
        return cause | IIR_FIFOS_ENABLED if state.fifo_enabled else cause

    def _write_fcr(self, value: int) -> None:
        state = self._state
        enabled = bool(value & FCR_ENABLE)
        if enabled != state.fifo_enabled or value & FCR_RESET_RECEIVER:
            self._received.clear()
        state.fifo_enabled = enabled
        state.trigger = FCR_TRIGGERS[value >> 6] if enabled else 1
        self._restart_timeout()
        self._update_irq()
        self._receive()

    def _read_lcr(self) -> int:
        return self._state.lcr

    def _write_lcr(self, value: int) -> None:
        self._state.lcr = value

    def _read_mcr(self) -> int:
        return self._state.mcr

    def _write_mcr(self, value: int) -> None:
        state = self._state
        state.mcr = value & MCR_WRITABLE
        inputs = self._line_inputs
        if value & MCR_LOOP:
            inputs = sum(line for output, line in LOOPBACK_LINES if value & output)
        self._set_line_inputs(inputs)
        self._update_irq()
        self._receive()

    def _set_line_inputs(self, inputs: int) -> None:
        """Changes set the delta bits; TERI only when RI falls."""
        state = self._state
        changed = (state.msr ^ inputs) & ~MSR_DELTAS
        deltas = changed >> 4
        if inputs & MSR_RI:
            deltas &= ~MSR_TERI
        state.msr = inputs | state.msr & MSR_DELTAS | deltas

    def _read_lsr(self) -> int:
        state = self._state
        value = LSR_THRE | LSR_TEMT
        if self._received:
            value |= LSR_DR
        if state.overrun:
            state.overrun = False
            self._update_irq()
            value |= LSR_OE
        return value

    def _read_msr(self) -> int:
        state = self._state
        value = state.msr
        if value & MSR_DELTAS:
            state.msr = value & ~MSR_DELTAS
            self._update_irq()
        return value

    def _read_scr(self) -> int:
        return self._state.scr

    def _write_scr(self, value: int) -> None:
        self._state.scr = value
