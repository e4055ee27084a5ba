"""What was done: its states as a table, its series and its pictures."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient


class ExamState(StrEnum):
    """Where an exam stands; the words of PS3.3 C.4.14 are what the RIS is told."""

    OPEN = "IN PROGRESS"
    FINISHED = "COMPLETED"
    ABANDONED = "DISCONTINUED"


EXAM_STATES: dict[ExamState, frozenset[ExamState]] = {
    ExamState.OPEN: frozenset({ExamState.FINISHED, ExamState.ABANDONED}),
    ExamState.FINISHED: frozenset(),
    ExamState.ABANDONED: frozenset(),
}

# CID 9300: why a step was abandoned
REASONS: dict[str, Code] = {
    code.value: code
    for code in (
        Code("110513", "DCM", "Discontinued for unspecified reason"),
        Code("110514", "DCM", "Incorrect worklist entry selected"),
        Code("110500", "DCM", "Doctor canceled procedure"),
        Code("110501", "DCM", "Equipment failure"),
        Code("110502", "DCM", "Incorrect procedure ordered"),
        Code("110503", "DCM", "Patient allergic to media/contrast"),
        Code("110504", "DCM", "Patient died"),
        Code("110505", "DCM", "Patient refused to continue procedure"),
        Code("110506", "DCM", "Patient taken for treatment or surgery"),
        Code("110507", "DCM", "Patient did not arrive"),
        Code("110508", "DCM", "Patient pregnant"),
        Code("110509", "DCM", "Change of procedure for correct charging"),
        Code("110510", "DCM", "Duplicate order"),
        Code("110511", "DCM", "Nursing unit cancel"),
        Code("110512", "DCM", "Incorrect side ordered"),
        Code("110515", "DCM", "Patient condition prevented continuing"),
        Code("110516", "DCM", "Incorrect procedure"),
    )
}
WRONG_WORKLIST_ENTRY = REASONS["110514"]


def find_reason(text: str) -> Code | None:
    """The code that a value, a meaning, or words found in one meaning only stand for; None where they do not tell."""
    plain = text.strip().casefold()
    exact = [one for one in REASONS.values() if plain in (one.value, one.meaning.casefold())]
    near = exact or [one for one in REASONS.values() if plain and plain in one.meaning.casefold()]
    return near[0] if len(near) == 1 else None


@dataclass(frozen=True)
class Series:
    """One series of an exam (PS3.3 C.7.3.1): all its objects share the UID, the modality and the equipment."""

    uid: str
    number: int
    modality: str
    description: str = ""
    protocol: str = ""


@dataclass(frozen=True)
class Exam:
    """One performed procedure step (PS3.3 C.4.13 to C.4.15) and the orders it fulfils, one or more.

    `step_uid` is the MPPS SOP Instance UID, `step_id` the Performed Procedure Step ID (SH, 16 characters at most).
    `started` and `ended` carry their time zone. `simulated` exams live in a spool of their own.
    """

    id: str
    orders: tuple[Order, ...]
    study_uid: str
    step_uid: str
    step_id: str
    modality: str
    started: datetime
    state: ExamState = ExamState.OPEN
    ended: datetime | None = None
    reason: Code | None = None
    station_ae: str = ""
    station_name: str = ""
    operator: str = ""
    location: str = ""

    @property
    def patient(self) -> Patient:
        """Every order of an exam is for the same patient."""
        return self.orders[0].patient

    @property
    def accession(self) -> str:
        """The accession number where all orders agree on it, else empty (IHE RAD TF-2 Appendix A, group case)."""
        numbers = {order.accession for order in self.orders}
        return numbers.pop() if len(numbers) == 1 else ""


@dataclass(frozen=True)
class Picture:
    """One kept object: a still, a clip, a document or a report, lying on the shelf under `file`.

    `captured` carries its time zone; `size` is in bytes; `seconds` is how long it plays; `number` is the Instance Number
    within the series.
    `origin` is `captured`, `imported`, `received` (exempt from our check) or `faulty` (wrong on purpose, simulated).
    """

    id: str
    exam_id: str
    kind: str
    series: Series
    number: int
    sop_class_uid: str
    sop_instance_uid: str
    syntax_uid: str
    file: str
    size: int
    sha256: str
    rows: int
    columns: int
    frames: int
    captured: datetime
    seconds: float = 0.0
    origin: str = "captured"
    flaws: tuple[str, ...] = ()
