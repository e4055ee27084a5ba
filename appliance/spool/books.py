"""The SQLite file itself: its tables, its transactions, and facts as JSON."""

import sqlite3
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from appliance.errors import SpoolError

T = TypeVar("T")
VERSION = 2
PATIENCE = 30.0  # seconds that a change waits for another process's
ATTEMPTS = 100  # to turn write-ahead logging on, 0.05 s apart
TABLES = """
CREATE TABLE IF NOT EXISTS orders(peer TEXT NOT NULL, key TEXT NOT NULL, facts TEXT NOT NULL, fetched REAL NOT NULL);
CREATE TABLE IF NOT EXISTS exams(id TEXT PRIMARY KEY, state TEXT NOT NULL, facts TEXT NOT NULL, began REAL NOT NULL);
CREATE TABLE IF NOT EXISTS series(uid TEXT PRIMARY KEY, exam_id TEXT NOT NULL, modality TEXT NOT NULL, facts TEXT NOT NULL,
    last INTEGER NOT NULL DEFAULT 0, UNIQUE(exam_id, modality));
CREATE TABLE IF NOT EXISTS pictures(id TEXT PRIMARY KEY, exam_id TEXT NOT NULL REFERENCES exams(id),
    sop_instance_uid TEXT NOT NULL UNIQUE, facts TEXT NOT NULL, kept REAL NOT NULL, released REAL, gone REAL);
CREATE INDEX IF NOT EXISTS pictures_of_exam ON pictures(exam_id);
CREATE TABLE IF NOT EXISTS deliveries(picture_id TEXT NOT NULL REFERENCES pictures(id), destination TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
    transaction_uid TEXT NOT NULL DEFAULT '', asked REAL NOT NULL DEFAULT 0, words TEXT NOT NULL DEFAULT '',
    advice TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, returned INTEGER NOT NULL DEFAULT 0,
    withheld INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(picture_id, destination));
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries(destination, state, due);
CREATE TABLE IF NOT EXISTS transactions(uid TEXT PRIMARY KEY, destination TEXT NOT NULL, asked REAL NOT NULL);
CREATE TABLE IF NOT EXISTS reports(id TEXT PRIMARY KEY, exam_id TEXT NOT NULL REFERENCES exams(id), kind TEXT NOT NULL,
    peer TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
    words TEXT NOT NULL DEFAULT '', advice TEXT NOT NULL DEFAULT '', changed REAL NOT NULL);
CREATE TABLE IF NOT EXISTS errands(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, asked TEXT NOT NULL,
    answer TEXT, asked_at REAL NOT NULL, answered_at REAL);
CREATE TABLE IF NOT EXISTS signs(name TEXT PRIMARY KEY, facts TEXT NOT NULL, at REAL NOT NULL);
"""
# what makes a ledger of that version one of the next; the orders are a cache, fetched anew
STEPS = {
    1: """
DROP TABLE orders;
CREATE TABLE orders(peer TEXT NOT NULL, key TEXT NOT NULL, facts TEXT NOT NULL, fetched REAL NOT NULL);
ALTER TABLE series ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
""",
}


class Books:
    """One connection to the ledger's file, shared by the threads of a process; every change is a transaction.

    Write-ahead logging with synchronous FULL: a change that was answered survives a power cut.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients are in it
            self._file = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._file.row_factory = sqlite3.Row
            self._write_ahead()
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("PRAGMA foreign_keys=ON")
            self._bring_up(path)
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"cannot open the ledger {path}: {error}") from error

    def _bring_up(self, path: Path) -> None:
        """Make the tables, or bring those of an earlier version up to ours; another process may be doing the same."""
        if self._version() == VERSION:
            return
        with self.change() as file:
            while (found := self._version()) != VERSION:
                if found and found not in STEPS:
                    raise SpoolError(f"the ledger {path} was written by another version of dicap (its form is {found})")
                for statement in filter(None, (part.strip() for part in (STEPS[found] if found else TABLES).split(";"))):
                    file.execute(statement)
                file.execute(f"PRAGMA user_version={found + 1 if found else VERSION}")

    def _write_ahead(self) -> None:
        """Turn write-ahead logging on; two processes that do so at once collide without waiting for each other."""
        for attempt in range(ATTEMPTS):
            try:
                self._file.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.05)

    def _version(self) -> int:
        return int(self._file.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing; raises SpoolError when the disk does not take it."""
        with self._lock:
            try:
                self._file.execute("BEGIN IMMEDIATE")
                try:
                    yield self._file
                except BaseException:
                    self._file.execute("ROLLBACK")
                    raise
                self._file.execute("COMMIT")
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):  # closed, or rolled back by itself
                    if self._file.in_transaction:
                        self._file.execute("ROLLBACK")
                raise SpoolError(f"the ledger could not be written: {error}") from error

    def rows(self, question: str, *values: Any) -> list[sqlite3.Row]:
        """The answer to a question; raises SpoolError when the disk, or another process that holds it, does not give it."""
        with self._lock:
            try:
                return self._file.execute(question, values).fetchall()
            except sqlite3.Error as error:
                raise SpoolError(f"the ledger could not be read: {error}") from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._file.close()


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def to_json(fact: Any) -> str:
    """A frozen fact as JSON text."""
    return _adapter(cast(Hashable, type(fact))).dump_json(fact).decode()


def from_json(kind: type[T], text: str) -> T:
    """The fact again."""
    fact: T = _adapter(cast(Hashable, kind)).validate_json(text)
    return fact
