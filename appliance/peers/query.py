"""C-FIND in the archive, Study Root, at the levels STUDY, SERIES and IMAGE (PS3.4 C.6.2)."""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from appliance.peers.archive import Stored
from appliance.peers.matching import answer, matches

_PATIENT_AND_STUDY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription",
    "ReferringPhysicianName", "InstitutionName",
)  # fmt: skip
_SERIES = (
    "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime",
    "BodyPartExamined", "ProtocolName", "StationName",
)  # fmt: skip
_IMAGE = (
    "SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "ContentDate", "ContentTime",
)  # fmt: skip
LEVELS = {
    "STUDY": (_PATIENT_AND_STUDY, "StudyInstanceUID"),
    "SERIES": (_PATIENT_AND_STUDY + _SERIES, "SeriesInstanceUID"),
    "IMAGE": (_PATIENT_AND_STUDY + _SERIES + _IMAGE, "SOPInstanceUID"),
}


def find(objects: Sequence[Stored], identifier: Dataset, archive_ae: str) -> Iterator[Dataset]:
    """One answer for each study, series or object that matches; ValueError for a level that does not exist."""
    level = str(identifier.get("QueryRetrieveLevel", "")).strip()
    if level not in LEVELS:
        raise ValueError(f"there is no level {level!r}")
    keywords, unique = LEVELS[level]
    groups: dict[str, list[Stored]] = {}
    for one in objects:
        groups.setdefault(str(one.header.get(unique, "")), []).append(one)
    for members in groups.values():
        entity = Dataset()
        for keyword in keywords:
            if keyword in members[0].header:
                entity.add(members[0].header[keyword])
            else:
                setattr(entity, keyword, None)
        _count(entity, level, members)
        if not matches(entity, identifier):
            continue
        result = answer(entity, identifier)
        result.QueryRetrieveLevel = level
        result.RetrieveAETitle = archive_ae
        result.InstanceAvailability = "ONLINE"
        if entity.get("SpecificCharacterSet"):
            result.SpecificCharacterSet = entity.SpecificCharacterSet
        yield result


def _count(entity: Dataset, level: str, members: Sequence[Stored]) -> None:
    """What is not in any object: how many there are below (PS3.4 C.3.4)."""
    if level == "STUDY":
        entity.ModalitiesInStudy = sorted({str(one.header.get("Modality", "")) for one in members})
        entity.SOPClassesInStudy = sorted({one.sop_class_uid for one in members})
        entity.NumberOfStudyRelatedSeries = len({one.header.get("SeriesInstanceUID") for one in members})
        entity.NumberOfStudyRelatedInstances = len(members)
    elif level == "SERIES":
        entity.NumberOfSeriesRelatedInstances = len(members)
