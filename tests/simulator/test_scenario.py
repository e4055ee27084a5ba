"""Scenario files: read whole, or refused with every mistake at once."""

import pytest

from appliance.errors import SettingsError
from appliance.simulator.scenario import ExamPlan, Scenario, load


def test_the_shipped_smoke_is_one_ct_one_ultrasound_and_one_endoscopy():
    smoke = load("smoke")
    assert [exam.modality for exam in smoke.exams] == ["CT", "US", "ES"]
    assert all(exam.pictures for exam in smoke.exams) and smoke.name == "smoke" and smoke.patience > 0


def written(tmp_path, text):
    path = tmp_path / "day.toml"
    path.write_text(text)
    return str(path)


def test_a_file_of_ones_own(tmp_path):
    text = 'name = "two"\npatience = 2.5\n[[exam]]\nmodality = "US"\ncine = 4\n[[exam]]\nmodality = "CT"\npictures = 3\n'
    assert load(written(tmp_path, text)) == Scenario("two", (ExamPlan("US", 1, 4), ExamPlan("CT", 3, 0)), 2.5)


def test_every_mistake_is_named_at_once_with_the_nearest_right_key(tmp_path):
    text = """
nmae = "x"
patience = 0
[[exam]]
modality = "ct"
pictures = -1
[[exam]]
picturs = 3
[[exam]]
modality = "CT"
cine = 5
[[exam]]
modality = "US"
pictures = true
[[exam]]
modality = "ES"
pictures = 0
[[exam]]
modality = 7
"""
    with pytest.raises(SettingsError) as told:
        load(written(tmp_path, text))
    lines = str(told.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "top: no such key nmae; did you mean name?",
        "top: patience is seconds above zero, not 0",
        "exam 1: no phantom for modality 'ct'; did you mean CT?",
        "exam 1: pictures is a whole number from 0 to 1000, not -1",
        "exam 2: no such key picturs; did you mean pictures?",
        "exam 2: modality is missing; there are CT, US, ES",
        "exam 3: a CT exam has no cine",
        "exam 4: pictures is a whole number from 0 to 1000, not True",
        "exam 5: neither a picture nor a cine: what is done?",
        "exam 6: no phantom for modality 7; there are CT, US, ES",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"there is no \[\[exam\]\]"),
        ("exam = 3", r"\[\[exam\]\]"),
        ("exam = [1, 2]", r"\[\[exam\]\]"),
        ("name = 4\n[[exam]]\nmodality = 'US'", "name is text"),
        ("patience = 'long'\n[[exam]]\nmodality = 'US'", "patience is seconds"),
        ("[[exam]\n", "is not TOML"),
    ],
)
def test_what_is_no_scenario(tmp_path, text, words):
    with pytest.raises(SettingsError, match=words):
        load(written(tmp_path, text))


def test_a_file_that_is_no_text_and_one_that_is_not_there(tmp_path):
    (tmp_path / "day.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(str(tmp_path / "day.toml"))
    with pytest.raises(SettingsError, match=r"no scenario 'smok'.*shipped: smoke"):
        load("smok")
