"""An exam handed over: read back before it is called done; what must not be handed out, is not."""

from dataclasses import replace

import pytest
from making import JANE, STOMACH, WHEN, YAMADA, coded, colours

from appliance.clinic.exam import WRONG_WORKLIST_ENTRY
from appliance.errors import InputError, SettingsError, SpoolError, StateError
from appliance.media import disc
from appliance.media import verify as verifying
from appliance.settings import Settings
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow import publish
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How
from appliance.workflow.place import Place
from capture.frame import Still


@pytest.fixture
def place(tmp_path):
    """A spool without any process around it."""
    settings = Settings()
    settings = settings.model_copy(update={"station": settings.station.model_copy(update={"reserve_mb": 0})})
    ledger = Ledger(tmp_path / "spool" / "ledger.sqlite")
    yield Place(settings, Shelf(tmp_path / "spool"), ledger)
    ledger.close()


def taken(place, patient=JANE, stills=2, clip=None):
    """A finished exam of so many stills; returns its id."""
    acquisition = Acquisition(place)
    exam = acquisition.begin([acquisition.unscheduled(patient, "Gastroscopy")])
    for number in range(stills):
        acquisition.keep(exam.id, Still(WHEN, pixels=colours(number)), How(region=STOMACH))
    if clip:
        acquisition.keep(exam.id, clip, How(region=STOMACH, syntax="mpeg2"))
    return acquisition.finish(exam.id).id


def test_exams_of_two_people_become_one_image_that_reads_back(place, tmp_path):
    exams = [taken(place, clip=coded(tmp_path, "mpeg2")), taken(place, YAMADA)]
    handout = publish.hand_over(place, exams, tmp_path / "out" / "both.iso", "auto")
    assert handout.objects == 5 and handout.size == (tmp_path / "out" / "both.iso").stat().st_size
    assert handout.profiles == ("STD-DVD-MPEG2-MPML", "STD-GEN-DVD-JPEG"), "a clip in MPEG-2 needs a DVD"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["both.iso"]
    verdict = publish.verify(tmp_path / "out" / "both.iso")
    assert verdict.objects == 5 and verdict.faults == ()


def test_a_folder_is_a_stick_and_an_image_a_cd(place, tmp_path):
    exam = taken(place)
    assert publish.hand_over(place, [exam], tmp_path / "stick", "auto").profiles == ("STD-GEN-USB-JPEG",)
    assert publish.hand_over(place, [exam], tmp_path / "disc.iso", "auto").profiles == ("STD-GEN-CD",)
    assert publish.hand_over(place, [exam], tmp_path / "dvd.iso", "dvd-jpeg").profiles == ("STD-GEN-DVD-JPEG",)
    assert publish.verify(tmp_path / "stick").faults == publish.verify(tmp_path / "dvd.iso").faults == ()


@pytest.mark.parametrize("name", ["out.iso", "out"])
def test_what_exists_is_never_overwritten(place, tmp_path, name):
    exam = taken(place)
    publish.hand_over(place, [exam], tmp_path / name, "auto")
    with pytest.raises(InputError, match="exists already"):
        publish.hand_over(place, [exam], tmp_path / name, "auto")


@pytest.mark.parametrize("name", ["out.iso", "out"])
def test_a_disc_that_does_not_read_back_well_is_not_left_behind(place, tmp_path, monkeypatch, name):
    exam = taken(place)
    monkeypatch.setattr(publish, "verify_folder", lambda folder: verifying.Verdict(2, ("IM000000 is cut off",)))
    with pytest.raises(SpoolError, match="IM000000 is cut off"):
        publish.hand_over(place, [exam], tmp_path / "to" / name, "auto")
    assert list((tmp_path / "to").iterdir()) == []


def test_an_image_that_differs_from_what_was_written_is_not_left_behind(place, tmp_path, monkeypatch):
    exam = taken(place)
    true = disc.digests
    monkeypatch.setattr(disc, "digests", lambda image: {**true(image), "README.TXT": "0"})
    with pytest.raises(SpoolError, match="does not read back"):
        publish.hand_over(place, [exam], tmp_path / "to" / "out.iso", "auto")
    assert list((tmp_path / "to").iterdir()) == []


def test_an_exam_under_the_wrong_entry_is_not_handed_to_the_wrong_person(place, tmp_path):
    acquisition = Acquisition(place)
    exam = acquisition.begin([acquisition.unscheduled(JANE)])
    acquisition.keep(exam.id, Still(WHEN, pixels=colours()), How())
    acquisition.abandon(exam.id, WRONG_WORKLIST_ENTRY.value)
    with pytest.raises(StateError, match="wrong worklist entry"):
        publish.hand_over(place, [exam.id], tmp_path / "out", "auto")
    assert not (tmp_path / "out").exists()


def test_an_open_exam_is_finished_first(place, tmp_path):
    acquisition = Acquisition(place)
    exam = acquisition.begin([acquisition.unscheduled(JANE)])
    acquisition.keep(exam.id, Still(WHEN, pixels=colours()), How())
    with pytest.raises(StateError, match="still open"):
        publish.hand_over(place, [exam.id], tmp_path / "out", "auto")


def test_an_exam_without_pictures_and_one_whose_files_are_gone(place, tmp_path):
    empty, gone = taken(place, stills=0), taken(place)
    with pytest.raises(InputError, match="has no pictures"):
        publish.hand_over(place, [empty], tmp_path / "out", "auto")
    for picture in place.ledger.pictures(gone):
        place.shelf.drop(picture.file)
    with pytest.raises(InputError, match="have been let go"):
        publish.hand_over(place, [gone], tmp_path / "out", "auto")
    assert not (tmp_path / "out").exists()


def test_a_file_that_rotted_on_the_shelf_is_not_handed_out(place, tmp_path):
    exam = taken(place)
    path = place.shelf.path(place.ledger.pictures(exam)[1].file)
    data = bytearray(path.read_bytes())
    data[-60] ^= 4
    path.write_bytes(data)
    with pytest.raises(SpoolError, match="not what was kept"):
        publish.hand_over(place, [exam], tmp_path / "out", "auto")


def test_two_people_under_one_number_are_refused_for_the_whole_disc(place, tmp_path):
    exams = [taken(place), taken(place, replace(JANE, name="Roe^John", birth_date="19500505"))]
    with pytest.raises(InputError, match="two people"):
        publish.hand_over(place, exams, tmp_path / "out", "auto")
    assert not (tmp_path / "out").exists()


def test_words_that_mean_nothing(place, tmp_path):
    exam = taken(place)
    with pytest.raises(SettingsError, match="floppy"):
        publish.hand_over(place, [exam], tmp_path / "out", "floppy")
    with pytest.raises(StateError):
        publish.hand_over(place, ["E-NONE"], tmp_path / "out", "auto")
    with pytest.raises(InputError, match="there is nothing at"):
        publish.verify(tmp_path / "nowhere.iso")
