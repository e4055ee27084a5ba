"""Who: a patient always has an ID, and a name that people can read."""

from datetime import UTC, datetime

import pytest

from appliance.clinic.patient import Patient, temporary_id


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_patient_id_is_never_blank(blank):
    with pytest.raises(ValueError, match="never blank"):
        Patient(blank, "Doe^Jane")


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^Mary^Dr.^PhD", "Doe, Dr. Jane Mary PhD"),
        ("Doe", "Doe"),
        ("^Jane", "Jane"),
        ("Doe^^^^", "Doe"),
        (" Doe ^ Jane ", "Doe, Jane"),
        ("", "(no name)"),
        ("^^^^", "(no name)"),
        ("==", "(no name)"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎) (やまだ, たろう)"),
        ("=山田^太郎", "山田, 太郎"),
        ("Wang^XiaoDong=王^小东", "Wang, XiaoDong (王, 小东)"),
        ("Müller^Änne", "Müller, Änne"),
    ],
)
def test_a_name_is_read_as_people_write_it(name, spoken):
    """PS3.5 6.2: family, given, middle, prefix, suffix; alphabetic, ideographic and phonetic group."""
    assert Patient("1", name).spoken_name == spoken


def test_a_temporary_id_is_plain_fits_and_comes_once():
    now = datetime(2026, 11, 20, 9, 5, 1, tzinfo=UTC)
    given = {temporary_id(now) for _ in range(200)}
    assert len(given) == 200
    for word in given:
        assert word.startswith("TEMP-20261120090501-")
        assert len(word) <= 64  # LO, PS3.5 6.2
        Patient(word, "")


def test_a_patient_does_not_change():
    with pytest.raises(AttributeError):
        Patient("1", "Doe^Jane").name = "Roe^Richard"
