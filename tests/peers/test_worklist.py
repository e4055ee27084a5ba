"""What the worklist answers to DCMTK's findscu."""

import dataclasses
from datetime import date

import pytest
from callers import findscu, open_house, run

from appliance.clinic.order import Code, Order, Reference
from appliance.clinic.patient import Patient
from appliance.peers.demo import orders as demo_orders
from appliance.peers.faults import Faults
from appliance.peers.ris import Ris

DAY = date(2025, 11, 20)
STEP = "(0040,0100)[0]."


@pytest.fixture(scope="module")
def ris():
    """A RIS with the demo orders of one fixed day, used read-only by the tests of this file."""
    with open_house(Ris("RIS", "127.0.0.1", 0, demo_orders(7, DAY), faults=Faults())) as peer:
        yield peer


def names(answers):
    """Patients' names, in the order of the answers."""
    return [str(answer.PatientName) for answer in answers]


def test_it_answers_c_echo(ris):
    """The Verification SOP class is always there."""
    assert run("echoscu", "-aec", "RIS", "127.0.0.1", ris.port).returncode == 0


def test_a_caller_who_means_somebody_else_is_refused(ris):
    """A wrong called AE title is a rejection, as in a real RIS."""
    done = run("echoscu", "-aec", "SOMEBODY", "127.0.0.1", ris.port)
    assert done.returncode != 0 and "Called AE Title Not Recognized" in done.stderr


def test_everything_is_answered_when_nothing_is_asked_for(ris, tmp_path):
    """Universal matching returns all steps, sorted by date and time."""
    answers = findscu(ris.port, tmp_path, "PatientName", STEP + "ScheduledProcedureStepStartTime")
    times = [answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime for answer in answers]
    assert len(answers) == len(ris.orders()) == 13
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([STEP + "Modality=CT"], {"Featherstonehaugh-Cholmondeley-Marjoribanks^Maximiliana^Philippa"}),
        (["PatientName=zwilling*"], {"Zwilling^Anna", "Zwilling^Anne"}),
        (["PatientName=Zwilling^Ann?"], {"Zwilling^Anna", "Zwilling^Anne"}),
        (["PatientName=MUSSIGBRODT-TAUSCHER*"], {"Müßigbrodt-Täuscher^Jörg^^Dr."}),
        (["PatientName=*tauscher"], set()),
        ([STEP + "ScheduledProcedureStepStartDate=20251120"], "all"),
        ([STEP + "ScheduledProcedureStepStartDate=20251119-20251121"], "all"),
        ([STEP + "ScheduledProcedureStepStartDate=-20251119"], set()),
        ([STEP + "ScheduledProcedureStepStartDate=20251121-"], set()),
        ([STEP + "ScheduledProcedureStepStartTime=-0800"], set()),
        ([STEP + "ScheduledStationAETitle=DICAP"], "all"),
        ([STEP + "ScheduledStationAETitle=OTHER"], set()),
        ([STEP + "ScheduledProcedureStepStatus=STARTED"], set()),
        ([STEP + "Modality=XC", "PatientName=*Anna"], {"Zwilling^Anna"}),
        (["RequestedProcedureDescription=*microscopy"], {"Siheom^Gyeoul==시험^겨울"}),
    ],
)
def test_matching(ris, tmp_path, keys, expected):
    """Single value, wildcard, range and sequence matching, names without regard to case and accents."""
    answers = findscu(ris.port, tmp_path, "PatientName", *keys)
    wanted = {order.patient.name for order in ris.orders()} if expected == "all" else expected
    assert set(names(answers)) == wanted


def test_accession_and_patient_id_find_one_patient(ris, tmp_path):
    """Both steps of an accession come, and only those."""
    order = next(order for order in ris.orders() if order.step_description == "Ultrasound thyroid")
    by_accession = findscu(ris.port, tmp_path / "a", f"AccessionNumber={order.accession}", STEP + "ScheduledProcedureStepID")
    by_id = findscu(ris.port, tmp_path / "b", f"PatientID={order.patient.id}", STEP + "ScheduledProcedureStepID")
    steps = [answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for answer in by_accession]
    assert len(set(steps)) == 2 and order.step_id in steps
    assert [answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID for answer in by_id] == steps


def test_absent_keys_are_not_invented(ris, tmp_path):
    """An answer holds what was asked for, and no more (but for the character set it is written in)."""
    (answer,) = findscu(ris.port, tmp_path, "PatientName=Zwilling^Anna", STEP + "Modality")
    assert {element.keyword for element in answer} == {"PatientName", "ScheduledProcedureStepSequence"}
    assert {element.keyword for element in answer.ScheduledProcedureStepSequence[0]} == {"Modality"}


def test_an_unknown_key_is_left_out_and_said_so(ris, tmp_path):
    """A key that the RIS does not support is not answered; the status is FF01."""
    (answer,) = findscu(ris.port, tmp_path, "PatientName=Zwilling^Anna", "PatientMotherBirthName")
    assert "PatientMotherBirthName" not in answer
    done = run("findscu", "-v", "-W", "-aec", "RIS", "-k", "PatientName=Zwilling^Anna", "-k", "PatientMotherBirthName",
               "127.0.0.1", ris.port)  # fmt: skip
    assert "WarningUnsupportedOptionalKeys" in done.stdout + done.stderr


CHARSETS = {
    "ISO_IR 100": "Müßigbrodt-Täuscher^Jörg^^Dr.",
    "ISO_IR 126": "Δοκιμή^Ελένη",
    "\\ISO 2022 IR 87": "Shiken^Hanako=試験^花子=しけん^はなこ",
    "ISO_IR 192": "Łąkowska-Próbna^Świętosława",
    "ISO_IR 144": "Проверкина^Ирина^Образцовна",
    "\\ISO 2022 IR 149": "Siheom^Gyeoul==시험^겨울",
}


@pytest.mark.parametrize("charset", CHARSETS)
def test_each_order_comes_in_its_own_character_set(ris, tmp_path, charset):
    """The text survives the wire, and (0008,0005) says how it was written."""
    order = next(order for order in ris.orders() if order.charset == charset)
    keys = (f"PatientID={order.patient.id}", "PatientName", STEP + "ScheduledProcedureStepDescription")
    (answer,) = findscu(ris.port, tmp_path, *keys)
    told = answer.SpecificCharacterSet
    assert ("\\".join(told) if not isinstance(told, str) else told) == charset
    assert str(answer.PatientName) == CHARSETS[charset] == order.patient.name
    assert answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription == order.step_description


def test_no_character_set_is_named_where_none_is_needed(ris, tmp_path):
    """Plain text is told without (0008,0005)."""
    (answer,) = findscu(ris.port, tmp_path, "PatientName=Zwilling^Anna")
    assert "SpecificCharacterSet" not in answer


def full_order() -> Order:
    """An order in which every field has a value of its own, and a plain one."""
    person = Patient(
        "SIM77", "Voll^Ständig", birth_date="19800101", sex="O", issuer="HOSP", other_ids=("X1", "X2"), size="1.7",
        weight="70", comments="comment", allergies="Latex\\Nuts", alerts="Alert", pregnancy="4",
        special_needs="Wheelchair", state="Stable", confidentiality="R",
    )  # fmt: skip
    fields = {
        field.name: field.name[:16].upper()
        for field in dataclasses.fields(Order)
        if field.type == "str" or field.type is str
    }
    fields |= {"study_uid": "2.25.99", "date": "20251120", "time": "1015", "charset": "ISO_IR 192", "status": "SCHEDULED"}
    codes = (Code("1", "99X", "One"), Code("2", "99X", "Two", "2.0"))
    references = (Reference("1.2.840.10008.3.1.2.3.1", "2.25.5"),)
    return Order(
        person, **fields, procedure_codes=codes, protocol_codes=codes, referenced_studies=references,
        referenced_patients=references,
    )  # fmt: skip


def test_every_field_of_an_order_reaches_the_modality(tmp_path):
    """Nothing that the order says is lost on the way (found by its value somewhere in the answer)."""
    order = full_order()
    with open_house(Ris("RIS", "127.0.0.1", 0, [order], faults=Faults())) as ris:
        wanted = [
            "AccessionNumber", "InstitutionName", "ReferringPhysicianName", "ReferencedStudySequence",
            "ReferencedPatientSequence", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
            "PatientSex", "0010,1000", "PatientSize", "PatientWeight", "MedicalAlerts", "Allergies",
            "PregnancyStatus", "PatientComments", "StudyInstanceUID", "RequestingPhysician", "RequestingService",
            "RequestedProcedureDescription", "RequestedProcedureCodeSequence", "AdmissionID", "SpecialNeeds",
            "CurrentPatientLocation", "PatientState", "ScheduledProcedureStepSequence", "RequestedProcedureID",
            "ReasonForTheRequestedProcedure", "RequestedProcedurePriority", "PatientTransportArrangements",
            "0040,2016", "0040,2017", "0040,3001",
        ]  # fmt: skip
        (answer,) = findscu(ris.port, tmp_path, *wanted)
    text = str(answer)
    for fact in (order, order.patient):
        for field in dataclasses.fields(fact):
            value = getattr(fact, field.name)
            if isinstance(value, str) and value:
                assert all(part in text for part in value.split("\\")), field.name
    assert [str(code.CodeMeaning) for code in answer.RequestedProcedureCodeSequence] == ["One", "Two"]
    assert [str(one) for one in answer.OtherPatientIDs] == ["X1", "X2"]
    assert answer.PregnancyStatus == 4
    assert answer.ReferencedStudySequence[0].ReferencedSOPInstanceUID == "2.25.5"


def test_the_demo_list_turns_with_the_day(monkeypatch):
    """A hospital that runs past midnight has the next day's patients, too."""

    class Tomorrow(date):
        @classmethod
        def today(cls):
            return cls(2031, 5, 1)

    ris = Ris("RIS", "127.0.0.1", 0, None, faults=Faults(), seed=3)
    before = len(ris.orders())
    monkeypatch.setattr("appliance.peers.ris.date", Tomorrow)
    assert len(ris.orders()) == 2 * before
    assert {order.date for order in ris.orders()} == {f"{date.today():%Y%m%d}", "20310501"}
