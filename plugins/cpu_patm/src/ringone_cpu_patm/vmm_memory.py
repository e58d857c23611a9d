"""The VMM's own memory, as the guest's kernel meets it in the window: patch code, the state page, the shadow descriptor tables; behind the window, the fetch
views of guest pages."""

from __future__ import annotations

import ctypes
import mmap
import struct

from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE

from ringone_cpu_patm import state_page

CODE_SIZE = 2 << 20
STATE = CODE_SIZE
GDT = STATE + state_page.SIZE
LDT = GDT + 0x10000
WINDOW_SIZE = LDT + 0x10000
HALT_VIEW = WINDOW_SIZE
"""A view in which every byte is HLT: for pages that must not run at ring 1."""
VIEWS = HALT_VIEW + PAGE_SIZE
VIEW_COUNT = 4096
SIZE = VIEWS + VIEW_COUNT * PAGE_SIZE

HLT = 0xF4


class OutOfPatchMemory(Exception):
    """Patch code or views need more room than there is; everything is thrown away and made again as it is needed."""


class VmmMemory:
    """Offsets are from the start of the memory, which is also the start of the window."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE)
        self._anchor = ctypes.c_uint8.from_buffer(self._memory)
        self.address = ctypes.addressof(self._anchor)
        self.bytes = memoryview(self._memory)
        self.state = self.bytes[STATE : STATE + state_page.SIZE].cast("I")
        """The state page in 32-bit words."""
        self.filled_regions = self.bytes[STATE + state_page.FILLED : STATE + state_page.FLUSHES + 4].cast("I")
        self.code_used = 0
        self._free_views: list[int] = []

    def clear(self) -> None:
        """Forget all patch code and views. Also before the first of them: machines that come to no kernel need not fill the memory."""
        self.bytes[HALT_VIEW:VIEWS] = bytes([HLT]) * PAGE_SIZE
        self.bytes[:CODE_SIZE] = bytes([HLT]) * CODE_SIZE
        self.code_used = 0
        self._free_views = [VIEWS + (index << PAGE_SHIFT) for index in reversed(range(VIEW_COUNT))]

    def add_code(self, code: bytes) -> int:
        """Offset of new patch code. Raises `OutOfPatchMemory`."""
        offset = self.code_used
        if offset + len(code) > CODE_SIZE:
            raise OutOfPatchMemory
        self.bytes[offset : offset + len(code)] = code
        self.code_used = -(-(offset + len(code)) // 16) * 16
        return offset

    def take_view(self) -> int:
        """Offset of a free view. Raises `OutOfPatchMemory`."""
        if not self._free_views:
            raise OutOfPatchMemory
        return self._free_views.pop()

    def give_view(self, offset: int) -> None:
        self._free_views.append(offset)

    def store_table_register(self, word: int, limit: int, base: int) -> None:
        """GDTR or IDTR in the state page, as SGDT and SIDT store it."""
        struct.pack_into("<HI", self.bytes, STATE + word, limit & 0xFFFF, base & 0xFFFFFFFF)
