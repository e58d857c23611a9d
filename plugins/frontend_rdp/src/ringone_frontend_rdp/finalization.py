"""Connection finalization ([MS-RDPBCGR] 1.3.1.1, 2.2.1.14 to 2.2.1.22): the PDUs both sides exchange once the capabilities are settled.

The server's Synchronize and Control (Cooperate) go out at once on Confirm Active: a client may wait for them before it sends its own.
"""

from __future__ import annotations

import struct

from ringone_frontend_rdp.wire import Reader

SYNCMSGTYPE_SYNC = 1
CTRLACTION_REQUEST_CONTROL, CTRLACTION_GRANTED_CONTROL, CTRLACTION_COOPERATE = 1, 2, 4
SERVER_USER = 0x03EA
FONTMAP_FIRST, FONTMAP_LAST, FONTMAP_ENTRY_SIZE = 1, 2, 4


def synchronize(user: int) -> bytes:
    return struct.pack("<HH", SYNCMSGTYPE_SYNC, user)


def cooperate() -> bytes:
    return struct.pack("<HHI", CTRLACTION_COOPERATE, 0, 0)


def granted(user: int) -> bytes:
    return struct.pack("<HHI", CTRLACTION_GRANTED_CONTROL, user, SERVER_USER)


def font_map() -> bytes:
    return struct.pack("<HHHH", 0, 0, FONTMAP_FIRST | FONTMAP_LAST, FONTMAP_ENTRY_SIZE)


def control_action(body: Reader) -> int:
    return body.u16()
