"""Orders and performed steps, both directions: the worklist as it is asked and answered, the steps as they are told."""

import random
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from appliance.clinic.exam import REASONS, Exam, ExamState, Picture, Series
from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient
from appliance.dicom import modules, procedure, uids
from appliance.dicom.procedure import Wanted
from appliance.errors import InputError
from appliance.network.messages import Message
from appliance.network.negotiation import EXPLICIT, Context
from appliance.peers import mpps

BERLIN = ZoneInfo("Europe/Berlin")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of what is wrong here on purpose


def encoded(dataset: Dataset) -> bytes:
    """As it goes over the network, explicit little endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def sent(dataset: Dataset) -> Dataset:
    """What arrives at the other side."""
    return read_dataset(BytesIO(encoded(dataset)), False, True)


def items(**facts: object) -> list[Dataset]:
    dataset = Dataset()
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    return [dataset]


def code(value: str, scheme: str = "SCT", meaning: str = "something") -> list[Dataset]:
    return items(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, CodingSchemeVersion="1")


def answer() -> Dataset:
    """A worklist answer with every attribute filled, each with its own value."""
    dataset = Dataset()
    dataset.AccessionNumber, dataset.InstitutionName = "ACC1", "St. Elsewhere"
    dataset.ReferringPhysicianName, dataset.RequestingPhysician = "Ref^Erring", "Req^Uesting"
    dataset.ReferencedStudySequence = items(ReferencedSOPClassUID="1.2.1", ReferencedSOPInstanceUID="1.2.2")
    dataset.ReferencedPatientSequence = items(ReferencedSOPClassUID="1.2.3", ReferencedSOPInstanceUID="1.2.4")
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = "Doe^Jane^Ann^Dr^MD", "P1", "HOSP"
    dataset.PatientBirthDate, dataset.PatientSex = "19700102", "F"
    dataset.OtherPatientIDsSequence = items(PatientID="OLD1", TypeOfPatientID="TEXT")
    dataset.PatientSize, dataset.PatientWeight = "1.70", "67.5"
    dataset.MedicalAlerts, dataset.Allergies = ["PACEMAKER", "HIV"], "LATEX"
    dataset.PregnancyStatus, dataset.PatientComments = 3, "hard of hearing"
    dataset.StudyInstanceUID = "1.2.3.4.5"
    dataset.RequestingService, dataset.RequestedProcedureDescription = "SURGERY", "Gastroscopy"
    dataset.RequestedProcedureCodeSequence = code("RPC", meaning="procedure")
    dataset.AdmissionID, dataset.SpecialNeeds = "ADM1", "wheelchair"
    dataset.CurrentPatientLocation, dataset.PatientState = "WARD 3", "sedated"
    step = Dataset()
    step.Modality, step.RequestedContrastAgent, step.ScheduledStationAETitle = "ES", "none", "DICAP"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20261120", "093000"
    step.ScheduledPerformingPhysicianName = "Per^Forming"
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "Upper GI", "SPS1"
    step.ScheduledProtocolCodeSequence = code("PROT", meaning="protocol")
    step.ScheduledStationName, step.ScheduledProcedureStepLocation = "ENDO1", "ROOM 4"
    step.PreMedication, step.ScheduledProcedureStepStatus = "midazolam", "SCHEDULED"
    dataset.ScheduledProcedureStepSequence = [step]
    dataset.RequestedProcedureID, dataset.ReasonForTheRequestedProcedure = "RP1", "pain"
    dataset.RequestedProcedurePriority = "HIGH"
    dataset.PlacerOrderNumberImagingServiceRequest, dataset.FillerOrderNumberImagingServiceRequest = "PLACER", "FILLER"
    dataset.ConfidentialityConstraintOnPatientDataDescription = "VIP"
    return dataset


ORDER = procedure.order_from(answer())


def test_every_fact_of_an_answer_is_read() -> None:
    assert procedure.order_from(sent(answer())) == Order(
        patient=Patient(
            "P1", "Doe^Jane^Ann^Dr^MD", "19700102", "F", "HOSP", ("OLD1",), "1.70", "67.5", "hard of hearing", "LATEX",
            "PACEMAKER; HIV", "3", "wheelchair", "sedated", "VIP",
        ),
        study_uid="1.2.3.4.5", accession="ACC1", procedure_id="RP1", procedure_description="Gastroscopy",
        procedure_codes=(Code("RPC", "SCT", "procedure", "1"),), step_id="SPS1", step_description="Upper GI",
        protocol_codes=(Code("PROT", "SCT", "protocol", "1"),), modality="ES", station_ae="DICAP", station_name="ENDO1",
        location="ROOM 4", date="20261120", time="093000", performing_physician="Per^Forming",
        referring_physician="Ref^Erring", requesting_physician="Req^Uesting", requesting_service="SURGERY", reason="pain",
        admission_id="ADM1", priority="HIGH", pre_medication="midazolam", contrast="none", patient_location="WARD 3",
        institution="St. Elsewhere", placer_number="PLACER", filler_number="FILLER", status="SCHEDULED",
        referenced_studies=(Reference("1.2.1", "1.2.2"),), referenced_patients=(Reference("1.2.3", "1.2.4"),),
    )  # fmt: skip
    assert procedure.read_orders(answer()).complaints == ()


def test_everything_that_is_read_is_asked_for() -> None:
    """The query's keys cover the answer's attributes, and so all that becomes a fact."""
    keys, full = procedure.query(Wanted()), answer()
    assert [element.keyword for element in full if element.keyword not in keys] == []
    asked, told = keys.ScheduledProcedureStepSequence[0], full.ScheduledProcedureStepSequence[0]
    assert [element.keyword for element in told if element.keyword not in asked] == []


# IHE RAD TF-2 table 4.5-3: what a modality must be able to ask for (R or R+), by keyword
RAD_5 = """AccessionNumber ReferringPhysicianName ReferencedStudySequence ReferencedPatientSequence PatientName PatientID
PatientBirthDate PatientSex PatientWeight MedicalAlerts Allergies PregnancyStatus StudyInstanceUID RequestingPhysician
RequestedProcedureDescription RequestedProcedureCodeSequence AdmissionID SpecialNeeds CurrentPatientLocation PatientState
ScheduledProcedureStepSequence RequestedProcedureID RequestedProcedurePriority PatientTransportArrangements
ConfidentialityConstraintOnPatientDataDescription ReasonForTheRequestedProcedure"""
RAD_5_STEP = """Modality RequestedContrastAgent ScheduledStationAETitle ScheduledProcedureStepStartDate
ScheduledProcedureStepStartTime ScheduledPerformingPhysicianName ScheduledProcedureStepDescription
ScheduledProtocolCodeSequence ScheduledProcedureStepID ScheduledStationName ScheduledProcedureStepLocation PreMedication"""


def test_the_query_asks_for_all_that_ihe_demands_and_matches_nothing_by_itself() -> None:
    keys = sent(procedure.query(Wanted()))
    assert set(RAD_5.split()) <= {element.keyword for element in keys}
    step = keys.ScheduledProcedureStepSequence[0]
    assert set(RAD_5_STEP.split()) <= {element.keyword for element in step}
    assert all(element.is_empty for element in keys if element.keyword != "ScheduledProcedureStepSequence")
    assert len(keys.ScheduledProcedureStepSequence) == 1
    assert all(element.is_empty for element in step)


@pytest.mark.parametrize(
    ("first", "last", "key"),
    [
        ("20261120", "20261120", "20261120"),
        ("20261120", "20261127", "20261120-20261127"),
        ("20261120", "", "20261120-"),
        ("", "20261120", "-20261120"),
        ("", "", None),
    ],
)
def test_days_are_asked_for_as_a_range(first: str, last: str, key: str | None) -> None:
    step = sent(procedure.query(Wanted(date_from=first, date_to=last))).ScheduledProcedureStepSequence[0]
    assert (step.ScheduledProcedureStepStartDate or None) == key


def test_what_is_wanted_becomes_matching_keys() -> None:
    keys = procedure.query(
        Wanted(modality="ES", station_ae="DICAP", accession="A1", procedure_id="RP1", patient_id="P1", patient_name="Doe*")
    )
    step = keys.ScheduledProcedureStepSequence[0]
    assert (step.Modality, step.ScheduledStationAETitle) == ("ES", "DICAP")
    assert (keys.AccessionNumber, keys.RequestedProcedureID, keys.PatientID) == ("A1", "RP1", "P1")
    assert keys.PatientName == "Doe*"
    assert "SpecificCharacterSet" not in keys


def test_a_character_set_is_declared_only_where_it_is_needed() -> None:
    assert procedure.query(Wanted(patient_name="Müller*")).SpecificCharacterSet == "ISO_IR 192"
    assert "Müller*".encode() in encoded(procedure.query(Wanted(patient_name="Müller*")))


@pytest.mark.parametrize(
    ("typed", "name", "takes"),
    [
        ("doe", "Doe^Jane", True), ("DOE, jane", "Doe^Jane", True), ("jane doe", "Doe^Jane", True),
        ("muller", "Müller^J", True),
        ("Müller", "MULLER^J", True), ("p1", "Doe^Jane", True), ("smith", "Doe^Jane", False), ("d*", "Anyone", True),
        ("山田", "Yamada^Tarou=山田^太郎", True),
    ],
)  # fmt: skip
def test_what_a_person_types_is_compared_without_case_and_accents(typed: str, name: str, takes: bool) -> None:
    order = replace(ORDER, patient=replace(ORDER.patient, name=name))
    assert Wanted(patient=typed).takes(order) is takes


def test_nothing_typed_is_one_question() -> None:
    wanted = Wanted(modality="ES")
    assert wanted.readings() == (wanted,)
    assert all(one.modality == "ES" and not one.patient for one in Wanted(modality="ES", patient="doe\\x").readings())


# Names as their authors published them; each under the character set of PS3.3 C.12.1.1.2 that carries it
NAMES = [
    (["ISO_IR 100"], "Buc^Jérôme"),
    (["ISO_IR 100"], "Äneas^Rüdiger"),
    (["ISO_IR 101"], "Wałęsa^Lech"),
    (["ISO_IR 144"], "Люкceмбypг"),
    (["ISO_IR 127"], "قباني^لنزار"),
    (["ISO_IR 126"], "Διονυσιος"),
    (["ISO_IR 138"], "שרון^דבורה"),
    (["ISO_IR 148"], "Çavuşoğlu"),
    (["ISO_IR 166"], "นามสกุล"),
    (["ISO_IR 13"], "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    (["", "ISO 2022 IR 100", "ISO 2022 IR 144"], "Buc^Jérôme=Люкceмбypг"),
    (["GB18030"], "Wang^XiaoDong=王^小东"),
    (["GBK"], "Wang^XiaoDong=王^小东"),
    (["ISO_IR 192"], "Wang^XiaoDong=王^小東"),
]


@pytest.mark.parametrize(("charset", "name"), NAMES)
def test_a_name_in_any_character_set_becomes_the_same_unicode(charset: list[str], name: str) -> None:
    dataset = answer()
    dataset.SpecificCharacterSet, dataset.PatientName = charset, name
    dataset.ScheduledProcedureStepSequence[0].ScheduledPerformingPhysicianName = name
    read = procedure.read_orders(sent(dataset))
    (order,) = read.orders
    assert order.patient.name == name
    assert order.performing_physician == name
    assert order.charset == "\\".join(one for one in charset if one)
    assert read.complaints == ()


@pytest.mark.parametrize(("charset", "name"), [one for one in NAMES if one[0][0] == ""])
def test_a_name_whose_alphabets_nobody_declared_is_read_by_its_escapes(charset: list[str], name: str) -> None:
    dataset = answer()
    dataset.SpecificCharacterSet, dataset.PatientName = charset, name
    raw = encoded(dataset)
    begin = raw.index(b"\x08\x00\x05\x00CS")
    bare = raw[:begin] + raw[begin + 8 + int.from_bytes(raw[begin + 6 : begin + 8], "little") :]
    read = procedure.read_orders(read_dataset(BytesIO(bare), False, True))
    assert read.orders[0].patient.name == name
    assert any("ISO 2022" in one for one in read.complaints)


def test_a_chinese_name_of_iso_2022_is_read() -> None:
    """PS3.5 K.2: GB 2312 in G1, the escape before each component; pydicom writes it otherwise, so it is patched in."""
    raw = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=" + b" "
    dataset = answer()
    dataset.SpecificCharacterSet, dataset.PatientName = ["", "ISO 2022 IR 58"], "X" * len(raw)
    read = procedure.read_orders(read_dataset(BytesIO(encoded(dataset).replace(b"X" * len(raw), raw)), False, True))
    assert read.orders[0].patient.name.rstrip("= ") == "Zhang^XiaoDong=张^小东"
    assert read.complaints == ()


SHARED_NAMES = {
    "chrArab": "قباني^لنزار", "chrFren": "Buc^Jérôme", "chrFrenMulti": "Buc^Jérôme", "chrGerm": "Äneas^Rüdiger",
    "chrGreek": "Διονυσιος", "chrH31": "Yamada^Tarou=山田^太郎=やまだ^たろう", "chrJapMulti": "やまだ^たろう",
    "chrKoreanMulti": "김희중", "chrRuss": "Люкceмбypг", "chrX1": "Wang^XiaoDong=王^小東",
}  # fmt: skip


def test_the_published_character_set_samples_are_read(shared: Path | None) -> None:
    folder = shared / "6_worklist_mpps_hl7_charset" if shared else Path("/nonexistent")
    found = {
        path.stem: dcmread(path, stop_before_pixels=True) for path in folder.glob("chr*.dcm") if path.stem in SHARED_NAMES
    }
    for stem, dataset in found.items():
        if not dataset.get("PatientID"):
            dataset.PatientID = "1"
        assert procedure.order_from(dataset).patient.name == SHARED_NAMES[stem], stem
    assert len(found) == (len(SHARED_NAMES) if folder.is_dir() else 0)


def test_the_published_worklists_are_read(shared: Path | None, tmp_path: Path) -> None:
    folder = shared / "6_worklist_mpps_hl7_charset" if shared else Path("/nonexistent")
    paths = [*folder.glob("*.wl"), *folder.glob("NX_Worklist_Response.dcm"), *folder.glob("WLM_RQ_US_Modality.dcm")]
    for dump in folder.glob("wklist*.dump"):
        paths.append(tmp_path / f"{dump.stem}.wl")
        subprocess.run(["dump2dcm", "-g", str(dump), str(paths[-1])], check=True, timeout=20)
    reads = {path.stem: procedure.read_orders(dcmread(path, force=True)) for path in paths}
    for read in reads.values():
        assert all(order.patient.id and order.patient.name and order.study_uid and order.modality for order in read.orders)
    if folder.is_dir():
        assert len(reads) == 12
        full = reads["NX_Worklist_Response"].orders[0]
        assert (full.patient.pregnancy, full.patient.special_needs, full.reason) == (
            "4",
            "Special Needs",
            "Reason for the Requested Procedure",
        )
        assert reads["orthanc_7814"].orders[0].study_uid.endswith(".7814")


@pytest.mark.parametrize(
    ("raw", "charset", "name", "complaint"),
    [
        ("Müller^Jörg".encode(), None, "Müller^Jörg", "written in UTF-8, though no character set is declared"),
        ("Müller^Jörg".encode(), "ISO_IR 100", "Müller^Jörg", "written in UTF-8, though ISO_IR 100 is declared"),
        ("Müller^Jörg".encode("latin-1"), None, "Müller^Jörg", "read as Latin-1"),
        ("Müller^Jörg".encode("latin-1"), "ISO_IR 192", "Müller^Jörg", "does not fit its character set ISO_IR 192"),
        (b"Doe^Jane", "ISO_IR 9999", "Doe^Jane", ""),
    ],
)
def test_a_wrong_character_set_is_seen_through_and_told(raw: bytes, charset: str | None, name: str, complaint: str) -> None:
    dataset = answer()
    if charset:
        dataset.SpecificCharacterSet = charset
    dataset.PatientName = "X" * len(raw)
    data = encoded(dataset).replace(b"X" * len(raw), raw)
    read = procedure.read_orders(read_dataset(BytesIO(data), False, True))
    assert read.orders[0].patient.name == name
    assert complaint in " ".join(read.complaints)


def raw_text(keyword: str, text: str) -> Dataset:
    """An answer with a text that pydicom would not write there: patched in past it."""
    dataset = answer()
    where = dataset if keyword in dataset else dataset.ScheduledProcedureStepSequence[0]
    text = text.ljust(len(text) + len(text) % 2)
    size = len(text).to_bytes(2, "little")
    where.add_new(where[keyword].tag, "LO", "9" * len(text))
    right = dictionary_VR(keyword).encode() + size + text.encode()
    return read_dataset(BytesIO(encoded(dataset).replace(b"LO" + size + b"9" * len(text), right)), False, True)


@pytest.mark.parametrize(
    ("keyword", "text", "fact", "value", "complains"),
    [
        ("PatientBirthDate", "1961.02.02", "birth_date", "19610202", False),
        ("PatientBirthDate", "1961-02-02", "birth_date", "19610202", False),
        ("PatientBirthDate", "19901334", "birth_date", "", True),
        ("PatientBirthDate", "00000000", "birth_date", "", True),
        ("PatientBirthDate", "2.2.61", "birth_date", "", True),
        ("PatientSex", "f", "sex", "F", False),
        ("PatientSex", "MALE", "sex", "M", False),
        ("PatientSex", "W", "sex", "", True),
        ("PatientWeight", "67,5", "weight", "67.5", False),
        ("PatientWeight", "heavy", "weight", "", True),
    ],
)
def test_wrong_patient_values_are_understood_or_left_out_and_told(
    keyword: str, text: str, fact: str, value: str, complains: bool
) -> None:
    read = procedure.read_orders(raw_text(keyword, text))
    assert getattr(read.orders[0].patient, fact) == value
    assert bool(read.complaints) is complains
    assert all(text in complaint and "Doe" in complaint for complaint in read.complaints)


def test_control_characters_do_not_reach_a_screen() -> None:
    order = procedure.order_from(raw_text("AdmissionID", "\x1b[31mRED\x07\x00"))
    assert order.admission_id.isprintable()
    assert "RED" in order.admission_id


@pytest.mark.parametrize(
    ("text", "value", "complains"),
    [
        ("18:32:00", "183200", False),
        ("18:32", "1832", False),
        ("09", "0900", False),
        ("183200.5", "183200.5", False),
        ("25:00", "", True),
    ],
)
def test_old_and_wrong_times_are_understood_or_left_out(text: str, value: str, complains: bool) -> None:
    read = procedure.read_orders(raw_text("ScheduledProcedureStepStartTime", text))
    assert read.orders[0].time == value
    assert bool(read.complaints) is complains


def test_an_order_without_patient_id_is_unusable() -> None:
    for value in ("", "   "):
        dataset = answer()
        dataset.PatientID = value
        with pytest.raises(InputError, match=r"Doe\^Jane\^Ann\^Dr\^MD without Patient ID"):
            procedure.order_from(dataset)
    with pytest.raises(InputError):
        procedure.order_from(Dataset())


def test_a_missing_study_uid_is_made_the_same_each_time_for_all_steps_of_a_procedure() -> None:
    dataset = answer()
    dataset.StudyInstanceUID = ""
    first, again = procedure.read_orders(sent(dataset)), procedure.read_orders(sent(dataset))
    made = first.orders[0].study_uid
    assert uids.is_legal(made)
    assert made == again.orders[0].study_uid
    assert f"no Study Instance UID; {made} was made" in first.complaints[0]
    dataset.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID = "SPS2"
    assert procedure.order_from(sent(dataset)).study_uid == made
    dataset.AccessionNumber = "ACC2"
    assert procedure.order_from(sent(dataset)).study_uid != made


def test_a_study_uid_of_the_ris_is_kept_even_if_it_is_not_quite_legal() -> None:
    dataset = answer()
    dataset.StudyInstanceUID = "1.2.804.114118.2.0909"
    read = procedure.read_orders(sent(dataset))
    assert read.orders[0].study_uid == "1.2.804.114118.2.0909"
    assert "not legal" in read.complaints[0]


def test_several_steps_in_one_answer_are_several_orders() -> None:
    dataset = answer()
    second = Dataset()
    second.ScheduledProcedureStepID, second.Modality = "SPS2", "us"
    dataset.ScheduledProcedureStepSequence.append(second)
    read = procedure.read_orders(sent(dataset))
    assert [(order.step_id, order.modality) for order in read.orders] == [("SPS1", "ES"), ("SPS2", "US")]


def test_an_answer_without_step_still_gives_the_patient() -> None:
    dataset = answer()
    del dataset.ScheduledProcedureStepSequence
    read = procedure.read_orders(sent(dataset))
    assert (read.orders[0].patient.id, read.orders[0].step_id) == ("P1", "")
    assert "no Scheduled Procedure Step" in read.complaints[0]


def test_spoilt_bytes_never_do_worse_than_a_complaint() -> None:
    """500 answers with bytes turned at random: each is an order, or an InputError in words."""
    dice = random.Random(20261120)
    whole = encoded(answer())
    usable = 0
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        data = data[: dice.choice((len(data), dice.randrange(len(data))))]
        message = Message({}, bytes(data), Context(1, "1.2.3", (EXPLICIT,), 0, EXPLICIT))
        try:
            usable += len(procedure.read_orders(message.dataset()).orders)
        except InputError as error:
            assert str(error)
    assert usable > 100


# performed steps

STARTED = datetime(2026, 11, 20, 23, 59, 58, tzinfo=BERLIN)
EXAM = Exam(
    id="e1", orders=(ORDER,), study_uid="1.2.3.4.5", step_uid="2.25.5", step_id="PPS1", modality="ES", started=STARTED,
    station_ae="DICAP", station_name="ENDO1", operator="Nur^Se", location="ROOM 4",
)  # fmt: skip
ENDED = replace(EXAM, state=ExamState.FINISHED, ended=datetime(2026, 11, 20, 23, 10, 5, tzinfo=UTC))


def picture(number: int, sop_class: str, series: Series, rows: int = 480) -> Picture:
    return Picture(
        id=f"p{number}", exam_id="e1", kind="", series=series, number=number, sop_class_uid=sop_class,
        sop_instance_uid=f"2.25.{number}", syntax_uid="1.2.840.10008.1.2.1", file="", size=1, sha256="", rows=rows,
        columns=rows, frames=1, captured=STARTED,
    )  # fmt: skip


def test_a_begun_step_has_every_attribute_that_the_table_demands() -> None:
    begun = sent(procedure.step_begun(EXAM))
    assert mpps.lacks_at_creation(begun) == []
    for keyword in ("PerformedSeriesSequence", "PerformedProcedureStepDiscontinuationReasonCodeSequence"):
        assert begun[keyword].value == [], keyword  # there, so that the N-SET may change them
    assert begun.PerformedProcedureStepEndDate == begun.PerformedProcedureStepEndTime == ""


def test_times_are_those_of_the_wall_clock_where_the_exam_was() -> None:
    begun, ended = sent(procedure.step_begun(EXAM)), sent(procedure.step_ended(ENDED, []))
    assert (begun.PerformedProcedureStepStartDate, begun.PerformedProcedureStepStartTime) == ("20261120", "235958")
    assert (ended.PerformedProcedureStepEndDate, ended.PerformedProcedureStepEndTime) == ("20261121", "001005")


# IHE RAD TF-2 appendix A.1: from the worklist (at the top, or in its step) to the N-CREATE (at the top, or in its item of
# Scheduled Step Attributes Sequence), and, where it is derived, from what
MAPPING = [
    ("StudyInstanceUID", "item", "StudyInstanceUID"),
    ("ReferencedStudySequence", "item", "ReferencedStudySequence"),
    ("AccessionNumber", "item", "AccessionNumber"),
    ("RequestedProcedureID", "item", "RequestedProcedureID"),
    ("RequestedProcedureDescription", "item", "RequestedProcedureDescription"),
    ("step.ScheduledProcedureStepID", "item", "ScheduledProcedureStepID"),
    ("step.ScheduledProcedureStepDescription", "item", "ScheduledProcedureStepDescription"),
    ("step.ScheduledProtocolCodeSequence", "item", "ScheduledProtocolCodeSequence"),
    ("PlacerOrderNumberImagingServiceRequest", "item", "PlacerOrderNumberImagingServiceRequest"),
    ("FillerOrderNumberImagingServiceRequest", "item", "FillerOrderNumberImagingServiceRequest"),
    ("PatientName", "top", "PatientName"),
    ("PatientID", "top", "PatientID"),
    ("IssuerOfPatientID", "top", "IssuerOfPatientID"),
    ("PatientBirthDate", "top", "PatientBirthDate"),
    ("PatientSex", "top", "PatientSex"),
    ("ReferencedPatientSequence", "top", "ReferencedPatientSequence"),
    ("AdmissionID", "top", "AdmissionID"),
    ("RequestedProcedureID", "top", "StudyID"),
    ("RequestedProcedureDescription", "top", "PerformedProcedureTypeDescription"),
    ("RequestedProcedureCodeSequence", "top", "ProcedureCodeSequence"),
    ("step.ScheduledProcedureStepDescription", "top", "PerformedProcedureStepDescription"),
    ("step.ScheduledProtocolCodeSequence", "top", "PerformedProtocolCodeSequence"),
    ("step.Modality", "top", "Modality"),
]


@pytest.mark.parametrize(("source", "place", "target"), MAPPING)
def test_the_step_says_of_each_attribute_what_the_worklist_said(source: str, place: str, target: str) -> None:
    worklist = sent(answer())
    origin = worklist.ScheduledProcedureStepSequence[0] if source.startswith("step.") else worklist
    begun = sent(procedure.step_begun(replace(EXAM, orders=(procedure.order_from(worklist),))))
    goal = begun.ScheduledStepAttributesSequence[0] if place == "item" else begun
    value = origin[source.removeprefix("step.")].value
    assert value not in ("", [], None)
    assert goal[target].value == value


IMAGE_MAPPING = [
    ("StudyID", "StudyID"), ("PerformedProcedureStepID", "PerformedProcedureStepID"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartDate"),
    ("PerformedProcedureStepStartTime", "PerformedProcedureStepStartTime"),
    ("PerformedProcedureStepDescription", "PerformedProcedureStepDescription"),
    ("PerformedProtocolCodeSequence", "PerformedProtocolCodeSequence"), ("ProcedureCodeSequence", "ProcedureCodeSequence"),
    ("PatientName", "PatientName"), ("PatientID", "PatientID"), ("Modality", "Modality"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "image"), IMAGE_MAPPING)
def test_the_step_and_its_objects_say_the_same(step: str, image: str) -> None:
    objects = Dataset()
    modules.patient(objects, EXAM)
    modules.general_study(objects, EXAM, BERLIN)
    modules.general_series(objects, EXAM, Series("2.25.6", 1, "ES"), BERLIN)
    begun = procedure.step_begun(EXAM)
    assert begun[step].value == objects[image].value
    assert objects.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID == EXAM.step_uid
    asked, scheduled = objects.RequestAttributesSequence[0], begun.ScheduledStepAttributesSequence[0]
    for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID", "ScheduledProcedureStepDescription",
                    "ScheduledProtocolCodeSequence"):  # fmt: skip
        assert asked[keyword].value == scheduled[keyword].value


def test_a_group_of_orders_is_an_item_each_with_its_own_numbers() -> None:
    other = replace(
        ORDER, study_uid="1.2.9", accession="ACC2", procedure_id="RP2", step_id="SPS2", step_description="Lower GI"
    )
    begun = sent(procedure.step_begun(replace(EXAM, orders=(ORDER, other))))
    listed = [
        (one.StudyInstanceUID, one.AccessionNumber, one.RequestedProcedureID, one.ScheduledProcedureStepID)
        for one in begun.ScheduledStepAttributesSequence
    ]
    assert listed == [("1.2.3.4.5", "ACC1", "RP1", "SPS1"), ("1.2.9", "ACC2", "RP2", "SPS2")]
    assert begun.PerformedProcedureStepDescription == "Upper GI / Lower GI"
    assert len(begun.PerformedProtocolCodeSequence) == 1


def test_an_unscheduled_exam_has_one_item_that_knows_only_the_study() -> None:
    order = Order(patient=Patient("TEMP-1", "Nobody"), study_uid="1.2.77", modality="ES", unscheduled=True)
    begun = sent(procedure.step_begun(replace(EXAM, orders=(order,), study_uid="1.2.77")))
    assert mpps.lacks_at_creation(begun) == []
    (item,) = begun.ScheduledStepAttributesSequence
    assert item.StudyInstanceUID == "1.2.77"
    assert all(element.is_empty for element in item if element.keyword != "StudyInstanceUID")


ENDOSCOPIC, VIDEO, PDF = (
    "1.2.840.10008.5.1.4.1.1.77.1.1",
    "1.2.840.10008.5.1.4.1.1.77.1.1.1",
    "1.2.840.10008.5.1.4.1.1.104.1",
)


def test_an_ended_step_names_every_object_in_its_series() -> None:
    first, second = Series("2.25.60", 1, "ES", "stills", "EGD"), Series("2.25.61", 2, "OT")
    pictures = [picture(1, ENDOSCOPIC, first), picture(2, VIDEO, first), picture(3, PDF, second, 0)]
    pictures += [picture(4, "1.2.3.4", second), picture(5, "1.2.3.5", second, 0)]
    ended = sent(procedure.step_ended(ENDED, pictures, "PACS"))
    assert mpps.lacks_at_end(ended) == []
    assert mpps.lacks_in_change(ended) == []
    assert not mpps.FIXED & {element.keyword for element in ended}
    stills, others = ended.PerformedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in stills.ReferencedImageSequence] == ["2.25.1", "2.25.2"]
    assert [one.ReferencedSOPClassUID for one in stills.ReferencedImageSequence] == [ENDOSCOPIC, VIDEO]
    assert stills.ReferencedNonImageCompositeSOPInstanceSequence == []
    assert [one.ReferencedSOPInstanceUID for one in others.ReferencedImageSequence] == ["2.25.4"]
    assert [one.ReferencedSOPInstanceUID for one in others.ReferencedNonImageCompositeSOPInstanceSequence] == [
        "2.25.3",
        "2.25.5",
    ]
    assert (stills.SeriesInstanceUID, stills.SeriesDescription, stills.ProtocolName) == ("2.25.60", "stills", "EGD")
    assert (stills.OperatorsName, stills.PerformingPhysicianName, stills.RetrieveAETitle) == (
        "Nur^Se",
        "Per^Forming",
        "PACS",
    )
    assert others.ProtocolName == "Upper GI"


def test_a_step_without_pictures_still_names_a_series_the_same_each_time() -> None:
    ended, again = procedure.step_ended(ENDED, []), procedure.step_ended(ENDED, [])
    (series,) = ended.PerformedSeriesSequence
    assert mpps.lacks_at_end(sent(ended)) == []
    assert uids.is_legal(series.SeriesInstanceUID)
    assert series.ReferencedImageSequence == series.ReferencedNonImageCompositeSOPInstanceSequence == []
    assert again == ended


def test_an_abandoned_step_says_why_and_a_finished_one_does_not() -> None:
    keyword = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    abandoned = sent(procedure.step_ended(replace(ENDED, state=ExamState.ABANDONED, reason=REASONS["110514"]), []))
    assert abandoned.PerformedProcedureStepStatus == "DISCONTINUED"
    reason = abandoned[keyword].value[0]
    assert (reason.CodeValue, reason.CodingSchemeDesignator) == ("110514", "DCM")
    assert reason.CodeMeaning == "Incorrect worklist entry selected"
    finished = procedure.step_ended(ENDED, [])
    assert finished.PerformedProcedureStepStatus == "COMPLETED"
    assert keyword not in finished


def test_an_open_exam_has_no_end() -> None:
    with pytest.raises(InputError, match="still open"):
        procedure.step_ended(EXAM, [])


def test_what_is_not_ascii_is_told_in_unicode() -> None:
    order = replace(ORDER, patient=replace(ORDER.patient, name="Yamada^Tarou=山田^太郎"))
    begun = procedure.step_begun(replace(EXAM, orders=(order,)))
    assert begun.SpecificCharacterSet == "ISO_IR 192"
    assert sent(begun).PatientName == "Yamada^Tarou=山田^太郎"
    assert "SpecificCharacterSet" not in procedure.step_begun(EXAM)
    ended = procedure.step_ended(replace(ENDED, operator="Müller"), [])
    assert sent(ended).PerformedSeriesSequence[0].OperatorsName == "Müller"


def test_numbers_of_the_ris_are_passed_on_whole_even_if_they_are_too_long() -> None:
    long = "ACC-2026-11-20-0000000042"
    begun = sent(procedure.step_begun(replace(EXAM, orders=(replace(ORDER, accession=long, step_id=long),))))
    (item,) = begun.ScheduledStepAttributesSequence
    assert (item.AccessionNumber, item.ScheduledProcedureStepID) == (long, long)
