"""What the screen is told: true to the ledger, also about what waits for somebody, and quick with much on the way."""

import time

import pytest
from workplace import NOWHERE, order, session, workplace

from appliance.spool.debts import State, Trouble
from appliance.ui.shape import State as Shape
from appliance.ui.view import state_of

PEERS = {
    "ris": {"address": NOWHERE, "roles": ("worklist", "mpps")},
    "pacs": {"address": NOWHERE, "roles": ("store", "commit")},
    "backup": {"address": NOWHERE, "roles": ("store",), "release": "stored"},
}


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path, PEERS) as one, session(one, start=False) as (desk, _):
        one.desk = desk
        one.shown = lambda: Shape.model_validate(state_of(one.place, desk, desk._tap, False)).model_dump()
        yield one


def move(place, destination, *states):
    for debt in place.ledger.debts.deliveries("d.destination=?", destination):
        for state in states:
            (now,) = place.ledger.debts.deliveries("d.destination=? AND d.picture_id=?", destination, debt.picture.id)
            place.ledger.debts.move(now, state)


def tell(place):
    for report in place.ledger.debts.reports():
        place.ledger.debts.move_report(report, State.DONE)


def test_the_line_counts_pictures_however_many_archives_there_are(place):
    place.exam(2)
    assert place.shown()["exams"][0]["line"] == "0 of 2 stored; the RIS is not told yet"
    move(place, "backup", State.SENT)
    assert place.shown()["exams"][0]["line"].startswith("0 of 2 stored"), "not everywhere yet"
    tell(place)
    move(place, "pacs", State.SENT)
    assert place.shown()["exams"][0]["line"] == "2 of 2 stored, commitment asked"
    move(place, "pacs", State.COMMITTED)
    line = place.shown()["exams"][0]
    assert (line["line"], line["done"], line["trouble"]) == ("2 of 2 stored", True, "")
    assert place.shown()["owed"]["words"] == "nothing owed: all pictures are safe in the archive"


def test_without_an_archive_nobody_says_that_pictures_are_safe_in_one(tmp_path):
    with workplace(tmp_path) as place, session(place, start=False) as (desk, _):
        place.exam(1)
        assert "no archive is set" in state_of(place.place, desk, desk._tap, False)["owed"]["words"]


def test_what_is_refused_or_was_tried_for_long_is_trouble(place):
    exam, _ = place.exam(1)
    debt = place.ledger.debts.deliveries("d.destination='pacs'")[0]
    place.ledger.debts.postpone([debt], Trouble("busy", "wait", 0.0))
    assert place.shown()["exams"][0]["trouble"] == "" and "somebody" not in place.shown()["owed"]["words"]
    place.ledger._books._file.execute("UPDATE deliveries SET attempts=20 WHERE destination='pacs'")
    assert place.shown()["exams"][0]["trouble"] == "busy wait" and "somebody must look" in place.shown()["owed"]["words"]
    place.ledger.debts.move(debt, State.REFUSED, Trouble("no", "ask them"))
    shown = place.shown()
    assert (shown["exams"][0]["id"], shown["exams"][0]["trouble"], shown["owed"]["refused"]) == (exam.id, "no ask them", 1)


def test_pictures_of_exams_that_a_command_left_open_are_not_forgotten(place):
    place.exam(3, finish=False)
    assert "3 pictures of exams that were left open" in place.shown()["owed"]["words"] and place.shown()["exam"] is None
    place.desk.begin([order("A2")])
    assert "left open" in place.shown()["owed"]["words"]
    place.desk.finish()
    place.desk.begin([order()])
    assert place.shown()["owed"]["words"].startswith("3 pictures of this exam, sent with Finish")


def test_the_worklist_shows_who_was_picked_by_mistake_again_and_both_of_one_key(place):
    place.ledger.cache_orders([order(), order("A2", patient="P2")], time.time(), peer="ris")
    exam = place.desk.begin([order()])
    assert [one["accession"] for one in place.shown()["worklist"]["orders"]] == ["A2"]
    place.desk.abandon("110514")
    assert [one["accession"] for one in place.shown()["worklist"]["orders"]] == ["A1", "A2"]
    assert exam.id and place.shown()["worklist"]["error"] == ""
    place.ledger.cache_orders([], time.time(), "RIS away", "ris")
    shown = place.shown()["worklist"]
    assert shown["error"] == "RIS away" and shown["age_seconds"] is not None and len(shown["orders"]) == 2


def test_the_state_of_a_full_day_with_the_archive_away_is_told_quickly(place):
    """Not measured in seconds: it asks the ledger what is owed once, not once per exam."""
    for number in range(12):
        place.exam(1, [order(f"A{number}")])
    asked = []
    real = place.ledger.debts.deliveries
    place.ledger.debts.deliveries = lambda condition="1", *values: asked.append(condition) or real(condition, *values)
    assert len(place.shown()["exams"]) == 12
    assert sum("exam_id" not in condition for condition in asked) == 1
