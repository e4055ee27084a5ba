"""The server, live events and the live picture, over real sockets."""

import json
import socket
import threading
import time

import httpx
import pytest

from appliance.errors import SettingsError, StateError
from appliance.ui import api, newsroom
from appliance.ui.serve import Server


def read_events(response, want: int, patience: float = 6.0) -> list[tuple[str, dict]]:
    """The next `want` events of a stream."""
    events, name, deadline = [], "", time.monotonic() + patience
    for line in response.iter_lines():
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            events.append((name, json.loads(line[5:])))
            if len(events) == want:
                return events
        assert time.monotonic() < deadline
    return events


def test_a_listener_hears_the_state_at_once_and_after_a_change(server, desk):
    with httpx.stream("GET", f"{server.url}/api/events", timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert [next(lines), next(lines), next(lines)] == ["retry: 1000", "", "event: state"]
        assert json.loads(next(lines)[5:])["exam"] is None
        began = time.monotonic()
        httpx.post(f"{server.url}/api/exam/begin", json={"key": "A2026-1102/S02"})
        assert next(lines) == "" and next(lines) == "event: state"
        assert json.loads(next(lines)[5:])["exam"]["accession"] == "A2026-1102"
        assert time.monotonic() - began < 5


def test_silence_has_a_beat_and_no_repeated_state(server, monkeypatch):
    monkeypatch.setattr(newsroom, "BEAT", 0.8)
    monkeypatch.setattr(newsroom, "TICK", 0.2)
    with httpx.stream("GET", f"{server.url}/api/events", timeout=10) as response:
        kinds = [kind for kind, _ in read_events(response, 3)]
    assert kinds == ["state", "beat", "beat"]


def test_much_news_becomes_few_states_and_the_last_one_is_true(server, desk):
    heard = []

    def listen():
        with httpx.stream("GET", f"{server.url}/api/events", timeout=10) as response:
            name = ""
            for line in response.iter_lines():
                if line.startswith("event:"):
                    name = line[7:]
                if line.startswith("data:") and name == "state":
                    heard.append(json.loads(line[5:])["owed"]["objects"])
                    if heard[-1] == 1000:
                        return

    listener = threading.Thread(target=listen)
    listener.start()
    while not heard:
        time.sleep(0.01)
    began = time.monotonic()
    for number in range(1, 1001):
        desk.change(owed={"objects": number, "reports": 0, "refused": 0, "words": ""})
        time.sleep(0.0005)
    lasted = time.monotonic() - began
    listener.join(8)
    assert heard[-1] == 1000
    assert len(heard) <= lasted * 11 + 4


def test_a_listener_that_never_reads_stops_nobody(server, desk):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        desk.orders = desk.orders * 200  # about a megabyte per state
        for number in range(30):
            desk.change(owed={"objects": number, "reports": 0, "refused": 0, "words": ""})
            time.sleep(0.05)
        assert httpx.get(f"{server.url}/api/live.jpg", timeout=10).status_code == 200


def test_a_station_that_cannot_tell_its_state_says_so(server, desk):
    desk.state = lambda: (_ for _ in ()).throw(StateError("the ledger is locked"))
    with httpx.stream("GET", f"{server.url}/api/events", timeout=10) as response:
        assert read_events(response, 1) == [("trouble", {"what": "the ledger is locked", "advice": StateError.advice})]


def parts(response, want: int) -> list[tuple[int, bytes]]:
    """Frame numbers and JPEGs of a multipart stream."""
    found, rest = [], b""
    for piece in response.iter_bytes():
        rest += piece
        while b"\r\n\r\n" in rest:
            head, _, body = rest.partition(b"\r\n\r\n")
            facts = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
            size = int(facts[b"Content-Length"])
            if len(body) < size + 2:
                break
            found.append((int(facts[b"X-Frame"]), body[:size]))
            rest = body[size + 2 :]
            if len(found) == want:
                return found
    return found


def test_motion_jpeg_has_rising_frames_of_the_wanted_width(server, desk):
    with httpx.stream("GET", f"{server.url}/api/live.mjpg?width=310", timeout=10) as response:
        assert response.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        frames = parts(response, 6)
    numbers = [number for number, _ in frames]
    assert numbers == sorted(set(numbers)) and len(numbers) == 6
    assert all(jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9" for _, jpeg in frames)


def test_a_slow_viewer_gets_fewer_frames_and_never_old_ones(server, desk):
    picture = b"\xff\xd8" + bytes(400_000) + b"\xff\xd9"
    handed = []
    desk.wait_frame = lambda after, timeout: after + 1
    desk.preview = lambda width: handed.append(width) or (len(handed), picture)
    narrow = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)])
    with httpx.Client(transport=narrow) as client, client.stream("GET", f"{server.url}/api/live.mjpg") as response:
        for read, _ in enumerate(parts(SlowReader(response), 5), 1):
            assert read
    assert len(handed) - 5 <= 4, "frames wait in buffers and grow old there"


class SlowReader:
    """Reads about 1 MB a second of what comes as fast as it can."""

    def __init__(self, response):
        self.response = response

    def iter_bytes(self):
        for piece in self.response.iter_raw(65536):
            time.sleep(0.06)
            yield piece


def test_a_source_that_was_opened_again_counts_from_zero_and_is_seen(server, desk):
    number = int(httpx.get(f"{server.url}/api/live.jpg").headers["x-frame"]) + 5000
    again = httpx.get(f"{server.url}/api/live.jpg?wait=0.1&after={number}")
    assert again.status_code == 200 and int(again.headers["x-frame"]) < number


def test_viewers_do_not_take_the_buttons_threads(server, desk):
    desk.begin("A2026-1102/S02")
    release = threading.Event()
    waiting = threading.Semaphore(0)
    desk.wait_frame = lambda after, timeout: waiting.release() or (release.wait(20) and after)
    look = (f"{server.url}/api/live.jpg",)
    viewers = [threading.Thread(target=httpx.get, args=look, kwargs={"timeout": 30}) for _ in range(45)]
    for viewer in viewers:
        viewer.start()
    try:
        for _ in range(12):
            assert waiting.acquire(timeout=10)
        assert httpx.post(f"{server.url}/api/exam/still", timeout=10).status_code == 200
        assert not release.is_set()
    finally:
        release.set()
        for viewer in viewers:
            viewer.join()


def test_the_server_stops_quickly_with_streams_open_and_leaves_no_thread(desk):
    before = set(threading.enumerate())
    server = Server(api.build(desk), "127.0.0.1", 0)
    port = server.start()
    with httpx.stream("GET", f"http://127.0.0.1:{port}/api/events", timeout=10) as events:
        read_events(events, 1)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8
    server.stop()
    names = {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()}
    assert not names & {"screen", "newsroom"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/api/state")


def test_a_taken_port_is_said_in_words(server, desk):
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}") as raised:
        Server(api.build(desk), "127.0.0.1", port).start()
    assert "station.http" in raised.value.advice
