"""Options of the i440FX."""

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class I440fxOptions:
    base: int = option(0xCF8, help="configuration address port; the data port follows at +4")
