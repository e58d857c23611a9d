"""Where the beam is: retrace and display-enable bits from virtual time and the CRTC's timing registers."""

from __future__ import annotations

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.state import VgaState

_DOT_CLOCKS_HZ = (25_175_000, 28_322_000, 25_175_000, 28_322_000)
"""By the miscellaneous output register's clock select; the external clocks are taken for the internal ones."""
_NS_PER_S = 1_000_000_000


class Raster:
    """Timing is worked out at the first question after `changed`. A CRTC that makes no retrace, as after power-on, is timed as in mode 3, so that nobody waits
    for ever."""

    def __init__(self, state: VgaState) -> None:
        self._state = state
        self._stale = True

    def changed(self) -> None:
        self._stale = True

    def status(self, now_ns: int) -> int:
        """Bits 0 and 3 of input status register 1."""
        if self._stale:
            self._update()
        line, in_line_ns = divmod(now_ns % self._frame_ns, self._line_ns)
        if line >= self._display_lines:
            retrace = self._retrace_start <= line < self._retrace_end
            return reg.INPUT_STATUS_1_DISPLAY_DISABLED | (reg.INPUT_STATUS_1_VERTICAL_RETRACE if retrace else 0)
        return reg.INPUT_STATUS_1_DISPLAY_DISABLED if in_line_ns >= self._display_ns else 0

    def _update(self) -> None:
        crtc = self._state.crtc
        clocking = self._state.sequencer[reg.SEQ_CLOCKING_MODE]
        clock_hz = _DOT_CLOCKS_HZ[(self._state.misc_output & reg.MISC_CLOCK_MASK) >> reg.MISC_CLOCK_SHIFT]
        dots = (8 if clocking & reg.CLOCKING_8_DOTS else 9) << bool(clocking & reg.CLOCKING_HALF_RATE)
        characters = crtc[reg.CRTC_HORIZONTAL_TOTAL] + 5
        displayed = crtc[reg.CRTC_HORIZONTAL_DISPLAY_END] + 1
        overflow = crtc[reg.CRTC_OVERFLOW]
        lines = (crtc[reg.CRTC_VERTICAL_TOTAL] | (overflow & 1) << 8 | (overflow & 1 << 5) << 4) + 2
        display_lines = vertical_display_lines(crtc)
        start = crtc[reg.CRTC_VERTICAL_RETRACE_START] | (overflow & 1 << 2) << 6 | (overflow & 1 << 7) << 2
        length = (crtc[reg.CRTC_VERTICAL_RETRACE_END] - start & 0x0F) or 16
        if not (display_lines <= start < start + length <= lines and displayed < characters):
            characters, displayed, lines, display_lines, start, length = 100, 80, 449, 400, 412, 2
        self._line_ns = characters * dots * _NS_PER_S // clock_hz
        self._display_ns = displayed * dots * _NS_PER_S // clock_hz
        self._frame_ns = lines * self._line_ns
        self._display_lines = display_lines
        self._retrace_start, self._retrace_end = start, start + length
        self._stale = False


def vertical_display_lines(crtc: list[int]) -> int:
    overflow = crtc[reg.CRTC_OVERFLOW]
    return (crtc[reg.CRTC_VERTICAL_DISPLAY_END] | (overflow & 1 << 1) << 7 | (overflow & 1 << 6) << 3) + 1
