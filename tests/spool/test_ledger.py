"""The ledger keeps its promise: states move by the table, nothing acknowledged is forgotten."""

import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.clinic.exam import Exam, ExamState, Picture, Series
from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.errors import SpoolError, StateError
from appliance.spool.debts import DELIVERY_STATES, State, Trouble
from appliance.spool.ledger import Ending, Ledger

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def order(accession="A1", step="S1"):
    patient = Patient("P1", "Müller^Jürgen=山田^太郎", other_ids=("X", "Y"))
    return Order(patient, "1.2.3", accession, step_id=step, protocol_codes=(Code("1", "99X", "one"),), date="20260304")


def exam(exam_id="E1"):
    return Exam(exam_id, (order(),), "1.2.3", f"1.2.3.{exam_id[1:]}", exam_id, "ES", NOW)


def picture(picture_id="p1", exam_id="E1"):
    series = Series("1.2.3.9", 1, "ES")
    return Picture(
        picture_id, exam_id, "vl-endoscopic", series, 1, "1.2", f"1.2.3.8.{int(picture_id[1:])}", "1.2.840.10008.1.2.1",
        f"{exam_id}/{picture_id}.dcm", 10, "00", 4, 4, 1, NOW,
    )


@pytest.fixture
def ledger(tmp_path):
    book = Ledger(tmp_path / "ledger.sqlite")
    yield book
    book.close()


def finish(ledger, destinations=("pacs",), tell=("ris",), **more):
    return ledger.end("E1", Ending(ExamState.FINISHED, NOW, **more), destinations, tell)


def test_facts_come_back_as_they_went(ledger):
    ledger.begin(exam(), ["ris"])
    ledger.keep(picture())
    assert ledger.exam("E1") == exam()
    assert ledger.pictures("E1") == [picture()]


def test_nothing_is_owed_to_archives_before_the_exam_ends(ledger):
    ledger.begin(exam(), ["ris"])
    ledger.keep(picture())
    assert ledger.debts.deliveries() == []
    finish(ledger, ["pacs", "backup"])
    assert [(d.destination, d.state) for d in ledger.debts.deliveries()] == [("pacs", "waiting"), ("backup", "waiting")]


def test_the_end_is_told_only_after_the_beginning(ledger):
    ledger.begin(exam(), ["ris"])
    finish(ledger)
    (begun,) = ledger.debts.reports_due("ris", time.time())
    assert begun.kind == "begun"
    ledger.debts.move_report(begun, State.DONE)
    (ended,) = ledger.debts.reports_due("ris", time.time())
    assert ended.kind == "ended" and ended.exam.state == ExamState.FINISHED


def test_a_closed_exam_takes_no_picture_and_closes_once(ledger):
    ledger.begin(exam())
    finish(ledger)
    with pytest.raises(StateError):
        ledger.keep(picture())
    with pytest.raises(StateError):
        finish(ledger)


def test_delete_only_while_the_exam_is_open(ledger):
    ledger.begin(exam())
    ledger.keep(picture("p1"))
    ledger.keep(picture("p2"))
    assert ledger.delete("p1").id == "p1"
    finish(ledger)
    with pytest.raises(StateError, match="on its way"):
        ledger.delete("p2")
    assert [p.id for p in ledger.pictures("E1")] == ["p2"]


@pytest.mark.parametrize("was", list(DELIVERY_STATES))
@pytest.mark.parametrize("to", list(DELIVERY_STATES))
def test_deliveries_move_by_the_table_and_no_other_way(ledger, was, to):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger)
    way = {State.WAITING: [], State.SENT: [State.SENT], State.COMMITTED: [State.SENT, State.COMMITTED],
           State.REFUSED: [State.REFUSED]}[was]  # fmt: skip
    for step in way:
        ledger.debts.move(ledger.debts.deliveries()[0], step)
    debt = ledger.debts.deliveries()[0]
    assert debt.state == was
    if to in DELIVERY_STATES[was]:
        ledger.debts.move(debt, to)
        assert ledger.debts.deliveries()[0].state == to
    else:
        with pytest.raises(StateError):
            ledger.debts.move(debt, to)
        assert ledger.debts.deliveries()[0].state == was


def test_a_stale_move_changes_nothing(ledger):
    """Two threads with the same debt in hand: the second finds it moved and does not move it back."""
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger)
    stale = ledger.debts.deliveries()[0]
    ledger.debts.move(stale, State.SENT)
    ledger.debts.move(stale, State.REFUSED)
    assert ledger.debts.deliveries()[0].state == State.SENT


def test_commitment_is_asked_again_only_after_patience(ledger):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger)
    ledger.debts.move(ledger.debts.deliveries()[0], State.SENT)
    now = time.time()
    (debt,) = ledger.debts.to_commit("pacs", now, 600)
    ledger.debts.asked([debt], "1.2.3.4")
    assert ledger.debts.to_commit("pacs", time.time(), 600) == []
    assert len(ledger.debts.to_commit("pacs", time.time() + 601, 600)) == 1


def test_a_late_report_of_an_earlier_transaction_still_counts(ledger):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger)
    ledger.debts.move(ledger.debts.deliveries()[0], State.SENT)
    for uid in ("1.1", "1.2"):
        ledger.debts.asked(ledger.debts.deliveries(), uid)
    assert len(ledger.debts.of_transaction("1.1", [picture().sop_instance_uid])) == 1
    assert ledger.debts.of_transaction("9.9", [picture().sop_instance_uid]) is None


def test_by_hand_only_what_is_named_waits_again(ledger):
    ledger.begin(exam())
    for one in ("p1", "p2"):
        ledger.keep(picture(one))
    finish(ledger)
    for debt in ledger.debts.deliveries():
        ledger.debts.move(debt, State.REFUSED)
    assert ledger.debts.hurry(["p1"]) == 1
    assert [d.state for d in ledger.debts.deliveries()] == [State.WAITING, State.REFUSED]
    assert ledger.debts.hurry() == 3  # both deliveries and the report of the end


def test_what_was_taken_under_the_wrong_entry_goes_only_when_it_is_named_itself(ledger):
    """Neither `retry` of everything (one tap on the screen) nor of the exam sends one patient's pictures as another's."""
    ledger.begin(exam())
    for one in ("p1", "p2"):
        ledger.keep(picture(one), ["pacs"])  # to go at once: withheld all the same
    finish(ledger, withheld="wrong entry", tell=[])
    assert {(d.state, d.words) for d in ledger.debts.deliveries()} == {(State.REFUSED, "wrong entry")}
    assert ledger.debts.hurry() == ledger.debts.hurry(["E1"]) == 0
    assert ledger.debts.hurry(["p2"]) == 1
    assert [d.state for d in ledger.debts.deliveries()] == [State.REFUSED, State.WAITING]


def test_what_was_released_does_not_wait_again(ledger):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger, tell=[])
    ledger.release(["p1"])
    assert ledger.debts.hurry() == 0 and ledger.debts.to_send("pacs", time.time()) == []
    assert ledger.take_back("p1") and ledger.debts.hurry() == 1
    ledger.release(["p1"])
    ledger.gone("p1")
    assert not ledger.take_back("p1") and not ledger.take_back("unknown")


@pytest.mark.parametrize("kind", ["delivery", "report", "asked"])
def test_a_clock_that_was_wrong_holds_nothing_up(ledger, kind):
    """What was put off while the clock ran a year ahead is due now that the clock is right."""
    ledger.begin(exam(), ["ris"])
    ledger.keep(picture())
    finish(ledger)
    ahead, now = time.time() + 365 * 86400, time.time()
    debts = ledger.debts
    if kind == "delivery":
        debts.postpone(debts.deliveries(), Trouble("away", "", ahead))
        assert len(debts.to_send("pacs", now)) == 1 and len(debts.to_send("pacs", now, longest=300)) == 1
    elif kind == "report":
        debts.postpone_report(debts.reports_due("ris", now)[0], Trouble("away", "", ahead))
        assert len(debts.reports_due("ris", now)) == 1
    else:
        debts.move(debts.deliveries()[0], State.SENT)
        debts.asked(debts.deliveries(), "1.2.3.4")
        assert debts.to_commit("pacs", now, 600) == []
        assert len(debts.to_commit("pacs", now - 2 * 86400, 600)) == 1, "asked by a clock two days ahead"


def test_an_exam_does_not_end_before_it_began(ledger):
    ledger.begin(exam())
    ended = ledger.end("E1", Ending(ExamState.FINISHED, NOW - timedelta(hours=5)), [], [])
    assert ended.ended == ended.started == ledger.exam("E1").ended


def test_an_order_has_one_open_exam_whoever_begins_it(ledger, tmp_path):
    other = Ledger(tmp_path / "ledger.sqlite")
    ledger.begin(exam())
    with pytest.raises(StateError, match="still open"):
        other.begin(exam("E2"))
    finish(ledger)
    other.begin(exam("E2"))
    other.close()


def test_instance_numbers_are_given_once_whichever_process_asks(ledger, tmp_path):
    other = Ledger(tmp_path / "ledger.sqlite")
    ledger.begin(exam())
    series = ledger.series("E1", Series("1.2.3.9", 1, "ES"))
    assert other.series("E1", Series("1.2.3.10", 1, "ES")) == series
    assert [book.next_number(series.uid) for book in (ledger, other, other, ledger)] == [1, 2, 3, 4]
    other.close()


def test_two_worklists_are_cached_apart_and_two_entries_of_one_key_are_both_kept(ledger):
    ledger.cache_orders([order(), order("A2")], 100.0, peer="ris")
    twin = replace(order(), patient=Patient("P2", "Other^Patient"), study_uid="1.2.4")
    ledger.cache_orders([twin], 100.0, peer="clinic")
    assert sorted(o.patient.id for o in ledger.orders()) == ["P1", "P1", "P2"]
    ledger.cache_orders([order("A3")], 200.0, peer="ris")
    assert sorted(o.accession for o in ledger.orders()) == ["A1", "A3"]
    assert ledger.fetched() == {"ris": (200.0, ""), "clinic": (100.0, "")}
    ledger.keep_orders_of(["ris"])
    assert [o.accession for o in ledger.orders()] == ["A3"]
    ledger.keep_orders_of([])
    assert ledger.orders() == []


def test_a_ledger_that_another_process_holds_says_so_and_goes_on_afterwards(ledger, tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None) as other:
        ledger._books._file.execute("PRAGMA busy_timeout=50")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SpoolError, match="locked"):
            ledger.begin(exam())
        other.execute("ROLLBACK")
    ledger.begin(exam())
    assert ledger.exam("E1").id == "E1"


def test_a_closed_ledger_answers_with_an_error_of_ours(tmp_path):
    book = Ledger(tmp_path / "ledger.sqlite")
    book.close()
    with pytest.raises(SpoolError):
        book.exams()
    with pytest.raises(SpoolError):
        book.sign("a", {})


def test_several_processes_may_open_a_new_ledger_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from appliance.spool.ledger import Ledger; sys.stdin.read(1); "
        "Ledger(Path(sys.argv[1])).sign('a', {})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.sqlite")]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    answers = [child.communicate(b"x")[1] for child in children]
    assert [child.returncode for child in children] == [0] * 4, answers


def test_a_ledger_of_the_first_form_is_brought_up(tmp_path):
    path = tmp_path / "ledger.sqlite"
    book = Ledger(path)
    book.begin(exam())
    book.keep(picture())
    finish(book)
    book.close()
    with sqlite3.connect(path) as file:  # back to how the first form was
        file.executescript(
            "ALTER TABLE series DROP COLUMN last; ALTER TABLE deliveries DROP COLUMN returned;"
            "ALTER TABLE deliveries DROP COLUMN withheld; DROP TABLE orders; PRAGMA user_version=1;"
            "CREATE TABLE orders(key TEXT PRIMARY KEY, facts TEXT NOT NULL, fetched REAL NOT NULL);"
        )
    book = Ledger(path)
    book.cache_orders([order()], 1.0)
    assert len(book.debts.deliveries()) == 1 and book.exam("E1").id == "E1" and len(book.orders()) == 1
    book.close()


def test_one_postponed_object_does_not_hold_up_another(ledger):
    ledger.begin(exam())
    for one in ("p1", "p2"):
        ledger.keep(picture(one))
    finish(ledger)
    first = ledger.debts.deliveries()[0]
    ledger.debts.postpone([first], Trouble("no", "wait", time.time() + 60))
    assert [d.picture.id for d in ledger.debts.to_send("pacs", time.time())] == ["p2"]
    assert ledger.debts.next_due(time.time()) == pytest.approx(time.time() + 60, abs=5)


def test_the_cached_worklist_outlives_an_error(ledger):
    ledger.cache_orders([order(), order("A2")], 100.0)
    ledger.cache_orders([], 200.0, error="RIS away")
    assert [o.accession for o in ledger.orders()] == ["A1", "A2"]
    assert ledger.fetched() == {"": (100.0, "RIS away")}
    ledger.cache_orders([], 300.0, error="never there", peer="[other]*")
    assert ledger.fetched() == {"": (100.0, "RIS away"), "[other]*": (0.0, "never there")}
    ledger.cache_orders([order("A3")], 400.0)
    ledger.keep_orders_of([""])
    assert ledger.fetched() == {"": (400.0, "")}


def test_an_errand_is_answered_once_and_seen_by_both(ledger, tmp_path):
    number = ledger.send_errand("worklist", {"modality": "ES"})
    other = Ledger(tmp_path / "ledger.sqlite")
    (errand,) = other.errands()
    assert errand.asked == {"modality": "ES"} and ledger.answered(number) is None
    other.answer(number, {"count": 3})
    assert ledger.answered(number) == {"count": 3} and other.errands() == []
    other.close()


def test_files_of_released_objects_are_known_until_gone(ledger):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger)
    ledger.release(["p1"])
    assert ledger.files() == {"E1/p1.dcm"}
    (released,) = ledger.to_drop(time.time() + 1)
    ledger.gone(released.id)
    assert ledger.files() == set() and ledger.to_drop(time.time() + 1) == []


def test_forget_takes_only_what_is_settled(ledger, monkeypatch):
    ledger.begin(exam())
    ledger.keep(picture())
    finish(ledger, tell=[])
    later = time.time() + 40 * 86400
    monkeypatch.setattr("appliance.spool.ledger.time.time", lambda: later)
    assert ledger.forget() == 0
    ledger.gone("p1")
    assert ledger.forget() == 1
    assert ledger.exams() == []


def test_a_ledger_of_another_version_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version=99")
    with pytest.raises(SpoolError, match="another version"):
        Ledger(path)


def test_what_was_answered_survives_a_killed_writer(tmp_path):
    """A child keeps pictures and prints each id after the ledger answered; it is killed in the middle."""
    code = f"""
import sys; sys.path.insert(0, {str(__file__).rsplit("/", 1)[0]!r})
from pathlib import Path
from test_ledger import Ledger, exam, picture
ledger = Ledger(Path({str(tmp_path / "ledger.sqlite")!r}))
ledger.begin(exam())
for n in range(1, 100000):
    ledger.keep(picture(f"p{{n}}")); print(n, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    seen = [int(child.stdout.readline()) for _ in range(25)]
    child.kill()
    seen += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.wait()
    ledger = Ledger(tmp_path / "ledger.sqlite")
    kept = {p.id for p in ledger.pictures("E1")}
    assert {f"p{n}" for n in seen} <= kept and len(kept) <= len(seen) + 1
    ledger.close()


def test_facts_are_frozen():
    with pytest.raises(AttributeError):
        exam().id = "other"
    assert replace(exam(), id="E2").id == "E2"
