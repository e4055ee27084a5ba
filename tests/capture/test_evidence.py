"""What is noticed about a source, from its frames and its own words."""

import time
from fractions import Fraction

import numpy as np
from conftest import Script

from capture.evidence import Evidence, words_for_missing
from capture.frame import Format, Frame

SHAPE = Format(64, 64, Fraction(25), "gray")


def gray(number, picture):
    return Frame(number, 0.0, picture, SHAPE)


def passed(monkeypatch, seconds):
    """The clock, later."""
    now = time.monotonic() + seconds
    monkeypatch.setattr(time, "monotonic", lambda: now)


def test_a_grabber_that_says_no_signal_is_believed(monkeypatch):
    source = Script([])
    answers = [True, False, True]
    source.has_signal = lambda: answers.pop(0)
    evidence = Evidence(source)
    picture = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    seen = []
    for number in range(3):
        evidence.look(gray(number, picture + number))
        seen.append(evidence.state)
        passed(monkeypatch, 2)
    assert seen == ["live", "no signal", "live"]


def test_one_flat_colour_that_never_changes_is_no_picture(monkeypatch):
    evidence = Evidence(object())
    evidence.look(gray(0, np.full((64, 64), 40, np.uint8)))
    assert evidence.state == "live", "not at once: an endoscope may be dark for a moment"
    passed(monkeypatch, 5)
    evidence.look(gray(1, np.full((64, 64), 40, np.uint8)))
    assert evidence.state == "no signal"


def test_missing_frames_are_counted(monkeypatch):
    evidence = Evidence(object())
    picture = np.zeros((64, 64), np.uint8)
    assert [evidence.look(gray(number, picture)) for number in (4, 5, 8, 9, 20)] == [0, 0, 2, 0, 10]
    assert evidence.lost == 12


def test_gaps_are_said_in_words_and_many_of_them_summed():
    assert words_for_missing([], SHAPE) == []
    assert words_for_missing([(50, 1), (75, 3)], SHAPE) == [
        "1 frame is missing after frame 50 (2.00 s)",
        "3 frames are missing after frame 75 (3.00 s)",
    ]
    many = words_for_missing([(10 * at, 2) for at in range(9)], SHAPE)
    assert len(many) == 6 and many[-1] == "8 further frames are missing in 4 places"
