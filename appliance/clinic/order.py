"""What was asked for: one scheduled procedure step."""

from dataclasses import dataclass

from appliance.clinic.patient import Patient


@dataclass(frozen=True)
class Code:
    """One coded term (PS3.3 8.8): Code Value, Coding Scheme Designator, Code Meaning, Coding Scheme Version."""

    value: str
    scheme: str
    meaning: str
    version: str = ""


@dataclass(frozen=True)
class Reference:
    """A SOP Class and Instance UID named by somebody else."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Order:
    """One scheduled procedure step with its requested procedure and patient (PS3.4 K.6.1.2.2).

    Dates are YYYYMMDD, times HHMMSS[.FFFFFF]. `step_id` is the Scheduled Procedure Step ID; it is empty for an
    exam that nobody ordered (`unscheduled` is then true).
    """

    patient: Patient
    study_uid: str
    accession: str = ""
    procedure_id: str = ""
    procedure_description: str = ""
    procedure_codes: tuple[Code, ...] = ()
    step_id: str = ""
    step_description: str = ""
    protocol_codes: tuple[Code, ...] = ()
    modality: str = ""
    station_ae: str = ""
    station_name: str = ""
    location: str = ""
    date: str = ""
    time: str = ""
    performing_physician: str = ""
    referring_physician: str = ""
    requesting_physician: str = ""
    requesting_service: str = ""
    reason: str = ""
    admission_id: str = ""
    priority: str = ""
    pre_medication: str = ""
    contrast: str = ""
    patient_location: str = ""
    institution: str = ""
    placer_number: str = ""
    filler_number: str = ""
    status: str = ""
    charset: str = ""
    referenced_studies: tuple[Reference, ...] = ()
    referenced_patients: tuple[Reference, ...] = ()
    unscheduled: bool = False

    @property
    def key(self) -> str:
        """How commands and screens name this step: `ACCESSION/STEP-ID`, unique within one worklist."""
        return f"{self.accession or self.study_uid}/{self.step_id}"
