"""VGA (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem") with the Bochs VBE extensions: what SeaVGABIOS and Linux's bochs-drm drive.

::

    3B4, 3B5, 3BA   CRTC and status, monochrome addresses       1CE         VBE index
    3C0, 3C1        attribute controller                        1CF, 1D0    VBE data
    3C2, 3CC, 3CA   miscellaneous output, feature control       A0000       planes, see `aperture`
    3C4, 3C5        sequencer                                   BAR 0       video memory
    3C6 to 3C9      palette                                     BAR 2       0400 ports 3C0 to 3DF, 0500 VBE registers
    3CE, 3CF        graphics controller
    3D4, 3D5, 3DA   CRTC and status, colour addresses

The vertical interrupt, the light pen and EDID are left out. The PCI command register opens the BARs only; the VGA's own ports and window always answer.
"""

from __future__ import annotations

from collections.abc import Callable

from ringone.api.devices import DeviceContext, PciBus
from ringone.api.errors import AssemblyError
from ringone.api.memory import MemoryBlock

from ringone_devices_pc.pci_config import PciConfigSpace
from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.aperture import APERTURE_BASE, APERTURE_BYTES, BANK_BYTES, Aperture
from ringone_devices_pc.vga.config import VgaOptions
from ringone_devices_pc.vga.raster import Raster
from ringone_devices_pc.vga.scanout import Scanout
from ringone_devices_pc.vga.state import VgaState
from ringone_devices_pc.vga.vbe import BochsVbe

_MMIO_BYTES = 4096
_MMIO_PORTS = 0x400
_MMIO_VBE = 0x500
_VBE_REGISTERS = reg.VBE_VIDEO_MEMORY_64K + 1
_PORTS = 0x20
_COLOUR = 0x10
"""Offset from 3C0 to 3D0. The CRTC's monochrome addresses, 3B0 on, lead to the same places."""
_OPEN_BUS = 0xFF


def _nothing() -> int:
    return _OPEN_BUS


def _ignore(_value: int) -> None:
    return


class Vga:
    def __init__(self, context: DeviceContext, options: VgaOptions) -> None:
        self._now_ns = context.now_ns
        self._state = VgaState()
        vram = context.memory_block("vram", options.vram_bytes)
        banks = [
            context.map_memory(vram, APERTURE_BASE, BANK_BYTES, block_offset=at, name=f"bank {at // BANK_BYTES}", priority=2, enabled=False)
            for at in range(0, options.vram_bytes, BANK_BYTES)
        ]
        self._aperture = Aperture(self._state, vram, banks)
        self._raster = Raster(self._state)
        self._vbe = BochsVbe(self._state, vram, self._aperture.update)
        self._reads = self._make_reads()
        self._writes = self._make_writes()
        context.map_ports(0x3B0, 12, read=self._read_mono, write=self._write_mono, name="monochrome")
        context.map_ports(0x3C0, _PORTS, read=self._read_port, write=self._write_port, name="VGA")
        context.map_ports(0x1CE, 1, read=self._read_vbe_index, write=self._write_vbe_index, widths=(2,), name="VBE index")
        for base in (0x1CF, 0x1D0):
            context.map_ports(base, 1, read=self._read_vbe_data, write=self._write_vbe_data, widths=(2,), name="VBE data")
        context.map_mmio(APERTURE_BASE, APERTURE_BYTES, read=self._aperture.read, write=self._aperture.write, name="window", priority=1)
        self._pci = self._plug_in(context, options, vram) if options.pci else None
        if not options.pci:
            context.map_memory(vram, reg.ISA_FRAME_BUFFER, options.vram_bytes, name="frame buffer", priority=1)
        context.provide("display", Scanout(self._state, vram.data))

    def _plug_in(self, context: DeviceContext, options: VgaOptions, vram: MemoryBlock) -> PciConfigSpace:
        bus = context.link("pci", PciBus)
        if bus is None:
            raise AssemblyError("the display adapter needs a link 'pci' to a host bridge, or the option pci=off", component=context.id)
        frame_buffer = context.map_memory(vram, 0, options.vram_bytes, name="frame buffer", priority=1, enabled=False)
        mmio = context.map_mmio(0, _MMIO_BYTES, read=self._read_mmio, write=self._write_mmio, name="registers", priority=1, enabled=False)
        config = PciConfigSpace(vendor_id=0x1234, device_id=0x1111, class_code=0x030000)
        config.add_memory_bar(0, options.vram_bytes, frame_buffer, prefetchable=True)
        config.add_memory_bar(2, _MMIO_BYTES, mmio)
        bus.attach(options.device, 0, config)
        return config

    def _make_reads(self) -> tuple[Callable[[], int], ...]:
        state = self._state
        reads: dict[int, Callable[[], int]] = {
            0x00: lambda: state.attribute_index,
            0x01: self._read_attribute,
            0x02: lambda: reg.INPUT_STATUS_0_SENSE,
            0x03: lambda: state.video_subsystem_enable,
            0x04: lambda: state.sequencer_index,
            0x05: self._read_sequencer,
            0x06: lambda: state.pel_mask,
            0x07: lambda: state.dac_state,
            0x08: lambda: state.dac_write_position // 3,
            0x09: self._read_dac,
            0x0A: lambda: state.feature_control,
            0x0C: lambda: state.misc_output,
            0x0E: lambda: state.graphics_index,
            0x0F: self._read_graphics,
            0x14: lambda: state.crtc_index,
            0x15: self._read_crtc,
            0x1A: self._read_input_status_1,
        }
        return tuple([reads.get(port, _nothing) for port in range(_PORTS)])

    def _make_writes(self) -> tuple[Callable[[int], None], ...]:
        writes: dict[int, Callable[[int], None]] = {
            0x00: self._write_attribute,
            0x02: self._write_misc_output,
            0x03: self._write_video_subsystem_enable,
            0x04: self._write_sequencer_index,
            0x05: self._write_sequencer,
            0x06: self._write_pel_mask,
            0x07: self._write_dac_read_index,
            0x08: self._write_dac_write_index,
            0x09: self._write_dac,
            0x0E: self._write_graphics_index,
            0x0F: self._write_graphics,
            0x14: self._write_crtc_index,
            0x15: self._write_crtc,
            0x1A: self._write_feature_control,
        }
        return tuple([writes.get(port, _ignore) for port in range(_PORTS)])

    # --- Device --------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Video memory keeps its content."""
        self._state.assign(VgaState())
        if self._pci is not None:
            self._pci.reset()
        self._registers_replaced()

    def save_state(self) -> VgaState:
        state = self._state.copy()
        state.pci = self._pci.save() if self._pci is not None else b""
        return state

    def load_state(self, state: VgaState) -> None:
        state.check()
        if self._pci is not None:
            self._pci.load(state.pci)
        self._state.assign(state)
        self._vbe.settle()
        self._registers_replaced()

    def _registers_replaced(self) -> None:
        self._aperture.update()
        self._raster.changed()

    # --- Ports ---------------------------------------------------------------------------------------------------------------------------------------------

    def _read_port(self, offset: int, size: int) -> int:
        if offset >= _COLOUR and not self._state.misc_output & reg.MISC_COLOUR:
            return _OPEN_BUS
        return self._reads[offset]()

    def _write_port(self, offset: int, size: int, value: int) -> None:
        if offset < _COLOUR or self._state.misc_output & reg.MISC_COLOUR:
            self._writes[offset](value)

    def _read_mono(self, offset: int, size: int) -> int:
        return _OPEN_BUS if self._state.misc_output & reg.MISC_COLOUR else self._reads[_COLOUR + offset]()

    def _write_mono(self, offset: int, size: int, value: int) -> None:
        if not self._state.misc_output & reg.MISC_COLOUR:
            self._writes[_COLOUR + offset](value)

    def _read_vbe_index(self, offset: int, size: int) -> int:
        return self._state.vbe_index

    def _write_vbe_index(self, offset: int, size: int, value: int) -> None:
        self._state.vbe_index = value

    def _read_vbe_data(self, offset: int, size: int) -> int:
        return self._vbe.read(self._state.vbe_index)

    def _write_vbe_data(self, offset: int, size: int, value: int) -> None:
        self._vbe.write(self._state.vbe_index, value)

    # --- Memory-mapped registers ---------------------------------------------------------------------------------------------------------------------------

    def _read_mmio(self, offset: int, size: int) -> int:
        port, index = offset - _MMIO_PORTS, offset - _MMIO_VBE >> 1
        if 0 <= port < _PORTS:
            return sum(self._read_port(at, 1) << 8 * (at - port) for at in range(port, min(port + size, _PORTS)))
        if 0 <= index < _VBE_REGISTERS:
            value = self._vbe.read(index) | self._vbe.read(index + 1) << 16
            return value >> 8 * (offset & 1) & (1 << 8 * size) - 1
        return 0

    def _write_mmio(self, offset: int, size: int, value: int) -> None:
        port, index = offset - _MMIO_PORTS, offset - _MMIO_VBE >> 1
        if 0 <= port < _PORTS:
            for at in range(port, min(port + size, _PORTS)):
                self._write_port(at, 1, value >> 8 * (at - port) & 0xFF)
        elif 0 <= index < _VBE_REGISTERS and size > 1:
            self._vbe.write(index, value & 0xFFFF)
            if size == 4:
                self._vbe.write(index + 1, value >> 16)

    # --- Miscellaneous output and status -------------------------------------------------------------------------------------------------------------------

    def _write_misc_output(self, value: int) -> None:
        self._state.misc_output = value
        self._raster.changed()

    def _write_video_subsystem_enable(self, value: int) -> None:
        self._state.video_subsystem_enable = value & 1

    def _write_feature_control(self, value: int) -> None:
        self._state.feature_control = value & 0x0B

    def _read_input_status_1(self) -> int:
        self._state.attribute_takes_data = False
        return self._raster.status(self._now_ns())

    # --- Sequencer -----------------------------------------------------------------------------------------------------------------------------------------

    def _write_sequencer_index(self, value: int) -> None:
        self._state.sequencer_index = value & reg.SEQ_INDEX_MASK

    def _read_sequencer(self) -> int:
        state = self._state
        return state.sequencer[state.sequencer_index] if state.sequencer_index < len(reg.SEQ_WRITABLE) else 0

    def _write_sequencer(self, value: int) -> None:
        index = self._state.sequencer_index
        if index < len(reg.SEQ_WRITABLE):
            self._state.sequencer[index] = value & reg.SEQ_WRITABLE[index]
            self._registers_replaced()

    # --- Graphics controller -------------------------------------------------------------------------------------------------------------------------------

    def _write_graphics_index(self, value: int) -> None:
        self._state.graphics_index = value & reg.GC_INDEX_MASK

    def _read_graphics(self) -> int:
        state = self._state
        return state.graphics[state.graphics_index] if state.graphics_index < len(reg.GC_WRITABLE) else 0

    def _write_graphics(self, value: int) -> None:
        index = self._state.graphics_index
        if index < len(reg.GC_WRITABLE):
            self._state.graphics[index] = value & reg.GC_WRITABLE[index]
            self._aperture.update()

    # --- CRT controller ------------------------------------------------------------------------------------------------------------------------------------

    def _write_crtc_index(self, value: int) -> None:
        self._state.crtc_index = value & reg.CRTC_INDEX_MASK

    def _read_crtc(self) -> int:
        state = self._state
        return state.crtc[state.crtc_index] if state.crtc_index < reg.CRTC_REGISTERS else 0

    def _write_crtc(self, value: int) -> None:
        crtc, index = self._state.crtc, self._state.crtc_index
        if index >= reg.CRTC_REGISTERS:
            return
        if index <= reg.CRTC_OVERFLOW and crtc[reg.CRTC_VERTICAL_RETRACE_END] & reg.RETRACE_END_PROTECT:
            if index != reg.CRTC_OVERFLOW:
                return
            value = crtc[index] & ~reg.OVERFLOW_LINE_COMPARE_8 | value & reg.OVERFLOW_LINE_COMPARE_8
        crtc[index] = value
        self._raster.changed()

    # --- Attribute controller ------------------------------------------------------------------------------------------------------------------------------

    def _read_attribute(self) -> int:
        index = self._state.attribute_index & reg.ATTRIBUTE_INDEX_MASK
        return self._state.attribute[index] if index < len(reg.ATTRIBUTE_WRITABLE) else 0

    def _write_attribute(self, value: int) -> None:
        state = self._state
        if not state.attribute_takes_data:
            state.attribute_index = value & (reg.ATTRIBUTE_INDEX_MASK | reg.ATTRIBUTE_VIDEO_ENABLE)
        else:
            index = state.attribute_index & reg.ATTRIBUTE_INDEX_MASK
            if index < len(reg.ATTRIBUTE_WRITABLE):
                state.attribute[index] = value & reg.ATTRIBUTE_WRITABLE[index]
        state.attribute_takes_data = not state.attribute_takes_data

    # --- Palette -------------------------------------------------------------------------------------------------------------------------------------------

    def _write_pel_mask(self, value: int) -> None:
        self._state.pel_mask = value

    def _write_dac_read_index(self, value: int) -> None:
        self._state.dac_read_position = 3 * value
        self._state.dac_state = reg.DAC_STATE_READ

    def _write_dac_write_index(self, value: int) -> None:
        self._state.dac_write_position = 3 * value
        self._state.dac_state = 0

    def _read_dac(self) -> int:
        state = self._state
        position = state.dac_read_position
        state.dac_read_position = (position + 1) % reg.DAC_BYTES
        return state.dac[position]

    def _write_dac(self, value: int) -> None:
        state = self._state
        position = state.dac_write_position
        state.dac[position] = value if state.vbe[reg.VBE_ENABLE] & reg.VBE_8BIT_DAC else value & 0x3F
        state.dac_write_position = (position + 1) % reg.DAC_BYTES
