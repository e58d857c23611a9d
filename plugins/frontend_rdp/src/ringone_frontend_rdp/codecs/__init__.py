"""Pictures as bytes for the wire."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
"""Rows from the top, columns, and 3 bytes a pixel: red, green, blue."""
