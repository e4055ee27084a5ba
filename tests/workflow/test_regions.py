"""The body region said on the screen: clips become what their region allows; it outlives a crash; nothing is invented."""

import pytest
from pydicom import dcmread
from workplace import STOMACH, order, session, still, until, workplace

from appliance.clinic.order import Code
from appliance.dicom import anatomy
from appliance.errors import SettingsError, StateError
from appliance.settings import CodeSetting, SourceSetting
from appliance.workflow.becoming import How
from appliance.workflow.session import Session

VIDEO_ENDOSCOPIC, TRUE_COLOUR_SC, VL_ENDOSCOPIC = (
    "1.2.840.10008.5.1.4.1.1.77.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7.4",
    "1.2.840.10008.5.1.4.1.1.77.1.1",
)
COLON = "71854001"
UNSAID = SourceSetting(spec="testcard", anatomic_region=None)


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path) as one:
        yield one


def clip(one):
    one.record()
    until(lambda: one.take.frames > 3)
    return one.stop()


def region_in(place, picture):
    """The code value of the region that the kept object says, or None."""
    items = dcmread(place.place.shelf.path(picture.file)).get("AnatomicRegionSequence")
    return items[0].CodeValue if items else None


def test_a_clip_becomes_video_endoscopic_once_the_region_is_chosen_and_secondary_capture_before(place):
    with session(place, UNSAID, rate=25) as (one, _):
        exam = one.begin([order(protocol_codes=())])
        assert one.regions.region(exam) is None and one.regions.is_needed(exam)
        before = clip(one)
        one.set_region(COLON)
        assert not one.regions.is_needed(exam)
        after, picture = clip(one), one.still()
    assert (before.sop_class_uid, region_in(place, before)) == (TRUE_COLOUR_SC, None)
    assert (after.sop_class_uid, region_in(place, after)) == (VIDEO_ENDOSCOPIC, COLON)
    assert (picture.sop_class_uid, region_in(place, picture)) == (VL_ENDOSCOPIC, COLON)
    assert [event.facts["region"] for event in place.told if event.kind == "exam.region"] == ["Colon"]


def test_a_region_chosen_while_a_clip_runs_is_the_clips(place):
    with session(place, UNSAID, rate=25) as (one, _):
        one.begin([order(protocol_codes=())])
        one.record()
        until(lambda: one.take.frames > 3)
        one.set_region(COLON)
        assert region_in(place, one.stop()) == COLON


def test_the_chosen_region_outlives_the_station_and_ends_with_the_exam(place):
    with session(place, UNSAID, rate=25) as (one, _):
        exam = one.begin([order(protocol_codes=())])
        one.set_region(COLON)
    with session(place, UNSAID, rate=25) as (again, _):
        assert again.exam == exam
        assert (again.regions.region(exam).code.meaning, again.regions.region(exam).said_by) == ("Colon", "chosen")
        assert region_in(place, again.still()) == COLON
        again.finish()
        other = again.begin([order("A2", patient="P2", protocol_codes=())])
        assert again.regions.region(other) is None and again.regions.is_needed(other)


def test_a_persons_word_comes_before_the_orders_and_that_before_the_settings(place):
    rectum = SourceSetting(
        spec="testcard", anatomic_region=CodeSetting(value="34402009", scheme="SCT", meaning="Rectum"), clip_syntax="mpeg2"
    )
    one = Session(place.place, place.acquisition, None, rectum)
    exam = one.begin([order("A1", protocol_codes=())])
    assert (one.regions.region(exam).code.meaning, one.regions.region(exam).said_by) == ("Rectum", "setting")
    one.finish()
    exam = one.begin([order("A2")])
    assert (one.regions.region(exam).code, one.regions.region(exam).said_by) == (STOMACH, "order")
    one.set_region(COLON)
    assert one.regions.region(exam).said_by == "chosen"


def test_only_what_is_offered_can_be_chosen_and_only_for_an_open_exam(place):
    one = Session(place.place, place.acquisition, None, UNSAID)
    with pytest.raises(StateError, match="no exam is open"):
        one.set_region(COLON)
    spleen = Code("78961009", "SCT", "Spleen")  # no endoscope's usual place, but this order names it
    exam = one.begin([order(protocol_codes=(spleen,))])
    assert one.regions.offered(exam)[0] == spleen
    one.set_region(spleen.value)
    with pytest.raises(SettingsError, match="not a region"):
        one.set_region("12345")
    assert one.regions.region(exam).code == spleen


@pytest.mark.parametrize(
    ("modality", "object_word", "needed"), [("US", "auto", False), ("ES", "sc", False), ("GM", "auto", True)]
)
def test_a_region_is_asked_for_where_the_object_demands_it(place, modality, object_word, needed):
    source = SourceSetting(spec="testcard", anatomic_region=None, object=object_word)
    one = Session(place.place, place.acquisition, None, source)
    exam = one.begin([order(protocol_codes=(), modality=modality)])
    assert one.regions.is_needed(exam) is needed


@pytest.mark.parametrize("modality", ["ES", "US", "XC", "GM"])
def test_a_still_of_every_region_offered_passes_the_check(place, modality):
    """Also of paired structures, whose side nobody has said."""
    offered = anatomy.choices(modality)
    exam, _ = place.exam(0, [order(protocol_codes=(), modality=modality)], finish=False)
    kept = [place.acquisition.keep(exam.id, still(), How(region=region)) for region in offered]
    assert [region_in(place, picture) for picture in kept] == [region.value for region in offered]


@pytest.mark.parametrize("modality", ["ES", "US", "XC", "DMS", "GM", "SM", "OP", "CT", ""])
def test_the_regions_offered_are_few_and_each_is_one_of_the_standards(modality):
    offered = anatomy.choices(modality)
    assert 8 <= len(offered) <= 20 and len({code.value for code in offered}) == len(offered)
    assert all(code.scheme == "SCT" and anatomy.is_region(code) for code in offered)
