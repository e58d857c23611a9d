"""Pictures as bytes for the wire."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
"""Rows from the top, columns, and 3 bytes a pixel: red, green, blue."""

BITMAP_ALIGNMENT = 4


def padded(picture: Picture) -> Picture:
    """With the last column repeated until the width is one that compressed bitmap updates may have."""
    missing = -picture.shape[1] % BITMAP_ALIGNMENT
    return np.pad(picture, ((0, 0), (0, missing), (0, 0)), mode="edge") if missing else picture
