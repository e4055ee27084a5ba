"""What the RIS holds against a Modality Performed Procedure Step: the attribute table of PS3.4 F.7.2-1, and common sense."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from appliance.clinic.exam import WRONG_WORKLIST_ENTRY
from appliance.clinic.order import Order

BEGUN = "IN PROGRESS"
ENDED = ("COMPLETED", "DISCONTINUED")

MISSING_ATTRIBUTE = 0x0120
MISSING_VALUE = 0x0121
INVALID_VALUE = 0x0106

# keyword → type; a nested table for what each item of a sequence holds
Table = dict[str, int]
_CREATE: Table = {
    "ScheduledStepAttributesSequence": 1, "PatientName": 2, "PatientID": 2, "PatientBirthDate": 2, "PatientSex": 2,
    "ReferencedPatientSequence": 2, "PerformedProcedureStepID": 1, "PerformedStationAETitle": 1,
    "PerformedStationName": 2, "PerformedLocation": 2, "PerformedProcedureStepStartDate": 1,
    "PerformedProcedureStepStartTime": 1, "PerformedProcedureStepEndDate": 2, "PerformedProcedureStepEndTime": 2,
    "PerformedProcedureStepStatus": 1, "PerformedProcedureStepDescription": 2,
    "PerformedProcedureTypeDescription": 2, "ProcedureCodeSequence": 2, "Modality": 1, "StudyID": 2,
    "PerformedProtocolCodeSequence": 2, "PerformedSeriesSequence": 2,
}  # fmt: skip
_SCHEDULED: Table = {
    "StudyInstanceUID": 1, "ReferencedStudySequence": 2, "AccessionNumber": 2, "RequestedProcedureID": 2,
    "RequestedProcedureDescription": 2, "ScheduledProcedureStepID": 2, "ScheduledProcedureStepDescription": 2,
    "ScheduledProtocolCodeSequence": 2,
}  # fmt: skip
_SERIES: Table = {
    "PerformingPhysicianName": 2, "ProtocolName": 1, "OperatorsName": 2, "SeriesInstanceUID": 1, "SeriesDescription": 2,
    "RetrieveAETitle": 2, "ReferencedImageSequence": 2, "ReferencedNonImageCompositeSOPInstanceSequence": 2,
}  # fmt: skip
_REFERENCE: Table = {"ReferencedSOPClassUID": 1, "ReferencedSOPInstanceUID": 1}
_CODE: Table = {"CodingSchemeDesignator": 1, "CodeMeaning": 1}
_FINAL: Table = {
    "PerformedProcedureStepEndDate": 1, "PerformedProcedureStepEndTime": 1, "PerformedProcedureStepStatus": 1,
    "PerformedSeriesSequence": 1,
}  # fmt: skip
_ITEMS: dict[str, Table] = {
    "ScheduledStepAttributesSequence": _SCHEDULED,
    "PerformedSeriesSequence": _SERIES,
    "ReferencedImageSequence": _REFERENCE,
    "ReferencedNonImageCompositeSOPInstanceSequence": _REFERENCE,
    "ReferencedStudySequence": _REFERENCE,
    "ReferencedPatientSequence": _REFERENCE,
    "ProcedureCodeSequence": _CODE,
    "ScheduledProtocolCodeSequence": _CODE,
    "PerformedProtocolCodeSequence": _CODE,
    "PerformedProcedureStepDiscontinuationReasonCodeSequence": _CODE,
}
# said once at N-CREATE and not to be changed by N-SET (PS3.4 F.7.2-1: "Not allowed")
FIXED = frozenset(
    {
        "ScheduledStepAttributesSequence", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
        "ReferencedPatientSequence", "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedStationName",
        "PerformedLocation", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "Modality", "StudyID",
    }
)  # fmt: skip
_NAMES_OF_A_STEP = ("AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID")


@dataclass(frozen=True)
class Step:
    """One performed procedure step as the RIS was told it: `attributes` is N-CREATE with every N-SET laid over it.

    `orders` are the keys (`ACCESSION/STEP-ID`) of the worklist entries that it fulfils, `calling` who told it.
    """

    uid: str
    state: str
    attributes: Dataset
    calling: str = ""
    orders: tuple[str, ...] = ()

    @property
    def instances(self) -> tuple[str, ...]:
        """SOP Instance UIDs that the Performed Series Sequence names, in its order."""
        return tuple(str(reference.ReferencedSOPInstanceUID) for reference in _references(self.attributes))


def lacks_at_creation(attributes: Dataset) -> list[tuple[int, str]]:
    """What an N-CREATE lacks: (status, words) for each missing attribute or value; empty if it is acceptable."""
    wrong = list(_lacks(attributes, _CREATE))
    state = str(attributes.get("PerformedProcedureStepStatus", ""))
    if state and state != BEGUN:
        wrong.append((INVALID_VALUE, f"PerformedProcedureStepStatus is {state}: a step begins IN PROGRESS"))
    return wrong


def lacks_at_end(attributes: Dataset) -> list[tuple[int, str]]:
    """What a step lacks when it is set to COMPLETED or DISCONTINUED (PS3.4 F.7.2-1, final state)."""
    return list(_lacks(attributes, _FINAL))


def lacks_in_change(change: Dataset) -> list[tuple[int, str]]:
    """What an N-SET says that it may not say: an unknown state, or sequence items that lack something."""
    wrong = list(_lacks(change, {}))
    state = str(change.get("PerformedProcedureStepStatus", BEGUN))
    if state not in (BEGUN, *ENDED):
        wrong.append((INVALID_VALUE, f"PerformedProcedureStepStatus is {state}"))
    return wrong


def _lacks(dataset: Dataset, table: Table, where: str = "") -> Iterator[tuple[int, str]]:
    """Missing attributes and values by the table, and by the tables of every sequence item that is there."""
    for keyword, kind in table.items():
        if keyword not in dataset:
            yield MISSING_ATTRIBUTE, f"{where}{keyword} (type {kind}) is missing"
        elif kind == 1 and _is_empty(dataset, keyword):
            yield MISSING_VALUE, f"{where}{keyword} (type 1) is empty"
    for keyword, inner in _ITEMS.items():
        for item in dataset.get(keyword) or ():
            yield from _lacks(item, inner, f"{where}{keyword} > ")


def _is_empty(dataset: Dataset, keyword: str) -> bool:
    """Whether an element has no value, or no items."""
    element = dataset[keyword]
    return not element.value if element.VR == "SQ" else not str(element.value or "").strip()


def doubts_about_orders(attributes: Dataset, orders: Sequence[tuple[Dataset, Order | None]]) -> Iterator[str]:
    """Where a step does not agree with the worklist: for each scheduled item, the order that it names, if there is one."""
    for item, order in orders:
        if order is None:
            accession, procedure, step = (str(item.get(key, "")) for key in _NAMES_OF_A_STEP)
            if accession or procedure or step:
                yield f"there is no scheduled step {accession}/{step} (requested procedure {procedure})"
            continue
        pairs = (
            ("Patient ID", attributes.get("PatientID", ""), order.patient.id),
            ("Patient's Name", attributes.get("PatientName", ""), order.patient.name),
            ("Patient's Birth Date", attributes.get("PatientBirthDate", ""), order.patient.birth_date),
            ("Patient's Sex", attributes.get("PatientSex", ""), order.patient.sex),
            ("Study Instance UID", item.get("StudyInstanceUID", ""), order.study_uid),
            ("Accession Number", item.get("AccessionNumber", ""), order.accession),
            ("Requested Procedure ID", item.get("RequestedProcedureID", ""), order.procedure_id),
            ("Scheduled Step's description", item.get("ScheduledProcedureStepDescription", ""), order.step_description),
        )
        for words, told, scheduled in pairs:
            if str(told or "").rstrip(" ^") != scheduled.rstrip(" ^"):
                yield f"{words} is {str(told)!r} in the performed step, {scheduled!r} in the worklist ({order.key})"


def doubts_about_series(step: Dataset, state: str) -> Iterator[str]:
    """What is odd about the end of a step: series without images, something named twice, no reason, time backwards."""
    series = list(step.get("PerformedSeriesSequence") or ())
    for item in series:
        images = item.get("ReferencedImageSequence") or item.get("ReferencedNonImageCompositeSOPInstanceSequence")
        if state == "COMPLETED" and not images:
            yield f"the series {item.get('SeriesInstanceUID')} of a completed step names no instances"
    yield from _repeated("series", (str(item.get("SeriesInstanceUID")) for item in series))
    yield from _repeated("instance", (str(item.get("ReferencedSOPInstanceUID")) for item in _references(step)))
    if state == "DISCONTINUED" and not step.get("PerformedProcedureStepDiscontinuationReasonCodeSequence"):
        yield "the step was discontinued without a reason"
    begun, ended = (_moment(step, f"PerformedProcedureStep{word}") for word in ("Start", "End"))
    if begun and ended and ended < begun:
        yield f"the step ends ({ended}) before it begins ({begun})"


def is_wrong_entry(step: Dataset) -> bool:
    """Whether a step was discontinued because somebody had picked the wrong patient (CID 9300): its order still waits."""
    reasons = step.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or []
    code = WRONG_WORKLIST_ENTRY
    return any((one.get("CodeValue"), one.get("CodingSchemeDesignator")) == (code.value, code.scheme) for one in reasons)


def _references(step: Dataset) -> list[Dataset]:
    """The items that name instances, of all series."""
    found: list[Dataset] = []
    for series in step.get("PerformedSeriesSequence") or ():
        found += series.get("ReferencedImageSequence") or ()
        found += series.get("ReferencedNonImageCompositeSOPInstanceSequence") or ()
    return found


def _repeated(what: str, uids: Iterable[str]) -> Iterator[str]:
    """Words about every UID that comes more than once."""
    seen: set[str] = set()
    for uid in uids:
        if uid in seen:
            yield f"the {what} {uid} is named twice"
        seen.add(uid)


def _moment(step: Dataset, prefix: str) -> datetime | None:
    """A date and its time as one; None where either is missing or none."""
    day, time = str(step.get(f"{prefix}Date") or ""), str(step.get(f"{prefix}Time") or "")
    try:
        return datetime.strptime(day + time[:6].ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
