"""An order as the RIS tells it: the answer of the Modality Worklist with every key it knows (PS3.4 Table K.6-1)."""

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient


def charset_for(order: Order) -> str:
    """The order's own Specific Character Set; UTF-8 where it has none and needs one."""
    if order.charset or _is_plain(order):
        return order.charset
    return "ISO_IR 192"


def entity(order: Order) -> Dataset:
    """Everything the RIS knows about an order; a known key without a value is there and empty."""
    dataset = Dataset()
    charset = charset_for(order)
    if charset:
        dataset.SpecificCharacterSet = charset.split("\\")
    _patient(dataset, order.patient)
    dataset.AccessionNumber = order.accession
    dataset.ReferringPhysicianName = order.referring_physician
    dataset.RequestingPhysician = order.requesting_physician
    dataset.RequestingService = order.requesting_service
    dataset.PlacerOrderNumberImagingServiceRequest = order.placer_number
    dataset.FillerOrderNumberImagingServiceRequest = order.filler_number
    dataset.AdmissionID = order.admission_id
    dataset.CurrentPatientLocation = order.patient_location
    dataset.InstitutionName = order.institution
    dataset.ReferencedPatientSequence = _references(order.referenced_patients)
    dataset.RequestedProcedureID = order.procedure_id
    dataset.RequestedProcedureDescription = order.procedure_description
    dataset.RequestedProcedureCodeSequence = codes(order.procedure_codes)
    dataset.StudyInstanceUID = order.study_uid
    dataset.ReferencedStudySequence = _references(order.referenced_studies)
    dataset.RequestedProcedurePriority = order.priority
    dataset.ReasonForTheRequestedProcedure = order.reason
    dataset.PatientTransportArrangements = ""
    dataset.ScheduledProcedureStepSequence = Items([_step(order)])
    return dataset


def codes(terms: Sequence[Code]) -> Items:
    """Coded terms as a Code Sequence (PS3.3 8.8)."""
    items = []
    for term in terms:
        item = Dataset()
        item.CodeValue = term.value
        item.CodingSchemeDesignator = term.scheme
        if term.version:
            item.CodingSchemeVersion = term.version
        item.CodeMeaning = term.meaning
        items.append(item)
    return Items(items)


def _step(order: Order) -> Dataset:
    """The one item of the Scheduled Procedure Step Sequence (PS3.3 C.4.10)."""
    step = Dataset()
    step.ScheduledStationAETitle = order.station_ae
    step.ScheduledStationName = order.station_name
    step.ScheduledProcedureStepLocation = order.location
    step.ScheduledProcedureStepStartDate = order.date
    step.ScheduledProcedureStepStartTime = order.time
    step.Modality = order.modality
    step.ScheduledPerformingPhysicianName = order.performing_physician
    step.ScheduledProcedureStepDescription = order.step_description
    step.ScheduledProtocolCodeSequence = codes(order.protocol_codes)
    step.ScheduledProcedureStepID = order.step_id
    step.ScheduledProcedureStepStatus = order.status or "SCHEDULED"
    step.PreMedication = order.pre_medication
    step.RequestedContrastAgent = order.contrast
    return step


def _patient(dataset: Dataset, patient: Patient) -> None:
    """Patient identification, demographics and medical attributes (PS3.3 C.2.2 to C.2.4)."""
    dataset.PatientName = patient.name
    dataset.PatientID = patient.id
    dataset.IssuerOfPatientID = patient.issuer
    dataset.OtherPatientIDs = list(patient.other_ids) or ""
    dataset.PatientBirthDate = patient.birth_date
    dataset.PatientSex = patient.sex
    dataset.PatientSize = patient.size or None
    dataset.PatientWeight = patient.weight or None
    dataset.PatientComments = patient.comments
    dataset.Allergies = _several(patient.allergies)
    dataset.MedicalAlerts = _several(patient.alerts)
    dataset.PregnancyStatus = int(patient.pregnancy) if patient.pregnancy else None
    dataset.SpecialNeeds = patient.special_needs
    dataset.PatientState = patient.state
    dataset.ConfidentialityConstraintOnPatientDataDescription = patient.confidentiality


def _several(text: str) -> list[str] | str:
    """A text with backslashes as the values that it stands for."""
    values = [value.strip() for value in text.split("\\")]
    return values if len(values) > 1 else text


def _references(references: Sequence[Reference]) -> Items:
    """References as the items of a sequence (PS3.3 Table 10-11)."""
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    return Items(items)


def _is_plain(fact: Any) -> bool:
    """Whether every text of an order is in the default repertoire."""
    return repr(fact).isascii()
