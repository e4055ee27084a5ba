"""The whole story on the real screen: a finger on a real browser; station, courier and hospital as their own processes."""

import re

import httpx
import pydicom
import pytest
from rig import Rig, until
from test_main_job import strip_numbers
from touch import Screen, browser

from capture.sources.testcard import read_strip

FRAME = "return Number(document.querySelector('canvas').dataset.frame ?? -1)"
LINES = "return [...document.querySelectorAll('[data-testid^=exam-line-]')].map((line) => line.innerText)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Hospital, courier and station of an endoscopy room."""
    rig = Rig(tmp_path_factory.mktemp("site"))
    rig.configure(source="testcard:640x480@25")
    try:
        rig.hospital()
        rig.start("courier")
        rig.start("station")
        yield rig
    finally:
        rig.stop()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for these stories."""
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def screen(chromium, site):
    """The station's page on a touch panel of 800×480."""
    screen = Screen(chromium)
    chromium.get_log("browser")
    screen.open(f"http://127.0.0.1:{site.http_port}/")
    screen.find("orders")
    yield screen
    left = screen.complaints()
    chromium.get("about:blank")
    url = f"http://127.0.0.1:{site.http_port}/api"
    if httpx.get(f"{url}/state").json()["exam"]:  # a story that broke off must not spoil the next
        httpx.post(f"{url}/exam/abandon", json={"reason": "110513"}).raise_for_status()
    assert left == [], "the browser has nothing to complain about"


def frame_beyond(screen, number):
    """Wait until the picture on the screen is a later one; returns its number."""
    screen.until(lambda: screen.script(FRAME) > number, f"a frame after {number} is shown")
    return screen.script(FRAME)


def begun(screen):
    """Wait for the capture screen; the live picture must move."""
    screen.find("still")
    frame_beyond(screen, frame_beyond(screen, 0))


def tiles(screen):
    """The pictures on the screen, newest first."""
    return screen.script("return [...document.querySelectorAll('[data-testid^=thumb-]')].map((tile) => tile.dataset.testid)")


def ledger_of(site, screen, patient):
    """The exam line on the screen has turned to committed; what the ledger says of that exam."""
    (exam,) = [one for one in site.dicap("ledger")["exams"] if patient in (one["patient_id"], one["patient_name"])]
    line = f"exam-line-{exam['id']}"
    screen.until(lambda: "stored, committed" in screen.text(line), "the exam's line turns to committed", 30)
    screen.until(lambda: screen.text("owed").startswith("Nothing owed"), "the strip says so, too")
    ledger = site.dicap("ledger")
    assert {(one["kind"], one["state"]) for one in ledger["reports"] if one["exam"] == exam["id"]} == {
        ("begun", "done"), ("ended", "done"),
    }  # fmt: skip
    objects = [one for one in ledger["objects"] if one["exam"] == exam["id"]]
    assert {(one["state"], one["released"]) for one in objects} == {("committed", True)}
    return exam, line, {one["sop_instance_uid"] for one in objects}


def stored_of(site, exam):
    """The objects of an exam at the PACS."""
    every = [pydicom.dcmread(path) for path in site.stored()]
    return [dataset for dataset in every if dataset.StudyInstanceUID == exam["study_instance_uid"]]


def test_from_the_worklist_to_committed_pictures_with_a_finger(site, screen):
    order = next(one for one in site.dicap("worklist", "--modality", "ES")["orders"] if "Ελένη" in one["patient_name"])
    key = f"order-{order['key']}"
    screen.until(lambda: screen.all(key), "the hospital's worklist is on the screen")
    for words in (order["patient_id"], order["accession"], "15 March 1971"):
        assert words in screen.find(key).text
    screen.shot("story-worklist")
    screen.tap(key)
    begun(screen)
    assert "Δοκιμή, Ελένη" in screen.text("name") and order["patient_id"] in screen.text("banner")
    screen.shot("story-live")
    for count in ("1 picture", "2 pictures"):
        screen.tap("still")
        screen.until(lambda count=count: screen.text("count") == count, "the still is kept")
    newest, first = tiles(screen)
    screen.tap(newest)
    screen.shot("story-review")
    screen.tap(newest.replace("thumb", "delete"))
    screen.until(lambda: screen.text("count") == "1 picture", "one is deleted")
    screen.tap("record")
    screen.until(lambda: screen.text("rec-time") == "0:03", "it records for three seconds")
    screen.shot("story-recording")
    screen.tap("record")
    screen.until(lambda: len(tiles(screen)) == 2, "the clip is kept")
    assert first in tiles(screen) and newest not in tiles(screen)
    screen.shot("story-before-finish")
    screen.tap("finish")
    screen.find("view-worklist")
    screen.shot("story-on-the-way")
    exam, line, uids = ledger_of(site, screen, order["patient_id"])
    assert "2 of 2 stored, committed" in screen.text(line)
    screen.shot("story-committed")
    assert exam["state"] == "COMPLETED" and exam["orders"] == [order["key"]]
    stored = stored_of(site, exam)
    assert {str(dataset.SOPInstanceUID) for dataset in stored} == uids and len(stored) == 2, "exactly what was kept"
    for dataset in stored:
        assert (dataset.PatientID, str(dataset.PatientName)) == (order["patient_id"], order["patient_name"])
        assert (dataset.AccessionNumber, dataset.StudyInstanceUID) == (order["accession"], order["study_instance_uid"])
    still, clip = sorted(stored, key=lambda dataset: dataset.get("NumberOfFrames", 0))
    assert read_strip(still.pixel_array) is not None
    numbers = strip_numbers(clip)
    assert 65 <= len(numbers) <= 110 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    done = [one["key"] for one in site.dicap("worklist")["orders"]]
    assert order["key"] not in done, "the RIS knows that the step is completed and plans it no more"
    screen.tap("tab-today")
    screen.shot("story-today")
    screen.tap("tab-worklist")
    assert not screen.all(key)


def test_an_unscheduled_patient_is_typed_on_the_screen_and_arrives(site, screen):
    screen.tap("unscheduled")
    screen.type("doe")
    screen.tap("key-done")
    screen.type("jane")
    screen.shot("story-unscheduled")
    screen.tap("begin-unscheduled")
    begun(screen)
    number = re.search(r"TEMP-\S+", screen.text("patient-id"))[0]
    screen.tap("still")
    screen.until(lambda: len(tiles(screen)) == 1, "the still is kept")
    screen.tap("finish")
    screen.find("view-worklist")
    exam, _, uids = ledger_of(site, screen, number)
    (dataset,) = stored_of(site, exam)
    assert {str(dataset.SOPInstanceUID)} == uids
    assert (str(dataset.PatientName), dataset.PatientID, dataset.get("AccessionNumber", "")) == ("Doe^Jane", number, "")
    screen.shot("story-unscheduled-committed")


def test_a_wrong_pick_sends_nothing_and_its_patient_is_on_the_worklist_again(site, screen):
    before = site.stored()
    order = next(one for one in site.dicap("worklist", "--modality", "ES")["orders"] if "花子" in one["patient_name"])
    key = f"order-{order['key']}"
    screen.tap(key)
    begun(screen)
    screen.tap("still")
    screen.until(lambda: len(tiles(screen)) == 1, "the still is kept")
    screen.tap("abandon")
    screen.shot("story-abandon")
    screen.tap("reason-110514")
    screen.find("view-worklist")
    screen.until(lambda: any("Abandoned" in line for line in screen.script(LINES)), "the line says so")
    (exam,) = [one for one in site.dicap("ledger")["exams"] if one["orders"] == [order["key"]]]

    def reported():
        return [one["state"] for one in site.dicap("ledger")["reports"] if one["exam"] == exam["id"]] == ["done", "done"]

    until(reported)
    (held,) = [one for one in site.dicap("ledger")["objects"] if one["exam"] == exam["id"]]
    assert exam["state"] == "DISCONTINUED"
    assert held["state"] == "refused" and "wrong worklist entry" in held["words"]
    assert site.stored() == before
    screen.until(lambda: screen.text("owed") == "1 refused: somebody must look", "nothing is on the way")
    screen.until(lambda: screen.all(key), "whoever was picked by mistake still waits for an exam")
    screen.shot("story-abandoned")
