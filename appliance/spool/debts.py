"""What is owed to whom, and how far it got: the table of states."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appliance.clinic.exam import Exam, Picture
from appliance.errors import StateError
from appliance.spool.books import Books, from_json


class State(StrEnum):
    """Where one object stands with one destination, or one step report with one RIS."""

    WAITING = "waiting"
    SENT = "sent"
    COMMITTED = "committed"
    REFUSED = "refused"
    DONE = "done"


DELIVERY_STATES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.SENT, State.REFUSED}),
    State.SENT: frozenset({State.COMMITTED, State.WAITING, State.REFUSED}),  # waiting: the archive does not have it
    State.REFUSED: frozenset({State.WAITING}),  # by hand
    State.COMMITTED: frozenset(),
}
REPORT_STATES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.DONE, State.REFUSED}),
    State.REFUSED: frozenset({State.WAITING}),  # by hand
    State.DONE: frozenset(),
}


@dataclass(frozen=True)
class Debt:
    """One object owed to one destination. Times are seconds since 1970; `due` is when to try (again)."""

    picture: Picture
    destination: str
    state: State
    attempts: int
    due: float
    transaction_uid: str
    asked: float
    words: str
    advice: str
    released: bool
    returned: int  # how often the archive said that it does not have what it had taken


@dataclass(frozen=True)
class Report:
    """One step report (`begun` or `ended`) owed to one RIS."""

    id: str
    exam: Exam
    kind: str
    peer: str
    state: State
    attempts: int
    due: float
    words: str
    advice: str


@dataclass(frozen=True)
class Trouble:
    """Why something did not go: the words, the advice, and when to try again (seconds since 1970)."""

    words: str
    advice: str
    due: float = 0.0


DAY = 86400.0  # no pause is as long: what is due later than that was written by a clock that was wrong
MANY = 500  # values in one question to the ledger

def _due(column: str) -> str:
    """A condition on (now, now + longest pause): due, or due so late that a clock was wrong when it was written."""
    return f"({column}<=? OR {column}>?)"


TO_SEND = f"d.destination=? AND d.state=? AND {_due('d.due')} AND p.released IS NULL"
DELIVERIES = (
    "SELECT d.*, p.facts, p.released FROM deliveries d JOIN pictures p ON p.id = d.picture_id "
    "WHERE {} ORDER BY p.kept, p.id"
)
REPORTS = "SELECT r.*, e.facts FROM reports r JOIN exams e ON e.id = r.exam_id WHERE {} ORDER BY e.began, r.kind, r.id"


class Debts:
    """The rows of deliveries and step reports. Every move is checked against the tables of states."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def deliveries(self, condition: str = "1", *values: Any) -> list[Debt]:
        """The deliveries that meet a condition on the columns of the table."""
        return [_debt(row) for row in self._books.rows(DELIVERIES.format(condition), *values)]

    def reports(self, condition: str = "1", *values: Any) -> list[Report]:
        """The step reports that meet a condition; a begun report stands before its ended one."""
        return [_report(row) for row in self._books.rows(REPORTS.format(condition), *values)]

    def to_send(self, destination: str, now: float, longest: float = DAY, exam_id: str = "") -> list[Debt]:
        """What waits for this destination and is due, of one exam or of all.

        `longest` is the longest pause in seconds that can be meant: what is put off longer is due, too.
        """
        condition = f"{TO_SEND} AND (?='' OR p.exam_id=?)"
        return self.deliveries(condition, destination, State.WAITING, now, now + longest, exam_id, exam_id)

    def exams_to_send(self, destination: str, now: float, longest: float = DAY) -> list[str]:
        """The exams of which something waits for this destination and is due, the longest waiting first."""
        question = (
            "SELECT p.exam_id, min(p.kept) AS first FROM deliveries d JOIN pictures p ON p.id=d.picture_id "
            f"WHERE {TO_SEND} GROUP BY p.exam_id ORDER BY first"
        )
        return [str(row["exam_id"]) for row in self._books.rows(question, destination, State.WAITING, now, now + longest)]

    def to_commit(self, destination: str, now: float, patience: float, longest: float = DAY) -> list[Debt]:
        """What was sent and is not promised yet: never asked for, or asked so long ago that it is asked again.

        What was released meanwhile is still asked for while its file is here: it could be sent again.
        """
        return self.deliveries(
            f"d.destination=? AND d.state=? AND p.gone IS NULL AND {_due('d.due')} "
            "AND (d.transaction_uid='' OR d.asked<=? OR d.asked>?)",
            destination,
            State.SENT,
            now,
            now + longest,
            now - patience,
            now + 5.0,  # asked later than now: by a clock that has been set back since
        )

    def standing(self) -> list[tuple[str, str, State]]:
        """(picture, destination, state) of every delivery of an object that is not released."""
        rows = self._books.rows(
            "SELECT d.picture_id, d.destination, d.state FROM deliveries d JOIN pictures p ON p.id=d.picture_id "
            "WHERE p.released IS NULL"
        )
        return [(row["picture_id"], row["destination"], State(row["state"])) for row in rows]

    def reports_due(self, peer: str, now: float, longest: float = DAY) -> list[Report]:
        """What this RIS is to be told now: an end only after its beginning was told."""
        return self.reports(
            f"r.peer=? AND r.state=? AND {_due('r.due')} AND (r.kind='begun' OR NOT EXISTS (SELECT 1 FROM reports b "
            "WHERE b.exam_id=r.exam_id AND b.peer=r.peer AND b.kind='begun' AND b.state<>'done'))",
            peer,
            State.WAITING,
            now,
            now + longest,
        )

    def next_due(self, now: float) -> float | None:
        """When the next thing that waits falls due after now."""
        rows = self._books.rows(
            "SELECT min(due) AS due FROM (SELECT due FROM deliveries WHERE state IN ('waiting','sent') AND due>? "
            "UNION ALL SELECT due FROM reports WHERE state='waiting' AND due>?)",
            now,
            now,
        )
        due = rows[0]["due"]
        return None if due is None else float(due)

    def move(self, debt: Debt, to: State, trouble: Trouble | None = None) -> None:
        """Carry one delivery to another state; raises StateError where the table has no such way."""
        _demand(DELIVERY_STATES, debt.state, to)
        trouble = trouble or Trouble("", "")
        returned = int((debt.state, to) == (State.SENT, State.WAITING))
        with self._books.change() as file:
            file.execute(
                "UPDATE deliveries SET state=?, attempts=0, due=?, words=?, advice=?, transaction_uid='', asked=0, "
                "returned=returned+?, changed=? WHERE picture_id=? AND destination=? AND state=?",
                (
                    *(to, trouble.due, trouble.words, trouble.advice, returned, time.time()),
                    *(debt.picture.id, debt.destination, debt.state),
                ),
            )

    def postpone(self, debts: Iterable[Debt], trouble: Trouble) -> None:
        """It did not go this time: the words, and when to try again; the state stays."""
        with self._books.change() as file:
            for debt in debts:
                file.execute(
                    "UPDATE deliveries SET attempts=attempts+1, due=?, words=?, advice=?, transaction_uid='', changed=? "
                    "WHERE picture_id=? AND destination=? AND state=?",
                    (trouble.due, trouble.words, trouble.advice, time.time(), debt.picture.id, debt.destination, debt.state),
                )

    def asked(self, debts: Sequence[Debt], transaction_uid: str, trouble: Trouble | None = None) -> None:
        """Commitment is being asked for: noted before the asking, since the answer may overtake us.

        `trouble` are the words from now on; without it they stay.
        """
        now = time.time()
        words = "" if trouble is None else ", words=?, advice=?"
        said = () if trouble is None else (trouble.words, trouble.advice)
        with self._books.change() as file:
            file.execute("INSERT INTO transactions VALUES(?,?,?)", (transaction_uid, debts[0].destination, now))
            for debt in debts:
                file.execute(
                    f"UPDATE deliveries SET transaction_uid=?, asked=?, changed=?{words} "
                    "WHERE picture_id=? AND destination=? AND state=?",
                    (transaction_uid, now, now, *said, debt.picture.id, debt.destination, State.SENT),
                )

    def of_transaction(self, transaction_uid: str, sop_instance_uids: Sequence[str]) -> list[Debt] | None:
        """The deliveries, still to be committed, that a commitment report speaks of; None: nobody asked for it.

        Those are given too for which we have asked again meanwhile: `Debt.transaction_uid` is the newest.
        """
        known = self._books.rows("SELECT destination FROM transactions WHERE uid=?", transaction_uid)
        if not known:
            return None
        found: list[Debt] = []
        for first in range(0, len(sop_instance_uids), MANY):
            some = sop_instance_uids[first : first + MANY]
            marks = ",".join("?" * len(some))
            condition = f"d.destination=? AND d.state=? AND p.sop_instance_uid IN ({marks})"
            found += self.deliveries(condition, known[0]["destination"], State.SENT, *some)
        return found

    def move_report(self, report: Report, to: State, trouble: Trouble | None = None) -> None:
        """Carry one step report to another state; raises StateError where the table has no such way."""
        _demand(REPORT_STATES, report.state, to)
        trouble = trouble or Trouble("", "")
        with self._books.change() as file:
            file.execute(
                "UPDATE reports SET state=?, attempts=0, due=?, words=?, advice=?, changed=? WHERE id=? AND state=?",
                (to, trouble.due, trouble.words, trouble.advice, time.time(), report.id, report.state),
            )

    def postpone_report(self, report: Report, trouble: Trouble) -> None:
        """The RIS could not be told this time."""
        with self._books.change() as file:
            file.execute(
                "UPDATE reports SET attempts=attempts+1, due=?, words=?, advice=?, changed=? WHERE id=? AND state=?",
                (trouble.due, trouble.words, trouble.advice, time.time(), report.id, report.state),
            )

    def hurry(self, ids: Sequence[str] = ()) -> int:
        """By hand: what was refused waits again, and what waits is due now; of these ids, or of all. Returns how many.

        What is withheld (taken under the wrong entry) goes only when the object itself is named, never with the others.
        """
        now = time.time()
        marks = ",".join("?" * len(ids))
        of_exam = f"picture_id IN (SELECT id FROM pictures WHERE exam_id IN ({marks})) AND withheld=0"
        own = f"(picture_id IN ({marks}) OR {of_exam})" if ids else "withheld=0"
        own += " AND picture_id IN (SELECT id FROM pictures WHERE released IS NULL)"
        told = f"(id IN ({marks}) OR exam_id IN ({marks}))" if ids else "1"
        values = (now, *ids, *ids)
        afresh = "due=0, attempts=0, transaction_uid='', asked=0, returned=0, withheld=0, changed=?"
        with self._books.change() as file:
            count = 0
            for statement in (
                f"UPDATE deliveries SET state='waiting', {afresh} WHERE state IN ('waiting','refused') AND {own}",
                f"UPDATE deliveries SET {afresh} WHERE state='sent' AND {own}",
                f"UPDATE reports SET state='waiting', due=0, attempts=0, changed=? "
                f"WHERE state IN ('waiting','refused') AND {told}",
            ):
                count += file.execute(statement, values).rowcount
        return count


def _demand(table: dict[State, frozenset[State]], was: State, to: State) -> None:
    if to not in table[was]:
        raise StateError(f"what is {was} cannot become {to}")


def _debt(row: Any) -> Debt:
    return Debt(
        picture=from_json(Picture, row["facts"]),
        destination=row["destination"],
        state=State(row["state"]),
        attempts=row["attempts"],
        due=row["due"],
        transaction_uid=row["transaction_uid"],
        asked=row["asked"],
        words=row["words"],
        advice=row["advice"],
        released=row["released"] is not None,
        returned=row["returned"],
    )


def _report(row: Any) -> Report:
    return Report(
        id=row["id"],
        exam=from_json(Exam, row["facts"]),
        kind=row["kind"],
        peer=row["peer"],
        state=State(row["state"]),
        attempts=row["attempts"],
        due=row["due"],
        words=row["words"],
        advice=row["advice"],
    )
