"""Which codec, which options, which JPEG."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from capture import encode
from capture.coding import coding_for, mpeg2_is_legal, snapped
from capture.encode import VideoEncoder, choose_codec, jpeg
from capture.frame import Format, Frame
from capture.source import EncoderMissing

NTSC = Fraction(30000, 1001)


def shape(width, height, rate, **more):
    return Format(width, height, Fraction(rate), "yuv420p", **more)


@pytest.mark.parametrize(
    ("picture", "legal"),
    [
        (shape(720, 576, 25), True),
        (shape(720, 480, NTSC), True),
        (shape(720, 576, 30), False),
        (shape(1280, 720, 50), True),
        (shape(1920, 1080, 30), True),
        (shape(1920, 1080, 60), False),
        (shape(1920, 1080, 25, field_order="tff"), True),
        (shape(1280, 720, 25, field_order="tff"), False),
        (shape(1024, 768, 25), False),
        (shape(640, 480, 10), False),
    ],
)
def test_mpeg2_is_chosen_only_where_the_standard_has_it(picture, legal):
    assert mpeg2_is_legal(picture) is legal
    words = [word for word, _ in choose_codec(picture).speeds]
    assert ("mpeg2" in words) is legal


def test_the_choice_is_measured_and_explained():
    choice = choose_codec(shape(720, 576, 25))
    assert choice.codec in ("mpeg2", "h264") and dict(choice.speeds)[choice.codec] > 0
    assert "720×576 at 25/s" in choice.reason and choice.codec in choice.reason
    assert choose_codec(shape(720, 576, 25)) is choice, "once in a process"


def test_a_machine_that_is_too_slow_for_mpeg2_takes_h264(monkeypatch):
    speeds = {"mpeg2": 1.2, "h264": 2.0}
    monkeypatch.setattr(encode, "_speed", lambda word, picture: speeds[word] if word in speeds else _missing())
    assert choose_codec.__wrapped__(shape(1920, 1080, 30)).codec == "h264"
    speeds.update(mpeg2=0.4, h264=0.5)
    choice = choose_codec.__wrapped__(shape(1920, 1080, 30))
    assert choice.codec == "h264" and "may not keep up" in choice.reason
    speeds.clear()
    with pytest.raises(EncoderMissing, match="no encoder takes 1920×1080"):
        choose_codec.__wrapped__(shape(1920, 1080, 30))


def _missing():
    raise EncoderMissing("no such encoder")


def test_a_missing_hardware_encoder_is_said_in_words(tmp_path):
    encoder = VideoEncoder(tmp_path / "a.ts", coding_for("h264-hardware", shape(640, 480, 25)))
    frame = Frame(0, 0.0, np.zeros((480, 640), np.uint8), Format(640, 480, Fraction(25), "gray"))
    with pytest.raises(EncoderMissing, match="h264_v4l2m2m"):
        encoder.encode(frame)
    encoder.close()


def test_an_encoder_that_makes_another_profile_is_refused():
    coding = coding_for("h264", shape(640, 480, 25))
    encode._demand_profile(coding, b"\0\0\0\1\x09\x10\0\0\0\1\x67\x64\0\x29")
    with pytest.raises(EncoderMissing, match="profile 66, not High"):
        encode._demand_profile(coding, b"\0\0\0\1\x67\x42\0\x29")


def test_the_bit_rate_may_be_given_and_has_its_limits():
    assert ("b", "4000000") in coding_for("mpeg2", shape(720, 576, 25), 4_000_000).options
    with pytest.raises(EncoderMissing, match="more than MPEG-2 allows"):
        coding_for("mpeg2", shape(720, 576, 25), 20_000_000)


@pytest.mark.parametrize("word", ["mpeg2", "mpeg2-hd"])
@pytest.mark.parametrize("size", [(720, 576), (1280, 720), (1920, 1080)])
def test_bit_rates_stay_within_their_level(word, size):
    options = dict(coding_for(word, shape(*size, 25)).options)
    top = 15_000_000 if options["level"] == "8" else 80_000_000
    assert 4_000_000 <= int(options["b"]) <= int(options["maxrate"]) <= top
    assert options["level"] == ("8" if word == "mpeg2" and size[0] == 720 else "4")


def test_a_rounded_rate_is_the_one_that_was_meant():
    assert snapped(Fraction("29.97")) == NTSC and snapped(Fraction("59.94")) == 2 * NTSC
    assert snapped(Fraction(30)) == 30 and snapped(Fraction("29.5")) == Fraction("29.5")


def test_a_jpeg_for_screens_has_the_right_colours_size_and_depth():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[..., 0] = 200
    back = cv2.imdecode(np.frombuffer(jpeg(picture, 90, 50), np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == (25, 50, 3) and back[10, 10, 2] > 180 and back[10, 10, 0] < 30, "red stays red"
    deep = np.full((20, 20), 0x8000, np.uint16)
    gray = cv2.imdecode(np.frombuffer(jpeg(deep, 90), np.uint8), cv2.IMREAD_UNCHANGED)
    assert gray.ndim == 2 and abs(int(gray[5, 5]) - 128) <= 2
    assert len(jpeg(picture, 10)) < len(jpeg(np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8), 95))
