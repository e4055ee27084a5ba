"""What was asked for: the word by which commands and screens name a step."""

from dataclasses import replace

from appliance.clinic.order import Order
from appliance.clinic.patient import Patient

ORDER = Order(Patient("1", "Doe^Jane"), "1.2.3", accession="A1", step_id="S1")


def test_a_step_is_named_by_accession_and_step_id():
    assert ORDER.key == "A1/S1"


def test_steps_of_one_accession_have_names_of_their_own():
    assert ORDER.key != replace(ORDER, step_id="S2").key


def test_without_an_accession_number_the_study_names_the_step():
    assert replace(ORDER, accession="").key == "1.2.3/S1"


def test_equal_orders_are_one():
    assert len({ORDER, replace(ORDER), replace(ORDER, step_id="S2")}) == 2
