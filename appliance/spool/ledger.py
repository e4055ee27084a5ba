"""What we owe to whom, and how far it got: exams, pictures, the cached worklist, errands, signs of life."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.clinic.exam import EXAM_STATES, Exam, ExamState, Picture, Series
from appliance.clinic.order import Code, Order
from appliance.errors import StateError
from appliance.spool.books import Books, from_json, to_json
from appliance.spool.debts import Debts, State

WITHHELD_ADVICE = "Assign the pictures to the right patient, or release them by hand."
SETTLED_DAYS = 30  # how long the ledger remembers an exam of which nothing is owed


@dataclass(frozen=True)
class Ending:
    """How an exam ends; `withheld` says why its pictures wait for a person instead of going to the archives."""

    state: ExamState
    ended: datetime
    reason: Code | None = None
    withheld: str = ""


@dataclass(frozen=True)
class Errand:
    """What the station wants from the network: `kind` and `asked` from the station, `answer` from the courier."""

    id: int
    kind: str
    asked: dict[str, Any]
    answer: dict[str, Any] | None


class Ledger:
    """The memory that both processes share; `debts` holds deliveries and step reports."""

    def __init__(self, path: Path) -> None:
        self._books = Books(path)
        self.debts = Debts(self._books)

    def close(self) -> None:
        """Let the file go."""
        self._books.close()

    # exams

    def begin(self, exam: Exam, tell: Iterable[str] = ()) -> None:
        """Write an exam down; every RIS in `tell` is owed the news that the step has begun.

        Raises StateError where one of its orders has an open exam already, whichever process began that.
        """
        now = time.time()
        keys = {order.key for order in exam.orders}
        with self._books.change() as file:
            for other in self.exams(ExamState.OPEN):
                if keys & {order.key for order in other.orders}:
                    raise StateError(f"the exam {other.id} for {other.patient.spoken_name} is still open")
            file.execute("INSERT INTO exams VALUES(?,?,?,?)", (exam.id, exam.state, to_json(exam), now))
            for peer in tell:
                file.execute(
                    "INSERT INTO reports(id, exam_id, kind, peer, state, changed) VALUES(?,?,?,?,?,?)",
                    (f"{exam.id}:begun:{peer}", exam.id, "begun", peer, State.WAITING, now),
                )

    def exam(self, exam_id: str) -> Exam:
        """One exam; raises StateError where there is none."""
        rows = self._books.rows("SELECT facts FROM exams WHERE id=?", exam_id)
        if not rows:
            raise StateError(f"there is no exam {exam_id}")
        return from_json(Exam, rows[0]["facts"])

    def exams(self, state: ExamState | None = None, since: float = 0.0) -> list[Exam]:
        """The exams, newest first."""
        rows = self._books.rows(
            "SELECT facts FROM exams WHERE (? IS NULL OR state=?) AND began>=? ORDER BY began DESC", state, state, since
        )
        return [from_json(Exam, row["facts"]) for row in rows]

    def end(self, exam_id: str, ending: Ending, destinations: Iterable[str], tell: Iterable[str]) -> Exam:
        """Close an exam: its pictures are owed to the destinations, the RIS its end. Raises StateError when closed."""
        now = time.time()
        with self._books.change() as file:
            row = file.execute("SELECT facts FROM exams WHERE id=?", (exam_id,)).fetchone()
            exam = from_json(Exam, row["facts"]) if row else None
            if exam is None or ending.state not in EXAM_STATES[exam.state]:
                raise StateError(f"the exam {exam_id} is not open")
            # a clock that was set back meanwhile must not end an exam before it began
            exam = replace(exam, state=ending.state, ended=max(ending.ended, exam.started), reason=ending.reason)
            file.execute("UPDATE exams SET state=?, facts=? WHERE id=?", (exam.state, to_json(exam), exam_id))
            for destination in destinations:
                file.execute(
                    "INSERT OR IGNORE INTO deliveries(picture_id, destination, state, changed) "
                    "SELECT id, ?, ?, ? FROM pictures WHERE exam_id=?",
                    (destination, State.WAITING, now, exam_id),
                )
            if ending.withheld:  # also what was to go at once and has not gone yet
                file.execute(
                    "UPDATE deliveries SET state=?, withheld=1, words=?, advice=?, changed=? "
                    "WHERE state=? AND picture_id IN (SELECT id FROM pictures WHERE exam_id=?)",
                    (State.REFUSED, ending.withheld, WITHHELD_ADVICE, now, State.WAITING, exam_id),
                )
            for peer in tell:
                file.execute(
                    "INSERT INTO reports(id, exam_id, kind, peer, state, changed) VALUES(?,?,?,?,?,?)",
                    (f"{exam_id}:ended:{peer}", exam_id, "ended", peer, State.WAITING, now),
                )
        return exam

    # pictures

    def series(self, exam_id: str, wanted: Series) -> Series:
        """The series of an exam for a modality: the first that asks founds it, whichever process that is."""
        with self._books.change() as file:
            file.execute(
                "INSERT OR IGNORE INTO series(uid, exam_id, modality, facts) VALUES(?,?,?,?)",
                (wanted.uid, exam_id, wanted.modality, to_json(wanted)),
            )
            question = "SELECT facts FROM series WHERE exam_id=? AND modality=?"
            row = file.execute(question, (exam_id, wanted.modality)).fetchone()
        return from_json(Series, row["facts"])

    def next_number(self, series_uid: str) -> int:
        """The next Instance Number of a series, from 1: no two processes get the same, none is given twice."""
        with self._books.change() as file:
            file.execute("UPDATE series SET last=last+1 WHERE uid=?", (series_uid,))
            return int(file.execute("SELECT last FROM series WHERE uid=?", (series_uid,)).fetchone()["last"])

    def has_object(self, sop_instance_uid: str) -> bool:
        """Whether an object of this SOP Instance UID was ever kept here (and not deleted, nor long settled)."""
        return bool(self._books.rows("SELECT 1 FROM pictures WHERE sop_instance_uid=?", sop_instance_uid))

    def keep(self, picture: Picture, destinations: Iterable[str] = ()) -> None:
        """Write down an object that lies on the shelf; owed at once to the destinations, or when the exam ends.

        Raises StateError when the exam is closed; then the object belongs to nobody and its file may go.
        """
        now = time.time()
        with self._books.change() as file:
            row = file.execute("SELECT state FROM exams WHERE id=?", (picture.exam_id,)).fetchone()
            if row is None or row["state"] != ExamState.OPEN:
                raise StateError(f"the exam {picture.exam_id} is not open: the picture was not added")
            file.execute(
                "INSERT INTO pictures(id, exam_id, sop_instance_uid, facts, kept) VALUES(?,?,?,?,?)",
                (picture.id, picture.exam_id, picture.sop_instance_uid, to_json(picture), now),
            )
            for destination in destinations:
                file.execute(
                    "INSERT INTO deliveries(picture_id, destination, state, changed) VALUES(?,?,?,?)",
                    (picture.id, destination, State.WAITING, now),
                )

    def pictures(self, exam_id: str) -> list[Picture]:
        """The kept objects of an exam, in the order they were kept."""
        rows = self._books.rows("SELECT facts FROM pictures WHERE exam_id=? ORDER BY kept, id", exam_id)
        return [from_json(Picture, row["facts"]) for row in rows]

    def picture(self, picture_id: str) -> Picture:
        """One kept object; raises StateError where there is none."""
        rows = self._books.rows("SELECT facts FROM pictures WHERE id=?", picture_id)
        if not rows:
            raise StateError(f"there is no picture {picture_id}")
        return from_json(Picture, rows[0]["facts"])

    def delete(self, picture_id: str) -> Picture:
        """Take a picture out of its open exam; raises StateError when the exam has ended or it is under way."""
        with self._books.change() as file:
            row = file.execute(
                "SELECT p.facts, e.state FROM pictures p JOIN exams e ON e.id=p.exam_id WHERE p.id=?", (picture_id,)
            ).fetchone()
            if row is None:
                raise StateError(f"there is no picture {picture_id}")
            under_way = file.execute("SELECT 1 FROM deliveries WHERE picture_id=?", (picture_id,)).fetchone()
            if row["state"] != ExamState.OPEN or under_way:
                raise StateError("this picture is already on its way to the archive and can no longer be deleted here")
            file.execute("DELETE FROM pictures WHERE id=?", (picture_id,))
        return from_json(Picture, row["facts"])

    def files(self) -> set[str]:
        """Every file that the shelf must have."""
        rows = self._books.rows("SELECT facts FROM pictures WHERE gone IS NULL")
        return {str(json.loads(row["facts"])["file"]) for row in rows}

    def release(self, picture_ids: Sequence[str]) -> None:
        """Nobody is owed these any more: their files may go."""
        with self._books.change() as file:
            file.executemany(
                "UPDATE pictures SET released=? WHERE id=? AND released IS NULL", [(time.time(), one) for one in picture_ids]
            )

    def is_released(self, picture_id: str) -> bool:
        """Whether nobody is owed this object."""
        return bool(self._books.rows("SELECT 1 FROM pictures WHERE id=? AND released IS NOT NULL", picture_id))

    def take_back(self, picture_id: str) -> bool:
        """A released object is owed again after all; False where its file has been let go."""
        with self._books.change() as file:
            file.execute("UPDATE pictures SET released=NULL WHERE id=? AND gone IS NULL", (picture_id,))
            row = file.execute("SELECT gone FROM pictures WHERE id=?", (picture_id,)).fetchone()
        return row is not None and row["gone"] is None

    def to_drop(self, before: float) -> list[Picture]:
        """The released objects whose files are still there, released before this time; the oldest first."""
        rows = self._books.rows(
            "SELECT facts FROM pictures WHERE released<=? AND gone IS NULL ORDER BY released", before
        )
        return [from_json(Picture, row["facts"]) for row in rows]

    def gone(self, picture_id: str) -> None:
        """The file has been let go."""
        with self._books.change() as file:
            file.execute("UPDATE pictures SET gone=? WHERE id=?", (time.time(), picture_id))

    # the worklist as the RIS last gave it

    def cache_orders(self, orders: Sequence[Order], at: float, error: str = "", peer: str = "") -> None:
        """Replace the cached worklist of one RIS; with an error the old one stays and the error is noted."""
        good = self.fetched().get(peer, (0.0, ""))[0] if error else at
        with self._books.change() as file:
            if not error:
                file.execute("DELETE FROM orders WHERE peer=?", (peer,))
                rows = [(peer, order.key, to_json(order), at) for order in orders]
                file.executemany("INSERT INTO orders VALUES(?,?,?,?)", rows)
        self.sign(f"worklist:{peer}", {"good": good, "error": error}, at)

    def fetched(self) -> dict[str, tuple[float, str]]:
        """For each RIS: when its worklist was last got (0: never), and what went wrong since (empty: nothing)."""
        found = self.signs("worklist:")
        return {name.partition(":")[2]: (float(facts["good"]), str(facts["error"])) for name, (_, facts) in found.items()}

    def keep_orders_of(self, peers: Iterable[str]) -> None:
        """Forget the cached worklist of every RIS but these: the settings know the others no more."""
        known = list(peers)
        with self._books.change() as file:
            file.execute(f"DELETE FROM orders WHERE peer NOT IN ({','.join('?' * len(known))})", known)
            for peer in self.fetched().keys() - set(known):
                file.execute("DELETE FROM signs WHERE name=?", (f"worklist:{peer}",))

    def orders(self) -> list[Order]:
        """The cached worklist in the order of its schedule; two entries may have the same key."""
        found = [from_json(Order, row["facts"]) for row in self._books.rows("SELECT facts FROM orders")]
        once = {(order.key, order.study_uid, order.patient.id): order for order in found}
        return sorted(once.values(), key=lambda order: (order.date, order.time, order.key))

    # errands and signs of life

    def send_errand(self, kind: str, asked: dict[str, Any]) -> int:
        """Ask the courier for something; returns the errand's number."""
        with self._books.change() as file:
            cursor = file.execute(
                "INSERT INTO errands(kind, asked, asked_at) VALUES(?,?,?)", (kind, json.dumps(asked), time.time())
            )
            return int(cursor.lastrowid or 0)

    def errands(self) -> list[Errand]:
        """The errands without an answer, oldest first."""
        rows = self._books.rows("SELECT * FROM errands WHERE answered_at IS NULL ORDER BY id")
        return [Errand(row["id"], row["kind"], json.loads(row["asked"]), None) for row in rows]

    def answer(self, errand_id: int, answer: dict[str, Any]) -> None:
        """The courier's answer."""
        with self._books.change() as file:
            file.execute(
                "UPDATE errands SET answer=?, answered_at=? WHERE id=?", (json.dumps(answer), time.time(), errand_id)
            )

    def answered(self, errand_id: int) -> dict[str, Any] | None:
        """The answer to an errand, or None while there is none."""
        rows = self._books.rows("SELECT answer FROM errands WHERE id=? AND answered_at IS NOT NULL", errand_id)
        return json.loads(rows[0]["answer"]) if rows else None

    def sign(self, name: str, facts: dict[str, Any], at: float | None = None) -> None:
        """Leave a sign: what a process last saw (a peer answering, itself alive), and when."""
        with self._books.change() as file:
            file.execute("INSERT OR REPLACE INTO signs VALUES(?,?,?)", (name, json.dumps(facts), at or time.time()))

    def signs(self, prefix: str = "") -> dict[str, tuple[float, dict[str, Any]]]:
        """The signs whose names begin so: when, and what."""
        rows = self._books.rows("SELECT * FROM signs WHERE substr(name, 1, length(?))=?", prefix, prefix)
        return {row["name"]: (row["at"], json.loads(row["facts"])) for row in rows}

    def forget(self) -> int:
        """Clear what is long settled: old exams of which nothing is owed, answered errands. Returns how many exams."""
        limit = time.time() - SETTLED_DAYS * 86400
        settled = (
            "SELECT id FROM exams e WHERE began<? AND state<>'IN PROGRESS' "
            "AND NOT EXISTS (SELECT 1 FROM pictures p WHERE p.exam_id=e.id AND p.gone IS NULL) "
            "AND NOT EXISTS (SELECT 1 FROM reports r WHERE r.exam_id=e.id AND r.state<>'done')"
        )
        with self._books.change() as file:
            ids = [row["id"] for row in file.execute(settled, (limit,)).fetchall()]
            for one in ids:
                file.execute("DELETE FROM deliveries WHERE picture_id IN (SELECT id FROM pictures WHERE exam_id=?)", (one,))
                file.execute("DELETE FROM pictures WHERE exam_id=?", (one,))
                file.execute("DELETE FROM series WHERE exam_id=?", (one,))
                file.execute("DELETE FROM reports WHERE exam_id=?", (one,))
                file.execute("DELETE FROM exams WHERE id=?", (one,))
            file.execute("DELETE FROM errands WHERE answered_at<?", (time.time() - 3600,))
            file.execute("DELETE FROM transactions WHERE asked<?", (limit,))
        return len(ids)
