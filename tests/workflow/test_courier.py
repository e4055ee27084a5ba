"""The courier in this process, against peers in this process: it goes on whatever happens, and ends when it is told to."""

import contextlib
import logging
import sqlite3
import threading
import time
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from scripted import peer as scripted_peer
from workplace import COMMITTED, NOWHERE, SENT, WAITING, at, order, pacs, ris, until, workplace

import appliance.courier as module
from appliance.courier import Courier
from appliance.errors import SettingsError, Unreachable
from appliance.network import ris as network_ris
from appliance.spool import books
from appliance.spool.doorbell import Doorbell
from appliance.workflow import lanes
from appliance.workflow.owing import owed


@contextlib.contextmanager
def running(place, settings=None):
    """A courier at work on the spool of a workplace; yields its port."""
    courier = Courier(settings or place.settings, place.root)
    over = threading.Event()
    rounds = threading.Thread(target=courier.run, args=(over,))
    try:
        courier.port = courier.start()
        rounds.start()
        yield courier
    finally:
        over.set()
        if rounds.ident:
            rounds.join(10)
        courier.stop()
        assert not rounds.is_alive() and not [one for one in courier._threads if one.is_alive()]


@contextlib.contextmanager
def beside(root, *faults, roles=("store",), **more):
    """An archive, and a workplace that stores to it."""
    with pacs(root / "store", *faults) as archive, workplace(root, {"pacs": at(archive, roles=roles)}, **more) as place:
        yield archive, place


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Threads look for work more often than in the clinic; what a bell is for is tested without."""
    monkeypatch.setattr(module, "ROUND", 0.2)
    monkeypatch.setattr(lanes, "LONG", 0.3)


def ring(place):
    Doorbell(place.root, "courier").ring()


def fallen(caplog):
    """Faults that were logged: none is expected."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("manner", ["same", "new"])
def test_an_exam_is_reported_stored_committed_and_released(tmp_path, free_port, manner, caplog):
    ear = free_port()
    with ris(orders=[order()]) as told, pacs(tmp_path / "store", listener=ear, manner=manner) as archive:
        peers = {"ris": at(told, roles=("mpps",)), "pacs": at(archive, roles=("store", "commit"))}
        with workplace(tmp_path, peers, courier={"listen": f"127.0.0.1:{ear}"}) as place, running(place):
            _, kept = place.exam(3, [order()])
            ring(place)
            until(lambda: owed(place.place) == [])
            assert place.states() == [COMMITTED] * 3
            until(lambda: len(place.ledger.to_drop(time.time())) == 3)
            assert {one.sop_instance_uid for one in archive.objects()} == {one.sop_instance_uid for one in kept}
            assert told.complaints == archive.complaints == [] and archive.again == 0
    assert fallen(caplog) == []


def test_peers_that_come_late_get_everything_and_a_dead_one_holds_up_nobody(tmp_path, free_port):
    late, ear = free_port(), free_port()
    with pacs(tmp_path / "store") as archive:
        peers = {
            "ris": {"address": NOWHERE, "roles": ("mpps", "worklist")},
            "dead": {"address": "LATE@127.0.0.1:" + str(late), "roles": ("store", "commit")},
            "pacs": at(archive, roles=("store", "commit")),
        }
        with workplace(tmp_path, peers, courier={"listen": f"127.0.0.1:{ear}"}) as place, running(place):
            place.exam(2)
            until(lambda: place.states("pacs") == [COMMITTED] * 2)
            assert place.states("dead") == [WAITING] * 2
            with pacs(tmp_path / "late", name="LATE", port=late) as second:
                until(lambda: place.states("dead") == [COMMITTED] * 2)
                assert len(second.objects()) == 2 and second.again == 0


def test_a_ledger_that_is_locked_for_long_ends_no_thread(tmp_path, monkeypatch, caplog):
    """Another process holds the ledger for longer than we wait: every thread, and the loop, goes on afterwards."""
    with beside(tmp_path, roles=("store", "commit")) as (_, place):
        place.exam(2)
        monkeypatch.setattr(books, "PATIENCE", 0.05)
        monkeypatch.setattr(module, "HEARTBEAT", 0.2)
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        with running(place) as courier:
            other.execute("BEGIN EXCLUSIVE")
            ring(place)
            until(lambda: any("locked" in record.getMessage() for record in caplog.records))
            time.sleep(0.3)
            assert all(thread.is_alive() for thread in courier._threads)
            other.execute("ROLLBACK")
            until(lambda: place.states() == [COMMITTED] * 2)
        other.close()
    assert fallen(caplog) == []


def test_a_fault_in_one_round_ends_neither_it_nor_the_others(tmp_path, monkeypatch, caplog):
    broken = threading.Event()

    def faulty(delivery):
        broken.set()
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(module.Delivery, "settle", faulty)
    with beside(tmp_path) as (_, place), running(place) as courier:
        assert broken.wait(5)
        place.exam(1)
        ring(place)
        until(lambda: place.states() == [SENT])
        assert all(thread.is_alive() for thread in courier._threads)
    assert any("settle: a fault in dicap" in words for words in fallen(caplog))


def test_it_stops_at_once_in_mid_exam_and_the_next_one_goes_on(tmp_path):
    with beside(tmp_path, "pacs-slow=0.3") as (archive, place):
        place.exam(20)
        with running(place):
            until(lambda: len(archive.objects()) >= 2)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        stored = place.states().count(SENT)
        assert 2 <= stored < 20 and WAITING in place.states()
    with pacs(tmp_path / "store") as archive:
        settings = place.settings.model_copy(
            update={"peers": {"pacs": place.settings.peers["pacs"].model_copy(update=at(archive))}}
        )
        with workplace(tmp_path) as again, running(again, settings):
            until(lambda: again.states() == [SENT] * 20)
        assert len(archive.objects()) == 20


def test_a_slow_archive_gets_the_next_exam_past_the_slow_object(tmp_path):
    """By the courier's own lanes; each object once."""
    first = []

    with pacs(tmp_path / "store") as archive:
        real = archive._store

        def store(event):
            if str(event.request.AffectedSOPInstanceUID) in first:
                archive.stopping.wait(2.5)
            return real(event)

        archive.stop()
        archive._store = store
        archive.start()
        with workplace(tmp_path, {"pacs": at(archive, roles=("store",))}, courier={"timeout": 15.0}) as place:
            _, (slow,) = place.exam(1)
            first.append(slow.sop_instance_uid)
            place.exam(2, [order("A2")])
            with running(place):
                until(lambda: place.states() == [WAITING, SENT, SENT], 2.4)
                until(lambda: place.states() == [SENT] * 3)
        assert archive.again == 0 and len(archive.objects()) == 3


def test_there_is_one_courier_per_spool_and_the_second_disturbs_nobody(tmp_path):
    with workplace(tmp_path) as place, running(place):
        second = Courier(place.settings, place.root)
        with pytest.raises(SettingsError, match="a courier runs on the spool"):
            second.start()
        second.stop()
        assert (tmp_path / "courier.bell").exists(), "the first still hears"
    with workplace(tmp_path) as place, running(place) as third:
        assert third.port, "the lock ended with the first"


def test_a_port_that_is_taken_is_said_and_leaves_nothing_behind(tmp_path):
    before = set(threading.enumerate())
    with workplace(tmp_path) as place, running(place) as courier:
        settings = place.settings.model_copy(
            update={"courier": place.settings.courier.model_copy(update={"listen": f"127.0.0.1:{courier.port}"})}
        )
        other = tmp_path / "other"
        other.mkdir()
        second = Courier(settings, other)
        with pytest.raises(SettingsError, match="cannot listen"):
            second.start()
        assert not second._threads
        second.stop()
        second.stop()
    assert set(threading.enumerate()) <= before


def test_a_syntax_that_does_not_exist_is_said_before_anything_starts(tmp_path):
    with workplace(tmp_path, {"pacs": {"address": NOWHERE, "roles": ("store",), "syntaxes": ("jpegls",)}}) as place:
        courier = Courier(place.settings, tmp_path)
        with pytest.raises(SettingsError, match="jpegls"):
            courier.start()
        courier.stop()


def test_a_stale_bell_of_a_dead_courier_is_replaced_and_a_ring_wakes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROUND", 60.0)
    Doorbell(tmp_path, "courier").open()  # never closed: its process died
    with beside(tmp_path) as (_, place), running(place):
        time.sleep(0.3)
        place.exam(1)
        ring(place)
        until(lambda: place.states() == [SENT], 5)


# the worklist and errands


def test_two_worklists_are_read_apart_and_a_dead_one_keeps_what_it_gave(tmp_path):
    today = f"{time.strftime('%Y%m%d')}"
    with ris(orders=[order("A1", date=today)]) as one, ris(orders=[order("B1", patient="P9", date=today)]) as two:
        peers = {"one": at(one, roles=("worklist",)), "two": at(two, roles=("worklist",))}
        with workplace(tmp_path, peers, courier={"worklist_every": 0.2}) as place, running(place):
            until(lambda: sorted(o.accession for o in place.ledger.orders()) == ["A1", "B1"])
            one.stop()
            two.add(order("B2", patient="P8", date=today))
            until(lambda: sorted(o.accession for o in place.ledger.orders()) == ["A1", "B1", "B2"])
            until(lambda: place.ledger.fetched()["one"][1])
            good, error = place.ledger.fetched()["one"]
            assert good and "one" not in error and place.ledger.fetched()["two"][1] == ""
            assert place.ledger.signs("peer:one")["peer:one"][1]["answers"] is False


def test_a_worklist_of_a_ris_that_the_settings_know_no_more_is_forgotten(tmp_path):
    with workplace(tmp_path) as place:
        place.ledger.cache_orders([order()], 1.0, peer="old")
        with running(place):
            assert place.ledger.orders() == []


def test_an_errand_is_done_once_however_often_it_was_asked_and_a_faulty_one_blocks_nobody(tmp_path, monkeypatch):
    asked = []

    def find(*words):
        asked.append(words)
        raise Unreachable("nobody")

    monkeypatch.setattr(network_ris, "find_orders", find)
    peers = {"ris": {"address": NOWHERE, "roles": ("worklist",)}}
    with workplace(tmp_path, peers, courier={"worklist_every": 3600.0}) as place:
        ledger = place.ledger
        first = ledger.send_errand("echo", {})
        odd = ledger.send_errand("echo", {"peer": 7})
        unknown = ledger.send_errand("fly", {})
        many = [ledger.send_errand("worklist", {}) for _ in range(20)]
        last = ledger.send_errand("echo", {"peer": NOWHERE})
        with running(place):
            until(lambda: ledger.answered(last))
            assert ledger.errands() == []
            assert all(ledger.answered(number)["ok"] is False for number in (first, odd, unknown, last))
            assert all(ledger.answered(number) == {"ok": True} for number in many)
            until(lambda: asked)
            time.sleep(0.3)
            assert len(asked) <= 2, "once by itself, once for all who asked"


def test_what_is_long_settled_is_cleared(tmp_path):
    with workplace(tmp_path, courier={"keep_hours": 0.0}) as place:
        old, kept = place.exam(1)
        place.ledger.release([kept[0].id])
        place.ledger._books._file.execute("UPDATE exams SET began=0")
        place.ledger._books._file.execute("UPDATE pictures SET released=1")
        with running(place):
            until(lambda: place.ledger.exams() == [] or place.ledger.to_drop(time.time()) == [])
        with running(place):  # it clears every few hours, the first time when it starts
            until(lambda: place.ledger.exams() == [])
        assert not place.place.shelf.path(kept[0].file).exists() and old.id


# commitment heard by the ear


def test_a_report_that_comes_while_we_still_ask_is_not_lost(tmp_path, free_port):
    """The archive reports on a new association before it has answered the request."""
    ear = free_port()

    def script(talk):
        talk.accept()
        while heard := talk.message():
            command, payload, context = heard
            if command.CommandField == 0x0130:
                report_to(ear, payload)
            talk.answer(context, command)

    with scripted_peer(script) as archive:
        peers = {"pacs": {"address": str(archive.address), "roles": ("store", "commit")}}
        with workplace(tmp_path, peers, courier={"listen": f"127.0.0.1:{ear}"}) as place, running(place):
            place.exam(1)
            ring(place)
            until(lambda: place.states() == [COMMITTED])


def report_to(port, asked):
    """Tell the ear at this port that all of a request is committed, as an archive does on an association of its own."""
    request = read_dataset(BytesIO(asked), is_implicit_VR=False, is_little_endian=True)
    entity = AE("PEER")
    entity.add_requested_context(StorageCommitmentPushModel)
    association = entity.associate(
        "127.0.0.1", port, ext_neg=[build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)]
    )
    assert association.is_established
    report = Dataset()
    report.TransactionUID = request.TransactionUID
    report.ReferencedSOPSequence = request.ReferencedSOPSequence
    status, _ = association.send_n_event_report(report, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    association.release()
    assert status.Status == 0
