"""How an access of one size becomes accesses of the widths that a handler declares; shared by port and memory-mapped I/O."""

from __future__ import annotations

from ringone.api.errors import AssemblyError

ALL_ONES = tuple((1 << 8 * size) - 1 for size in range(9))
"""What nobody drives, by size in bytes; also the mask of a value of that size."""


def _widest(mask: int, remaining: int) -> int:
    return max((width for width in (1, 2, 4, 8) if width & mask and width <= remaining), default=0)


WIDEST = tuple(tuple(_widest(mask, remaining) for remaining in range(9)) for mask in range(16))
"""``WIDEST[mask][remaining]``: the widest access in `mask` (its widths, or-ed) that is no wider than `remaining` bytes, 0 where all are wider."""


def width_mask(widths: tuple[int, ...], allowed: tuple[int, ...], component: str) -> int:
    """The declared widths, or-ed together."""
    if not widths or any(width not in allowed for width in widths):
        raise AssemblyError(f"access widths {widths} are not possible; accepted: some of {allowed}", component=component)
    mask = 0
    for width in widths:
        mask |= width
    return mask
