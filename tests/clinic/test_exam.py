"""What was done: the states of an exam, and what it takes over from its orders."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from appliance.clinic.exam import EXAM_STATES, REASONS, WRONG_WORKLIST_ENTRY, Exam, ExamState
from appliance.clinic.order import Order
from appliance.clinic.patient import Patient

ORDER = Order(Patient("1", "Doe^Jane"), "1.2.3", accession="A1", step_id="S1")
EXAM = Exam("e1", (ORDER,), "1.2.3", "1.2.4", "P1", "ES", datetime(2026, 11, 20, tzinfo=UTC))


def test_an_exam_begins_open_and_ends_once():
    assert EXAM.state is ExamState.OPEN
    assert EXAM_STATES.keys() == set(ExamState)
    assert EXAM_STATES[ExamState.OPEN] == {ExamState.FINISHED, ExamState.ABANDONED}
    assert not EXAM_STATES[ExamState.FINISHED]
    assert not EXAM_STATES[ExamState.ABANDONED]


def test_the_ris_is_told_the_words_of_the_standard():
    """PS3.3 C.4.14, Performed Procedure Step Status."""
    assert {state.value for state in ExamState} == {"IN PROGRESS", "COMPLETED", "DISCONTINUED"}


def test_the_patient_is_that_of_the_orders():
    assert EXAM.patient == ORDER.patient


@pytest.mark.parametrize(
    ("numbers", "accession"), [(("A1",), "A1"), (("A1", "A1"), "A1"), (("A1", "A2"), ""), (("", ""), ""), (("A1", ""), "")]
)
def test_orders_that_disagree_give_the_exam_no_accession_number(numbers, accession):
    """IHE RAD TF-2 Appendix A, the group case."""
    orders = tuple(replace(ORDER, accession=number, step_id=f"S{step}") for step, number in enumerate(numbers))
    assert replace(EXAM, orders=orders).accession == accession


def test_reasons_are_coded_terms_and_the_wrong_patient_is_among_them():
    """CID 9300 and 9301 (PS3.16): each under its own value, in DCM's scheme, with words."""
    assert all(code.value == value and code.scheme == "DCM" and code.meaning for value, code in REASONS.items())
    assert len({code.meaning for code in REASONS.values()}) == len(REASONS)
    assert WRONG_WORKLIST_ENTRY.meaning == "Incorrect worklist entry selected"
