"""The station as a whole in this process: how it starts, how it fails to, and how it stops."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from workplace import order, until, workplace

from appliance.errors import SettingsError, SpoolError, StateError
from appliance.spool.latch import Latch
from appliance.station import Station

SOURCE = "testcard:320x240@25"


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path, source=SOURCE, http="127.0.0.1:0") as one:
        yield one


@contextlib.contextmanager
def running(place, **more):
    """A station at work on the spool of a workplace; yields (station, address of the screen)."""
    station = Station(place.settings, place.root)
    over = threading.Event()
    rounds = threading.Thread(target=station.run, args=(over,))
    try:
        url = station.start(**more)
        rounds.start()
        yield station, url
    finally:
        over.set()
        if rounds.ident:
            rounds.join(10)
        station.stop()
        assert not rounds.is_alive()


def test_it_says_where_the_screen_is_and_no_longer_when_it_has_stopped(place):
    before = set(threading.enumerate())
    with running(place) as (_, url):
        assert httpx.get(f"{url}api/state").json()["station"]["ae_title"] == "DICAP"
        assert place.ledger.signs("station")["station"][1]["http"] == url
        assert not Latch(place.root / "station.lock").take()
    assert place.ledger.signs("station")["station"][1] == {"pid": 0, "http": "", "source": ""}
    until(lambda: set(threading.enumerate()) <= before)


def test_a_second_station_disturbs_neither_the_first_nor_its_recording(place):
    place.ledger.cache_orders([order()], time.time())
    with running(place) as (first, url):
        until(lambda: first._tap.latest())
        exam = first.begin("A1/S1")
        first.record()
        until(lambda: first._session.take.frames > 5)
        second = Station(place.settings, place.root)
        with pytest.raises(SettingsError, match="a station runs on the spool"):
            second.start("127.0.0.1:0")
        second.stop()
        second.stop()
        assert place.ledger.signs("station")["station"][1]["http"] == url
        assert (place.root / "station.bell").exists()
        clip = first.stop_recording()
        first.finish()
        assert [one.id for one in place.ledger.pictures(exam)] == [clip]


def test_a_port_that_is_taken_is_said_and_leaves_no_thread_and_no_lock(place):
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as other:
        station = Station(place.settings, place.root)
        with pytest.raises(SettingsError, match="cannot be served"):
            station.start(f"127.0.0.1:{other.getsockname()[1]}")
        station.stop()
    until(lambda: set(threading.enumerate()) <= before)
    with running(place) as (_, url):
        assert url


@pytest.mark.parametrize("http", ["nonsense", "127.0.0.1:70000", "127.0.0.1:http"])
def test_an_address_that_is_none_is_said(place, http):
    station = Station(place.settings, place.root)
    with pytest.raises(SettingsError, match="HOST:PORT"):
        station.start(http)
    station.stop()


def test_the_command_ends_with_exit_code_2_and_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        command = [sys.executable, "-m", "appliance.cli", "station", "--data", str(tmp_path), "--http", taken]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2 and "cannot be served" in done.stderr and "Traceback" not in done.stderr
    assert "screen is at" not in done.stdout


def test_a_spool_in_trouble_does_not_end_it(place, monkeypatch):
    monkeypatch.setattr("appliance.station.HEARTBEAT", 0.1)
    with running(place) as (station, _):
        said = threading.Event()

        def trouble(*words):
            said.set()
            raise SpoolError("the ledger could not be written")

        with monkeypatch.context() as patch:
            patch.setattr(station._place.ledger, "sign", trouble)
            assert said.wait(5)
        beat = place.ledger.signs("station")["station"][0]
        until(lambda: place.ledger.signs("station")["station"][0] > beat)


def test_a_recording_runs_on_when_it_is_told_to_stop_and_is_kept(place):
    place.ledger.cache_orders([order()], time.time())
    with running(place) as (station, _):
        until(lambda: station._tap.latest())
        exam = station.begin("A1/S1")
        station.record()
        until(lambda: station._session.take.frames > 5)
    assert [one.kind for one in place.ledger.pictures(exam)] == ["clip"]
    with running(place) as (station, _):
        assert station.state()["exam"]["id"] == exam, "the exam is still open"
        station.finish()


def test_a_worklist_key_that_means_two_patients_begins_nobody(place):
    place.ledger.cache_orders([order()], time.time(), peer="one")
    place.ledger.cache_orders([order(patient="P2", name="Other^Olga")], time.time(), peer="two")
    with running(place) as (station, _):
        with pytest.raises(StateError, match="Doe, Jane and Other, Olga"):
            station.begin("A1/S1")
        with pytest.raises(StateError, match="no longer on the worklist"):
            station.begin("A7/S1")
        assert place.ledger.exams() == []


def test_the_uids_are_under_the_root_of_the_settings(place):
    rooted = place.settings.model_copy(update={"dicom": place.settings.dicom.model_copy(update={"uid_root": "1.2.3.4"})})
    station = Station(rooted, place.root)
    station._tap.start()
    until(lambda: station._tap.latest())
    exam = station.begin_unscheduled({"id": "", "name": "Doe^J", "birth_date": "", "sex": ""}, "")
    station.still()
    station.finish()
    (picture,) = place.ledger.pictures(exam)
    assert picture.sop_instance_uid.startswith("1.2.3.4.") and picture.series.uid.startswith("1.2.3.4.")
    assert place.ledger.exam(exam).step_uid.startswith("1.2.3.4.")
    station.stop()
