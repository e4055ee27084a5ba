"""The line to systemd: what is said, when, and that nobody listening is no trouble."""

import os
import socket
import subprocess
import sys
import time

import pytest

from appliance.watchdog import Watchdog


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager's end of the line."""
    path = tmp_path / "notify"
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(path))
    ear.settimeout(2)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    yield ear
    ear.close()


def heard(ear: socket.socket) -> list[str]:
    """Everything said so far, without waiting."""
    ear.setblocking(False)
    words = []
    while True:
        try:
            words.append(ear.recv(4096).decode())
        except BlockingIOError:
            return words


def test_it_says_ready_alive_and_stopping(manager):
    dog = Watchdog()
    assert dog.watched
    dog.ready("listening on 11113")
    dog.alive()
    dog.stopping()
    assert heard(manager) == ["READY=1\nSTATUS=listening on 11113", "WATCHDOG=1", "STOPPING=1"]


def test_signs_of_life_come_at_half_the_patience_however_often_it_is_called(manager):
    dog = Watchdog()
    begun = time.monotonic()
    while time.monotonic() - begun < 0.5:
        dog.alive()
        time.sleep(0.005)
    assert 2 <= len(heard(manager)) <= 4


def test_a_watchdog_set_for_another_process_is_not_fed(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    Watchdog().alive()
    assert heard(manager) == []


@pytest.mark.parametrize("patience", ["", "soon", "-5"])
def test_a_patience_that_is_no_number_is_no_patience(manager, monkeypatch, patience):
    monkeypatch.setenv("WATCHDOG_USEC", patience)
    dog = Watchdog()
    dog.ready()
    dog.alive()
    assert heard(manager) == ["READY=1"]


def test_without_a_service_manager_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    dog = Watchdog()
    assert not dog.watched
    dog.ready()
    dog.alive()
    dog.stopping()


def test_a_manager_that_went_away_stops_nobody(manager, tmp_path):
    dog = Watchdog()
    manager.close()
    (tmp_path / "notify").unlink()
    begun = time.monotonic()
    dog.ready()
    dog.alive()
    dog.stopping()
    assert time.monotonic() - begun < 1


def test_a_manager_that_does_not_read_holds_up_nobody(manager):
    dog = Watchdog()
    begun = time.monotonic()
    for _ in range(2000):
        dog.ready()
    assert time.monotonic() - begun < 2
    assert 0 < len(heard(manager)) < 2000


def test_a_system_without_unix_sockets_is_no_trouble(manager, monkeypatch):
    monkeypatch.delattr(socket, "AF_UNIX")
    Watchdog().ready()
    assert heard(manager) == []


def test_an_abstract_socket_is_reached_too():
    """Linux's abstract namespace, as systemd may hand it over; in a process of its own, by the name alone."""
    name = f"dicap-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        ear.settimeout(10)
        subprocess.run(
            [sys.executable, "-c", "from appliance.watchdog import Watchdog; Watchdog().ready()"],
            env={**os.environ, "NOTIFY_SOCKET": "@" + name},
            check=True,
        )
        assert ear.recv(100) == b"READY=1"
