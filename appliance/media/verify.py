"""Is this file-set what its DICOMDIR says it is: run after every writing, and on anybody's disc."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydicom.dataset import Dataset

from appliance.dicom import syntaxes
from appliance.dicom.elements import UNDEFINED, opened
from appliance.errors import InputError
from appliance.media import directory, profiles, records
from appliance.media.directory import Entry

_PIECE = 1 << 20
_DOCUMENT = 0x00420011
_MANY = 20
# (what it is called, keyword in the record of which level, keyword in the file)
_TWINS = (
    ("Patient ID", 0, "PatientID"),
    ("study", 1, "StudyInstanceUID"),
    ("series", 2, "SeriesInstanceUID"),
    ("modality", 2, "Modality"),
    ("Instance Number", 3, "InstanceNumber"),
)


@dataclass(frozen=True)
class Verdict:
    """What was found: how many objects the DICOMDIR lists, every fault in words (none: the disc is good), and notes."""

    objects: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(folder: Path) -> Verdict:
    """Walk the links of the DICOMDIR, compare every record with its file, and read every file to its end.

    A folder is meant to be the root of a medium (PS3.3 F, PS3.10 8). Nothing is raised for a bad disc.
    """
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if "DICOMDIR" not in there:
        other = next((name for name in there if name.upper() == "DICOMDIR"), "")
        return Verdict(0, (f"the DICOMDIR is called {other}" if other else "there is no DICOMDIR at the top",))
    try:
        found = directory.read(there["DICOMDIR"])
    except InputError as error:
        return Verdict(0, (str(error),))
    faults = list(found.faults)
    notes: list[str] = []
    listed: dict[str, Entry] = {}
    for entry in found.entries:
        if entry.name in listed:
            faults.append(f"{entry.name} is listed twice")
        listed[entry.name] = entry
    for name, entry in sorted(listed.items()):
        if name in there:
            faults += _of_file(there[name], entry, notes)
        else:
            faults.append(_absent(name, there))
    wanted = {name.upper() for name in set(listed) - set(there)}
    others = {name for name in set(there) - set(listed) if name != "DICOMDIR" and name.upper() not in wanted}
    faults += _of_others(others, there, notes)
    return Verdict(len(listed), tuple(faults), tuple(dict.fromkeys(notes)))


def _absent(name: str, there: dict[str, Path]) -> str:
    twin = next((one for one in there if one.upper() == name.upper()), "")
    return f"{name} is listed but is there as {twin}: names are upper case" if twin else f"{name} is listed but not there"


def _of_others(names: set[str], there: dict[str, Path], notes: list[str]) -> Iterator[str]:
    """Objects that no record names are a fault (PS3.11 D.3.3); a program is worth a word; other files may be there."""
    unlisted = [name for name in sorted(names) if _is_dicom(there[name])]
    if len(unlisted) > _MANY:
        yield f"{len(unlisted)} objects are not in the DICOMDIR: {', '.join(unlisted[:3])} …"
        unlisted = []
    for name in unlisted:
        yield f"{name} is an object that is not in the DICOMDIR"
    for name in sorted(names):
        if PurePosixPath(name.lower()).suffix in (".exe", ".com", ".bat", ".cmd", ".scr", ".msi", ".vbs", ".js", ".inf"):
            notes.append(f"{name} is a program or starts one: dicap never writes any, do not run it unseen")


def _of_file(path: Path, entry: Entry, notes: list[str]) -> Iterator[str]:
    name = entry.name
    try:
        _read_to_end(path)
        header = records.header_of(path)
    except (InputError, OSError) as error:
        yield f"{name} cannot be read: {error}"
        return
    yield from _compared(entry, header)
    uid = str(header.file_meta.get("TransferSyntaxUID", ""))
    try:
        syntax = syntaxes.by_uid(uid).name
    except InputError as error:
        notes.append(str(error))
    else:
        if not profiles.known_anywhere(syntax):
            notes.append(f"no profile of the standard has a place for {syntax}; not every reader will show it")


def _compared(entry: Entry, header: Dataset) -> Iterator[str]:
    record = entry.record
    pairs = [
        ("SOP Class", record.get("ReferencedSOPClassUIDInFile"), header.get("SOPClassUID")),
        ("SOP Instance", record.get("ReferencedSOPInstanceUIDInFile"), header.get("SOPInstanceUID")),
        ("transfer syntax", record.get("ReferencedTransferSyntaxUIDInFile"), header.file_meta.get("TransferSyntaxUID")),
        ("meta SOP Instance", header.get("SOPInstanceUID"), header.file_meta.get("MediaStorageSOPInstanceUID")),
    ]
    levels = (*entry.above, record)
    for what, level, keyword in _TWINS:
        if len(levels) > level and levels[level].get(keyword) not in (None, ""):
            pairs.append((what, levels[level].get(keyword), header.get(keyword)))
    for what, listed, found in pairs:
        if listed != found:
            yield f"{entry.name}: the DICOMDIR says {what} {listed}, the file says {found}"


def _read_to_end(path: Path) -> None:
    """Read every byte that belongs to an object; InputError where it is cut off."""
    with opened(path) as file:
        ends = [one.position + one.length for one in file.dataset.elements.values() if one.position >= 0]
        if max(ends, default=0) > file.size:
            raise InputError("it is cut off")
        if file.pixels_at < 0:
            last = file.dataset.elements[file.dataset.order[-1]] if file.dataset.order else None
            if last is not None and last.position >= 0 and last.position + last.length != file.size:
                raise InputError("it is cut off")
            if not file.dataset.has(_DOCUMENT):
                raise InputError("it has neither picture nor document: it is cut off")
            _pass(file.stream, 0, file.size)
            return
        head = _bytes(file.stream, file.pixels_at, 8 if file.implicit else 12)
        length = int.from_bytes(head[-4:], "little")
        if length != UNDEFINED:
            _pass(file.stream, file.stream.tell(), length)
            return
        # items of encapsulated pixel data up to their delimiter (PS3.5 A.4)
        while (item := _bytes(file.stream, file.stream.tell(), 8))[:4] == b"\xfe\xff\x00\xe0":
            _pass(file.stream, file.stream.tell(), int.from_bytes(item[4:], "little"))
        if item != b"\xfe\xff\xdd\xe0\0\0\0\0":
            raise InputError("its pixel data are damaged: an item begins where none can")


def _bytes(stream: BinaryIO, begin: int, length: int) -> bytes:
    stream.seek(begin)
    found = stream.read(length)
    if len(found) < length:
        raise InputError("it is cut off")
    return found


def _pass(stream: BinaryIO, begin: int, length: int) -> None:
    """Read so many bytes and keep none: a disc may fail anywhere."""
    for at in range(0, length, _PIECE):
        _bytes(stream, begin + at, min(_PIECE, length - at))


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
