"""The archive's files and their index: STORE/study/series/instance.dcm, each written whole or not at all."""

import contextlib
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from appliance.peers.receive import Incoming

# what C-FIND can answer, and what the archive looks at when it takes an object in
INDEXED = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
    "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "StudyID", "StudyDescription", "ReferringPhysicianName", "Modality", "SeriesNumber", "SeriesDescription",
    "SeriesDate", "SeriesTime", "BodyPartExamined", "ProtocolName", "StationName", "InstanceNumber", "NumberOfFrames",
    "Rows", "Columns", "ContentDate", "ContentTime", "InstitutionName",
)  # fmt: skip

_SCHEMA = """
create table if not exists object (
    number integer primary key, sop_instance_uid text unique not null, sop_class_uid text not null,
    syntax_uid text not null, file text not null, sha256 text not null, size integer not null, header text not null
)"""


@dataclass(frozen=True)
class Stored:
    """One object in the archive; `sha256` and `size` are of the data set as sent, without file meta information."""

    sop_class_uid: str
    sop_instance_uid: str
    syntax_uid: str
    path: Path
    sha256: str
    size: int
    header: Dataset


class Kept(Enum):
    """What became of an object that came in."""

    NEW = "new"
    AGAIN = "again"
    OTHER = "the same UID with other content"


class Archive:
    """Files under `store`, and an SQLite index that survives a restart.

    An object is written to `store`/incoming, then renamed into its place: another process sees it whole or not at
    all. Nothing is fsynced: this archive is for developers, and a power cut may cost what came last. May be used by
    several threads.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.again = 0
        store.mkdir(parents=True, exist_ok=True)
        self._incoming = store / "incoming"
        self._lock = threading.Lock()
        self._next = 0

    def tidy(self) -> None:
        """What an earlier life left half received is dropped."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)

    def place(self) -> Path:
        """Where the next object may come in: on the disk of the archive, outside of its folders."""
        with self._lock:
            self._next += 1
            return self._incoming / f"{self._next}.part"

    def keep(self, incoming: Incoming, header: Dataset) -> Kept:
        """Take a whole object in. One that is there already stays as it is: `AGAIN` if the content is the same.

        The same UID in another transfer syntax counts as the same content: it is what a sender does that had to
        transcode without loss.
        """
        folder = self.store / str(header.StudyInstanceUID) / str(header.SeriesInstanceUID)
        path = folder / f"{incoming.sop_instance_uid}.dcm"
        with self._index() as index:
            held = index.execute(
                "select sha256, syntax_uid from object where sop_instance_uid = ?", (incoming.sop_instance_uid,)
            ).fetchone()  # fmt: skip
            if held is not None:
                same = held[0] == incoming.sha256 or held[1] != incoming.syntax_uid
                self.again += same
                return Kept.AGAIN if same else Kept.OTHER
            folder.mkdir(parents=True, exist_ok=True)
            incoming.path.replace(path)
            row = (
                incoming.sop_instance_uid, incoming.sop_class_uid, incoming.syntax_uid, str(path.relative_to(self.store)),
                incoming.sha256, incoming.size, json.dumps(header.to_json_dict()),
            )  # fmt: skip
            index.execute("insert into object values (null, ?, ?, ?, ?, ?, ?, ?)", row)
        return Kept.NEW

    def forget(self, sop_instance_uid: str) -> None:
        """Lose an object, file and all."""
        with self._index() as index:
            row = index.execute("select file from object where sop_instance_uid = ?", (sop_instance_uid,)).fetchone()
            if row:
                with contextlib.suppress(FileNotFoundError):
                    (self.store / row[0]).unlink()
                index.execute("delete from object where sop_instance_uid = ?", (sop_instance_uid,))

    def class_of(self, sop_instance_uid: str) -> str | None:
        """SOP Class UID of an object that is here, file and index; None if it is not."""
        with self._index() as index:
            row = index.execute(
                "select sop_class_uid, file from object where sop_instance_uid = ?", (sop_instance_uid,)
            ).fetchone()  # fmt: skip
        return str(row[0]) if row and (self.store / row[1]).is_file() else None

    def objects(self) -> list[Stored]:
        """Everything that is here, in the order in which it came."""
        with self._index() as index:
            rows = index.execute(
                "select sop_class_uid, sop_instance_uid, syntax_uid, file, sha256, size, header from object order by number"
            ).fetchall()  # fmt: skip
        return [
            Stored(row[0], row[1], row[2], self.store / row[3], row[4], row[5], Dataset.from_json(row[6])) for row in rows
        ]

    @contextlib.contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The index, for one piece of work at a time; made where it is missing."""
        with self._lock, contextlib.closing(sqlite3.connect(self.store / "index.sqlite", isolation_level=None)) as index:
            index.execute("pragma synchronous = off")
            index.execute("pragma journal_mode = memory")
            index.execute(_SCHEMA)
            yield index


def header_of(path: Path) -> Dataset | None:
    """The indexed attributes of a Part 10 file, pixel data unread; None if it cannot be read."""
    try:
        whole = dcmread(path, stop_before_pixels=True, specific_tags=list(INDEXED))
        header = Dataset()
        for keyword in INDEXED:
            if keyword in whole:
                header.add(whole[keyword])
        header.to_json_dict()
    except (InvalidDicomError, OSError, ValueError, AttributeError, TypeError, NotImplementedError, KeyError):
        return None
    return header
