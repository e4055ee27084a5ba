"""IHE RAD TF-2 Appendix A, the column of the images: what was ordered stands in every object, where the table says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import object_samples as samples
import pydicom
import pytest
from object_samples import EXAM, ORDER, PATIENT, making

from appliance.clinic.exam import Exam
from appliance.clinic.order import Code
from appliance.dicom import objects, procedure
from appliance.dicom.syntaxes import SYNTAXES
from capture.frame import Clip

MPPS_CLASS = "1.2.840.10008.3.1.2.3.3"
SECOND = replace(
    ORDER,
    accession="ACC-2",
    procedure_id="RP-2",
    procedure_description="Polypectomy",
    procedure_codes=(Code("274031008", "SCT", "Polypectomy"),),
    step_id="SPS-2",
    step_description="Removal",
    protocol_codes=(Code("COLO-2", "99CITY", "Polypectomy protocol"),),
    reason="Polyp",
)

# worklist attribute (or what the appliance made) | where it stands in an object | its value in the exam of one order
TABLE: list[tuple[str, str, Any]] = [
    ("PatientName", "PatientName", PATIENT.name),
    ("PatientID", "PatientID", PATIENT.id),
    ("IssuerOfPatientID", "IssuerOfPatientID", PATIENT.issuer),
    ("PatientBirthDate", "PatientBirthDate", PATIENT.birth_date),
    ("PatientSex", "PatientSex", PATIENT.sex),
    ("OtherPatientIDsSequence>PatientID", "OtherPatientIDsSequence>PatientID", PATIENT.other_ids[0]),
    ("ReferencedPatientSequence>ReferencedSOPClassUID", "ReferencedPatientSequence>ReferencedSOPClassUID",
     ORDER.referenced_patients[0].sop_class_uid),
    ("ReferencedPatientSequence>ReferencedSOPInstanceUID", "ReferencedPatientSequence>ReferencedSOPInstanceUID",
     ORDER.referenced_patients[0].sop_instance_uid),
    ("PatientSize", "PatientSize", 1.71),
    ("PatientWeight", "PatientWeight", 64.5),
    ("MedicalAlerts", "MedicalAlerts", PATIENT.alerts),
    ("Allergies", "Allergies", PATIENT.allergies),
    ("PregnancyStatus", "PregnancyStatus", 1),
    ("PatientState", "PatientState", PATIENT.state),
    ("AdmissionID", "AdmissionID", ORDER.admission_id),
    ("ReferringPhysicianName", "ReferringPhysicianName", ORDER.referring_physician),
    ("AccessionNumber", "AccessionNumber", ORDER.accession),
    ("StudyInstanceUID", "StudyInstanceUID", ORDER.study_uid),
    ("ReferencedStudySequence>ReferencedSOPClassUID", "ReferencedStudySequence>ReferencedSOPClassUID",
     ORDER.referenced_studies[0].sop_class_uid),
    ("ReferencedStudySequence>ReferencedSOPInstanceUID", "ReferencedStudySequence>ReferencedSOPInstanceUID",
     ORDER.referenced_studies[0].sop_instance_uid),
    ("RequestedProcedureID", "RequestAttributesSequence>RequestedProcedureID", ORDER.procedure_id),
    ("RequestedProcedureID", "StudyID", ORDER.procedure_id),
    ("RequestedProcedureDescription", "RequestAttributesSequence>RequestedProcedureDescription",
     ORDER.procedure_description),
    ("RequestedProcedureDescription", "StudyDescription", ORDER.procedure_description),
    ("RequestedProcedureCodeSequence>CodeValue", "ProcedureCodeSequence>CodeValue", "73761001"),
    ("RequestedProcedureCodeSequence>CodingSchemeDesignator", "ProcedureCodeSequence>CodingSchemeDesignator", "SCT"),
    ("RequestedProcedureCodeSequence>CodeMeaning", "ProcedureCodeSequence>CodeMeaning", "Colonoscopy"),
    ("RequestedProcedureCodeSequence>CodeValue",
     "RequestAttributesSequence>RequestedProcedureCodeSequence>CodeValue", "73761001"),
    ("ReasonForTheRequestedProcedure", "RequestAttributesSequence>ReasonForTheRequestedProcedure", ORDER.reason),
    ("ScheduledProcedureStepID", "RequestAttributesSequence>ScheduledProcedureStepID", ORDER.step_id),
    ("ScheduledProcedureStepDescription", "RequestAttributesSequence>ScheduledProcedureStepDescription",
     ORDER.step_description),
    ("ScheduledProtocolCodeSequence>CodeValue",
     "RequestAttributesSequence>ScheduledProtocolCodeSequence>CodeValue", "COLO-1"),
    ("ScheduledProtocolCodeSequence>CodingSchemeVersion",
     "RequestAttributesSequence>ScheduledProtocolCodeSequence>CodingSchemeVersion", "2"),
    ("ScheduledProtocolCodeSequence>CodeValue", "PerformedProtocolCodeSequence>CodeValue", "COLO-1"),
    ("AccessionNumber", "RequestAttributesSequence>AccessionNumber", ORDER.accession),
    ("StudyInstanceUID", "RequestAttributesSequence>StudyInstanceUID", ORDER.study_uid),
    ("ScheduledProcedureStepDescription", "PerformedProcedureStepDescription", ORDER.step_description),
    ("(the performed step)", "PerformedProcedureStepID", EXAM.step_id),
    ("(the performed step)", "PerformedProcedureStepStartDate", "20261120"),
    ("(the performed step)", "PerformedProcedureStepStartTime", "093000"),
    ("(the performed step)", "ReferencedPerformedProcedureStepSequence>ReferencedSOPClassUID", MPPS_CLASS),
    ("(the performed step)", "ReferencedPerformedProcedureStepSequence>ReferencedSOPInstanceUID", EXAM.step_uid),
    ("(the performed step)", "StudyDate", "20261120"),
    ("(the performed step)", "StudyTime", "093000"),
    ("(the series)", "ProtocolName", "Colonoscopy protocol"),
    ("(the series)", "SeriesDescription", "Pictures"),
]  # fmt: skip
IMAGES_ONLY = [
    ("ScheduledPerformingPhysicianName", "PerformingPhysicianName", ORDER.performing_physician),
    ("(the operator)", "OperatorsName", EXAM.operator),
]


def written(kind: str, exam: Exam, folder: Path, clip: Clip) -> pydicom.Dataset:
    """One object of each sort: a still, a video, a document."""
    out = folder / "out.dcm"
    if kind == "document":
        pdf = folder / "a.pdf"
        pdf.write_bytes(b"%PDF-1.4 ")
        objects.write_document(out, making(kind, exam), pdf, "Report")
    elif kind == "vl-endoscopic":
        objects.write_clip(out, making(kind, exam), clip, SYNTAXES["mpeg2"])
    else:
        objects.write_still(out, making(kind, exam), samples.still("rgb"), SYNTAXES["jls"])
    return pydicom.dcmread(out, stop_before_pixels=True)


def values(dataset: pydicom.Dataset, path: str) -> list[Any]:
    """The values at the end of a path of keywords, one per item."""
    first, _, rest = path.partition(">")
    if rest:
        return [value for item in dataset.get(first, []) for value in values(item, rest)]
    value = dataset.get(first)
    return [] if value is None else [str(value) if dataset[first].VR == "PN" else value]


@pytest.mark.parametrize("kind", ["sc", "us", "vl-endoscopic", "document"])
def test_every_row_of_the_mapping_table_holds(kind: str, clip_of: Callable[[str], Clip], tmp_path: Path) -> None:
    """One order, one step."""
    dataset = written(kind, EXAM, tmp_path, clip_of("mpeg2"))
    rows = TABLE if kind == "document" else [*TABLE, *IMAGES_ONLY]
    wrong = {path: values(dataset, path) for _, path, value in rows if values(dataset, path) != [value]}
    assert wrong == {}


@pytest.mark.parametrize("kind", ["sc", "us", "vl-endoscopic", "document"])
def test_the_group_case_keeps_each_orders_identifiers(kind: str, clip_of: Callable[[str], Clip], tmp_path: Path) -> None:
    """Two orders done as one: an item for each; above them only what both agree on."""
    dataset = written(kind, replace(EXAM, orders=(ORDER, SECOND)), tmp_path, clip_of("mpeg2"))
    request = "RequestAttributesSequence>"
    expected = {
        f"{request}AccessionNumber": ["ACC-1", "ACC-2"],
        f"{request}RequestedProcedureID": ["RP-1", "RP-2"],
        f"{request}RequestedProcedureDescription": ["Colonoscopy", "Polypectomy"],
        f"{request}ScheduledProcedureStepID": ["SPS-1", "SPS-2"],
        f"{request}ScheduledProtocolCodeSequence>CodeValue": ["COLO-1", "COLO-2"],
        f"{request}ReasonForTheRequestedProcedure": ["Bleeding", "Polyp"],
        "AccessionNumber": [""],
        "StudyID": [EXAM.step_id],
        "StudyInstanceUID": [ORDER.study_uid],
        "StudyDescription": ["Colonoscopy / Polypectomy"],
        "ProcedureCodeSequence>CodeValue": ["73761001", "274031008"],
        "PerformedProtocolCodeSequence>CodeValue": ["COLO-1", "COLO-2"],
        "PerformedProcedureStepDescription": ["Diagnostic colonoscopy / Removal"],
        "ReferringPhysicianName": [ORDER.referring_physician],
        "ReferencedStudySequence>ReferencedSOPInstanceUID": [ORDER.referenced_studies[0].sop_instance_uid],
    }
    assert {path: values(dataset, path) for path in expected} == expected


@pytest.mark.parametrize("kind", ["sc", "us", "vl-endoscopic", "document"])
def test_an_unscheduled_exam_refers_to_its_step_and_to_no_order(
    kind: str, clip_of: Callable[[str], Clip], tmp_path: Path
) -> None:
    """Nothing that only an order could have given."""
    nothing = {"accession": "", "procedure_id": "", "step_id": "", "protocol_codes": (), "procedure_codes": ()}
    order = replace(ORDER, unscheduled=True, **nothing)
    dataset = written(kind, replace(EXAM, orders=(order,)), tmp_path, clip_of("mpeg2"))
    for absent in ("RequestAttributesSequence", "ProcedureCodeSequence", "PerformedProtocolCodeSequence"):
        assert absent not in dataset
    assert dataset.AccessionNumber == ""
    assert dataset.StudyID == EXAM.step_id
    assert values(dataset, "ReferencedPerformedProcedureStepSequence>ReferencedSOPInstanceUID") == [EXAM.step_uid]


def test_objects_of_one_exam_agree_on_study_and_step(clip_of: Callable[[str], Clip], tmp_path: Path) -> None:
    """Whatever they are and whenever they were taken."""
    some = [written(kind, EXAM, tmp_path, clip_of("mpeg2")) for kind in ("sc", "vl-endoscopic", "document")]
    later = replace(making("sc"), created=samples.BEGUN + timedelta(hours=3))
    out = tmp_path / "later.dcm"
    still = replace(samples.still("rgb"), captured=samples.SEEN + timedelta(hours=2))
    objects.write_still(out, later, still, SYNTAXES["rle"])
    some.append(pydicom.dcmread(out))
    for keyword in ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "PatientID",
                    "PerformedProcedureStepID", "TimezoneOffsetFromUTC"):  # fmt: skip
        assert len({str(dataset[keyword].value) for dataset in some}) == 1, keyword
    assert len({dataset.SeriesInstanceUID for dataset in some}) == 3


def test_an_object_and_the_step_report_agree(clip_of: Callable[[str], Clip], tmp_path: Path) -> None:
    """What both bear is the same in both, for one order and for several."""
    for exam in (EXAM, replace(EXAM, orders=(ORDER, SECOND))):
        dataset, step = written("vl-endoscopic", exam, tmp_path, clip_of("mpeg2")), procedure.step_begun(exam)
        request, scheduled = "RequestAttributesSequence>", "ScheduledStepAttributesSequence>"
        same = ["PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyID", "Modality",
                "PerformedProcedureStepID", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
                "PerformedProcedureStepDescription", "ProcedureCodeSequence>CodeValue",
                "PerformedProtocolCodeSequence>CodeValue"]  # fmt: skip
        both = ["AccessionNumber", "StudyInstanceUID", "RequestedProcedureID", "RequestedProcedureDescription",
                "ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence>CodeValue",
                "RequestedProcedureCodeSequence>CodeValue", "ReferencedStudySequence>ReferencedSOPInstanceUID"]  # fmt: skip
        pairs = [(path, path) for path in same] + [(request + path, scheduled + path) for path in both]
        wrong = {here: (values(dataset, here), values(step, there)) for here, there in pairs
                 if not values(dataset, here) or values(dataset, here) != values(step, there)}  # fmt: skip
        assert wrong == {}
