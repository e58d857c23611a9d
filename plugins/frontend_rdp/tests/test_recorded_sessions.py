"""Recorded sessions, bent in every way: whatever comes, the protocol's core goes on or ends with one `ProtocolError`, and keeps and answers little.

Which test covers what of the mistakes that RDP servers are known for:

| what clients do | covered by |
| --- | --- |
| malformed PDUs: cut, flipped, wrong lengths, reordered, repeated, wrong channels | here, `test_parsers` (each by itself), `test_connection`, `test_credssp` |
| the same on real sockets, with another client watching | `test_hostile_clients` (bent sessions, garbage in TLS) |
| one byte after the other, silence at every stage, hundreds of idle sockets | `test_server`, `test_hostile_clients` |
| lengths too large, negative or 0; sets without end; NTLM fields and DER beyond their end | here, `test_parsers`, `test_ntlm`, `test_credssp` |
| guessed passwords | `test_server.test_wrong_passwords_lock_an_address_out`, `test_credssp.test_an_unknown_user_is_answered_like_a_wrong_password` |
| the same over many connections at once | `test_server.test_guessing_over_many_connections_at_once_is_guessing_all_the_same` |
| replayed logons, relays with another certificate, downgrades | `test_credssp`, `test_ntlm`, `test_connection` (negotiation) |
| floods of input, redraws and requests | `test_hostile_clients.test_floods_disturb_neither_the_machine_nor_others`, `test_pace` |
| another size that is not answered | `test_server.test_who_does_not_take_another_size_gives_its_place_back` |
| names that would forge log lines | `test_hostile_clients.test_logs_have_neither_passwords_nor_what_would_forge_them` |
| a client that stops reading | `test_server.test_client_that_reads_nothing_is_dropped_and_others_do_not_notice` |
| a client that is killed | `test_hostile_clients.test_killed_client_gives_back_its_keys_and_its_place` |
| reconnecting and resizing without end | `test_hostile_clients.test_what_comes_and_goes_leaves_nothing_behind` |
| suppressed and refreshed output | `test_server.test_suppressed_output_comes_again_when_it_is_wanted` |
"""

from __future__ import annotations

import copy
import os
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone_frontend_rdp import clipboard
from ringone_frontend_rdp.connection import LARGEST_OTHER_PDU, Activated, ChannelMessage, Connection, Event, Inputs, Security, Stage
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.graphics import dynamic
from ringone_frontend_rdp.x224 import Protocol

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.recordings import SESSIONS

EXAMPLES = int(os.environ.get("RINGONE_FUZZ_EXAMPLES", "0"))
"""More than the fast suite's: `make fuzz`."""
SETTINGS = settings(max_examples=EXAMPLES or 150, derandomize=not EXAMPLES, deadline=None, database=None)

MOST_ANSWERED = 2048
"""Bytes that one PDU may be answered with; the largest is Demand Active with License."""
NUMBERS = [struct.pack(form, value) for form, value in [("<B", 0), ("<B", 1), ("<B", 0x7F), ("<B", 0x80), ("<B", 0xFF), ("<H", 0), ("<H", 0x7FFF)]]
NUMBERS += [struct.pack(form, value) for form, value in [("<H", 0x8000), ("<H", 0xFFFF), ("<I", 0), ("<I", 1), ("<i", -1), ("<I", 0x80000000)]]

every_session = pytest.mark.parametrize("name", SESSIONS)


RESIZED = {name for name, pdus in SESSIONS.items() if sum(b"\x13\x00" in pdu[14:19] for pdu in pdus) > 1}
"""Where the client confirms a second size."""
LAST_SIZE = 320, 200


def new_connection(name: str) -> Connection:
    made = Connection(Security(accepted=(Protocol.SSL,)), *((640, 480) if name in RESIZED else LAST_SIZE))
    client.through_negotiation(made)
    made.listen(clipboard.STATIC_CHANNEL, clipboard.LARGEST_MESSAGE, clipboard.KEPT)
    made.listen(dynamic.STATIC_CHANNEL, LARGEST_OTHER_PDU, LARGEST_OTHER_PDU)
    return made


def play(made: Connection, data: bytes) -> tuple[bytes, list[Event]]:
    """What the connection answers; a guest that is slow to find its size does so when somebody looks."""
    made.receive(data)
    events = made.take_events()
    if Activated() in events and (made.width, made.height) != LAST_SIZE and made.stage is Stage.ACTIVE:
        made.resize(*LAST_SIZE)
    for event in events:
        if isinstance(event, ChannelMessage) and event.channel == clipboard.STATIC_CHANNEL:
            clipboard.Clipboard(list[bytes]().append).receive(event.message)
    return made.take_output(), events


def states(name: str) -> list[Connection]:
    """The connection before each PDU."""
    made, before = new_connection(name), []
    for pdu in SESSIONS[name]:
        before.append(copy.deepcopy(made))
        play(made, pdu)
    return before


BEFORE = {name: states(name) for name in SESSIONS}


def goes_on_or_ends(before: Connection, pdus: Iterable[bytes]) -> None:
    made = copy.deepcopy(before)
    try:
        for pdu in pdus:
            answer, _ = play(made, pdu)
            assert len(answer) <= MOST_ANSWERED + len(pdu)
            assert len(made._buffer) <= LARGEST_OTHER_PDU
    except ProtocolError:
        return


def framed(pdu: bytes, body: bytes) -> bytes:
    """`body` in a frame of the kind that `pdu` has, of the right length."""
    if pdu[0] == 3:
        return client.tpkt(body)
    return pdu[:1] + struct.pack(">H", 0x8000 | 3 + len(body)) + body


def body_of(pdu: bytes) -> bytes:
    if pdu[0] == 3:
        return pdu[4:]
    return pdu[3:] if pdu[1] & 0x80 else pdu[2:]


@every_session
def test_session_comes_to_life(name: str) -> None:
    made = new_connection(name)
    events = [event for pdu in SESSIONS[name] for event in play(made, pdu)[1]]
    assert events.count(Activated()) == 1 + (name in RESIZED)
    assert any(isinstance(event, Inputs) for event in events)
    assert (made.stage, made.width, made.height) == (Stage.ACTIVE, *LAST_SIZE)


@every_session
def test_every_pdu_may_be_cut_at_every_byte(name: str) -> None:
    """In a frame of its own length; the rest of the session follows."""
    for number, pdu in enumerate(SESSIONS[name]):
        body = body_of(pdu)
        for size in range(len(body)):
            goes_on_or_ends(BEFORE[name][number], [framed(pdu, body[:size]), *SESSIONS[name][number + 1 : number + 4]])


@every_session
def test_what_is_lost_on_the_way_shifts_everything_behind_it(name: str) -> None:
    """The frame's length stays: bytes of the next PDUs fall into it."""
    for number, pdu in enumerate(SESSIONS[name]):
        for size in range(0, len(pdu), 7):
            goes_on_or_ends(BEFORE[name][number], [pdu[:size] + b"".join(SESSIONS[name][number + 1 :])])


@every_session
def test_every_pdu_may_come_at_every_stage_and_twice(name: str) -> None:
    kinds = list({(len(pdu), pdu[:20]): pdu for pdu in [*SESSIONS[name], client.DISCONNECT]}.values())
    for number, pdu in enumerate(SESSIONS[name]):
        for other in kinds:
            goes_on_or_ends(BEFORE[name][number], [other, other, pdu, *SESSIONS[name][number + 1 : number + 4]])


@every_session
def test_every_number_may_be_extreme(name: str) -> None:
    for number, pdu in enumerate(SESSIONS[name]):
        step = 1 if EXAMPLES else 1 + len(pdu) // 48
        for place in range(0, len(pdu), step):
            for value in NUMBERS:
                bent = (pdu[:place] + value + pdu[place + len(value) :])[: len(pdu)]
                goes_on_or_ends(BEFORE[name][number], [bent, *SESSIONS[name][number + 1 : number + 3]])


@SETTINGS
@given(data=st.data())
def test_flipped_and_mixed_up_sessions_are_harmless(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SESSIONS)))
    pdus = list(SESSIONS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(pdus) - 1))
        match data.draw(st.sampled_from(["flip", "swap", "repeat", "drop", "insert"])):
            case "flip":
                bent = bytearray(pdus[number])
                bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
                pdus[number] = bytes(bent)
            case "swap":
                other = data.draw(st.integers(0, len(pdus) - 1))
                pdus[number], pdus[other] = pdus[other], pdus[number]
            case "repeat":
                pdus.insert(number, pdus[number])
            case "drop" if len(pdus) > 1:
                del pdus[number]
            case _:
                pdus.insert(number, client.send_data(data.draw(st.binary(max_size=60)), data.draw(st.integers(1000, 1012))))
    goes_on_or_ends(new_connection(name), pdus)


@SETTINGS
@given(name=st.sampled_from(sorted(SESSIONS)), data=st.data())
def test_pieces_of_any_size_are_the_same_session(name: str, data: st.DataObject) -> None:
    stream, made, at = b"".join(SESSIONS[name]), new_connection(name), 0
    while at < len(stream):
        size = data.draw(st.integers(1, 400))
        play(made, stream[at : at + size])
        at += size
    assert made.stage is Stage.ACTIVE
