"""The screen in a real browser, touched with a finger: what people do all day, and what they must never see."""

import time
from pathlib import Path

import pytest
from fake_desk import LONG
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from appliance.errors import StateError
from appliance.ui import api, screens
from appliance.ui.serve import Server

ANNA = "order-A2026-1102/S02"
BOUNCE = "for (let i = 0; i < 3; i++) arguments[0].dispatchEvent(new PointerEvent('pointerdown', { bubbles: true }))"
READ_DATE = "return import('./js/words.js').then((words) => words.readDate(arguments[0]))"
LONGEST = "order-ACC-123456789012/S12"


def begin(screen, order=ANNA):
    """One tap, and the capture screen is there with a live picture."""
    screen.tap(order)
    screen.find("still")
    screen.until(lambda: screen.script("return document.querySelector('canvas').dataset.frame"), "the live picture moves")


def pictures(desk):
    return [one["kind"] for one in desk.state()["exam"]["pictures"]]


def test_the_whole_story_with_a_finger(screen, desk):
    screen.shot("worklist")
    screen.tap("search")
    screen.type("muel")  # finds Müller
    assert len(screen.driver.find_elements(By.CSS_SELECTOR, ".order:not([hidden])")) == 1
    screen.shot("search")
    begin(screen)
    assert desk.deeds("begin") == ["A2026-1102/S02"]
    assert screen.text("name") == "Müller-Lüdenscheidt, Dr. Anna Sophie"
    for words in ("3 March 1957", "MRN-118822", "A2026-1102", "Penicillin", "MRSA"):
        assert words in screen.text("banner")
    screen.tap("still")
    screen.until(lambda: screen.text("count") == "1 picture", "the still is counted")
    screen.tap("record")
    screen.until(lambda: screen.text("rec-time") == "0:01", "the recording counts its seconds")
    assert screen.text("record") == "Stop 0:01"
    screen.tap("still")  # a still while recording
    screen.until(lambda: screen.text("count") == "2 pictures", "the second still is counted")
    screen.shot("recording")
    screen.tap("record")
    screen.until(lambda: pictures(desk) == ["still", "still", "clip"], "the clip is kept")
    screen.tap("thumb-P2")
    screen.shot("review")
    screen.tap("delete-P2")
    assert screen.text("count") == "2 pictures"
    screen.shot("deleted")
    screen.tap("finish")
    screen.until(lambda: desk.exams, "the exam has ended")
    assert desk.deeds("delete") == ["P2"]  # at the latest when the exam ends
    screen.until(lambda: "2 of 2 stored, committed" in screen.text("exam-line-E1"), "the line turns to committed")
    line = screen.find("exam-line-E1")
    assert line.find_elements(By.CSS_SELECTOR, "[data-icon=check]")
    assert screen.text("owed") == "Nothing is owed"
    screen.shot("committed")
    screen.tap("tab-today")
    assert "Müller-Lüdenscheidt" in screen.text("exam-line-E1")
    screen.shot("today")


def test_every_tap_on_still_is_one_picture_and_a_bounce_is_none(screen, desk):
    desk.slow = 0.8
    begin(screen)
    screen.tap("still", times=5, pause=0.16)
    assert len(screen.driver.find_elements(By.CSS_SELECTOR, ".tile")) == 5  # each is there before the first is kept
    screen.until(lambda: len(desk.deeds("still")) == 5, "five stills were asked for")
    screen.until(lambda: screen.text("count") == "5 pictures", "five stills are kept")
    screen.script(BOUNCE, screen.find("still"))  # a worn contact
    screen.until(lambda: screen.text("count") == "6 pictures", "one more")
    time.sleep(0.3)
    assert len(desk.deeds("still")) == 6
    assert len(screen.driver.find_elements(By.CSS_SELECTOR, ".tile")) == 6


def test_finish_waits_for_pictures_on_their_way_and_stops_a_recording(screen, desk):
    desk.slow = 0.6
    begin(screen)
    screen.tap("record")
    screen.until(lambda: desk.recording_since, "recording")
    time.sleep(0.5)
    screen.tap("still")
    screen.tap("finish")
    screen.until(lambda: desk.exams, "the exam has ended")
    names = [name for name, _ in desk.calls]
    assert names == ["begin", "record", "still", "stop_recording", "finish"]
    assert desk.exams[0]["line"] in ("0 of 2 stored", "2 of 2 stored, committed")


def test_a_deleted_picture_comes_back_with_undo(screen, desk):
    begin(screen)
    screen.tap("still")
    screen.tap("thumb-P2")
    screen.tap("delete-P2")
    assert screen.text("count") == "0 pictures"
    screen.tap("undo-P2")
    assert screen.text("count") == "1 picture"
    screen.tap("finish")
    screen.until(lambda: desk.exams, "the exam has ended")
    assert desk.deeds("delete") == []


def test_a_deletion_is_told_to_the_station_when_the_time_to_undo_is_over(screen, desk):
    screen.script("const later = window.setTimeout; window.setTimeout = (act, ms) => later(act, ms === 6000 ? 200 : ms);")
    begin(screen)
    screen.tap("still")
    screen.tap("thumb-P2")
    screen.tap("delete-P2")
    screen.until(lambda: desk.deeds("delete") == ["P2"], "deleted at the station")
    screen.until(lambda: not screen.all("undo-P2") and not screen.all("thumb-P2"), "its tile has gone")


def test_a_wrong_pick_is_undone_by_two_taps(screen, desk):
    begin(screen, "order-A2026-1103/S03")
    screen.tap("abandon")
    screen.find("banner")  # it stays in sight
    screen.shot("reasons")
    first = screen.driver.find_element(By.CSS_SELECTOR, ".reason")
    assert first.text.startswith("Wrong patient")
    screen.tap("reason-110514")
    screen.find("view-worklist")
    assert desk.deeds("abandon") == ["110514"]
    assert "Abandoned" in screen.text("exam-line-E1")


def test_the_region_is_asked_for_and_chosen_with_two_taps_and_nothing_moves(screen, desk):
    begin(screen)
    names = ["still", "record", "finish", "abandon", "stage", "banner", "name", "region"]
    before = [screen.find(name).rect for name in names]
    assert screen.text("region") == "Choose region"
    screen.shot("region-asked")
    screen.tap("still")  # nothing waits for it
    screen.until(lambda: screen.text("count") == "1 picture", "a still is kept all the same")
    screen.tap("region")
    screen.find("regions")
    screen.find("banner")  # it stays in sight
    assert screen.script(LOOK) == []
    screen.shot("regions")
    screen.tap("region-69695003")
    screen.until(lambda: screen.text("region") == "Region: Stomach", "the banner says it")
    assert desk.deeds("set_region") == ["69695003"] and not screen.all("regions")
    screen.shot("region-chosen")
    screen.until(lambda: [screen.find(name).rect for name in names] == before, "nothing has moved")
    screen.tap("region")
    assert screen.find("region-69695003").get_attribute("aria-pressed") == "true"
    screen.tap("region-back")
    screen.find("still")
    screen.tap("region")
    screen.script("arguments[0].scrollIntoView()", screen.find("region-110621006"))
    screen.tap("region-110621006")
    screen.until(lambda: "Pancreatic duct and bile duct systems" in screen.text("region"), "the longest one")
    assert screen.script(LOOK) == []
    screen.until(lambda: [screen.find(name).rect for name in names] == before, "nothing has moved")


def test_a_region_that_the_station_refuses_is_not_shown_as_chosen(screen, desk):
    begin(screen)
    desk.trouble["set_region"] = StateError("the exam is just being ended")
    screen.tap("region")
    screen.tap("region-69695003")
    screen.until(lambda: "just being ended" in screen.text("notice"), "told")
    assert "not changed" in screen.text("notice")
    assert screen.text("region") == "Choose region"


def test_a_region_that_the_order_names_is_shown_and_the_next_patient_is_asked_again(screen, desk):
    esophagus = {"value": "32849002", "meaning": "Esophagus", "from": "order"}
    desk.change(orders=[desk.orders[0] | {"region": esophagus}, *desk.orders[1:]])
    time.sleep(0.8)  # the list has changed: a tap at once begins nobody
    begin(screen, "order-A2026-1101/S01")
    assert screen.text("region") == "Region: Esophagus"
    screen.tap("finish")
    screen.find("view-worklist")
    time.sleep(0.8)
    begin(screen)
    assert screen.text("region") == "Choose region"


def test_an_unscheduled_patient_is_typed_on_the_screen(screen, desk):
    screen.tap("unscheduled")
    screen.tap("key-layout")
    while screen.text("key-layout") != "qwertz":
        screen.tap("key-layout")
    screen.type("müßig")
    screen.tap("key-accents")
    screen.tap("key-é")
    screen.shot("unscheduled")
    screen.tap("key-done")
    screen.type("li-an")
    screen.tap("key-erase")
    screen.tap("key-done")
    screen.tap("key-page")
    screen.type("4711")
    screen.tap("key-done")
    for tap in ("date-digit-3", "date-month-3", "date-digit-1", "date-digit-9", "date-digit-5", "date-digit-7"):
        screen.tap(tap)
    assert screen.find("field-birth").get_attribute("value") == "3 March 1957"
    screen.shot("date")
    screen.tap("date-done")
    screen.type("er")
    screen.tap("sex-F")
    screen.tap("begin-unscheduled")
    screen.find("still")
    patient = {"id": "4711", "name": "Müßigé^Li-A", "birth_date": "19570303", "sex": "F"}
    assert desk.deeds("begin_unscheduled") == [(patient, "Er")]


def test_in_an_emergency_two_taps_are_enough(screen, desk):
    screen.tap("unscheduled")
    screen.tap("begin-unscheduled")
    screen.find("still")
    assert "TEMP-" in screen.text("patient-id")


def test_a_birth_date_is_understood_only_when_its_month_is_plain(screen):
    plain = ["3 March 1957", "march 3, 1957", "3.mar.1957", "1957-03-03", "19570303"]
    assert [screen.script(READ_DATE, typed) for typed in plain] == [{"date": "19570303"}] * 5
    for typed in ("01.02.2011", "31 February 2000", "3 March 57", "1 January 2999", "yesterday"):
        answer = screen.script(READ_DATE, typed)
        assert "date" not in answer and answer["wrong"].endswith("."), typed


def test_a_foot_pedal_takes_stills_and_never_presses_what_was_touched_last(screen, desk):
    begin(screen)
    screen.tap("abandon")
    screen.tap("abandon-back")
    body = screen.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.SPACE)
    time.sleep(0.1)
    body.send_keys(Keys.ENTER)
    screen.until(lambda: screen.text("count") == "2 pictures", "two stills")
    time.sleep(0.1)
    body.send_keys("r")
    screen.until(lambda: desk.recording_since, "R records")
    time.sleep(0.5)
    body.send_keys("r")
    screen.until(lambda: pictures(desk) == ["still", "still", "clip"], "R stops")
    assert desk.exam is not None


def test_a_barcode_in_the_wrong_moment_presses_nothing_and_on_the_worklist_it_begins(screen, desk):
    keys = "for (const key of arguments[0]) dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));"
    body = screen.driver.find_element(By.TAG_NAME, "body")
    body.send_keys("A2026-1103", Keys.ENTER)
    screen.find("still")
    assert desk.deeds("begin") == ["A2026-1103/S03"]
    scan = keys.replace("dispatchEvent", "document.body.dispatchEvent")
    screen.script(scan, [*"RA2026", "Enter"])
    time.sleep(0.3)
    assert desk.deeds("record") == [] and desk.deeds("still") == []


def test_a_finger_lifted_over_another_patient_begins_nothing(screen, desk):
    screen.tap("search")
    screen.tap("key-done")  # the keyboard goes away under the finger, patients appear there
    time.sleep(0.4)
    assert desk.calls == []


TAP_AT_ONCE = """
const [newcomer, patient] = arguments;
const find = (name) => [...document.querySelectorAll('.order')].find((one) => one.dataset.testid === name);
new MutationObserver((_, self) => find(newcomer) && (self.disconnect(), find(patient).click()))
  .observe(document.querySelector('.orders'), { childList: true });
"""


def test_a_list_that_moves_under_the_finger_begins_nobody(screen, desk):
    screen.script(TAP_AT_ONCE, "order-NEW/1", ANNA)
    newcomer = desk.orders[0] | {"key": "NEW/1", "accession": "NEW", "time": "070000"}
    desk.change(orders=[newcomer, *desk.orders])
    assert "Nothing was begun" in screen.text("notice")
    assert desk.calls == []
    time.sleep(0.7)
    begin(screen)


def test_trouble_is_said_in_words_with_what_to_do(screen, desk):
    begin(screen)
    owed = {"objects": 14, "reports": 2, "refused": 1, "words": "14 pictures and 2 reports still owed, 1 refused"}
    pacs = desk.peers[1] | {"answers": False, "words": "refused the connection"}
    disk = {"free_mb": 311.0, "reserve_mb": 512.0, "ok": False}
    signal = desk.picture | {"state": "no signal", "words": "input HDMI 1"}
    desk.change(owed=owed, peers=[desk.peers[0], pacs], disk=disk, picture=signal)
    screen.until(lambda: "No signal" in screen.text("picture-words"), "no signal is told")
    assert "cable" in screen.text("picture-words") and "HDMI 1" in screen.text("picture-words")
    assert screen.text("owed") == owed["words"]
    assert screen.text("peers") == "ris\npacs: no answer"
    assert "Disk full" in screen.text("disk")
    screen.tap("still")
    assert "NOT kept" in screen.text("notice") and "Check the cable" in screen.text("notice")
    assert screen.text("count") == "0 pictures"
    screen.shot("trouble")
    desk.change(picture=desk.picture | {"state": "live", "words": ""})
    screen.until(lambda: not screen.all("picture-words"), "the words go with the trouble")
    screen.tap("still")
    screen.until(lambda: screen.text("count") == "1 picture", "kept now")
    screen.until(lambda: not screen.all("notice"), "an old trouble does not stay")


def test_a_deed_that_fails_leaves_the_screen_as_the_station_is(screen, desk):
    begin(screen)
    desk.trouble["record"] = StateError("the encoder is busy")
    screen.tap("record")
    screen.until(lambda: "the encoder is busy" in screen.text("notice"), "told")
    assert screen.text("record") == "Record" and not screen.all("rec")
    desk.trouble["finish"] = StateError("a clip is still being written")
    screen.tap("notice-away")
    screen.tap("finish")
    screen.until(lambda: "still being written" in screen.text("notice"), "told")
    del desk.trouble["finish"]
    screen.tap("finish")
    screen.until(lambda: desk.exams, "the second tap finishes")


def test_the_worklist_tells_its_age_when_the_ris_is_away(screen, desk):
    desk.change(worklist_error="The RIS does not answer", fetched=time.time() - 2400)
    screen.until(lambda: "40 min ago" in screen.text("worklist-error"), "its age")
    assert screen.text("worklist-age") == "40 min ago"
    screen.shot("ris-away")
    screen.tap("refresh")
    screen.until(lambda: desk.deeds("refresh_worklist"), "asked again")


def test_a_silent_station_is_noticed_and_the_screen_comes_back_by_itself(screen, desk, server):
    begin(screen)
    server.stop()
    screen.until(lambda: "does not answer" in screen.text("picture-words"), "silence is told", 12)
    assert screen.find("stage").get_attribute("data-state") == "silent"
    assert "does not answer" in screen.text("silence")
    assert not screen.all("owed")  # it might no longer be true
    screen.shot("silent")
    app = api.build(desk)
    screens.mount(app)
    again = Server(app, "127.0.0.1", int(server.url.rpartition(":")[2]))
    again.start()
    screen.until(lambda: not screen.all("silence") and not screen.all("picture-words"), "it is back", 12)
    screen.tap("still")
    screen.until(lambda: screen.text("count") == "1 picture", "and works")
    screen.complaints()  # the refused connections are expected
    screen.driver.get("about:blank")
    again.stop()


def test_what_was_refused_is_told_and_tried_again_by_hand(screen, desk):
    desk.begin("A2026-1102/S02")
    desk.still()
    desk.finish()
    screen.find("exam-line-E1")
    trouble = "pacs: 0xA700 out of resources. Make room at the archive, then try again."
    line = desk.exams[0] | {"line": "0 of 1 stored", "done": False, "trouble": trouble}
    owed = {"objects": 1, "reports": 0, "refused": 1, "words": "1 object on the way, 1 refused: somebody must look"}
    unasked = [peer | {"answers": None, "words": "the courier is not running"} for peer in desk.peers]
    for timer in desk._timers:
        timer.cancel()
    desk.change(exams=[line], owed=owed, peers=unasked)
    screen.until(lambda: trouble in screen.text("exam-line-E1"), "the peer's words")
    assert screen.text("peers") == "peers: the courier is not running"
    screen.tap("tab-today")
    assert trouble in screen.text("exam-line-E1")
    assert screen.script(LOOK) == []
    screen.shot("refused")
    screen.tap("retry")
    screen.until(lambda: desk.deeds("retry") == [[]], "tried again")
    screen.until(lambda: not screen.all("retry"), "nothing is refused any more")


def test_a_page_that_is_loaded_again_shows_the_exam_that_is_open(screen, desk, server):
    desk.begin("A2026-1102/S02")
    desk.still()
    screen.open(server.url, 1280, 800)
    assert screen.find("thumb-P2")
    assert screen.text("count") == "1 picture"
    screen.shot("capture-desktop")


LOOK = (Path(__file__).parent / "look.js").read_text()


@pytest.mark.parametrize("size", [(800, 480), (1280, 800)])
def test_nothing_is_cut_nothing_overlaps_and_every_target_fits_a_glove(screen, desk, server, size):
    name = LONG.replace("^", ", ")
    screen.open(server.url, *size)
    screen.find("orders")

    def look():
        assert screen.script(LOOK) == []

    def order_words():
        return screen.find(LONGEST).text

    look()
    element = screen.find(LONGEST)
    screen.script("arguments[0].scrollIntoView({ block: 'center' })", element)
    for words in (name, "山田太郎左衛門之助, 太郎", "8 November 1949", "UVWXYZ-01", "ACC-123456789012"):
        assert words in order_words()
    screen.shot(f"long-order-{size[0]}")
    screen.tap("search")
    look()
    screen.tap("key-done")
    screen.tap("unscheduled")
    look()
    screen.tap("field-birth")
    look()
    screen.tap("unscheduled-back")
    time.sleep(0.7)
    screen.script("arguments[0].scrollIntoView({ block: 'center' })", element)
    begin(screen, LONGEST)
    look()
    banner = screen.text("banner")
    for words in (
        name,
        "山田太郎左衛門之助, 太郎",
        "8 November 1949",
        "UVWXYZ-01",
        "ACC-123456789012",
        "anaphylaxis 2019",
        "Pacemaker",
    ):
        assert words in banner
    screen.tap("record")
    screen.tap("still", times=3)
    screen.until(lambda: screen.text("count") == "3 pictures", "three stills")
    look()
    screen.shot(f"long-capture-{size[0]}")
    screen.tap("thumb-P3")
    look()
    screen.tap("abandon")
    look()
    screen.tap("abandon-back")
    owed = {"objects": 14, "reports": 2, "refused": 1, "words": "14 pictures and 2 reports still owed, 1 refused"}
    away = [peer | {"answers": False} for peer in desk.peers]
    desk.change(owed=owed, peers=away, disk={"free_mb": 311.0, "reserve_mb": 512.0, "ok": False})
    screen.until(lambda: "14 pictures" in screen.text("owed"), "owed")
    look()
    still = screen.find("still").rect
    assert still["width"] * still["height"] > 180 * 120  # huge, even when the patient takes half the screen


def test_nothing_moves_when_a_picture_is_taken_or_a_clip_runs(screen, desk):
    begin(screen)
    names = ["still", "record", "finish", "abandon", "stage", "banner", "owed"]
    before = [screen.find(name).rect for name in names]
    screen.tap("still")
    screen.tap("record")
    screen.until(lambda: screen.text("rec-time") == "0:01", "recording")
    assert [screen.find(name).rect for name in names] == before
