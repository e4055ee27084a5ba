"""Bad input gets a clear error and nothing is lost: files, disks, clocks and peers as they should not be."""

import hashlib
import json
import random
import resource
import subprocess
import time
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from struct import pack

import pydicom
import pypdf
import pytest
from file_samples import film, numbered, numbers_of
from PIL import Image
from rig import until

from appliance.cli import parser
from appliance.clinic.patient import Patient
from appliance.dicom.check import check
from appliance.oneshot.place import meant_exam
from appliance.settings import Settings
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.ui.view import state_of
from appliance.workflow.acquire import Acquisition
from appliance.workflow.place import Place
from appliance.workflow.session import Session
from capture.source import SourceLost
from capture.sources import open_source
from capture.tap import Tap

SOURCE = "testcard:320x240@25"
UNSCHEDULED = ("--unscheduled", "--patient-id", "P1", "--patient-name", "Doe^Jane")
STILL = ("still", "--source", SOURCE, *UNSCHEDULED)


# files


def picture(path):
    """A good JPEG."""
    Image.fromarray(numbered(3, 160, 120)).save(path, "JPEG")
    return path.read_bytes()


def corrupt_jpeg(path):
    """A JPEG with a hole in its middle."""
    data = bytearray(picture(path))
    middle = len(data) // 2
    data[middle : middle + 100] = b"\xff" * 100
    path.write_bytes(data)


def chunk(kind, body):
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def huge_png(path):
    """A few bytes that say they are 60000×60000 pixels of RGB."""
    header = chunk(b"IHDR", pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def locked_pdf(path):
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt(user_password="secret", algorithm="RC4-128")
    writer.write(path)


# name, how it is made, what is said of it
BAD = {
    "corrupt.jpg": (corrupt_jpeg, "damaged"),
    "cut.jpg": (lambda path: path.write_bytes(picture(path)[:1500]), "cut off"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "0 bytes"),
    "huge.png": (huge_png, "60000 × 60000"),
    "letter.jpg": (lambda path: path.write_text("To whom it may concern. " * 30), "a text file, whatever its name says"),
    "locked.pdf": (locked_pdf, "password"),
    "noise.mp4": (lambda path: path.write_bytes(random.Random(1).randbytes(5000)), "no picture, video or PDF"),
}


def cut_video(path):
    """The first six tenths of a film of 80 numbered frames."""
    film(path, container="mpegts", numbers=range(80), grain=0.8)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return path


@pytest.fixture
def bad_files(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, (make, _) in BAD.items():
        make(folder / name)
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def demand_whole(rig):
    """Ledger and shelf agree: every object has its whole file, every file its object; nothing half lies about."""
    ledger = rig.dicap("ledger")
    kept = {one["file"]: one["size"] for one in ledger["objects"] + ledger["held"] if not one.get("released")}
    shelf = rig.data / "shelf"
    assert {path.relative_to(shelf).as_posix(): path.stat().st_size for path in shelf.rglob("*.dcm")} == kept
    assert list((rig.data / "workbench").iterdir()) == []
    for name in kept:
        assert len(pydicom.dcmread(shelf / name).PixelData) > 100
    return ledger


def test_bad_files_are_named_with_words_and_advice_and_begin_no_exam(rig, bad_files):
    before = digests(bad_files)
    answer = rig.dicap("import", bad_files, *UNSCHEDULED, code=1)
    said = {one["file"].rpartition("/")[2]: one for one in answer["failed"]}
    assert set(said) == set(BAD) and answer["objects"] == []
    for name, (_, words) in BAD.items():
        assert words in said[name]["error"] + said[name]["advice"], name
        assert name in said[name]["error"] and said[name]["advice"]
    ledger = demand_whole(rig)
    assert ledger["exams"] == [] and ledger["reports"] == [], "no RIS is told of an exam that never was"
    assert digests(bad_files) == before, "the originals stay as they are"
    done = subprocess.run(rig.command("import", bad_files / "empty.jpg", *UNSCHEDULED), capture_output=True, text=True)
    assert done.returncode == 1 and "empty.jpg is empty" in done.stderr and "Copy it again" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_good_ones_of_a_folder_go_in_and_the_report_says_which_did_not(rig, bad_files):
    picture(bad_files / "good.jpg")
    cut_video(bad_files / "cut.ts")
    (bad_files / "notes.txt").write_text("taken by the registrar")
    answer = rig.dicap("import", bad_files, *UNSCHEDULED, code=4)
    assert sorted(one["file"].rpartition("/")[2] for one in answer["failed"]) == sorted(BAD)
    assert {one["kind"] for one in answer["objects"]} == {"still", "clip"}
    assert f"{len(BAD)} of {len(BAD) + 2} failed" in answer["error"] and answer["advice"]
    ledger = demand_whole(rig)
    assert [exam["state"] for exam in ledger["exams"]] == ["COMPLETED"] and len(ledger["objects"]) == 2
    files = [rig.data / "shelf" / one["file"] for one in ledger["objects"]]
    assert all(one["errors"] == 0 for one in rig.dicap("check", *files)["files"])


def test_a_truncated_video_is_kept_as_far_as_it_goes_and_marked(rig, tmp_path):
    source = cut_video(tmp_path / "cut.ts")
    (clip,) = rig.dicap("import", source, *UNSCHEDULED)["objects"]
    assert 30 < clip["frames"] < 70 and any("cut off" in flaw for flaw in clip["flaws"])
    (debt,) = demand_whole(rig)["objects"]
    assert debt["flaws"] == clip["flaws"], "the ledger knows"
    dataset = pydicom.dcmread(rig.data / "shelf" / debt["file"])
    assert "cut off" in dataset.ImageComments, "and so does whoever opens the object"
    (tmp_path / "stream.ts").write_bytes(list(pydicom.encaps.generate_fragments(dataset.PixelData))[1])
    assert numbers_of(tmp_path / "stream.ts") == list(range(clip["frames"]))


def test_a_truncated_video_played_as_if_live_is_a_clip_that_says_so(rig, tmp_path):
    source = cut_video(tmp_path / "cut.ts")
    words = ("--source", f"file:{source}", *UNSCHEDULED, "--seconds", "60", "--object", "sc", "--syntax", "mpeg2")
    (clip,) = rig.dicap("clip", *words)["objects"]
    assert 30 < clip["frames"] < 70 and clip["flaws"]
    demand_whole(rig)


@pytest.mark.parametrize("name", ["letter.jpg", "empty.jpg", "noise.mp4"])
def test_a_source_that_is_no_picture_is_said_before_an_exam_is_begun(rig, tmp_path, name):
    BAD[name][0](tmp_path / name)
    answer = rig.dicap("still", "--source", f"file:{tmp_path / name}", *UNSCHEDULED, code=1)
    assert name in answer["error"] and answer["advice"]
    assert rig.dicap("ledger")["exams"] == []


# the disk


def limited(rig, size, *words):
    """Run a command that can write no file beyond `size` bytes; returns its exit code and its document."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    command = rig.command(words[0], "--json", *words[1:])
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_capture_does_not_begin_below_the_reserve(rig):
    text = rig.config.read_text().replace("reserve_mb = 50", f"reserve_mb = {10**9}")
    rig.config.write_text(text)
    for words in (STILL, ("clip", *STILL[1:], "--seconds", "1")):
        answer = rig.dicap(*words, code=1)
        assert "MB are free" in answer["error"] and "reserve" in answer["error"]
        assert "whole" in answer["advice"] and "free space" in answer["advice"]
    assert rig.dicap("ledger")["exams"] == []


def test_a_disk_that_is_full_in_mid_object_keeps_no_half_file_and_what_was_kept_stays_whole(rig):
    big = ("still", "--source", "testcard:1280x720@25", *UNSCHEDULED, "--object", "sc", "--syntax", "explicit")
    exam = rig.dicap("exam", "begin", *UNSCHEDULED)["exam"]
    first = rig.dicap("still", "--source", SOURCE, "--exam", exam)["objects"][0]
    before = digests((rig.data / "shelf" / first["file"]).parent)
    code, answer = limited(rig, 1_000_000, "still", "--source", "testcard:1280x720@25", "--exam", exam, *big[-4:])
    assert code == 1 and "could not be written" in answer["error"] and "What was kept before is whole" in answer["advice"]
    assert digests((rig.data / "shelf" / first["file"]).parent) == before
    assert [one["id"] for one in demand_whole(rig)["held"]] == [first["id"]]
    code, answer = limited(rig, 20_000, "still", "--source", SOURCE, "--exam", exam)
    assert code == 1 and answer["error"] and answer["advice"], "not even the ledger can be written"
    rig.dicap("still", "--source", SOURCE, "--exam", exam)
    rig.dicap("exam", "finish", "--exam", exam)
    assert len(demand_whole(rig)["objects"]) == 2, "with room again, it goes on"


def test_a_disk_that_is_full_while_recording_keeps_the_clip_so_far(rig):
    words = ("clip", "--source", "testcard:640x480@25", *UNSCHEDULED, "--seconds", "6")
    code, answer = limited(rig, 500_000, *words, "--object", "sc", "--syntax", "mpeg2")
    if code:  # the stream still fitted, the object around it did not: the station keeps it when there is room
        assert "could not be written" in answer["error"] and "recording is safe" in answer["advice"]
        rig.start("station")
    ledger = demand_whole(rig)
    (clip,) = ledger["objects"] + ledger["held"]
    assert 10 < clip["frames"] < 150 and any("stopped early" in flaw or "cut off" in flaw for flaw in clip["flaws"])
    assert not any((rig.data / "recordings").iterdir())


# the device


class Unplugged:
    """A test card whose cable is pulled after some frames."""

    def __init__(self, frames):
        self._card = open_source(SOURCE)
        self._left = frames
        self.name, self.format, self.live = "endoscope", self._card.format, True

    def read(self):
        if not self._left:
            raise SourceLost("the endoscope has gone")
        self._left -= 1
        return self._card.read()

    def close(self):
        self._card.close()


@pytest.fixture
def place(tmp_path):
    """A spool in this process, of a station whose source says what part of the body it shows."""
    code = {"value": "69695003", "scheme": "SCT", "meaning": "Stomach"}
    settings = Settings.model_validate({"sources": {"scope": {"spec": SOURCE, "anatomic_region": code}}})
    place = Place(settings, Shelf(tmp_path), Ledger(tmp_path / "ledger.sqlite"))
    yield place
    place.ledger.close()


def test_a_device_unplugged_while_recording_leaves_the_clip_so_far_and_records_again_when_it_is_back(place):
    cables = iter([Unplugged(60)])
    tap = Tap(lambda: next(cables, None) or open_source(SOURCE))
    acquisition = Acquisition(place)
    session = Session(place, acquisition, tap, place.settings.source("scope"))
    exam = session.begin([acquisition.unscheduled(Patient("P1", "Doe^Jane"))])
    tap.start()
    try:
        until(tap.latest)
        first = session.record()
        (clip,) = until(lambda: place.ledger.pictures(exam.id))
        assert 20 < clip.frames <= 60 and session.take is None
        assert any("the endoscope has gone" in flaw for flaw in clip.flaws)
        dataset = pydicom.dcmread(place.shelf.path(clip.file))
        assert dataset.NumberOfFrames == clip.frames and "the endoscope has gone" in dataset.ImageComments
        until(lambda: tap.state == "live")
        assert session.record() is not first
        until(lambda: session.take.frames > 10)
        again = session.stop()
        assert again.frames > 10 and not again.flaws
    finally:
        tap.stop()
    session.finish()
    assert [debt.picture.id for debt in place.ledger.debts.deliveries()] == [clip.id, again.id]


# the RIS


@pytest.mark.parametrize("fault", ["ris-nonsense=bytes", "ris-nonsense=fields", "ris-nonsense=status", "ris-abort"])
def test_a_ris_that_answers_nonsense_is_told_in_words_and_the_list_of_before_stays(rig, fault):
    rig.hospital()
    rig.start("courier")
    known = rig.dicap("worklist")["orders"]
    until(lambda: cached(rig))
    rig.kill("hospital")
    rig.hospital("--fault", fault)
    done = subprocess.run(rig.command("worklist", "--json"), capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert "Traceback" not in done.stderr and "UserWarning" not in done.stderr
    if done.returncode == 0:
        assert answer["orders"] == [] and all("cannot be used" in words for words in answer["complaints"])
        assert answer["complaints"]
    else:
        assert done.returncode == 3 and answer["error"] and answer["advice"]
        assert [one["key"] for one in answer["orders"]] == [one["key"] for one in known], "the list of before, with its age"
        assert 0 <= answer["age_seconds"] < 120
    until(lambda: troubled(rig))
    rig.kill("hospital")
    answer = rig.dicap("worklist", code=3)
    assert [one["key"] for one in answer["orders"]] == [one["key"] for one in known]
    rig.hospital()
    order = next(one for one in known if one["modality"] == "ES")
    rig.dicap("still", "--source", SOURCE, "--order", order["accession"])
    rig.wait()
    assert [pydicom.dcmread(path).AccessionNumber for path in rig.stored()] == [order["accession"]]


def fetched(rig):
    """When the courier last got the worklist, and what went wrong since."""
    ledger = Ledger(rig.data / "ledger.sqlite")
    try:
        return ledger.fetched().get("ris", (0.0, ""))
    finally:
        ledger.close()


def cached(rig):
    return fetched(rig)[0]


def troubled(rig):
    return fetched(rig)[1]


# the archive


def held_by(rig):
    """The bytes of the objects on the shelf by UID, and those at the PACS."""
    shelf = [pydicom.dcmread(path) for path in (rig.data / "shelf").rglob("*.dcm")]
    archive = [pydicom.dcmread(path) for path in rig.stored()]
    return [sorted((str(one.SOPInstanceUID), one.PixelData) for one in some) for some in (shelf, archive)]


def test_a_pacs_that_aborts_loses_answers_and_has_no_room_gets_everything_once_in_the_end(rig):
    faults = ("pacs-abort-at=5000x2", "pacs-lose-answer=1", "pacs-out-of-resources=2", "commit-partial", "pacs-forget=1")
    rig.hospital(*(word for fault in faults for word in ("--fault", fault)))
    rig.start("courier")
    rig.dicap(*STILL, "--count", "4")
    rig.wait()
    ours, theirs = held_by(rig)
    assert len(ours) == 4 and ours == theirs
    ledger = rig.dicap("ledger")
    assert [one["state"] for one in ledger["objects"]] == ["committed"] * 4


def test_one_refused_object_stops_no_other_and_waits_for_a_person(rig):
    rig.hospital("--fault", "pacs-refuse-every=3:A900")
    rig.start("courier")
    rig.dicap(*STILL, "--count", "4")
    answer = rig.wait(code=1)
    assert "1 refused" in answer["error"] and "A900" in answer["error"] and "dicap retry" in answer["advice"]
    (refused,) = [one for one in rig.dicap("ledger")["objects"] if one["state"] != "committed"]
    assert refused["state"] == "refused" and refused["advice"] and not refused["released"]
    assert len(rig.stored()) == 3
    rig.kill("hospital")
    rig.hospital()
    rig.dicap("retry", refused["id"])
    rig.wait()
    ours, theirs = held_by(rig)
    assert len(ours) == 4 and ours == theirs


# the clock

AHEAD = """
import time
real = time.time
time.time = lambda: real() + 36000
"""


def test_what_a_clock_that_was_ahead_put_off_is_tried_at_once_when_it_is_right_again(rig, tmp_path, monkeypatch):
    """Ten hours ahead: one object finds no PACS; another is stored, its commitment asked for and never promised."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "sitecustomize.py").write_text(AHEAD)
    rig.hospital("--fault", "commit-never")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(wrong), prepend=":")
        rig.start("courier")
        rig.dicap(*STILL)
        until(lambda: [one["state"] for one in rig.dicap("ledger")["objects"]] == ["sent"])
        rig.kill("hospital")
        rig.dicap(*STILL)
        until(lambda: any(one["attempts"] for one in rig.dicap("ledger")["objects"]))
        until(lambda: any(one["attempts"] for one in rig.dicap("ledger")["reports"]))
        rig.kill("courier")
    rig.hospital()
    rig.start("courier")
    rig.wait(timeout=40)
    ledger = rig.dicap("ledger")
    assert [one["state"] for one in ledger["objects"]] == ["committed"] * 2
    assert {one["state"] for one in ledger["reports"]} == {"done"} and len(rig.stored()) == 2
    until(lambda: cached(rig) < time.time())
    rig.kill("hospital")
    assert 0 <= rig.dicap("worklist", code=3)["age_seconds"] < 60, "the worklist, too, was fetched anew"


def test_a_clock_that_cannot_be_right_is_said_on_the_screen_and_by_commands_and_stops_nobody(place, caplog):
    then = datetime(1970, 1, 1, 0, 3, tzinfo=UTC)
    woken = replace(place, now=lambda: then)
    acquisition = Acquisition(woken)
    tap = Tap(lambda: open_source(SOURCE))
    session = Session(woken, acquisition, tap, woken.settings.source("scope"))
    assert "says 1 January 1970, which cannot be" in state_of(woken, session, tap, False)["worklist"]["error"]
    assert state_of(place, session, tap, False)["worklist"]["error"] == ""
    words = parser().parse_args(["exam", "begin", *UNSCHEDULED])
    meant = meant_exam(woken, acquisition, words, lambda orders: None)
    assert "set the clock" in caplog.text
    (kept,) = session.stills(session.how(), meant.exam.id, 1, 0.0)
    tap.stop()
    assert check(woken.shelf.path(kept.file)) == [] and acquisition.finish(meant.exam.id).ended >= then
