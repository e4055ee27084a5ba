"""Orders and performed steps, both directions: worklist query and answers (PS3.4 K), step reports (PS3.4 F.7)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.uid import UID

from appliance.clinic.exam import Exam, ExamState, Picture, Series
from appliance.clinic.order import Order, Reference
from appliance.clinic.patient import Patient
from appliance.dicom import modules, uids
from appliance.dicom.modules import put, put_empty, put_moment
from appliance.dicom.reading import Reading
from appliance.errors import InputError

# Return keys of IHE RAD-5 (RAD TF-2 table 4.5-3), within the step and above it. Sequences are asked for with no item:
# some worklists take an item of empty keys to mean that there must be an item.
STEP_KEYS = (
    "Modality", "RequestedContrastAgent", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime", "ScheduledPerformingPhysicianName", "ScheduledProcedureStepDescription",
    "ScheduledProtocolCodeSequence", "ScheduledProcedureStepID", "ScheduledStationName",
    "ScheduledProcedureStepLocation", "PreMedication", "ScheduledProcedureStepStatus",
    "CommentsOnTheScheduledProcedureStep",
)  # fmt: skip
ORDER_KEYS = (
    "AccessionNumber", "InstitutionName", "ReferringPhysicianName", "AdmittingDiagnosesDescription",
    "ReferencedStudySequence", "ReferencedPatientSequence", "PatientName", "PatientID", "IssuerOfPatientID",
    "PatientBirthDate", "PatientSex", "OtherPatientIDsSequence", "OtherPatientIDs", "PatientSize", "PatientWeight",
    "MedicalAlerts", "Allergies", "EthnicGroup", "AdditionalPatientHistory", "PregnancyStatus", "PatientComments",
    "StudyInstanceUID", "RequestingPhysician", "RequestingService", "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence", "AdmissionID", "SpecialNeeds", "CurrentPatientLocation", "PatientState",
    "RequestedProcedureID", "ReasonForTheRequestedProcedure", "RequestedProcedurePriority",
    "PatientTransportArrangements", "ReasonForRequestedProcedureCodeSequence", "NamesOfIntendedRecipientsOfResults",
    "RequestedProcedureComments", "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
    "ImagingServiceRequestComments", "ConfidentialityConstraintOnPatientDataDescription",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What to ask the worklist for; empty means any. Dates are YYYYMMDD.

    `patient` is what a person typed: the beginning of a name in any case, or an ID. `patient_name` and `patient_id` are
    matched by the RIS as they are (PS3.4 C.2.2.2, with * and ?).
    """

    date_from: str = ""
    date_to: str = ""
    modality: str = ""
    station_ae: str = ""
    patient: str = ""
    accession: str = ""
    procedure_id: str = ""
    patient_id: str = ""
    patient_name: str = ""

    def readings(self) -> tuple["Wanted", ...]:
        """What a person typed as questions that a RIS understands, many of which mind upper and lower case."""
        typed = self.patient.replace("\\", " ").strip()
        if not typed:
            return (self,)
        rest = replace(self, patient="")
        first = re.split(r"[\s,^=]+", typed)[0].rstrip("*") or "*"
        names = dict.fromkeys((first, first.upper(), first.capitalize()))
        return (replace(rest, patient_id=typed), *(replace(rest, patient_name=f"{name}*") for name in names))

    def takes(self, order: Order) -> bool:
        """Whether an order answers what a person typed: every word in name or ID, whatever the case and the accents."""
        if re.search(r"[*?]", self.patient):
            return True
        where = _plain(f"{order.patient.name} {order.patient.id}")
        return all(_plain(word) in where for word in re.split(r"[\s,^=\\]+", self.patient) if word)


@dataclass(frozen=True)
class Read:
    """The orders of one worklist answer, and what was wrong with it, in words that name the patient."""

    orders: tuple[Order, ...]
    complaints: tuple[str, ...] = ()


def query(wanted: Wanted) -> Dataset:
    """The identifier of the worklist's C-FIND (PS3.4 K.6.1): matching keys, and all return keys of IHE RAD-5.

    `wanted.patient` is matched as the beginning of a name; see Wanted.readings for the other ways to read it.
    """
    dataset, step = _keys(ORDER_KEYS), _keys(STEP_KEYS)
    dataset.ScheduledProcedureStepSequence = [step]
    step.Modality, step.ScheduledStationAETitle = wanted.modality, wanted.station_ae
    first, last = wanted.date_from, wanted.date_to
    step.ScheduledProcedureStepStartDate = first if first == last else f"{first}-{last}"
    name = wanted.patient_name or (wanted.patient and f"{wanted.patient}*")
    dataset.PatientName, dataset.PatientID = name, wanted.patient_id
    dataset.AccessionNumber, dataset.RequestedProcedureID = wanted.accession, wanted.procedure_id
    return _with_charset(dataset)


def _keys(keywords: Sequence[str]) -> Dataset:
    dataset = Dataset()
    for keyword in keywords:
        setattr(dataset, keyword, None)
    return dataset


def order_from(dataset: Dataset) -> Order:
    """The first order of a worklist answer (PS3.4 K.6.1.2.2), with tolerance as in read_orders.

    Raises InputError when it is unusable.
    """
    return read_orders(dataset).orders[0]


def read_orders(dataset: Dataset) -> Read:
    """The orders of one worklist answer, one for each scheduled step, and what is wrong with it (PS3.4 K.6.1.2.2).

    Texts are Unicode, whatever character set they came in; dates and times are in their present form. What is missing
    or wrong is left empty and told. A missing Study Instance UID is made, the same one each time the order is read,
    so that all pictures of the order meet in one study. Raises InputError without a Patient ID: a blank one would
    merge patients.
    """
    reading = Reading(dataset)
    patient = _patient(reading, dataset)
    some = ("Modality", "ScheduledProcedureStepID", "ScheduledProcedureStepStartDate")
    steps = [
        step for step in reading.items(dataset, "ScheduledProcedureStepSequence") if any(keyword in step for keyword in some)
    ]
    who = f"{patient.spoken_name}, {patient.id}"
    if not steps:
        reading.complaints.append("it has no Scheduled Procedure Step: date, modality and step ID are not known")
        steps = [Dataset()]
    orders = tuple(_order(reading, dataset, step, patient) for step in steps)
    return Read(orders, tuple(f"{who}: {complaint}" for complaint in reading.complaints))


def _patient(reading: Reading, dataset: Dataset) -> Patient:
    """Who, as the RIS writes them (PS3.4 K.6.1.2.2, patient identification, demographic and medical)."""

    def text(keyword: str, between: str = "\\") -> str:
        return reading.text(dataset, keyword, between)

    number, name = text("PatientID"), text("PatientName")
    if not number:
        raise InputError(f"an order for {name or 'nobody'} without Patient ID", "Ask the RIS's administrator to give one.")
    sex = text("PatientSex").upper()[:1]
    if sex not in ("", "M", "F", "O"):
        reading.complaints.append(f"PatientSex {text('PatientSex')!r} is none of M, F, O; left empty")
        sex = ""
    others = [reading.text(item, "PatientID") for item in reading.items(dataset, "OtherPatientIDsSequence")]
    others += text("OtherPatientIDs").split("\\")
    pregnancy = text("PregnancyStatus")
    return Patient(
        id=number,
        name=name,
        birth_date=reading.date(dataset, "PatientBirthDate"),
        sex=sex,
        issuer=text("IssuerOfPatientID"),
        other_ids=tuple(dict.fromkeys(one for one in others if one and one != number)),
        size=reading.decimal(dataset, "PatientSize"),
        weight=reading.decimal(dataset, "PatientWeight"),
        comments=text("PatientComments"),
        allergies=text("Allergies", "; "),
        alerts=text("MedicalAlerts", "; "),
        pregnancy=pregnancy if pregnancy in ("1", "2", "3", "4") else "",
        special_needs=text("SpecialNeeds"),
        state=text("PatientState"),
        confidentiality=text("ConfidentialityConstraintOnPatientDataDescription"),
    )


def _order(reading: Reading, dataset: Dataset, step: Dataset, patient: Patient) -> Order:
    """One scheduled step with its requested procedure, imaging service request and visit."""

    def text(keyword: str) -> str:
        return reading.text(dataset, keyword)

    def of_step(keyword: str) -> str:
        return reading.text(step, keyword)

    reasons = "; ".join(c.meaning or c.value for c in reading.codes(dataset, "ReasonForRequestedProcedureCodeSequence"))
    order = Order(
        patient=patient,
        study_uid=text("StudyInstanceUID"),
        accession=text("AccessionNumber"),
        procedure_id=text("RequestedProcedureID"),
        procedure_description=text("RequestedProcedureDescription"),
        procedure_codes=reading.codes(dataset, "RequestedProcedureCodeSequence"),
        step_id=of_step("ScheduledProcedureStepID"),
        step_description=of_step("ScheduledProcedureStepDescription"),
        protocol_codes=reading.codes(step, "ScheduledProtocolCodeSequence"),
        modality=of_step("Modality").upper(),
        station_ae=of_step("ScheduledStationAETitle"),
        station_name=of_step("ScheduledStationName"),
        location=of_step("ScheduledProcedureStepLocation"),
        date=reading.date(step, "ScheduledProcedureStepStartDate"),
        time=reading.time(step, "ScheduledProcedureStepStartTime"),
        performing_physician=of_step("ScheduledPerformingPhysicianName"),
        referring_physician=text("ReferringPhysicianName"),
        requesting_physician=text("RequestingPhysician"),
        requesting_service=text("RequestingService"),
        reason=text("ReasonForTheRequestedProcedure") or reasons,
        admission_id=text("AdmissionID"),
        priority=text("RequestedProcedurePriority"),
        pre_medication=of_step("PreMedication"),
        contrast=of_step("RequestedContrastAgent"),
        patient_location=text("CurrentPatientLocation"),
        institution=text("InstitutionName"),
        placer_number=text("PlacerOrderNumberImagingServiceRequest"),
        filler_number=text("FillerOrderNumberImagingServiceRequest"),
        status=of_step("ScheduledProcedureStepStatus"),
        charset=reading.charset,
        referenced_studies=reading.references(dataset, "ReferencedStudySequence"),
        referenced_patients=reading.references(dataset, "ReferencedPatientSequence"),
    )
    return replace(order, study_uid=_study_uid(reading, order))


def _study_uid(reading: Reading, order: Order) -> str:
    """The RIS's Study Instance UID, which ties everything together; a made one only where it cannot be one at all."""
    given = order.study_uid
    if given and len(given) <= uids.LONGEST and re.fullmatch(r"[0-9.]+", given):
        if not uids.is_legal(given):
            reading.complaints.append(f"StudyInstanceUID {given} is not legal (PS3.5 9.1); kept, as the RIS knows it")
        return given
    made = uids.Seeded("worklist study").named(order.patient.id, order.accession, order.procedure_id or order.step_id)
    wrong = f"its StudyInstanceUID {given!r} is no UID" if given else "it has no Study Instance UID"
    reading.complaints.append(f"{wrong}; {made} was made for it")
    return made


def step_begun(exam: Exam) -> Dataset:
    """The Attribute List of the N-CREATE (PS3.4 table F.7.2-1): every attribute of type 1 and 2.

    They are mapped from the orders as IHE RAD TF-2 appendix A says: an item of Scheduled Step Attributes Sequence for
    each order, with its own study and accession; of an unscheduled exam one that knows only the study. What the N-SET
    will change is here already, empty (note 3 of the table). Dates and times are those of `exam.started`'s own zone.
    """
    dataset = Dataset()
    patient = exam.patient
    put_empty(dataset, "PatientName", patient.name)
    put_empty(dataset, "PatientID", patient.id)
    put(dataset, "IssuerOfPatientID", patient.issuer)
    put_empty(dataset, "PatientBirthDate", patient.birth_date)
    put_empty(dataset, "PatientSex", patient.sex)
    references = modules.references(one for order in exam.orders for one in order.referenced_patients)
    put_empty(dataset, "ReferencedPatientSequence", references)
    put(dataset, "AdmissionID", _agreed([order.admission_id for order in exam.orders]))
    dataset.ScheduledStepAttributesSequence = [_scheduled(order, exam) for order in exam.orders]
    put_empty(dataset, "PerformedProcedureStepID", exam.step_id)
    put_empty(dataset, "PerformedStationAETitle", exam.station_ae)
    put_empty(dataset, "PerformedStationName", exam.station_name)
    put_empty(dataset, "PerformedLocation", exam.location)
    put_moment(dataset, "PerformedProcedureStepStart", exam.started, exam.started.tzinfo)
    dataset.PerformedProcedureStepStatus = ExamState.OPEN.value
    steps = dict.fromkeys(order.step_description for order in exam.orders if order.step_description)
    put_empty(dataset, "PerformedProcedureStepDescription", " / ".join(steps))
    put_empty(dataset, "PerformedProcedureTypeDescription", modules.study_description(exam))
    put_empty(dataset, "ProcedureCodeSequence", modules.codes(c for order in exam.orders for c in order.procedure_codes))
    dataset.PerformedProcedureStepEndDate = dataset.PerformedProcedureStepEndTime = ""
    dataset.PerformedProcedureStepDiscontinuationReasonCodeSequence = []
    dataset.Modality = exam.modality
    put_empty(dataset, "StudyID", modules.study_id(exam))
    protocols = modules.codes(code for order in exam.orders for code in order.protocol_codes)
    put_empty(dataset, "PerformedProtocolCodeSequence", protocols)
    dataset.PerformedSeriesSequence = []
    return _with_charset(dataset)


def _scheduled(order: Order, exam: Exam) -> Dataset:
    """An item of Scheduled Step Attributes Sequence; of an unscheduled exam only the study is known (RAD TF-2 A.1)."""
    item = Dataset()
    put_empty(item, "AccessionNumber", order.accession)
    put_empty(item, "ReferencedStudySequence", modules.references(order.referenced_studies))
    item.StudyInstanceUID = order.study_uid or exam.study_uid
    put_empty(item, "RequestedProcedureDescription", order.procedure_description)
    put(item, "RequestedProcedureCodeSequence", modules.codes(order.procedure_codes) or None)
    put_empty(item, "ScheduledProcedureStepDescription", order.step_description)
    put_empty(item, "ScheduledProtocolCodeSequence", modules.codes(order.protocol_codes))
    put_empty(item, "ScheduledProcedureStepID", order.step_id)
    put_empty(item, "RequestedProcedureID", order.procedure_id)
    put(item, "PlacerOrderNumberImagingServiceRequest", order.placer_number)
    put(item, "FillerOrderNumberImagingServiceRequest", order.filler_number)
    return item


def step_ended(exam: Exam, pictures: Sequence[Picture], retrieve_ae: str = "") -> Dataset:
    """The Modification List of the N-SET that ends a step (PS3.4 table F.7.2-1), true to the pictures that there are.

    An item for each series in the order of the pictures, images and other objects apart; at least one series is named
    even where there are none (note 2 of the table). An abandoned step says why. Raises InputError for an exam that is
    still open.
    """
    if exam.state == ExamState.OPEN or exam.ended is None:
        raise InputError(f"exam {exam.id} is still open: its end cannot be reported")
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = exam.state.value
    put_moment(dataset, "PerformedProcedureStepEnd", exam.ended, exam.started.tzinfo)
    if exam.state == ExamState.ABANDONED:
        reason = modules.codes([exam.reason] if exam.reason else [])
        put_empty(dataset, "PerformedProcedureStepDiscontinuationReasonCodeSequence", reason)
    series: dict[str, list[Picture]] = {}
    for picture in pictures:
        series.setdefault(picture.series.uid, []).append(picture)
    dataset.PerformedSeriesSequence = [_performed(exam, some[0].series, some, retrieve_ae) for some in series.values()] or [
        _performed(exam, Series(uids.Seeded(exam.step_uid).named("no pictures"), 1, exam.modality), [], retrieve_ae)
    ]
    return _with_charset(dataset)


def _performed(exam: Exam, series: Series, pictures: Sequence[Picture], retrieve_ae: str) -> Dataset:
    """An item of Performed Series Sequence."""
    item = Dataset()
    put_empty(item, "RetrieveAETitle", retrieve_ae)
    put_empty(item, "SeriesDescription", series.description)
    put_empty(item, "PerformingPhysicianName", _agreed([order.performing_physician for order in exam.orders]))
    put_empty(item, "OperatorsName", exam.operator)
    steps = [order.step_description for order in exam.orders if order.step_description]
    protocol = series.protocol or series.description or " / ".join(dict.fromkeys(steps)) or series.modality
    put_empty(item, "ProtocolName", protocol)  # type 1
    item.SeriesInstanceUID = series.uid
    images: list[Reference] = []
    others: list[Reference] = []
    for picture in pictures:
        kind = images if _is_image(picture) else others
        kind.append(Reference(picture.sop_class_uid, picture.sop_instance_uid))
    put_empty(item, "ReferencedImageSequence", modules.references(images))
    put_empty(item, "ReferencedNonImageCompositeSOPInstanceSequence", modules.references(others))
    return item


def _is_image(picture: Picture) -> bool:
    """By the SOP class where the standard names it, else by whether there are pixels."""
    name = UID(picture.sop_class_uid).name
    if name == picture.sop_class_uid:
        return picture.rows > 0
    return "Image Storage" in name or name in ("Segmentation Storage", "RT Dose Storage", "Parametric Map Storage")


def _agreed(words: Sequence[str]) -> str:
    different = set(words)
    return different.pop() if len(different) == 1 else ""


def _plain(text: str) -> str:
    """Without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _with_charset(dataset: Dataset) -> Dataset:
    """Declare UTF-8 where any text needs more than ASCII, and nothing where none does."""
    texts = (str(element.value) for element in dataset.iterall() if element.VR != "SQ" and element.value)
    if not all(text.isascii() for text in texts):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset
