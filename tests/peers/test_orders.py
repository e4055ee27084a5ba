"""Order files and the demo patients."""

import json
from datetime import date

import pytest

from appliance.errors import SettingsError
from appliance.peers.demo import orders as demo_orders
from appliance.peers.orders import load

DAY = date(2025, 11, 20)
GOOD = """
[[order]]
accession = "A1"
step_id = "S1"
modality = "ES"
station_ae = "ENDO1"
date = "+1"
time = "0930"
step_description = "Gastroskopie"
protocol_codes = [{ value = "69695003", scheme = "SCT", meaning = "Stomach" }]
[order.patient]
id = "SIM1"
name = "Müller^Hans"
allergies = ["Latex", "Nuts"]
other_ids = ["X", "Y"]

[[order]]
accession = "A1"
step_id = "S2"
modality = "ES"
[order.patient]
id = "SIM1"
name = "Müller^Hans"
"""


def test_a_toml_file_becomes_orders(tmp_path):
    """Every field arrives, what is not said has a sensible value, steps of one accession share a study."""
    path = tmp_path / "orders.toml"
    path.write_text(GOOD)
    first, second = load(path, DAY)
    assert (first.key, first.date, first.time, first.station_ae) == ("A1/S1", "20251121", "0930", "ENDO1")
    assert first.protocol_codes[0].meaning == "Stomach"
    assert first.patient.name == "Müller^Hans" and first.patient.allergies == "Latex\\Nuts"
    assert first.patient.other_ids == ("X", "Y")
    assert second.date == "20251120" and second.status == "SCHEDULED" and second.procedure_id == "A1"
    assert first.study_uid.startswith("2.25.") and first.study_uid != second.study_uid  # another day, another study
    assert load(path, DAY) == [first, second]


def test_a_json_file_says_the_same(tmp_path):
    """JSON, as a table with the list `order` or as the list itself."""
    entry = {"accession": "A1", "step_id": "1", "modality": "US", "patient": {"id": "SIM1", "name": "A^B"}}
    for tree in ({"order": [entry]}, [entry]):
        path = tmp_path / "orders.json"
        path.write_text(json.dumps(tree))
        (order,) = load(path, DAY)
        assert order.patient.id == "SIM1" and order.modality == "US"


def test_steps_of_one_accession_and_day_share_a_study(tmp_path):
    """As a RIS does that schedules two steps of one requested procedure."""
    path = tmp_path / "orders.toml"
    path.write_text(GOOD.replace('date = "+1"', ""))
    first, second = load(path, DAY)
    assert first.study_uid == second.study_uid


def test_all_mistakes_are_named_at_once(tmp_path):
    """Every wrong order is named, each with what is wrong and the nearest right name."""
    path = tmp_path / "orders.toml"
    path.write_text(r"""
orders = 1
[[order]]
accession = "A1"
step_id = "S1"
modality = "es"
protocol_code = []
time = "2560"
patient = { id = "SIM1", name = "A^B", sex = "W" }
[[order]]
accession = "12345678901234567"
step_id = "S1"
modality = "ES"
date = "20250231"
patient = { id = "", name = 'A\B', pregnancy = "5" }
[[order]]
accession = "A3"
step_id = "S1"
modality = "ES"
charset = "ISO_IR 100"
protocol_codes = [{ value = "1" }]
patient = { id = "SIM3", name = "Δοκιμή" }
[[order]]
accession = "A4"
modality = "ES"
[[order]]
accession = "A5"
step_id = "1"
modality = "ES"
date = "20250231"
patient = { id = "SIM5", name = "A^B" }
[[order]]
accession = "A6"
step_id = "1"
modality = "ES"
charset = "ISO_IR 126"
patient = { id = "SIM6", name = "Müller" }
[[order]]
accession = "A7"
step_id = "1"
modality = "ES"
charset = "LATIN"
patient = { id = "SIM7", name = "Miller" }
""")
    with pytest.raises(SettingsError) as raised:
        load(path, DAY)
    text = str(raised.value)
    for words in (
        "orders: no such list", "protocol_code: no such field; did you mean protocol_codes?", "'es' is not a modality",
        "'2560' is not a time", "patient.sex: 'W' is not", "accession: 17 characters, at most 16 fit",
        "patient.id is missing", "patient.name: a backslash", "patient.pregnancy: '5'", "protocol_codes: each needs",
        "the table patient is missing", "'20250231' is not a date", "name: 'Müller' cannot be written in ISO_IR 126",
        "LATIN: no such Specific Character Set",
    ):  # fmt: skip
        assert words in text, text


def test_the_same_step_twice_is_a_mistake(tmp_path):
    """ACCESSION/STEP-ID names one step."""
    path = tmp_path / "orders.toml"
    path.write_text(GOOD.replace("S2", "S1"))
    with pytest.raises(SettingsError, match="A1/S1 is there already"):
        load(path, DAY)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.toml", b"order = [", "neither"), ("a.json", b"{", "neither"), ("a.toml", b"\xff\xfe", "neither"),
     ("a.toml", b"x = 1", "list of tables called order is missing"), ("a.json", b"[1]", "is missing")],
)  # fmt: skip
def test_what_is_not_an_order_file_is_said_in_words(tmp_path, name, content, words):
    """Broken TOML, JSON and UTF-8 are SettingsErrors."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        load(tmp_path / name, DAY)


def test_a_missing_file_is_said_in_words(tmp_path):
    """No traceback for a wrong path."""
    with pytest.raises(SettingsError, match="cannot read the orders"):
        load(tmp_path / "none.toml", DAY)


def test_the_demo_patients_are_the_same_for_the_same_seed_and_day():
    """Deterministic; another seed or day has other identifiers, never the same study."""
    assert demo_orders(1, DAY) == demo_orders(1, DAY)
    others = demo_orders(2, DAY), demo_orders(1, date(2025, 11, 21))
    for other in others:
        assert not {order.study_uid for order in other} & {order.study_uid for order in demo_orders(1, DAY)}
        assert [order.patient.name for order in other] == [order.patient.name for order in demo_orders(1, DAY)]


def test_the_demo_patients_make_every_case_that_a_screen_must_show():
    """Plainly synthetic; all modalities; twins, pregnancy, allergies, a long name, a two-step accession, six charsets."""
    orders = demo_orders(0, DAY)
    assert all(order.patient.id.startswith("SIM") and "Simulated" in order.patient.comments for order in orders)
    assert {order.modality for order in orders} == {"ES", "US", "CT", "XC", "OT", "GM"}
    assert len({order.patient.id for order in orders}) == 12 and len({order.key for order in orders}) == 13
    assert len({order.charset for order in orders}) == 7
    by_accession = {}
    for order in orders:
        by_accession.setdefault(order.accession, []).append(order)
        assert len(order.accession) <= 16 and len(order.step_id) <= 16
    (two,) = [steps for steps in by_accession.values() if len(steps) > 1]
    assert len({step.study_uid for step in two}) == 1 and len({step.step_id for step in two}) == 2
    twins = [order.patient for order in orders if "twins" in order.patient.comments]
    assert len(twins) == 2 and len({twin.birth_date for twin in twins}) == 1 and len({twin.id for twin in twins}) == 2
    assert any(order.patient.pregnancy == "3" for order in orders) and any(order.patient.allergies for order in orders)
    assert max(len(order.patient.name) for order in orders) > 60


def test_every_anatomic_region_of_the_demo_is_in_context_group_4():
    """The codes are real: each protocol code is one of CID 4 (pydicom's copy of PS3.16)."""
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts

    regions = {value for keyword in cid_concepts[4]["SCT"] for value in concepts["SCT"][keyword]}
    assert {code.value for order in demo_orders(0, DAY) for code in order.protocol_codes} <= regions
