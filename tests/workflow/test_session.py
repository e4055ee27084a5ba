"""One exam after another in front of one camera: nothing pressed is lost, nothing lands with the wrong patient."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from workplace import number_in, order, session, until, workplace

from appliance.clinic.exam import ExamState
from appliance.clinic.order import Code
from appliance.errors import CheckError, DiskFull, SpoolError, StateError
from appliance.settings import CodeSetting, SourceSetting
from appliance.spool.books import to_json
from appliance.workflow import session as module
from appliance.workflow.becoming import How
from appliance.workflow.session import NothingRecorded, NotRunning, Session
from appliance.workflow.take import LOCK, NOTE, Note, Take
from capture.recorder import Recorder
from capture.source import SourceLost

STOMACH = SourceSetting(
    spec="testcard", anatomic_region=CodeSetting(value="69695003", scheme="SCT", meaning="Stomach"), clip_syntax="mpeg2"
)


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path) as one:
        yield one


@pytest.fixture
def camera(place):
    """A session with its camera running."""
    with session(place, STOMACH, rate=25) as (one, cameras):
        yield one, cameras


def events(place, kind):
    return [event.facts for event in place.told if event.kind == kind]


def recordings(place):
    return list(place.place.shelf.recordings.rglob("clip-*"))


class Held:
    """Stands before a function: calls wait until `go`; `reached` is set when one waits."""

    def __init__(self, monkeypatch, owner, name):
        self.reached, self.go = threading.Event(), threading.Event()
        real = getattr(owner, name)

        def held(*words, **more):
            self.reached.set()
            assert self.go.wait(10)
            return real(*words, **more)

        monkeypatch.setattr(owner, name, held)


# stills


def test_a_still_is_what_the_screen_shows_and_a_few_at_once_are_all_kept(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    before = one._tap.latest().number
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda _: one.still(), range(8)))
    assert {picture.id for picture in place.ledger.pictures(exam.id)} == {picture.id for picture in kept}
    assert sorted(picture.number for picture in kept) == list(range(1, 9))
    assert all(before <= number_in(place, picture) <= one._tap.latest().number for picture in kept)


def test_an_old_frame_is_never_kept_neither_by_hand_nor_by_a_script(place, camera, monkeypatch):
    """The source fell silent an hour ago, with another patient before it: its last frame is nobody's picture now."""
    one, cameras = camera
    cameras.last.silent.set()
    until(lambda: one._tap.latest())
    one._tap.seen -= 3600
    exam = one.begin([order()])
    with pytest.raises(SourceLost, match="no live picture"):
        one.still()
    with pytest.raises(SourceLost, match="no live picture"):
        one.record()
    monkeypatch.setattr(module, "FIRST_FRAME", 0.2)
    with pytest.raises(SourceLost, match="no further picture"):
        one.stills(How(), exam.id, 1, 0.0)
    assert place.ledger.pictures(exam.id) == []
    cameras.last.silent.clear()
    (picture,) = one.stills(How(), exam.id, 1, 0.0)
    assert number_in(place, picture) is not None


def test_stills_of_a_script_are_never_the_same_frame_twice(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    kept = one.stills(How(), exam.id, 6, 0.0)
    numbers = [number_in(place, picture) for picture in kept]
    assert numbers == sorted(set(numbers)) and len(numbers) == 6


def test_without_an_exam_nothing_is_taken(place, camera):
    one, _ = camera
    for verb in (one.still, one.record, one.finish, one.stop, lambda: one.abandon("110513")):
        with pytest.raises(StateError):
            verb()
    assert list(place.place.shelf.objects.rglob("*.dcm")) == []


# the end of an exam


def test_a_still_pressed_before_finish_is_in_the_exam(place, camera, monkeypatch):
    one, _ = camera
    exam = one.begin([order()])
    held = Held(monkeypatch, place.acquisition, "keep")
    with ThreadPoolExecutor(3) as pool:
        still = pool.submit(one.still)
        assert held.reached.wait(5) and one.busy == ["keeping a still"]
        finish = pool.submit(one.finish)
        until(lambda: one._closing)
        assert not finish.done()
        with pytest.raises(StateError, match="just being ended"):
            one.still()
        with pytest.raises(StateError, match="just being ended"):
            one.finish()
        with pytest.raises(StateError, match="just being ended"):
            one.record()
        held.go.set()
        assert finish.result(10).state == ExamState.FINISHED
        assert [picture.id for picture in place.ledger.pictures(exam.id)] == [still.result().id]
    assert one.exam is None and one.busy == []


def test_a_clip_that_is_still_being_kept_when_finish_is_pressed_is_in_the_exam(place, camera, monkeypatch):
    """Stop, and Finish a moment later, while the clip is being written."""
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    held = Held(monkeypatch, place.acquisition, "keep")
    with ThreadPoolExecutor(2) as pool:
        stop = pool.submit(one.stop)
        assert held.reached.wait(5)
        finish = pool.submit(one.finish)
        until(lambda: one._closing)
        held.go.set()
        assert finish.result(10).state == ExamState.FINISHED
        assert [picture.id for picture in place.ledger.pictures(exam.id)] == [stop.result().id]


def test_finish_stops_and_keeps_a_running_recording(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    one.finish()
    (clip,) = place.ledger.pictures(exam.id)
    assert clip.kind == "clip" and clip.frames >= 5 and recordings(place) == [] and one.take is None


def test_finish_does_not_fail_for_a_recording_without_a_frame(place, camera):
    one, cameras = camera
    exam = one.begin([order()])
    cameras.last.silent.set()
    one.record()
    assert one.finish().state == ExamState.FINISHED
    assert place.ledger.pictures(exam.id) == [] and list(place.place.shelf.recordings.iterdir()) == []


def test_a_picture_that_takes_for_ever_leaves_the_exam_open_and_says_so(place, camera, monkeypatch):
    one, _ = camera
    one.begin([order()])
    monkeypatch.setattr(module, "KEEPING", 0.1)
    held = Held(monkeypatch, place.acquisition, "keep")
    with ThreadPoolExecutor(1) as pool:
        still = pool.submit(one.still)
        assert held.reached.wait(5)
        with pytest.raises(StateError, match="still being kept"):
            one.finish()
        assert one.exam
        held.go.set()
        still.result(10)
    assert one.finish().state == ExamState.FINISHED


def test_a_clip_that_cannot_be_kept_stops_the_end_and_lies_safe(place, camera, monkeypatch):
    one, _ = camera
    one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)

    def wrong(*words):
        raise CheckError("it is not what it says")

    with monkeypatch.context() as patch:
        patch.setattr(place.acquisition, "keep", wrong)
        with pytest.raises(CheckError) as caught:
            one.finish()
    assert "The recording is safe in" in caught.value.advice and one.exam
    assert [path.suffix for path in (place.root / "attic").rglob("clip-*") if path.suffix != ".journal"] == [".mpg"]
    assert one.finish().state == ExamState.FINISHED


def test_an_exam_that_another_process_ended_is_no_longer_open_here(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    place.acquisition.finish(exam.id)
    with pytest.raises(StateError, match="has ended"):
        one.still()
    assert one.exam is None
    assert one.begin([order("A2")]).patient.id == "P1" and place.ledger.pictures(exam.id) == []


def test_a_recording_whose_exam_is_ended_elsewhere_does_not_go_on_for_ever(place, camera, monkeypatch):
    monkeypatch.setattr("capture.recorder._LOOK", 0.1)
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    place.acquisition.finish(exam.id)
    until(lambda: events(place, "recording.aside"))
    assert one.take is None and list((place.root / "attic").rglob("clip-*"))
    assert list(place.place.shelf.recordings.iterdir()) == []


def test_a_recording_of_an_exam_that_was_ended_elsewhere_is_not_the_next_patients(place, camera, monkeypatch):
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    monkeypatch.setattr(one, "_why_to_end", lambda take: "")  # before it is noticed by itself
    place.acquisition.finish(exam.id)
    following = one.begin([order("A2", patient="P2")])
    until(lambda: events(place, "recording.aside"))
    assert "The recording is safe in" in events(place, "recording.aside")[0]["words"]
    assert place.ledger.pictures(exam.id) == place.ledger.pictures(following.id) == []
    one.record()
    until(lambda: one.take.frames >= 3)
    assert one.stop().exam_id == following.id


def test_a_script_may_record_for_its_own_exam_and_the_screen_does_not_stop_it(place, camera):
    one, _ = camera
    one.begin([order()])
    other = place.acquisition.begin([order("A2", patient="P2")])
    with ThreadPoolExecutor(1) as pool:
        clip = pool.submit(one.clip, one.how(), other.id, 1.0)
        until(lambda: one.take)
        with pytest.raises(NotRunning):
            one.stop()
        with pytest.raises(StateError, match="being recorded already"):
            one.record()
        one.finish()
        assert clip.result(15).frames == 25
    assert [picture.kind for picture in place.ledger.pictures(other.id)] == ["clip"]


def test_the_exam_that_a_dead_command_left_open_is_taken_up_by_whoever_chooses_that_order(place, camera):
    one, _ = camera
    left = place.acquisition.begin([order()])
    taken = one.begin([order()])
    assert taken.id == left.id and place.ledger.exams() == [left]
    one.finish()
    again = one.begin([order()])
    assert again.id != left.id
    one.finish()
    place.acquisition.begin([order("A3", patient="P3")])
    with pytest.raises(StateError, match="still open"):
        one.begin([order("A3", patient="P4")])


def test_a_new_session_finds_the_exam_that_the_last_one_left_open(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    again = Session(place.place, place.acquisition, one._tap, STOMACH)
    assert again.exam.id == exam.id
    again.finish()
    assert one.exam is None
    assert Session(place.place, place.acquisition, one._tap, STOMACH).exam is None


def test_one_exam_at_a_time(place, camera):
    one, _ = camera
    one.begin([order()])
    with pytest.raises(StateError, match="an exam is open"):
        one.begin([order("A2")])


# recording


def test_a_clip_has_its_seconds_and_nothing_is_left_of_the_recording(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    picture = one.clip(one.how(), exam.id, 0.5)
    assert (picture.frames, picture.kind, picture.flaws) == (12, "clip", ())
    assert list(place.place.shelf.recordings.iterdir()) == []


def test_two_recordings_at_once_are_refused_and_stopping_twice_too(place, camera):
    one, _ = camera
    one.begin([order()])
    one.record()
    with pytest.raises(StateError, match="already"):
        one.record()
    until(lambda: one.take.frames)
    one.stop()
    with pytest.raises(NotRunning):
        one.stop()


@pytest.mark.parametrize("how", ["ends", "is unplugged"])
def test_when_the_source_ends_or_is_lost_the_clip_is_kept_by_itself(place, camera, how):
    one, cameras = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 10)
    (cameras.last.over if how == "ends" else cameras.last.lost).set()
    until(lambda: place.ledger.pictures(exam.id))
    (clip,) = place.ledger.pictures(exam.id)
    assert clip.frames >= 10 and one.take is None
    if how == "is unplugged":
        assert any("unplugged" in flaw for flaw in clip.flaws)
    until(lambda: events(place, "recording.ended"))


def test_a_take_that_ended_by_itself_does_not_stop_the_next_one(place, camera):
    """The note that the first has ended comes late: by then it was stopped by hand and the second runs."""
    one, _ = camera
    one.begin([order()])
    first = one.record()
    until(lambda: first.frames >= 3)
    one.stop()
    second = one.record()
    one._keep_ended(first)
    assert one.take is second
    until(lambda: second.frames >= 3)
    one.stop()
    assert len(place.ledger.pictures(one.exam.id)) == 2


def test_a_clip_of_a_script_that_somebody_else_stops_is_the_same_clip(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    with ThreadPoolExecutor(1) as pool:
        clip = pool.submit(one.clip, one.how(), exam.id, 60.0)
        until(lambda: one.take and one.take.frames >= 5)
        stopped = one.stop()
        assert clip.result(10).id == stopped.id
    assert len(place.ledger.pictures(exam.id)) == 1


def test_a_script_does_not_wait_for_ever_for_a_silent_source(place, camera, monkeypatch):
    one, cameras = camera
    exam = one.begin([order()])
    monkeypatch.setattr(module, "FIRST_FRAME", 0.4)
    with ThreadPoolExecutor(1) as pool:
        clip = pool.submit(one.clip, one.how(), exam.id, 60.0)
        until(lambda: one.take and one.take.frames >= 5)
        cameras.last.silent.set()
        assert clip.result(10).frames >= 5
    with pytest.raises(StateError, match="no frame came"):
        one.clip(one.how(), exam.id, 60.0)
    assert one.take is None and list(place.place.shelf.recordings.iterdir()) == []


def test_a_disk_that_runs_full_ends_the_clip_while_there_is_room_to_keep_it(place, camera, monkeypatch):
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    monkeypatch.setattr(type(place.place.shelf), "free_mb", lambda self: place.settings.station.reserve_mb)
    until(lambda: place.ledger.pictures(exam.id))
    (clip,) = place.ledger.pictures(exam.id)
    assert any("nearly full" in flaw for flaw in clip.flaws)
    monkeypatch.setattr(type(place.place.shelf), "free_mb", lambda self: 0)
    with pytest.raises(DiskFull):
        one.record()
    assert one.finish().state == ExamState.FINISHED, "what was taken goes out all the same"


def test_a_clip_for_which_the_spool_has_no_room_waits_for_the_next_start(place, camera, monkeypatch):
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)

    def full(*words):
        raise DiskFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(place.acquisition, "keep", full)
        with pytest.raises(DiskFull) as caught:
            one.stop()
        assert "kept when the station is started again" in caught.value.advice
        assert one.take_up() == [] and recordings(place), "still no room"
    (picture,) = one.take_up()
    assert picture.exam_id == exam.id and recordings(place) == []


def test_an_encoder_that_cannot_start_is_said_and_leaves_nothing(place, camera, monkeypatch):
    one, _ = camera
    one.begin([order()])
    monkeypatch.setattr(module, "codec_for", lambda words, layout: "no such codec")
    one.record()
    until(lambda: events(place, "recording.aside"))
    assert "no such codec" in events(place, "recording.aside")[0]["words"]
    assert one.take is None and list(place.place.shelf.recordings.iterdir()) == []


def test_a_station_that_stops_keeps_what_is_being_recorded(place, camera):
    one, _ = camera
    exam = one.begin([order()])
    one.record()
    until(lambda: one.take.frames >= 5)
    one.close()
    one.close()
    assert [picture.kind for picture in place.ledger.pictures(exam.id)] == ["clip"]


def test_a_setting_that_does_not_fit_the_source_costs_no_clip_and_a_wish_that_does_not_is_refused(place):
    """MPEG-2 has no 160 × 120 at 50/s that DICOM allows: set for the source, another codec takes its place."""
    with session(place, STOMACH, rate=50) as (one, _):
        exam = one.begin([order()])
        assert one.clip(one.how(), exam.id, 0.2).syntax_uid in {"1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.103"}
        with pytest.raises(NothingRecorded, match="cannot be recorded as mpeg2"):
            one.clip(one.how(syntax="mpeg2"), exam.id, 0.2)
    assert len(place.ledger.pictures(exam.id)) == 1 and not (place.root / "attic").exists()


def test_a_file_is_recorded_from_its_first_frame(place):
    with session(place, STOMACH, start=False, limit=30) as (one, _):
        exam = place.acquisition.begin([order()])
        assert one.clip(one.how(), exam.id, 10.0).frames == 30


# after a crash


def left(place, exam_id, note=True, frames=10, uid="2.25.123", name="1"):
    """What a process leaves that died while it recorded: a whole clip, its journal, its note."""
    folder = place.place.shelf.recordings / exam_id / name
    folder.mkdir(parents=True)
    how = How(region=Code("69695003", "SCT", "Stomach"), object="vl-endoscopic", laterality="")
    (folder / NOTE).write_text(to_json(Note(how, uid)) if note else '{"how": {"obj')
    with session(place, rate=25, limit=frames, start=False) as (_, cameras):
        source = cameras()
        recorder = Recorder(folder, "mpeg2")
        while frame := source.read():
            recorder.write(frame)
        recorder.stop()
    return folder


@pytest.fixture
def idle(place):
    with session(place, STOMACH, start=False) as (one, _):
        yield one


def test_what_was_being_recorded_is_kept_in_its_exam_as_it_was_meant(place, idle):
    exam = place.acquisition.begin([order(protocol_codes=())])
    folder = left(place, exam.id)
    (picture,) = idle.take_up()
    assert picture.sop_instance_uid == "2.25.123" and picture.exam_id == exam.id and picture.frames == 10
    assert picture.sop_class_uid == "1.2.840.10008.5.1.4.1.1.77.1.1.1", "with the region that was given"
    assert not folder.exists() and idle.take_up() == []


def test_what_was_kept_just_before_the_crash_is_not_kept_twice(place, idle):
    exam = place.acquisition.begin([order()])
    left(place, exam.id)
    (picture,) = idle.take_up()
    folder = left(place, exam.id)  # the same recording: the crash came before its folder was cleared
    assert idle.take_up() == [] and not folder.exists()
    assert [one.id for one in place.ledger.pictures(exam.id)] == [picture.id]


def test_a_torn_note_costs_the_wishes_and_not_the_clip(place, idle):
    exam = place.acquisition.begin([order()])
    left(place, exam.id, note=False)
    (picture,) = idle.take_up()
    assert picture.frames == 10


def test_a_recording_that_somebody_is_making_is_left_alone(place, idle):
    exam = place.acquisition.begin([order()])
    take = Take(exam.id, place.place.shelf.recordings / exam.id / "1", Note(How(), "2.25.9"))
    assert idle.take_up() == [] and (take.folder / NOTE).exists()
    take.let_go()
    assert idle.take_up() == [] and not take.folder.exists(), "dead, and without a frame"


def test_one_recording_that_cannot_be_kept_stops_neither_the_start_nor_the_others(place, idle, monkeypatch):
    exam = place.acquisition.begin([order()])
    for name in ("1", "2", "3"):
        left(place, exam.id, uid=f"2.25.{name}", name=name)
    real = module.salvage

    def odd(path):
        if path.parent.name == "2":
            raise ZeroDivisionError("nobody foresaw this")
        return real(path)

    monkeypatch.setattr(module, "salvage", odd)
    (place.place.shelf.recordings / exam.id / "stray").write_text("not a folder")
    assert len(idle.take_up()) == 2
    assert (place.root / "attic" / "2" / NOTE).exists() and events(place, "recording.aside")


@pytest.mark.parametrize("exam", ["ended", "unknown"])
def test_a_recording_whose_exam_is_over_goes_to_the_attic(place, idle, exam):
    known = place.acquisition.begin([order()])
    folder = left(place, known.id if exam == "ended" else "E123")
    place.acquisition.finish(known.id)
    assert idle.take_up() == [] and not folder.exists()
    assert list((place.root / "attic").rglob("clip-*.mpg")) and place.ledger.pictures(known.id) == []


def test_the_spool_in_trouble_leaves_recordings_where_they_are(place, idle, monkeypatch):
    exam = place.acquisition.begin([order()])
    folder = left(place, exam.id)

    def trouble(*words):
        raise SpoolError("the ledger could not be read")

    with monkeypatch.context() as patch:
        patch.setattr(place.ledger, "has_object", trouble)
        assert idle.take_up() == [] and folder.exists()
    assert len(idle.take_up()) == 1


def test_a_lock_file_alone_is_cleared(place, idle):
    folder = place.place.shelf.recordings / "E1" / "1"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    assert idle.take_up() == [] and not folder.exists() and time.time()
