"""Is this file-set what its DICOMDIR says it is: run after every writing, and on anybody's disc."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

DIRECTORY = "1.2.840.10008.1.3.10"
EXPLICIT = "1.2.840.10008.1.2.1"
COMPONENT = re.compile(r"[A-Z0-9_]{1,8}")
OTHER_FILES = frozenset({"DICOMDIR", "README.TXT", "INDEX.HTM"})


@dataclass(frozen=True)
class Verdict:
    """What was found: how many objects the DICOMDIR lists, and every fault in words (none: the disc is good)."""

    objects: int
    faults: tuple[str, ...]


def verify(folder: Path) -> Verdict:
    """Walk the links of the DICOMDIR and compare every record with its file (PS3.3 F, PS3.10 8)."""
    directory = folder / "DICOMDIR"
    if not directory.is_file():
        return Verdict(0, ("there is no DICOMDIR at the top",))
    try:
        root = dcmread(directory)
    except (InvalidDicomError, OSError, EOFError) as error:
        return Verdict(0, (f"the DICOMDIR cannot be read: {error}",))
    faults = list(_of_directory(root))
    listed: dict[str, Dataset] = {}
    by_offset = {int(record.seq_item_tell): record for record in root.get("DirectoryRecordSequence", [])}
    faults += _walk(by_offset, int(root.get("OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity", 0)), listed, set())
    for name, record in sorted(listed.items()):
        faults += _of_file(folder, name, record)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strangers = sorted(one for one in found - set(listed) if one not in OTHER_FILES and not one.startswith("IHE_PDI/"))
    faults += [f"{one} is not in the DICOMDIR" for one in strangers if _is_dicom(folder / one)]
    return Verdict(len(listed), tuple(faults))


def _of_directory(root: Dataset) -> Iterator[str]:
    if root.file_meta.get("MediaStorageSOPClassUID") != DIRECTORY:
        yield "the DICOMDIR is not a Media Storage Directory"
    if root.file_meta.get("TransferSyntaxUID") != EXPLICIT:
        yield "the DICOMDIR is not Explicit VR Little Endian"
    if root.get("FileSetConsistencyFlag", 0) != 0:
        yield "the DICOMDIR says of itself that it is inconsistent"


def _walk(records: dict[int, Dataset], offset: int, listed: dict[str, Dataset], seen: set[int]) -> list[str]:
    faults: list[str] = []
    while offset:
        record = records.get(offset)
        if record is None:
            return [*faults, f"a link of the DICOMDIR leads to {offset}, where no record begins"]
        if offset in seen:
            return [*faults, f"the links of the DICOMDIR run in a circle at {offset}"]
        seen.add(offset)
        if "ReferencedFileID" in record:
            parts = record.ReferencedFileID
            parts = [parts] if isinstance(parts, str) else list(parts)
            if len(parts) > 8 or not all(COMPONENT.fullmatch(part) for part in parts):
                faults.append(f"{'/'.join(parts)} is not a legal File ID")
            listed["/".join(parts)] = record
        faults += _walk(records, int(record.get("OffsetOfReferencedLowerLevelDirectoryEntity", 0)), listed, seen)
        offset = int(record.get("OffsetOfTheNextDirectoryRecord", 0))
    return faults


def _of_file(folder: Path, name: str, record: Dataset) -> Iterator[str]:
    path = folder / name
    if not path.is_file():
        yield f"{name} is listed but not there"
        return
    try:
        header = dcmread(path, stop_before_pixels=True)
        whole = dcmread(path, defer_size=4096)
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        yield f"{name} cannot be read: {error}"
        return
    pairs = (
        ("SOP Class", record.get("ReferencedSOPClassUIDInFile"), header.get("SOPClassUID")),
        ("SOP Instance", record.get("ReferencedSOPInstanceUIDInFile"), header.get("SOPInstanceUID")),
        ("transfer syntax", record.get("ReferencedTransferSyntaxUIDInFile"), header.file_meta.get("TransferSyntaxUID")),
    )
    for what, listed, found in pairs:
        if listed != found:
            yield f"{name}: the DICOMDIR says {what} {listed}, the file says {found}"
    if "Rows" in header and "PixelData" not in whole:
        yield f"{name} has no pixel data: it is cut off"
    expected = _native_length(whole)
    if expected and len(whole.PixelData) < expected:
        yield f"{name} is cut off: {len(whole.PixelData)} of {expected} bytes of pixel data"


def _native_length(dataset: Dataset) -> int:
    if "PixelData" not in dataset or dataset.file_meta.TransferSyntaxUID.is_compressed:
        return 0
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    return int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8 * frames


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
