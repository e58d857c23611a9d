"""What csam offers to RingOne: the code scanner `csam`. Capstone is imported when a scanner is created."""

from __future__ import annotations
