"""Delivery from the ledger alone: once, in order, and never one thing behind another."""

import threading
import time
from dataclasses import replace

import pytest
from pydicom import dcmread
from scripted import peer as scripted_peer
from workplace import COMMITTED, NOWHERE, REFUSED, SENT, WAITING, at, order, pacs, ris, still, until, workplace

from appliance.dicom.commitment import Commitment
from appliance.errors import Refused, SpoolError
from appliance.network import pacs as network_pacs
from appliance.network import ris as network_ris
from appliance.network.statuses import Busy
from appliance.spool.debts import State
from appliance.workflow import deliver as module
from appliance.workflow.becoming import How
from appliance.workflow.deliver import Delivery
from appliance.workflow.owing import committer, owed, stuck

STORE, BOTH = ("store",), ("store", "commit")


def store(place, name="pacs", lane=0, delivery=None):
    delivery = delivery or Delivery(place.place)
    return delivery.store(name, place.settings.peers[name], lane)


def commit(place, name="pacs", delivery=None):
    delivery = delivery or Delivery(place.place)
    return delivery.commit(name, *committer(place.settings.peers, name))


def report(place, name="ris"):
    return Delivery(place.place).report(name, place.settings.peers[name])


def debts(place):
    return place.ledger.debts.deliveries()


def overdue(place):
    """Everything that was put off is due again: the time has passed."""
    place.ledger._books._file.execute("UPDATE deliveries SET due=0")
    place.ledger._books._file.execute("UPDATE reports SET due=0")


# storing


def test_an_exam_goes_over_one_association_and_is_promised_and_released(tmp_path):
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=BOTH)}) as place:
        _, kept = place.exam(3)
        assert store(place) and place.states() == [SENT] * 3
        assert [one.sop_instance_uid for one in archive.objects()] == [one.sop_instance_uid for one in kept]
        assert commit(place) and place.states() == [COMMITTED] * 3
        delivery = Delivery(place.place)
        assert sorted(delivery.settle()) == sorted(one.id for one in kept) and delivery.settle() == []
        assert owed(place.place) == [] and archive.again == 0 and archive.complaints == []
        assert not store(place) and not commit(place), "nothing is due any more"


def test_a_refused_object_holds_up_no_other(tmp_path):
    with workplace(tmp_path, {"pacs": {"address": NOWHERE, "roles": STORE}}) as place:
        _, kept = place.exam(3)
        with pacs(tmp_path / "store", f"pacs-refuse-uid={kept[1].sop_instance_uid}:A900") as archive:
            peer = place.settings.peers["pacs"].model_copy(update=at(archive))
            Delivery(place.place).store("pacs", peer)
            assert place.states() == [SENT, REFUSED, SENT]
            (refused,) = stuck(place.place, owed(place.place))
            assert refused.picture == kept[1] and "A900" in refused.words and "then retry by hand" in refused.advice
            assert not Delivery(place.place).store("pacs", peer), "it is not tried again by itself"


def test_a_lost_answer_costs_a_second_sending_and_no_second_object(tmp_path):
    with (
        pacs(tmp_path / "store", "pacs-lose-answer") as archive,
        workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place,
    ):
        place.exam(2)
        while WAITING in place.states():
            overdue(place)
            store(place)
        assert place.states() == [SENT, SENT] and len(archive.objects()) == 2 and archive.again == 2


def test_nobody_there_is_asked_once_and_everything_is_put_off(tmp_path, monkeypatch):
    calls = []
    real = network_pacs.store
    monkeypatch.setattr(network_pacs, "store", lambda *words: calls.append(words) or real(*words))
    with workplace(tmp_path, {"pacs": {"address": NOWHERE, "roles": STORE}}) as place:
        for number in range(4):
            place.exam(2, [order(f"A{number}")])
        assert store(place) and len(calls) == 1
        assert {debt.attempts for debt in debts(place)} == {1} and all(debt.due > time.time() - 1 for debt in debts(place))
        assert place.ledger.signs("peer:pacs")["peer:pacs"][1]["answers"] is False


def test_pauses_grow_have_jitter_and_an_end(tmp_path):
    courier = {"first_pause": 10.0, "longest_pause": 60.0}
    with workplace(tmp_path, {"pacs": {"address": NOWHERE, "roles": STORE}}, courier=courier) as place:
        place.exam()
        pauses = []
        for _ in range(6):
            overdue(place)
            store(place)
            pauses.append(debts(place)[0].due - time.time())
        for pause, middle in zip(pauses, (10, 20, 40, 60, 60, 60), strict=True):
            assert 0.7 * middle < pause < 1.3 * middle


def test_what_dicap_does_wrong_with_one_object_puts_off_that_one_alone(tmp_path, monkeypatch):
    """An error that nobody foresaw, on the second of three objects, and in every attempt."""
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place:
        _, kept = place.exam(3)
        place.exam(1, [order("A2")])
        real = network_pacs.FilePayload

        def faulty(path):
            if kept[1].id in path.name:
                raise KeyError("nobody foresaw this")
            return real(path)

        monkeypatch.setattr(network_pacs, "FilePayload", faulty)
        for _ in range(3):
            store(place)
        assert place.states() == [SENT, WAITING, SENT, SENT]
        assert "nobody foresaw this" in debts(place)[1].words and debts(place)[1].attempts >= 1


def test_a_ledger_that_cannot_be_written_is_no_fault_of_the_object(tmp_path, monkeypatch):
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place:
        place.exam(2)
        with monkeypatch.context() as patch:

            def full(*words):
                raise SpoolError("the disk is full")

            patch.setattr(place.ledger.debts, "move", full)
            with pytest.raises(SpoolError):
                store(place)
        assert place.states() == [WAITING, WAITING]
        store(place)
        assert place.states() == [SENT, SENT] and len(archive.objects()) == 2


def test_a_missing_file_is_said_and_the_others_go(tmp_path):
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place:
        _, kept = place.exam(3)
        place.place.shelf.path(kept[0].file).unlink()
        store(place)
        assert place.states() == [REFUSED, SENT, SENT]
        assert place.ledger.signs("peer:pacs")["peer:pacs"][1]["answers"] is True


@pytest.mark.parametrize(("status", "state"), [(0xA700, WAITING), (0x0110, WAITING), (0xC001, REFUSED), (0xB000, SENT)])
def test_not_now_is_not_no_and_neither_means_away(tmp_path, status, state):
    with (
        scripted_peer(lambda talk: talk.serve(status)) as archive,
        workplace(tmp_path, {"pacs": {"address": str(archive.address), "roles": STORE}}) as place,
    ):
        place.exam()
        store(place)
        assert place.states() == [state]
        assert place.ledger.signs("peer:pacs")["peer:pacs"][1]["answers"] is True


def test_after_many_attempts_the_words_call_for_a_person_and_it_is_still_tried(tmp_path):
    with (
        scripted_peer(lambda talk: talk.serve(0xA700)) as archive,
        workplace(tmp_path, {"pacs": {"address": str(archive.address), "roles": STORE}}) as place,
    ):
        place.exam()
        store(place)
        assert "person" not in debts(place)[0].advice
        place.ledger._books._file.execute("UPDATE deliveries SET attempts=25, due=0")
        store(place)
        (debt,) = debts(place)
        assert debt.state == State.WAITING and "tried 26 times" in debt.words and "A person should look" in debt.advice


@pytest.mark.parametrize("syntax", ["jls", "explicit"])
def test_a_peer_that_takes_only_one_syntax_gets_that_over_two_associations(tmp_path, syntax):
    """One association shows what it takes, a second carries all of the exam: none per object."""
    opened = []

    def script(talk):
        opened.append(talk)
        talk.accept(lambda abstract, syntaxes: syntaxes[0] if syntaxes[0] == "1.2.840.10008.1.2" else None)
        while heard := talk.message():
            talk.answer(heard[2], heard[0])

    with (
        scripted_peer(script) as archive,
        workplace(tmp_path, {"pacs": {"address": str(archive.address), "roles": STORE}}) as place,
    ):
        place.exam(4, syntax=syntax)
        store(place)
        assert place.states() == [SENT] * 4 and "does not take its own syntax" in debts(place)[0].words
        assert len(opened) == 2 and len(opened[1].requests) == 4
        assert list(place.place.shelf.workbench.iterdir()) == []


def test_the_syntaxes_that_the_settings_name_are_preferred_over_uncompressed(tmp_path):
    facts = {"roles": STORE, "syntaxes": ("rle",)}
    only = "pacs-only=rle,explicit"
    with pacs(tmp_path / "store", only) as archive, workplace(tmp_path, {"pacs": at(archive, **facts)}) as place:
        place.exam(1, syntax="jls")
        store(place)
        (stored,) = archive.objects()
        assert stored.syntax_uid == "1.2.840.10008.1.2.5" and place.states() == [SENT]


def test_an_object_that_cannot_be_transcoded_is_refused_in_words_and_the_others_go(tmp_path):
    with (
        pacs(tmp_path / "store", "pacs-only=explicit") as archive,
        workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place,
    ):
        _, kept = place.exam(3, syntax="jls")
        path = place.place.shelf.path(kept[1].file)
        data = dcmread(path)
        data.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00junk"
        data.save_as(path)
        store(place)
        states = place.states()
        assert states[0] == states[2] == SENT and states[1] in (REFUSED, WAITING) and debts(place)[1].words


class Several:
    """A script for many connections at once: each has a thread, where the scripted peer alone serves one at a time."""

    def __init__(self, script):
        self._script = script
        self.threads = []

    def __call__(self, talk):
        connection = talk.connection.dup()
        connection.settimeout(15)
        self.threads.append(threading.Thread(target=self._serve, args=(type(talk)(connection),), daemon=True))
        self.threads[-1].start()

    def _serve(self, talk):
        with talk.connection:
            self._script(talk)


def test_a_slow_exam_does_not_hold_up_the_next(tmp_path):
    """The archive thinks for long over one object; a helping lane brings the other exam past it, each object once."""
    held, arrived, slow = threading.Event(), [], []

    def script(talk):
        talk.accept()
        while heard := talk.message():
            uid = str(heard[0].AffectedSOPInstanceUID)
            if uid in slow:
                held.wait(10)
            arrived.append(uid)
            talk.answer(heard[2], heard[0])

    several = Several(script)
    with (
        scripted_peer(several) as archive,
        workplace(tmp_path, {"pacs": {"address": str(archive.address), "roles": STORE}}, courier={"timeout": 20.0}) as place,
    ):
        _, first = place.exam(2)
        place.exam(2, [order("A2")])
        slow.append(first[0].sop_instance_uid)
        delivery = Delivery(place.place)
        main = threading.Thread(target=store, args=(place, "pacs", 0, delivery))
        main.start()
        until(lambda: store(place, lane=1, delivery=delivery))
        assert place.states() == [WAITING, WAITING, SENT, SENT]
        assert not store(place, lane=1, delivery=delivery), "what another thread has is not touched"
        held.set()
        main.join(15)
        assert place.states() == [SENT] * 4 and len(arrived) == len(set(arrived)) == 4
        assert not store(place, lane=1, delivery=delivery)
    for thread in several.threads:
        thread.join(5)


def test_asked_to_stop_a_burst_ends_between_two_objects(tmp_path):
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place:
        place.exam(5)
        delivery = Delivery(place.place, stopping=lambda: len(archive.objects()) >= 2)
        store(place, delivery=delivery)
        assert place.states() == [SENT, SENT, WAITING, WAITING, WAITING] and len(archive.objects()) == 2


def test_two_archives_owe_nothing_to_each_other(tmp_path):
    with pacs(tmp_path / "store") as archive:
        peers = {"pacs": at(archive, roles=BOTH), "away": {"address": NOWHERE, "roles": STORE, "release": "stored"}}
        with workplace(tmp_path, peers) as place:
            _, (picture,) = place.exam(1)
            store(place)
            store(place, "away")
            commit(place)
            assert (place.states("pacs"), place.states("away")) == ([COMMITTED], [WAITING])
            assert Delivery(place.place).settle() == [], "the other archive still has none"
            assert [one.destination for one in owed(place.place)] == ["away"]
            place.ledger.release([picture.id])
            assert owed(place.place) == [] and not place.ledger.debts.to_send("away", time.time() + 999)


# commitment


def test_another_peer_may_promise_for_an_archive(tmp_path):
    with pacs(tmp_path / "store") as archive:
        peers = {"pacs": at(archive, roles=STORE), "promise": at(archive, roles=("commit",))}
        with workplace(tmp_path, peers) as place:
            place.exam(2)
            store(place)
            assert committer(place.settings.peers, "pacs")[0] == "promise"
            commit(place)
            assert place.states() == [COMMITTED] * 2
            assert place.ledger.signs("peer:promise")["peer:promise"][1]["answers"] is True


def sent_and_asked(place, count=2):
    """Objects that are stored and asked for in transaction 1.2.3."""
    _, kept = place.exam(count)
    for debt in debts(place):
        place.ledger.debts.move(debt, State.SENT)
    place.ledger.debts.asked(debts(place), "1.2.3")
    return [one.sop_instance_uid for one in kept]


AWAY = {"pacs": {"address": NOWHERE, "roles": BOTH}}


def test_a_partial_report_promises_what_it_names_and_the_rest_is_asked_for_again(tmp_path):
    with workplace(tmp_path, AWAY, courier={"commit_patience": 100.0}) as place:
        one, two = sent_and_asked(place)
        assert Delivery(place.place).heard(Commitment("1.2.3", (one,), ()))
        assert place.states() == [COMMITTED, SENT]
        again = place.ledger.debts.to_commit("pacs", time.time() + 101, 100.0)
        assert [debt.picture.sop_instance_uid for debt in again] == [two]


def test_the_same_report_twice_and_a_report_nobody_asked_for_change_nothing(tmp_path):
    with workplace(tmp_path, AWAY) as place:
        uids = sent_and_asked(place)
        delivery = Delivery(place.place)
        assert delivery.heard(Commitment("1.2.3", tuple(uids), ()))
        assert delivery.heard(Commitment("1.2.3", tuple(uids), ())), "known, though there is nothing left to do"
        assert delivery.heard(Commitment("1.2.3", (), ((uids[0], 0x0112, "lost"),))), "too late: it was promised"
        assert not delivery.heard(Commitment("9.9.9", tuple(uids), ()))
        assert place.states() == [COMMITTED] * 2


@pytest.mark.parametrize(
    ("reason", "state"),
    [(0x0112, WAITING), (0x0110, SENT), (0x0213, SENT), (0x0131, SENT), (0x0122, REFUSED), (0x0119, REFUSED)],
)
def test_what_a_failure_means(tmp_path, reason, state):
    """Only 'no such instance' makes us store again; what may pass is asked again; for the rest a person must look."""
    with workplace(tmp_path, AWAY) as place:
        one, two = sent_and_asked(place)
        Delivery(place.place).heard(Commitment("1.2.3", (two,), ((one, reason, "the archive's words"),)))
        assert place.states() == [state, COMMITTED] and debts(place)[0].words


def test_a_failure_of_an_older_transaction_stores_nothing_again(tmp_path):
    """The archive repeats an old report because our answer was lost: the object has been stored and asked for since."""
    with workplace(tmp_path, AWAY) as place:
        (uid,) = sent_and_asked(place, 1)
        lost = Commitment("1.2.3", (), ((uid, 0x0112, "lost"),))
        delivery = Delivery(place.place)
        delivery.heard(lost)
        assert place.states() == [WAITING]
        place.ledger.debts.move(debts(place)[0], State.SENT)
        delivery.heard(lost)
        assert place.states() == [SENT], "sent again, and not yet asked for"
        place.ledger.debts.asked(debts(place), "1.2.4")
        delivery.heard(lost)
        assert place.states() == [SENT]
        delivery.heard(Commitment("1.2.3", (uid,), ()))
        assert place.states() == [COMMITTED], "a promise counts whenever it was asked for"


def test_an_archive_that_keeps_losing_an_object_is_not_fed_for_ever(tmp_path):
    faults = ("pacs-forget=99",)
    with pacs(tmp_path / "store", *faults) as archive, workplace(tmp_path, {"pacs": at(archive, roles=BOTH)}) as place:
        place.exam()
        pauses = []
        for _ in range(20):
            if place.states() == [REFUSED]:
                break
            overdue(place)
            store(place)
            commit(place)
            pauses.append(debts(place)[0].due - time.time())
        (debt,) = debts(place)
        assert debt.state == State.REFUSED and "stored 4 times" in debt.words and "person" in debt.advice
        assert pauses[0] < 0 < pauses[1], "at once the first time, then with pauses"
        assert place.ledger.debts.hurry([debt.picture.id]) == 1 and debts(place)[0].returned == 0


def test_what_was_released_as_stored_is_taken_back_when_the_archive_has_lost_it(tmp_path):
    faults = ("pacs-forget",)
    with (
        pacs(tmp_path / "store", *faults) as archive,
        workplace(tmp_path, {"pacs": at(archive, roles=BOTH, release="stored")}) as place,
    ):
        _, (picture,) = place.exam()
        delivery = Delivery(place.place)
        store(place)
        assert delivery.settle() == [picture.id]
        commit(place)
        assert place.states() == [WAITING] and owed(place.place)
        store(place)
        commit(place)
        assert place.states() == [COMMITTED] and len(archive.objects()) == 1 and delivery.settle() == [picture.id]


def test_an_archive_that_never_reports_is_asked_again_with_words(tmp_path):
    """It takes the request and cannot call us back: after the patience it is asked again, and the words say what to do."""
    courier = {"commit_patience": 0.2, "same_association": 0.0}
    with (
        scripted_peer(lambda talk: talk.serve()) as archive,
        workplace(tmp_path, {"pacs": {"address": str(archive.address), "roles": BOTH}}, courier=courier) as place,
    ):
        place.exam()
        store(place)
        commit(place)
        assert not commit(place), "patience first"
        assert place.states() == [SENT] and debts(place)[0].words == ""
        time.sleep(0.25)
        assert commit(place)
        (debt,) = debts(place)
        assert "has not reported" in debt.words and "DICAP at" in debt.advice and debt.state == State.SENT


def test_a_peer_without_commitment_leaves_it_at_stored_and_says_why_the_file_stays(tmp_path):
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=STORE)}) as place:
        place.exam()
        store(place)
        assert committer(place.settings.peers, "pacs") is None and owed(place.place) == []
        (debt,) = debts(place)
        assert debt.state == State.SENT and "until it is released by hand" in debt.words and "release" in debt.advice
        assert Delivery(place.place).settle() == []


def test_a_peer_that_refuses_to_commit_is_asked_slowly_and_said_so(tmp_path):
    with (
        pacs(tmp_path / "store", "commit-refuse") as archive,
        workplace(tmp_path, {"pacs": at(archive, roles=BOTH)}) as place,
    ):
        place.exam(3)
        store(place)
        commit(place)
        assert place.states() == [SENT] * 3 and all("0110" in debt.words for debt in debts(place))
        assert place.ledger.signs("peer:pacs")["peer:pacs"][1]["answers"] is True


def test_many_objects_are_asked_for_in_several_transactions(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "REFERENCES_AT_ONCE", 2)
    with pacs(tmp_path / "store") as archive, workplace(tmp_path, {"pacs": at(archive, roles=BOTH)}) as place:
        place.exam(5)
        store(place)
        commit(place)
        assert len(archive.reports()) == 3 and place.states() == [COMMITTED] * 5


# settling and letting go


@pytest.mark.parametrize(
    ("policies", "states", "released"),
    [
        (("committed",), ("sent",), False),
        (("committed",), ("committed",), True),
        (("stored",), ("sent",), True),
        (("never",), ("committed",), False),
        (("committed", "stored"), ("committed", "sent"), True),
        (("committed", "stored"), ("sent", "sent"), False),
        (("committed", "stored"), ("committed", "waiting"), False),
        (("stored", "never"), ("sent", "committed"), False),
        (("stored", "stored"), ("sent", "refused"), False),
    ],
)
def test_a_file_is_released_when_every_policy_is_met(tmp_path, policies, states, released):
    peers = {f"p{n}": {"address": NOWHERE, "roles": BOTH, "release": policy} for n, policy in enumerate(policies)}
    with workplace(tmp_path, peers) as place:
        place.exam()
        for debt, state in zip(debts(place), states, strict=True):
            way = {"waiting": [], "sent": ["sent"], "refused": ["refused"], "committed": ["sent", "committed"]}[state]
            for step in way:
                debt = next(one for one in debts(place) if one.destination == debt.destination)
                place.ledger.debts.move(debt, State(step))
        assert bool(Delivery(place.place).settle()) is released


def test_released_files_stay_their_hours_and_go_sooner_where_space_is_short(tmp_path, monkeypatch):
    with workplace(tmp_path, AWAY) as place:
        _, kept = place.exam(3)
        place.ledger.release([kept[0].id])
        delivery = Delivery(place.place)
        assert delivery.let_go() == 0
        place.ledger._books._file.execute("UPDATE pictures SET released=? WHERE id=?", (time.time() - 90000, kept[0].id))
        place.ledger.release([kept[1].id])
        assert delivery.let_go() == 1 and not place.place.shelf.path(kept[0].file).exists()
        assert place.place.shelf.path(kept[1].file).exists()
        monkeypatch.setattr(type(place.place.shelf), "free_mb", lambda self: 1)
        assert delivery.let_go() == 1 and not place.place.shelf.path(kept[1].file).exists()
        assert place.place.shelf.path(kept[2].file).exists(), "what is still owed never goes"


def test_a_file_that_cannot_be_let_go_holds_up_no_other(tmp_path):
    with workplace(tmp_path, AWAY, courier={"keep_hours": 0.0}) as place:
        _, kept = place.exam(2)
        path = place.place.shelf.path(kept[0].file)
        path.unlink()
        path.mkdir()
        place.ledger.release([one.id for one in kept])
        assert Delivery(place.place).let_go() == 1 and not place.place.shelf.path(kept[1].file).exists()


def test_what_is_owed_to_a_peer_that_the_settings_know_no_more_says_so(tmp_path):
    peers = {**AWAY, "old": {"address": NOWHERE, "roles": BOTH}, "ris": {"address": NOWHERE, "roles": ("mpps",)}}
    with workplace(tmp_path, peers) as place:
        _, (picture,) = place.exam()
        left = {"pacs": place.settings.peers["pacs"]}
        changed = replace(place.place, settings=place.settings.model_copy(update={"peers": left}))
        things = {getattr(one, "destination", None) or one.kind: one for one in owed(changed)}
        assert "no archive called old" in things["old"].words and "by hand" in things["old"].advice
        assert "no RIS called ris" in things["begun"].words and things["pacs"].words == ""
        assert {one for one in things if things[one] in stuck(changed, list(things.values()))} == {"old", "begun", "ended"}
        changed.ledger.release([picture.id])
        assert [one for one in owed(changed) if hasattr(one, "picture")] == []


# the RIS


def test_the_beginning_is_told_before_the_end_and_each_once(tmp_path):
    orders = [order()]
    with ris(orders=orders) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        exam, kept = place.exam(2, orders)
        assert report(place) and [step.state for step in told.steps()] == ["IN PROGRESS"]
        assert report(place) and [step.state for step in told.steps()] == ["COMPLETED"]
        assert not report(place)
        assert told.steps()[0].uid == exam.step_uid and told.complaints == []
        assert sorted(told.steps()[0].instances) == sorted(one.sop_instance_uid for one in kept)


def test_an_exam_for_several_orders_is_one_step_that_names_them_all(tmp_path):
    orders = [order("A1", "S1"), order("A1", "S2"), order("A2", "S3")]
    with ris(orders=orders) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        exam, _ = place.exam(1, orders)
        report(place)
        report(place)
        (step,) = told.steps()
        assert sorted(step.orders) == ["A1/S1", "A1/S2", "A2/S3"] and step.state == "COMPLETED" and told.complaints == []
        assert exam.accession == "" and told.orders() == []


def test_lost_answers_are_asked_again_and_count_as_done(tmp_path):
    with ris("mpps-lose-answer", orders=[order()]) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        place.exam(1, [order()])
        for _ in range(8):
            overdue(place)
            report(place)
        assert owed(place.place) == [] and [step.state for step in told.steps()] == ["COMPLETED"]


def test_a_refused_beginning_leaves_its_end_stuck_and_other_exams_go_on(tmp_path, monkeypatch):
    with ris(orders=[order(), order("A2")]) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        refused, _ = place.exam(1, [order()])
        place.exam(1, [order("A2")])
        real = network_ris.begin_step

        def begin(caller, address, exam):
            if exam.id == refused.id:
                raise Refused("it does not like it", status=0x0106)
            return real(caller, address, exam)

        monkeypatch.setattr(network_ris, "begin_step", begin)
        for _ in range(3):
            report(place)
        things = owed(place.place)
        assert {(one.kind, one.state) for one in things} == {("begun", State.REFUSED), ("ended", State.WAITING)}
        assert stuck(place.place, things) == things, "`wait` does not wait for ever"
        assert [step.state for step in told.steps()] == ["COMPLETED"]


def test_a_fault_over_one_report_holds_up_no_other(tmp_path, monkeypatch):
    with ris(orders=[order(), order("A2")]) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        odd, _ = place.exam(1, [order()])
        place.exam(1, [order("A2")])
        real = network_ris.begin_step

        def begin(caller, address, exam):
            if exam.id == odd.id:
                raise ValueError("nobody foresaw this")
            return real(caller, address, exam)

        monkeypatch.setattr(network_ris, "begin_step", begin)
        for _ in range(3):
            report(place)
        assert [step.state for step in told.steps()] == ["COMPLETED"]
        assert "nobody foresaw this" in place.ledger.debts.reports("r.state='waiting'")[0].words


def test_a_ris_that_is_away_is_asked_once_a_round(tmp_path, monkeypatch):
    calls = []
    real = network_ris.begin_step
    monkeypatch.setattr(network_ris, "begin_step", lambda *words: calls.append(words) or real(*words))
    with workplace(tmp_path, {"ris": {"address": NOWHERE, "roles": ("mpps",)}}) as place:
        for number in range(5):
            place.exam(1, [order(f"A{number}")])
        assert report(place) and len(calls) == 1
        assert {one.attempts for one in place.ledger.debts.reports("r.kind='begun'")} == {1}


def test_a_busy_ris_is_there_and_after_many_attempts_a_person_is_called(tmp_path):
    with ris("mpps-refuse") as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        place.exam(1)
        report(place)
        assert place.ledger.signs("peer:ris")["peer:ris"][1]["answers"] is True
        place.ledger._books._file.execute("UPDATE reports SET attempts=19, due=0")
        report(place)
        (begun,) = place.ledger.debts.reports("r.kind='begun'")
        assert begun.state == State.WAITING and "A person should look" in begun.advice and Busy.retry


def test_a_ris_that_has_lost_the_step_is_told_from_the_beginning(tmp_path):
    with ris(orders=[order()]) as told, workplace(tmp_path, {"ris": at(told, roles=("mpps",))}) as place:
        place.exam(1, [order()])
        report(place)
        told._steps.clear()
        report(place)
        assert [step.state for step in told.steps()] == ["COMPLETED"] and owed(place.place) == []


def test_under_the_wrong_entry_nothing_is_stored_and_the_ris_hears_of_no_picture(tmp_path):
    with ris(orders=[order()]) as told, pacs(tmp_path / "store") as archive:
        peers = {"ris": at(told, roles=("mpps",)), "pacs": at(archive, roles=BOTH)}
        with workplace(tmp_path, peers) as place:
            exam, _ = place.exam(2, [order()], finish=False)
            place.acquisition.abandon(exam.id, "110514")
            for _ in range(2):
                report(place)
            store(place)
            assert place.states() == [REFUSED, REFUSED] and archive.objects() == []
            (step,) = told.steps()
            assert step.state == "DISCONTINUED" and step.instances == () and told.complaints == []
            assert place.ledger.debts.hurry() == 0 and not store(place)


def test_what_had_gone_at_once_before_the_mistake_was_seen_is_told_to_the_ris(tmp_path):
    with ris(orders=[order()]) as told, pacs(tmp_path / "store") as archive:
        peers = {"ris": at(told, roles=("mpps",)), "pacs": at(archive, roles=BOTH)}
        with workplace(tmp_path, peers, send="at once") as place:
            exam, (sent,) = place.exam(1, [order()], finish=False)
            store(place)
            withheld = place.acquisition.keep(exam.id, still(1), How())
            place.acquisition.abandon(exam.id, "110514")
            for _ in range(2):
                report(place)
            store(place)
            assert told.steps()[0].instances == (sent.sop_instance_uid,) and place.states() == [SENT, REFUSED]
            (there,) = archive.objects()
            assert there.sop_instance_uid == sent.sop_instance_uid != withheld.sop_instance_uid


def test_an_abandoned_exam_sends_what_was_taken(tmp_path):
    with ris(orders=[order()]) as told, pacs(tmp_path / "store") as archive:
        peers = {"ris": at(told, roles=("mpps",)), "pacs": at(archive, roles=BOTH)}
        with workplace(tmp_path, peers) as place:
            exam, kept = place.exam(2, [order()], finish=False)
            place.acquisition.abandon(exam.id, "110505")
            for _ in range(2):
                report(place)
            store(place)
            assert place.states() == [SENT, SENT]
            (step,) = told.steps()
            assert step.state == "DISCONTINUED" and set(step.instances) == {one.sop_instance_uid for one in kept}
            assert told.complaints == []
