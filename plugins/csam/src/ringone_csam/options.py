"""Options of the code scanner `csam`."""

from __future__ import annotations

import attrs
from attrs.validators import ge
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class CsamOptions:
    remembered: int = option(
        1 << 20, help="instructions of scanned pages that are remembered; the pages not seen for longest are forgotten first", validator=ge(0)
    )
