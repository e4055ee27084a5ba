"""News: the teller never waits, and who does not read loses the oldest."""

import queue
import threading

import pytest

from appliance.events import Board, Event, nobody


def kinds(listener: queue.Queue) -> list[str]:
    said = []
    while not listener.empty():
        said.append(listener.get_nowait().kind)
    return said


def test_every_listener_hears_everything_in_order():
    board = Board()
    first, second = board.listen(), board.listen()
    for kind in ("exam.begun", "object.kept", "exam.finished"):
        board.tell(Event(kind))
    assert kinds(first) == kinds(second) == ["exam.begun", "object.kept", "exam.finished"]


def test_a_listener_that_does_not_read_loses_its_oldest_news_and_holds_up_nobody():
    board = Board()
    lazy, eager = board.listen(depth=3), board.listen(depth=100)
    for number in range(50):
        board.tell(Event(str(number)))
    assert kinds(lazy) == ["47", "48", "49"]
    assert len(kinds(eager)) == 50


def test_who_left_hears_nothing_more():
    board = Board()
    listener = board.listen()
    board.leave(listener)
    board.leave(listener)
    board.tell(Event("exam.begun"))
    assert kinds(listener) == []


def test_many_tellers_at_once_lose_nothing():
    board = Board()
    listener = board.listen(depth=1000)
    threads = [threading.Thread(target=lambda: [board.tell(Event("tick")) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kinds(listener)) == 800


def test_news_has_a_time_with_its_zone_and_does_not_change():
    event = Event("exam.begun", {"exam": "e1"})
    assert event.time.tzinfo is not None
    with pytest.raises(AttributeError):
        event.kind = "other"


def test_telling_nobody_is_fine():
    assert nobody(Event("exam.begun")) is None
