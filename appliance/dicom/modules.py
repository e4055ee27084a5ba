"""One function per information module above the image: patient, study, series, equipment, and what all objects share."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.clinic.exam import Exam, Series
from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient

MPPS_CLASS = "1.2.840.10008.3.1.2.3.3"
_LONGEST = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "CS": 16}  # PS3.5 6.2, in characters
# Never cut: a shortened identifier is another identifier, and the archive could not match it
_IDENTIFIERS = frozenset({
    "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "AdmissionID",
    "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID",
})  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")
_TEXT_VRS = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})


@dataclass(frozen=True)
class Device:
    """The equipment beside us, as far as it is known, and where it stands (PS3.3 C.7.5.1); `versions` are our own."""

    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    institution: str = ""
    department: str = ""
    station_name: str = ""
    ae_title: str = ""
    versions: str = ""


def put(dataset: Dataset, keyword: str, value: object) -> None:
    """Write a value of type 3: nothing where there is none. Text is cleaned and, but for identifiers, cut to its VR."""
    if isinstance(value, str):
        value = clean(value, "" if keyword in _IDENTIFIERS else dictionary_VR(keyword))
    if value not in ("", None, (), []):
        setattr(dataset, keyword, value)


def put_empty(dataset: Dataset, keyword: str, value: object) -> None:
    """Write a value of type 2: empty where it is not known."""
    setattr(dataset, keyword, "" if dictionary_VR(keyword) != "SQ" else [])
    put(dataset, keyword, value)


def clean(text: str, vr: str) -> str:
    """The text as that VR may hold it: no control characters, no backslash outside ST, LT, UT; cut to the VR's length."""
    text = _CONTROL.sub(" ", text)
    if vr not in ("ST", "LT", "UT"):
        text = text.replace("\\", "/").replace("\n", " ").replace("\r", " ")
    return text.strip()[: _LONGEST.get(vr, len(text) + 1)].strip()


def code_item(code: Code) -> Dataset:
    """A coded term as a sequence item (PS3.3 8.8): long and URN values in their own attributes."""
    item = Dataset()
    if re.match(r"(urn|https?):", code.value):
        item.URNCodeValue = code.value
    elif len(code.value) > 16:
        item.LongCodeValue = code.value
    else:
        item.CodeValue = code.value
    put(item, "CodingSchemeDesignator", code.scheme)
    put(item, "CodingSchemeVersion", code.version)
    put_empty(item, "CodeMeaning", code.meaning or code.value)
    return item


def codes(terms: Iterable[Code]) -> Sequence:
    """Coded terms as a sequence, each once and in their order; empty for none."""
    return Sequence([code_item(code) for code in dict.fromkeys(terms)])


def references(named: Iterable[Reference]) -> Sequence:
    """References to SOP Instances as a sequence, each once (PS3.3 10.8)."""
    return Sequence([_reference(one) for one in dict.fromkeys(named)])


def _reference(one: Reference) -> Dataset:
    """One item: the class, the instance."""
    item = Dataset()
    item.ReferencedSOPClassUID = one.sop_class_uid
    item.ReferencedSOPInstanceUID = one.sop_instance_uid
    return item


def put_moment(dataset: Dataset, prefix: str, moment: datetime, zone: tzinfo | None) -> None:
    """Write `<prefix>Date` and `<prefix>Time` in the object's one time zone, milliseconds kept where there are any."""
    local = moment.astimezone(zone)
    setattr(dataset, f"{prefix}Date", f"{local:%Y%m%d}")
    setattr(dataset, f"{prefix}Time", _clock(local))


def stamp(moment: datetime, zone: tzinfo | None) -> str:
    """A moment as DT without its offset: Timezone Offset From UTC says it for the whole object."""
    local = moment.astimezone(zone)
    return f"{local:%Y%m%d}{_clock(local)}"


def _clock(local: datetime) -> str:
    """TM with as many decimals as there are."""
    fraction = f".{local.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{local:%H%M%S}{fraction}"


def patient(dataset: Dataset, exam: Exam) -> None:
    """Patient (PS3.3 C.7.1.1): the name with all its groups, ID and issuer, birth date, sex, other IDs.

    A birth date that is none, and a sex that the standard does not know, are left empty: type 2.
    """
    who = exam.patient
    put_empty(dataset, "PatientName", who.name)
    put(dataset, "PatientID", who.id)
    put(dataset, "IssuerOfPatientID", who.issuer)
    put_empty(dataset, "PatientBirthDate", who.birth_date if re.fullmatch(r"\d{8}", who.birth_date) else "")
    put_empty(dataset, "PatientSex", who.sex if who.sex in ("M", "F", "O") else "")
    others = [_other_id(one) for one in who.other_ids if one.strip()]
    put(dataset, "OtherPatientIDsSequence", Sequence(others) if others else None)
    put(dataset, "PatientComments", who.comments)
    named = references(one for order in exam.orders for one in order.referenced_patients)
    put(dataset, "ReferencedPatientSequence", named or None)


def _other_id(text: str) -> Dataset:
    """An item of Other Patient IDs Sequence; nobody says where the ID comes from."""
    item = Dataset()
    put(item, "PatientID", text)
    item.TypeOfPatientID = "TEXT"
    return item


def patient_study(dataset: Dataset, exam: Exam, zone: tzinfo | None) -> None:
    """Patient Study (PS3.3 C.7.2.2): what the hospital told about the patient on this day."""
    who = exam.patient
    put(dataset, "PatientAge", _age(who, exam.started.astimezone(zone)))
    put(dataset, "PatientSize", _decimal(who.size))
    put(dataset, "PatientWeight", _decimal(who.weight))
    put(dataset, "MedicalAlerts", who.alerts)
    put(dataset, "Allergies", who.allergies)
    put(dataset, "PregnancyStatus", int(who.pregnancy) if who.pregnancy in ("1", "2", "3", "4") else None)
    put(dataset, "PatientState", who.state)
    put(dataset, "AdmissionID", _agreed(order.admission_id for order in exam.orders))


def _age(who: Patient, day: datetime) -> str:
    """AS, in years from two years on, else in months."""
    if not re.fullmatch(r"\d{8}", who.birth_date):
        return ""
    year, month, date = int(who.birth_date[:4]), int(who.birth_date[4:6]), int(who.birth_date[6:])
    months = (day.year - year) * 12 + day.month - month - (day.day < date)
    if not 0 <= months < 12 * 150:
        return ""
    return f"{months // 12:03d}Y" if months >= 24 else f"{months:03d}M"


def _decimal(text: str) -> str:
    """The text where it is a DS (PS3.5 6.2), else empty."""
    text = text.strip()
    return text if len(text) <= 16 and re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text) else ""


def _agreed(words: Iterable[str]) -> str:
    """The word on which all agree, else none: IHE RAD TF-2 Appendix A, group case."""
    different = set(words)
    return different.pop() if len(different) == 1 else ""


def study_id(exam: Exam) -> str:
    """Study ID: the Requested Procedure ID as IHE RAD TF-2 Appendix A recommends, else the performed step's ID."""
    return _agreed(order.procedure_id for order in exam.orders) or exam.step_id


def study_description(exam: Exam) -> str:
    """Study Description: Requested Procedure Description, or the meaning of its first code; several joined."""
    words = []
    for order in exam.orders:
        meanings = [code.meaning for code in order.procedure_codes if code.meaning]
        words.append(order.procedure_description or (meanings[0] if meanings else ""))
    return " / ".join(dict.fromkeys(word for word in words if word))


def general_study(dataset: Dataset, exam: Exam, zone: tzinfo | None) -> None:
    """General Study (PS3.3 C.7.2.1), mapped from the orders as IHE RAD TF-2 Appendix A says.

    Date and time are those of the exam's beginning, so that all its objects agree. What several orders do not agree on
    is left empty here; Request Attributes Sequence keeps it order by order.
    """
    dataset.StudyInstanceUID = exam.study_uid
    put_moment(dataset, "Study", exam.started, zone)
    put_empty(dataset, "AccessionNumber", exam.accession)
    put_empty(dataset, "ReferringPhysicianName", _agreed(order.referring_physician for order in exam.orders))
    put_empty(dataset, "StudyID", study_id(exam))
    put(dataset, "StudyDescription", study_description(exam))
    terms = codes(code for order in exam.orders for code in order.procedure_codes)
    put(dataset, "ProcedureCodeSequence", terms or None)
    put(dataset, "RequestingService", _agreed(order.requesting_service for order in exam.orders))
    named = references(one for order in exam.orders for one in order.referenced_studies)
    put(dataset, "ReferencedStudySequence", named or None)


def protocol_name(exam: Exam, series: Series) -> str:
    """Protocol Name: the same words in the objects and in the performed step, where it is of type 1 (PS3.4 F.7.2)."""
    steps = dict.fromkeys(order.step_description for order in exam.orders if order.step_description)
    return series.protocol or series.description or " / ".join(steps) or series.modality


def general_series(dataset: Dataset, exam: Exam, series: Series, zone: tzinfo | None) -> None:
    """General Series (PS3.3 C.7.3.1): that of a document, and who worked.

    Laterality, type 2C, stays empty, which says that it is unknown; an image that knows better takes it out again.
    """
    document_series(dataset, exam, series, zone)
    dataset.Laterality = ""
    put(dataset, "PerformingPhysicianName", _agreed(order.performing_physician for order in exam.orders))
    put(dataset, "OperatorsName", exam.operator)


def document_series(dataset: Dataset, exam: Exam, series: Series, zone: tzinfo | None) -> None:
    """Encapsulated Document Series (PS3.3 C.24.1): the series, its performed step and its request attributes."""
    dataset.Modality = series.modality
    dataset.SeriesInstanceUID = series.uid
    dataset.SeriesNumber = series.number
    put_moment(dataset, "Series", exam.started, zone)
    put(dataset, "SeriesDescription", series.description)
    put(dataset, "ProtocolName", protocol_name(exam, series))
    put(dataset, "PerformedProcedureStepID", exam.step_id)
    put_moment(dataset, "PerformedProcedureStepStart", exam.started, zone)
    words = dict.fromkeys(order.step_description for order in exam.orders if order.step_description)
    put(dataset, "PerformedProcedureStepDescription", " / ".join(words))
    terms = codes(code for order in exam.orders for code in order.protocol_codes)
    put(dataset, "PerformedProtocolCodeSequence", terms or None)
    if exam.step_uid:
        dataset.ReferencedPerformedProcedureStepSequence = references([Reference(MPPS_CLASS, exam.step_uid)])
    requests = [_request(order) for order in exam.orders if not order.unscheduled]
    put(dataset, "RequestAttributesSequence", Sequence(requests) if requests else None)


def _request(order: Order) -> Dataset:
    """One item of Request Attributes Sequence (PS3.3 10.6)."""
    item = Dataset()
    put(item, "AccessionNumber", order.accession)
    put(item, "StudyInstanceUID", order.study_uid)
    put(item, "ReferencedStudySequence", references(order.referenced_studies) or None)
    put(item, "RequestedProcedureID", order.procedure_id)
    put(item, "RequestedProcedureDescription", order.procedure_description)
    put(item, "RequestedProcedureCodeSequence", codes(order.procedure_codes) or None)
    put(item, "ReasonForTheRequestedProcedure", order.reason)
    put(item, "ScheduledProcedureStepID", order.step_id)
    put(item, "ScheduledProcedureStepDescription", order.step_description)
    put(item, "ScheduledProtocolCodeSequence", codes(order.protocol_codes) or None)
    return item


def general_equipment(dataset: Dataset, device: Device) -> None:
    """General Equipment (PS3.3 C.7.5.1): the device beside us, and our software's versions."""
    put_empty(dataset, "Manufacturer", device.manufacturer)
    put(dataset, "ManufacturerModelName", device.model)
    put(dataset, "DeviceSerialNumber", device.serial)
    put(dataset, "InstitutionName", device.institution)
    put(dataset, "InstitutionalDepartmentName", device.department)
    put(dataset, "StationName", device.station_name)
    put(dataset, "SoftwareVersions", device.versions)


def sc_equipment(dataset: Dataset, device: Device, conversion: str) -> None:
    """SC Equipment (PS3.3 C.8.6.1): how the picture came in (`conversion`: DV, DI, DF, SD, SI, WSD …), and through us."""
    dataset.ConversionType = conversion
    dataset.SecondaryCaptureDeviceManufacturer = "dicap"
    dataset.SecondaryCaptureDeviceManufacturerModelName = "dicap"
    put(dataset, "SecondaryCaptureDeviceID", device.ae_title)
    put(dataset, "SecondaryCaptureDeviceSoftwareVersions", device.versions)


def sop_common(dataset: Dataset, uids: tuple[str, str], created: datetime, zone: tzinfo | None) -> None:
    """SOP Common (PS3.3 C.12.1): class and instance UID, creation, time zone, and the character set the text needs.

    Call it last: ISO_IR 192 (UTF-8) is chosen where any text is not ASCII, nothing is written where all is.
    """
    dataset.SOPClassUID, dataset.SOPInstanceUID = uids
    put_moment(dataset, "InstanceCreation", created, zone)
    offset = created.astimezone(zone).utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset is not None else 0
    dataset.TimezoneOffsetFromUTC = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    if not all(text.isascii() for text in _texts(dataset)):
        dataset.SpecificCharacterSet = "ISO_IR 192"


def _texts(dataset: Dataset) -> Iterator[str]:
    """All text to which Specific Character Set applies, that of items included."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT_VRS and element.value:
            yield str(element.value)
