"""Is this file-set what its DICOMDIR says it is: run after every writing, and on anybody's disc."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset

from appliance.dicom import syntaxes
from appliance.errors import InputError
from appliance.media import directory, profiles, records
from appliance.media.directory import Entry
from appliance.media.intact import is_dicom, read_to_end

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
    """What was found.

    `objects` is how many the DICOMDIR lists; `faults` are sentences, none for a good disc; `notes` are what a person should
    know though it is no fault.
    """

    objects: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(folder: Path) -> Verdict:
    """Walk the links of the DICOMDIR, compare every record with its file, and read every file to its end.

    `folder` is meant to be the root of a medium (PS3.3 F, PS3.10 8). Nothing is raised for a bad disc, whatever is wrong
    with it; nothing is read outside the folder.
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
    """The fault of a listed file that is not there, or not under that very name."""
    twin = next((one for one in there if one.upper() == name.upper()), "")
    return f"{name} is listed but is there as {twin}: names are upper case" if twin else f"{name} is listed but not there"


def _of_others(names: set[str], there: dict[str, Path], notes: list[str]) -> Iterator[str]:
    """Objects that no record names are a fault (PS3.11 D.3.3); a program is worth a word; other files may be there."""
    unlisted = [name for name in sorted(names) if is_dicom(there[name])]
    if len(unlisted) > _MANY:
        yield f"{len(unlisted)} objects are not in the DICOMDIR: {', '.join(unlisted[:3])} …"
        unlisted = []
    for name in unlisted:
        yield f"{name} is an object that is not in the DICOMDIR"
    for name in sorted(names):
        if PurePosixPath(name.lower()).suffix in (".exe", ".com", ".bat", ".cmd", ".scr", ".msi", ".vbs", ".js", ".inf"):
            notes.append(f"{name} is a program or starts one: dicap never writes any, do not run it unseen")


def _of_file(path: Path, entry: Entry, notes: list[str]) -> Iterator[str]:
    """Faults of one listed file: can it be read, is it the one that its record means, does any profile know its syntax."""
    name = entry.name
    try:
        read_to_end(path)
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
    """Faults of a file that is another than its records say: UIDs, syntax, patient, study, series, numbers."""
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
