"""The tap: recorders lose nothing, screens get the newest, and a lost device is opened again."""

import threading
import time

import cv2
import numpy as np
import pytest
from conftest import Opener, Script, frames, until

from capture.sources import open_source
from capture.sources.testcard import read_strip
from capture.tap import Tap


@pytest.fixture
def tap():
    """Makes taps that are stopped at the end; what they tell is in `tap.told`."""
    made = []

    def make(*sources):
        told = []
        opener = Opener(*sources) if not callable(sources[0]) else sources[0]
        one = Tap(opener, on_news=lambda state, words: told.append((state, words)))
        one.told, one.opener = told, opener
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


def drain(reader, timeout=5.0):
    """Everything that comes until the reader has ended."""
    found, end = [], time.monotonic() + timeout
    while time.monotonic() < end:
        frame = reader.get(0.2)
        if frame is not None:
            found.append(frame)
        elif reader.ended:
            return found
    raise AssertionError("the reader did not end")


def test_a_reader_that_was_there_before_the_start_gets_every_frame(tap):
    one = tap(Script(frames(*range(20))))
    reader = one.subscribe()
    assert one.state == "starting" and not one.running and one.format is None
    one.start()
    assert [frame.number for frame in drain(reader)] == list(range(20))
    assert reader.ended and reader.lost == 0
    until(lambda: one.state == "ended")
    assert one.latest().number == 19 and one.format.width == 320 and time.time() - one.seen < 5
    assert [state for state, _ in one.told] == ["live", "ended"]


def test_two_readers_and_a_screen_do_not_disturb_each_other(tap):
    one = tap(Script(frames(*range(30)), hold=0.01))
    first, second = one.subscribe(), one.subscribe()
    one.start()
    shown = []
    while (frame := one.wait_frame(shown[-1] if shown else -1, 5.0)) is not None:
        shown.append(frame.number)
        time.sleep(0.05)  # a slow screen skips
    assert [frame.number for frame in drain(first)] == [frame.number for frame in drain(second)] == list(range(30))
    assert shown == sorted(set(shown)) and shown[-1] == 29 and len(shown) < 30


def test_a_reader_that_stops_reading_is_counted_and_said_never_silent(tap):
    one = tap(Script(frames(*range(30))))
    reader = one.subscribe(depth=10)
    one.start()
    until(lambda: one.state == "ended")
    assert [frame.number for frame in drain(reader)] == list(range(10)) and reader.lost == 20
    assert ("dropped", "the recording does not keep up: 1 frames were lost") in one.told


def test_a_closed_reader_gets_no_more(tap):
    one = tap(Script([*frames(*range(5)), ("hang",)]))
    reader = one.subscribe()
    reader.close()
    one.start()
    until(lambda: one.latest() is not None and one.latest().number == 4)
    assert reader.get(0.05) is None


def test_a_device_that_is_missing_at_the_start_is_opened_when_it_comes(tap):
    one = tap(None, None, Script([*frames(0, 1), ("hang",)]))
    one.start()
    until(lambda: one.state.startswith("lost: the scripted camera is not connected."))
    assert one.wait_frame(-1, 5.0) is not None
    until(lambda: one.state == "live")
    assert one.opener.opened == 3 and [state for state, _ in one.told][:2] == ["lost", "live"]


def test_an_unplugged_device_ends_the_recording_and_is_opened_again(tap):
    one = tap(Script([*frames(0, 1, 2), ("lost",)], hold=0.01), Script([*frames(0, 1), ("hang",)]))
    reader = one.subscribe()
    one.start()
    assert [frame.number for frame in drain(reader)] == [0, 1, 2]
    assert "unplugged" in reader.ended and reader.flaws
    until(lambda: one.state == "live" and one.latest().number > 3)
    latest = one.latest()
    assert read_strip(latest.array()) == 1 and latest.number >= 5, "the pause counts: numbers never go back"
    assert [state for state, _ in one.told] == ["live", "lost", "live"]


def test_a_driver_that_fails_in_its_own_way_does_not_end_the_tap(tap):
    one = tap(Script([*frames(0), ("raise", RuntimeError("driver bug"))], hold=0.01), Script([*frames(0), ("hang",)]))
    one.start()
    until(lambda: one.opener.opened == 2 and one.state == "live")
    assert any(state == "lost" and "driver bug" in words for state, words in one.told)


def test_lost_frames_of_the_source_are_told(tap):
    one = tap(Script(frames(0, 1, 5, 6)))
    one.start()
    until(lambda: one.state == "ended")
    assert ("dropped", "3 frames did not come from scripted camera") in one.told


def test_silence_is_no_signal(tap):
    one = tap(Script([*frames(0), ("hang",)]))
    one.start()
    until(lambda: one.state == "live")
    until(lambda: one.state == "no signal", timeout=4.0)


def test_a_picture_that_never_changes_is_frozen_and_moves_again(tap):
    still = [("frame", number, 7) for number in range(80)]
    one = tap(Script([*still, *frames(80, 81), ("hang",)], rate=20, hold=0.05))
    one.start()
    until(lambda: one.state == "frozen", timeout=8.0)
    until(lambda: one.state == "live")


def test_stop_ends_a_read_that_waits_and_every_reader(tap):
    one = tap(Script([*frames(0), ("hang",)]))
    reader = one.subscribe()
    one.start()
    until(lambda: one.latest() is not None)
    begun = time.monotonic()
    one.stop()
    assert time.monotonic() - begun < 2 and one.state == "stopped" and not one.running
    assert reader.get(1.0).number == 0 and reader.get(0.1) is None and reader.ended
    assert one.subscribe().ended
    one.stop()


def test_the_preview_is_the_newest_frame_scaled_and_made_once(tap):
    one = tap(lambda: open_source("testcard:640x480@1/30"))
    assert one.preview(320) is None
    one.start()
    assert one.wait_frame(-1, 5.0) is not None
    number, coded = one.preview(320)
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
    assert number == 0 and picture.shape == (240, 320, 3)
    assert one.preview(320)[1] is coded, "the same frame is not encoded again"
    whole = cv2.imdecode(np.frombuffer(one.preview(5000)[1], np.uint8), cv2.IMREAD_COLOR)
    assert whole.shape == (480, 640, 3), "never scaled up"
    assert read_strip(whole) == 0


def test_previews_from_many_screens_take_no_frame_from_the_recorder(tap):
    one = tap(lambda: open_source("testcard:640x480@50"))
    reader = one.subscribe()
    one.start()
    over = threading.Event()

    def look(width):
        while not over.wait(0.002):  # many times per frame, without keeping Python's lock for itself
            one.preview(width)

    screens = [threading.Thread(target=look, args=(width,)) for width in (320, 640)]
    for screen in screens:
        screen.start()
    got = [reader.get(2.0) for _ in range(75)]
    over.set()
    for screen in screens:
        screen.join()
    assert [frame.number for frame in got] == list(range(75)) and reader.lost == 0
