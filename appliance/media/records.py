"""Directory records: what a DICOMDIR says of each patient, study, series and object (PS3.3 F.5, PS3.11 H.3.3.1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.fileset import RecordNode

from appliance.errors import InputError


@dataclass(frozen=True)
class Keys:
    """The keys of one type of record.

    `must` have a value (type 1), `may_be_empty` are there in any case (type 2), `where_known` are copied where the object
    has a value (type 1C of PS3.11 H.3.3.1, and 3).
    """

    must: tuple[str, ...]
    may_be_empty: tuple[str, ...] = ()
    where_known: tuple[str, ...] = ()


KEYS: dict[str, Keys] = {
    "PATIENT": Keys(("PatientID",), ("PatientName",), ("PatientBirthDate", "PatientSex")),
    "STUDY": Keys(("StudyDate", "StudyTime", "StudyID", "StudyInstanceUID"), ("StudyDescription", "AccessionNumber")),
    "SERIES": Keys(
        ("Modality", "SeriesInstanceUID", "SeriesNumber"), (),
        ("InstitutionName", "InstitutionAddress", "PerformingPhysicianName", "SeriesDescription"),
    ),
    "IMAGE": Keys(
        ("InstanceNumber", "Rows", "Columns"), (),
        (
            "ImageType", "CalibrationImage", "ReferencedImageSequence", "LossyImageCompressionRatio", "FrameOfReferenceUID",
            "SynchronizationFrameOfReferenceUID", "NumberOfFrames", "AcquisitionTimeSynchronized", "AcquisitionDateTime",
            "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
        ),
    ),
    "ENCAP DOC": Keys(
        ("InstanceNumber", "MIMETypeOfEncapsulatedDocument"),
        ("ContentDate", "ContentTime", "DocumentTitle", "ConceptNameCodeSequence"),
        ("HL7InstanceIdentifier",),
    ),
}  # fmt: skip
ABOVE = ("PATIENT", "STUDY", "SERIES")
_OWNERS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
_DOCUMENT = "EncapsulatedDocument"
_SHOWN = (
    "PhotometricInterpretation", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelAspectRatio",
    "IssuerOfPatientID", "ContentTime",
)  # fmt: skip
_READ = [
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", _DOCUMENT, "EncapsulatedDocumentLength", *_SHOWN),
    *(keyword for keys in KEYS.values() for part in (keys.must, keys.may_be_empty, keys.where_known) for keyword in part),
]


def header_of(path: Path) -> Dataset:
    """What the records and the pages need of an object, with its file meta; a document's bytes stay on disk.

    Of an encapsulated document only the fact that there is one is kept. Raises InputError where the file is gone or is not
    a DICOM file.
    """
    try:
        header = dcmread(path, defer_size=1 << 16, stop_before_pixels=True, specific_tags=_READ)
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path.name} cannot be put on a disc: {error}", "Nothing was written.") from error
    has_document = _DOCUMENT in header
    kept = Dataset()
    kept.update({element.tag: element for element in header if element.keyword != _DOCUMENT})
    kept.file_meta = header.file_meta
    implicit, little = header.original_encoding
    kept.set_original_encoding(implicit, little, header.original_character_set)
    if has_document:
        kept.EncapsulatedDocument = b"\0\0"
    return kept


def record_type(header: Dataset) -> str:
    """The type of the record for an object; InputError for one that dicap does not hand over."""
    if _DOCUMENT in header:
        return "ENCAP DOC"
    if "Rows" in header:
        return "IMAGE"
    what = header.get("SOPClassUID", "unknown")
    raise InputError(f"an object of class {getattr(what, 'name', what)} has neither a picture nor a document")


def demand(headers: Iterable[Dataset]) -> None:
    """Raise InputError naming every object that lacks what its records must say, and every mixed-up identity.

    One Patient ID is one patient on a disc (PS3.11 D.3.3): two people under one number are refused.
    """
    mistakes: list[str] = []
    people: dict[str, Dataset] = {}
    seen: set[str] = set()
    for header in headers:
        lacking = missing(header, (*ABOVE, record_type(header)))
        uid = str(header.get("SOPInstanceUID", ""))
        if lacking or not uid:
            mistakes.append(f"the object {uid or 'without a UID'} does not say {', '.join(lacking or ['SOPInstanceUID'])}")
        if uid in seen:
            mistakes.append(f"the object {uid} is named twice")
        seen.add(uid)
        first = people.setdefault(str(header.get("PatientID", "")), header)
        differing = [one for one in ("IssuerOfPatientID", "PatientBirthDate") if _differ(first, header, one)]
        if differing:
            names = f"{first.get('PatientName', '')} and {header.get('PatientName', '')}"
            mistakes.append(f"{header.PatientID} is the Patient ID of two people, {names}: {', '.join(differing)} differ")
    if mistakes:
        raise InputError("this cannot be put on a disc: " + "; ".join(dict.fromkeys(mistakes)), "Nothing was written.")


def missing(record: Dataset, types: Iterable[str]) -> list[str]:
    """The keywords without a value that records of these types must have."""
    return [keyword for one in types for keyword in KEYS[one].must if record.get(keyword) in (None, "")]


def _differ(one: Dataset, other: Dataset, keyword: str) -> bool:
    """Whether two objects both say something, and not the same."""
    values = [str(header.get(keyword) or "") for header in (one, other)]
    return all(values) and values[0] != values[1]


def complete(headers: Sequence[Dataset]) -> None:
    """What any object of a patient, study or series says goes into all its records: the first object may not know it.

    PS3.11 H.3.3.1 asks for a key where *any* object below the record has a value. The headers are changed, not the objects.
    """
    for kind, owner in _OWNERS.items():
        for keyword in (*KEYS[kind].may_be_empty, *KEYS[kind].where_known):
            known: dict[str, Dataset] = {}
            for header in headers:
                if header.get(keyword):
                    known.setdefault(str(header.get(owner)), header)
            for header in headers:
                source = known.get(str(header.get(owner)))
                if source is not None and not header.get(keyword) and _same_letters(source, header):
                    setattr(header, keyword, source[keyword].value)


def _same_letters(one: Dataset, other: Dataset) -> bool:
    """Whether text of one object may be written among the text of the other as it is."""
    return str(one.get("SpecificCharacterSet")) == str(other.get("SpecificCharacterSet"))


def branch(header: Dataset) -> tuple[RecordNode, Dataset]:
    """The records of an object from its patient down, as pydicom's nodes; returns the lowest node and its record."""
    parent: RecordNode | None = None
    for kind in (*ABOVE, record_type(header)):
        record = _record(kind, header)
        if kind not in ABOVE:
            record.ReferencedSOPInstanceUIDInFile = header.SOPInstanceUID
        node = RecordNode(record)
        if parent is not None:
            node.parent = parent
        parent = node
    assert parent is not None
    return parent, record


def _record(kind: str, header: Dataset) -> Dataset:
    """One directory record, without its links and its file, which pydicom's FileSet writes."""
    record = Dataset()
    record.DirectoryRecordType = kind
    if header.get("SpecificCharacterSet"):
        record.SpecificCharacterSet = header.SpecificCharacterSet
    keys = KEYS[kind]
    for keyword in (*keys.must, *keys.may_be_empty):
        setattr(record, keyword, header.get(keyword))
    for keyword in keys.where_known:
        if header.get(keyword) not in (None, "", []):
            setattr(record, keyword, header.get(keyword))
    return record
