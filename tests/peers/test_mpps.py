"""What the RIS makes of performed steps, right and wrong ones."""

from datetime import date

import pytest
from callers import Modality, findscu, open_house, step_begun, step_ended
from pydicom.dataset import Dataset

from appliance.peers.demo import orders as demo_orders
from appliance.peers.faults import Faults
from appliance.peers.ris import Ris

ORDERS = demo_orders(5, date(2025, 11, 20))
STATUS = "(0040,0100)[0].ScheduledProcedureStepStatus"


@pytest.fixture
def ris():
    """A RIS with the demo orders."""
    with open_house(Ris("RIS", "127.0.0.1", 0, ORDERS, faults=Faults())) as peer:
        yield peer


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.patient.name.split("^")[0])
def test_a_correct_step_is_taken_without_complaint(ris, order):
    """N-CREATE, N-SET, for every demo patient and character set; the step is kept as told."""
    with Modality(ris.port, "RIS") as modality:
        assert modality.begin("2.25.1", step_begun(order)).Status == 0
        assert modality.change("2.25.1", step_ended("2.25.77.1", "2.25.77.2")).Status == 0
    (step,) = ris.steps()
    assert ris.complaints == []
    assert (step.uid, step.state, step.calling, step.orders) == ("2.25.1", "COMPLETED", "DICAP", (order.key,))
    assert step.instances == ("2.25.77.1", "2.25.77.2")
    assert str(step.attributes.PatientName) == order.patient.name


@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
def test_an_order_goes_from_scheduled_to_started_to_gone(ris, tmp_path, end):
    """The worklist follows the performed step."""
    order = ORDERS[3]

    def state(folder):
        answers = findscu(ris.port, tmp_path / folder, f"AccessionNumber={order.accession}",
                          f"(0040,0100)[0].ScheduledProcedureStepID={order.step_id}", STATUS)  # fmt: skip
        return [answer.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus for answer in answers]

    assert state("a") == ["SCHEDULED"]
    with Modality(ris.port, "RIS") as modality:
        modality.begin("2.25.1", step_begun(order))
        assert state("b") == ["STARTED"]
        modality.change("2.25.1", step_ended("2.25.77.1", state=end))
    assert state("c") == []
    assert len(ris.orders()) == len(ORDERS) - 1


def test_a_patient_picked_by_mistake_stays_on_the_worklist(ris):
    """The step is discontinued, its order waits for an exam as before."""
    change = step_ended(state="DISCONTINUED")
    reason = change.PerformedProcedureStepDiscontinuationReasonCodeSequence[0]
    reason.CodeValue, reason.CodeMeaning = "110514", "Incorrect worklist entry selected"
    with Modality(ris.port, "RIS") as modality:
        modality.begin("2.25.1", step_begun(ORDERS[3]))
        modality.change("2.25.1", change)
    assert ris.steps()[0].state == "DISCONTINUED"
    assert [order.status for order in ris.orders() if order.key == ORDERS[3].key] == ["SCHEDULED"]


def test_a_step_may_fulfil_two_orders(ris):
    """The group case: both leave the worklist."""
    first, second = ORDERS[3], ORDERS[4]
    step = step_begun(first)
    step.ScheduledStepAttributesSequence.append(step_begun(second).ScheduledStepAttributesSequence[0])
    with Modality(ris.port, "RIS") as modality:
        assert modality.begin("2.25.1", step).Status == 0
        assert modality.change("2.25.1", step_ended("2.25.77.1")).Status == 0
    assert ris.steps()[0].orders == (first.key, second.key) and len(ris.orders()) == len(ORDERS) - 2
    assert ris.complaints == []


def test_an_unscheduled_step_is_fine(ris):
    """Nothing that names an order, but for the study: no complaint, and no order moves."""
    step = step_begun(ORDERS[0])
    scheduled = step.ScheduledStepAttributesSequence[0]
    scheduled.StudyInstanceUID = "2.25.4711"
    for keyword in ("AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID"):
        setattr(scheduled, keyword, "")
    with Modality(ris.port, "RIS") as modality:
        assert modality.begin("2.25.1", step).Status == 0
    assert ris.complaints == [] and ris.steps()[0].orders == () and len(ris.orders()) == len(ORDERS)


def test_the_same_step_twice_is_a_duplicate(ris):
    """0111, and a complaint."""
    with Modality(ris.port, "RIS") as modality:
        modality.begin("2.25.1", step_begun(ORDERS[0]))
        assert modality.begin("2.25.1", step_begun(ORDERS[0])).Status == 0x0111
    assert len(ris.steps()) == 1 and "there already" in ris.complaints[0]


def test_a_step_that_has_ended_may_no_longer_be_updated(ris):
    """0110 with Error ID A710 and the standard's words."""
    with Modality(ris.port, "RIS") as modality:
        modality.begin("2.25.1", step_begun(ORDERS[0]))
        modality.change("2.25.1", step_ended("2.25.77.1"))
        answer = modality.change("2.25.1", step_ended("2.25.77.1"))
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
    assert "may no longer be updated" in answer.ErrorComment
    assert "N-SET of a step that is COMPLETED" in ris.complaints[0]


def test_a_step_that_nobody_began_cannot_be_changed(ris):
    """0112."""
    with Modality(ris.port, "RIS") as modality:
        assert modality.change("2.25.9", step_ended("2.25.77.1")).Status == 0x0112
    assert "nobody created" in ris.complaints[0]


def test_a_step_without_a_uid_gets_one(ris):
    """The SCP may be left to choose the SOP Instance UID (PS3.7 10.1.5.1.4)."""
    with Modality(ris.port, "RIS") as modality:
        assert modality.begin(None, step_begun(ORDERS[0])).Status == 0
    assert ris.steps()[0].uid.startswith("2.25.")


def without(keyword):
    """Take an attribute away."""
    return lambda step: step.__delattr__(keyword)


def emptied(keyword):
    """Leave an attribute without a value."""
    return lambda step: setattr(step, keyword, "")


def in_scheduled(change):
    """The same, in the item of the Scheduled Step Attributes Sequence."""
    return lambda step: change(step.ScheduledStepAttributesSequence[0])


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (without("PerformedProcedureStepID"), 0x0120, "PerformedProcedureStepID (type 1) is missing"),
        (emptied("PerformedStationAETitle"), 0x0121, "PerformedStationAETitle (type 1) is empty"),
        (without("StudyID"), 0x0120, "StudyID (type 2) is missing"),
        (without("PerformedSeriesSequence"), 0x0120, "PerformedSeriesSequence (type 2) is missing"),
        (lambda step: setattr(step, "ScheduledStepAttributesSequence", []), 0x0121, "ScheduledStepAttributesSequence"),
        (in_scheduled(emptied("StudyInstanceUID")), 0x0121, "ScheduledStepAttributesSequence > StudyInstanceUID"),
        (in_scheduled(without("ReferencedStudySequence")), 0x0120, "> ReferencedStudySequence (type 2) is missing"),
        (lambda step: setattr(step, "PerformedProcedureStepStatus", "COMPLETED"), 0x0106, "begins IN PROGRESS"),
        (lambda step: setattr(step, "ProcedureCodeSequence", [Dataset()]), 0x0120, "ProcedureCodeSequence > CodingScheme"),
    ],
)
def test_a_step_that_lacks_something_is_refused(ris, spoil, status, words):
    """Types 1 and 2 of PS3.4 Table F.7.2-1: refused, complained of, not kept; the order stays scheduled."""
    step = step_begun(ORDERS[0])
    spoil(step)
    with Modality(ris.port, "RIS") as modality:
        answer = modality.begin("2.25.1", step)
    assert answer.Status == status and answer.ErrorComment
    assert any(words in complaint for complaint in ris.complaints)
    assert ris.steps() == [] and ris.orders()[0].status == "SCHEDULED"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda step: setattr(step, "PatientID", "SIM000"), "Patient ID is 'SIM000' in the performed step"),
        (lambda step: setattr(step, "PatientName", "Muessig^Joerg"), "Patient's Name is"),
        (lambda step: setattr(step, "PatientBirthDate", ""), "Patient's Birth Date is ''"),
        (lambda step: setattr(step, "PatientSex", "F"), "Patient's Sex is 'F'"),
        (in_scheduled(lambda item: setattr(item, "StudyInstanceUID", "2.25.5")), "Study Instance UID is '2.25.5'"),
        (in_scheduled(emptied("RequestedProcedureID")), "Requested Procedure ID is ''"),
        (in_scheduled(lambda item: setattr(item, "ScheduledProcedureStepID", "X")), "there is no scheduled step"),
    ],
)
def test_a_step_that_does_not_agree_with_the_worklist_is_complained_of(ris, spoil, words):
    """It is taken, as a RIS would, but the disagreement is put into words."""
    step = step_begun(ORDERS[0])
    spoil(step)
    with Modality(ris.port, "RIS") as modality:
        assert modality.begin("2.25.1", step).Status == 0
    assert any(words in complaint for complaint in ris.complaints), ris.complaints


def begun(ris, modality):
    """One correct step."""
    assert modality.begin("2.25.1", step_begun(ORDERS[0])).Status == 0


def in_series(change):
    """A change in the item of the Performed Series Sequence."""
    return lambda step: change(step.PerformedSeriesSequence[0])


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (without("PerformedProcedureStepEndTime"), 0x0121, "PerformedProcedureStepEndTime (type 1) is empty"),
        (lambda step: setattr(step, "PerformedSeriesSequence", []), 0x0121, "PerformedSeriesSequence (type 1) is empty"),
        (in_series(emptied("ProtocolName")), 0x0121, "PerformedSeriesSequence > ProtocolName (type 1) is empty"),
        (in_series(without("RetrieveAETitle")), 0x0120, "RetrieveAETitle (type 2) is missing"),
        (in_series(lambda item: item.ReferencedImageSequence[0].__delattr__("ReferencedSOPClassUID")), 0x0120,
         "ReferencedImageSequence > ReferencedSOPClassUID (type 1) is missing"),
        (lambda step: setattr(step, "PerformedProcedureStepStatus", "DONE"), 0x0106, "Status is DONE"),
    ],
)  # fmt: skip
def test_an_end_that_lacks_something_is_refused(ris, spoil, status, words):
    """The final state of PS3.4 Table F.7.2-1; the step stays in progress and can be ended properly."""
    change = step_ended("2.25.77.1")
    spoil(change)
    with Modality(ris.port, "RIS") as modality:
        begun(ris, modality)
        assert modality.change("2.25.1", change).Status == status
        assert ris.steps()[0].state == "IN PROGRESS"
        assert modality.change("2.25.1", step_ended("2.25.77.1")).Status == 0
    assert any(words in complaint for complaint in ris.complaints), ris.complaints


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (step_ended(), "names no instances"),
        (step_ended("2.25.77.1", "2.25.77.1"), "the instance 2.25.77.1 is named twice"),
    ],
)
def test_an_odd_end_is_complained_of(ris, change, words):
    """Series without images, an instance named twice."""
    with Modality(ris.port, "RIS") as modality:
        begun(ris, modality)
        assert modality.change("2.25.1", change).Status == 0
    assert any(words in complaint for complaint in ris.complaints), ris.complaints


def test_time_does_not_run_backwards(ris):
    """An end before the beginning is complained of."""
    change = step_ended("2.25.77.1")
    change.PerformedProcedureStepEndTime = "095959"
    with Modality(ris.port, "RIS") as modality:
        begun(ris, modality)
        modality.change("2.25.1", change)
    assert any("before it begins" in complaint for complaint in ris.complaints)


def test_abandoning_wants_a_reason_and_no_images(ris):
    """An abandoned step may have a series without images; without a reason there is a complaint."""
    with Modality(ris.port, "RIS") as modality:
        begun(ris, modality)
        assert modality.change("2.25.1", step_ended(state="DISCONTINUED")).Status == 0
        assert ris.complaints == []
        assert modality.begin("2.25.2", step_begun(ORDERS[1])).Status == 0
        change = step_ended(state="DISCONTINUED")
        del change.PerformedProcedureStepDiscontinuationReasonCodeSequence
        modality.change("2.25.2", change)
    assert ris.complaints == ["MPPS 2.25.2: the step was discontinued without a reason"]


def test_what_was_said_once_may_not_be_changed(ris):
    """An N-SET of the patient's name, or of something that the N-CREATE did not create, is complained of."""
    change = Dataset()
    change.PatientName = "Somebody^Else"
    change.CommentsOnThePerformedProcedureStep = "late"
    with Modality(ris.port, "RIS") as modality:
        begun(ris, modality)
        assert modality.change("2.25.1", change).Status == 0
    assert "changes PatientName" in ris.complaints[0] and "did not create" in ris.complaints[1]
    assert ris.steps()[0].state == "IN PROGRESS"
