"""Where the VMM's window lies among the guest's linear addresses: in 4 MiB that the guest's page directory leaves empty. It moves when the guest comes near."""

from __future__ import annotations

from ringone_cpu_patm import vmm_memory
from ringone_cpu_patm.world import Window, World

REGION = 4 << 20
_FIRST_CHOICE = 0xFBC00000
"""High in what Linux calls vmalloc space, which it fills from below, and below its fixed mappings; unused in other systems as a rule."""
_CANDIDATES = (*range(_FIRST_CHOICE, 0xE0000000, -REGION), *range(_FIRST_CHOICE + REGION, 1 << 32, REGION), *range(0xDFC00000, 0, -REGION))


_SHORTEST_PAUSE = 20_000
_LONGEST_PAUSE = 100_000_000
"""Progress units between two searches in vain, each of which takes milliseconds. A guest that maps all 4 GiB never leaves room."""


class WindowManager:
    """Places one world's window."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.base = -1
        """-1 while it has no place."""
        self.moves = 0
        self._search_again_at = 0
        self._pause = _SHORTEST_PAUSE

    def forget(self) -> None:
        """Look for a place anew."""
        self.base = -1
        self.forget_failures()

    def place(self, progress: int) -> bool:
        """See that the window is where the current page directory maps nothing; False where there is no room. `base` may change.

        `progress` is the guest's, in the backend's units: where there was no room, a search comes the later the more often it was in vain.
        """
        mapped = self._world.region_is_mapped
        if self.base >= 0 and not mapped(self.base):
            return True
        if progress < self._search_again_at:
            return False
        self.base = next((base for base in _CANDIDATES if not mapped(base)), -1)
        if self.base < 0:
            self._search_again_at = progress + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return False
        self.forget_failures()
        self.moves += 1
        self._world.place_window(Window(base=self.base, size=vmm_memory.WINDOW_SIZE, code=vmm_memory.CODE_SIZE))
        return True

    def forget_failures(self) -> None:
        """Search at once when there is need: the guest is another one."""
        self._search_again_at = 0
        self._pause = _SHORTEST_PAUSE
