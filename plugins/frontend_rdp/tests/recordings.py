"""What clients said behind TLS, PDU by PDU: sessions of the real ones, recorded (``data/*.txt``, a PDU of hexadecimal digits in each line), and of our own.

In each, a client logs on without a password, presses keys and moves the mouse. The user is called nobody and the client's host tester.
"""

from __future__ import annotations

from pathlib import Path

from plugins.frontend_rdp.tests import rdp_client as client

DATA = Path(__file__).with_name("data")


def _recorded(path: Path) -> list[bytes]:
    return [bytes.fromhex(line) for line in path.read_text("ascii").split()]


SESSIONS: dict[str, list[bytes]] = {
    "own": [pdu for pdu in client.conversation() if pdu != client.DISCONNECT],
    **{path.stem: _recorded(path) for path in sorted(DATA.glob("*.txt"))},
}
