"""A DICOMDIR read as its links say: every record reached, each in its place, each link true (PS3.3 F, PS3.10 8)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from appliance.errors import InputError
from appliance.media.records import ABOVE, KEYS, missing

DIRECTORY = "1.2.840.10008.1.3.10"
EXPLICIT = "1.2.840.10008.1.2.1"
_COMPONENT = re.compile(r"[A-Z0-9_]{1,8}")
_FIRST = "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity"
_LAST = "OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity"
_NEXT, _LOWER = "OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity"
# what may stand at the top besides patients (PS3.3 F.4)
_ALONE = {"PRIVATE", "HANGING PROTOCOL", "PALETTE", "IMPLANT", "IMPLANT ASSY", "IMPLANT GROUP", "INVENTORY"}


@dataclass(frozen=True)
class Entry:
    """A record that names a file.

    `name` is its File ID joined by slashes, `above` are the records that led to it, the patient's first.
    """

    name: str
    record: Dataset
    above: tuple[Dataset, ...]


@dataclass
class Directory:
    """What a DICOMDIR lists, and every fault found in it, in words.

    `entries` are in the order of the links. A fault in one place does not hide those in others.
    """

    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read(path: Path) -> Directory:
    """Walk all links of a DICOMDIR from its root, as a reader does (PS3.3 F.2.2).

    The sequence of the records alone would show a whole list even where its links are broken. Raises InputError where the
    file cannot be read at all.
    """
    try:
        root = dcmread(path)
        records = {int(one.seq_item_tell): one for one in root.get("DirectoryRecordSequence") or []}
        found = Directory()
        found.faults += _of_root(root)
        _Walk(found, records).all(int(root.get(_FIRST) or 0), int(root.get(_LAST) or 0))
    except Exception as error:  # pydicom raises whatever a damaged file makes it stumble over
        raise InputError(f"the DICOMDIR cannot be read: {error}", "Do not rely on this disc.") from error
    if not found.entries and not found.faults:
        found.faults.append("the DICOMDIR lists nothing")
    return found


def _of_root(root: Dataset) -> Iterator[str]:
    """Faults of the file itself: its class, its syntax, its own word on whether it is consistent (PS3.10 8.6)."""
    if root.file_meta.get("MediaStorageSOPClassUID") != DIRECTORY:
        yield "the DICOMDIR is not a Media Storage Directory"
    if root.file_meta.get("TransferSyntaxUID") != EXPLICIT:
        yield "the DICOMDIR is not Explicit VR Little Endian"
    if root.get("FileSetConsistencyFlag"):
        yield "the DICOMDIR says of itself that it is inconsistent"


class _Walk:
    """One walk from the root along the links; a link that leads astray ends its chain.

    Every record is looked at once: a second link to it is a fault, and so is a record that no link reaches.
    """

    def __init__(self, found: Directory, records: dict[int, Dataset]) -> None:
        self._found = found
        self._records = records
        self._seen: set[int] = set()

    def all(self, first: int, last: int) -> None:
        """The chain of the root, then what no link reached."""
        end = self._chain(first, ())
        if end != last:
            self._found.faults.append(f"the DICOMDIR says that its last record of the top is at {last}, the links say {end}")
        for offset in sorted(set(self._records) - self._seen):
            record = self._records[offset]
            if record.get("RecordInUseFlag") != 0:  # 0: taken out of use, may be anywhere
                kind = record.get("DirectoryRecordType", "nameless")
                self._found.faults.append(f"no link of the DICOMDIR leads to its {kind} record at {offset}")

    def _chain(self, offset: int, above: tuple[Dataset, ...]) -> int:
        """One chain of records of the same level, each with what is below it; returns where its last one begins."""
        last = 0
        while offset:
            record = self._records.get(offset)
            if record is None:
                self._found.faults.append(f"a link of the DICOMDIR leads to {offset}, where no record begins")
                break
            if offset in self._seen:
                self._found.faults.append(f"two links of the DICOMDIR lead to the record at {offset}")
                break
            self._seen.add(offset)
            last = offset
            if self._in_place(record, above, offset):
                self._take(record, above, offset)
                self._chain(int(record.get(_LOWER) or 0), (*above, record))
            offset = int(record.get(_NEXT) or 0)
        return last

    def _in_place(self, record: Dataset, above: tuple[Dataset, ...], offset: int) -> bool:
        """Whether a record may stand where the links put it: patient, study, series, object (PS3.3 F.4)."""
        kind = str(record.get("DirectoryRecordType") or "nameless")
        if "PRIVATE" in (kind, *(one.get("DirectoryRecordType") for one in above)):
            right = len(above) < 8
        elif len(above) < len(ABOVE):
            right = kind == ABOVE[len(above)] or (not above and kind in _ALONE)
        else:
            right = len(above) == len(ABOVE) and kind not in ABOVE
        if not right:
            where = f"below a {above[-1].get('DirectoryRecordType')}" if above else "at the top"
            self._found.faults.append(f"the DICOMDIR's record at {offset} is a {kind} {where}")
        return right

    def _take(self, record: Dataset, above: tuple[Dataset, ...], offset: int) -> None:
        """Note the file that a record names, and what the record lacks.

        Rows and Columns are keys of some profiles only, and a study may be known by another key than its UID.
        """
        kind = str(record.get("DirectoryRecordType"))
        lacking = missing(record, [kind]) if kind in KEYS else []
        # Rows, Columns are keys of some profiles only; a study may be named by another key
        lacking = [one for one in lacking if one not in ("Rows", "Columns", "StudyInstanceUID")]
        if lacking:
            self._found.faults.append(f"the DICOMDIR's {kind} record at {offset} does not say {', '.join(lacking)}")
        if not record.get("ReferencedFileID"):
            if kind not in ABOVE and kind != "PRIVATE":
                self._found.faults.append(f"the DICOMDIR's {kind} record at {offset} names no file")
            return
        parts = record.ReferencedFileID
        parts = [parts] if isinstance(parts, str) else [str(part) for part in parts]
        name = "/".join(parts)
        if len(parts) > 8 or not all(_COMPONENT.fullmatch(part) for part in parts):
            self._found.faults.append(f"{name} is not a legal File ID: up to 8 names of A-Z, 0-9, _ of up to 8 characters")
        self._found.entries.append(Entry(name, record, above))
