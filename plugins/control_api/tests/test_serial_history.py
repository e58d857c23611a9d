from __future__ import annotations

from ringone_control_api.serial_history import SerialHistory


def test_positions_count_from_the_first_byte() -> None:
    history = SerialHistory()
    history.append(b"hello ")
    history.append(b"world")
    assert history.end == 11
    assert history.read(0) == (0, b"hello world")
    assert history.read(6) == (6, b"world")
    assert history.read(11) == (11, b"")


def test_a_position_that_is_still_to_come_gives_nothing_yet() -> None:
    history = SerialHistory()
    history.append(b"abc")
    assert history.read(100) == (3, b"")


def test_the_oldest_bytes_are_forgotten_and_the_answer_says_so() -> None:
    history = SerialHistory(limit_bytes=100)
    for number in range(100):
        history.append(b"%04d" % number)
    start, said = history.read(0)
    assert start > 0
    assert start + len(said) == history.end == 400
    assert 100 <= len(said) <= 125
    assert said.endswith(b"0099")


def test_listeners_hear_every_append_until_they_leave() -> None:
    history, heard = SerialHistory(), []
    leave = history.listen(lambda: heard.append(history.end))
    history.append(b"ab")
    leave()
    history.append(b"cd")
    assert heard == [2]
