"""The test card: its strip, its pace, its sizes."""

import io
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from capture.source import SourceMissing
from capture.sources import open_source
from capture.sources.testcard import TestCard, read_strip

NUMBERS = [0, 1, 2, 5, 0x5555, 0xAAAA, 65535, 1_000_000, 0xFFFFFFFF]


def coded(codec, size, rate, numbers, options):
    """These frames of the test card, encoded at 4 Mbit/s and decoded again: RGB."""
    card, file = TestCard(*size, Fraction(rate)), io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        options = {"b": "4M", "maxrate": "4M", "bufsize": "1835008", **options}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for place, number in enumerate(numbers):
            image = card.draw(number, 1.7e9)
            image.pts, image.time_base = place, Fraction(1, rate)
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    seconds = len(numbers) / rate
    assert len(file.getvalue()) * 8 / seconds < 6e6, "the encoder was held to about 4 Mbit/s"
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("size", [(720, 576), (1280, 720)])
@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg2video", {"g": "15", "bf": "2"}), ("libx264", {"preset": "ultrafast"})]
)
def test_the_strip_survives_video_at_4_mbit(codec, options, size):
    numbers = [*range(20), 0x5555AAAA, 0xAAAA5555, 0xFFFFFFFF, 0, 123456]
    assert [read_strip(frame) for frame in coded(codec, size, 25, numbers, options)] == numbers


@pytest.mark.parametrize("size", [(64, 64), (371, 371), (640, 480), (719, 577), (1920, 1080)])
def test_any_size_carries_the_strip_in_rgb_and_in_gray(size):
    card = TestCard(*size, Fraction(30))
    for number in NUMBERS:
        image = card.draw(number, 0.0)
        assert (image.width, image.height) == size
        assert read_strip(image.to_ndarray(format="rgb24")) == number
        assert read_strip(image.to_ndarray(format="gray")) == number
        assert read_strip(image.to_ndarray(format="gray").astype(np.uint16) * 257) == number


def test_the_strip_is_laid_out_as_the_command_line_promises():
    card = TestCard(1280, 720, Fraction(30))
    luma = card.draw(0b101, 0.0).to_ndarray(format="yuv420p")[:32, :1280]
    assert (luma[:16, 31 * 40 :] == 235).all() and (luma[16:, 31 * 40 :] == 16).all(), "the last bit is 1"
    assert (luma[:16, 30 * 40 : 31 * 40] == 16).all() and (luma[16:, 30 * 40 : 31 * 40] == 235).all(), "the one before is 0"
    assert (luma[:16, : 29 * 40] == 16).all()


def test_a_strip_that_contradicts_its_inverse_is_not_read():
    picture = TestCard(640, 480, Fraction(30)).draw(77, 0.0).to_ndarray(format="rgb24")
    picture[16:32, 40:60] = picture[0:16, 40:60]
    assert read_strip(picture) is None
    assert read_strip(np.zeros((480, 640, 3), np.uint8)) is None
    assert read_strip(np.zeros((20, 640), np.uint8)) is None
    assert read_strip(np.zeros((480, 20), np.uint8)) is None


def test_the_picture_moves_and_the_same_frame_looks_the_same():
    card = TestCard(640, 480, Fraction(30))
    first, second, again = (card.draw(number, 0.0).to_ndarray(format="gray")[32:] for number in (10, 11, 10))
    assert np.array_equal(first, again)
    assert (first != second).mean() > 0.05, "a good part of it, not only the strip"


def test_frames_come_at_their_rate_and_none_is_missing_for_a_reader_in_time():
    card = open_source("testcard:320x240@50")
    begun = time.monotonic()
    frames = [card.read() for _ in range(26)]
    assert time.monotonic() - begun >= 25 / 50 - 0.001, "never sooner than a camera"
    assert [frame.number for frame in frames] == list(range(26))
    assert [read_strip(frame.array()) for frame in frames] == list(range(26))
    steps = np.diff([frame.time for frame in frames])
    assert np.allclose(steps, 1 / 50, atol=1e-4), "the stamps are those of the clock, not of the reader"
    card.close()


def test_a_late_reader_sees_a_gap_as_with_a_device():
    card = open_source("testcard:320x240@100")
    assert card.live
    first = card.read()
    time.sleep(1.5)
    later = [card.read() for _ in range(3)]
    assert first.number == 0
    assert later[0].number >= 140, "what was not fetched in time is lost"
    assert [frame.number for frame in later] == list(range(later[0].number, later[0].number + 3))
    assert read_strip(later[0].array()) == later[0].number
    card.close()


def test_close_ends_a_read_that_waits():
    card = open_source("testcard:64x64@1/30")
    assert card.read().number == 0
    card.close()
    assert card.read() is None
    card.close()


@pytest.mark.parametrize("rate", ["30000/1001", "29.97", "0.5", "60"])
def test_any_rate_can_be_asked_for(rate):
    card = open_source(f"testcard:320x240@{rate}")
    assert card.format.rate == Fraction(rate) and card.format.pixels == "yuv420p"
    card.close()


@pytest.mark.parametrize("spec", [f"testcard:{words}" for words in ("", "640", "9x9", "640x480@0", "640x480@1/0", "x")])
def test_a_test_card_that_makes_no_sense_is_refused_in_words(spec):
    with pytest.raises(SourceMissing) as caught:
        open_source(spec)
    assert spec in str(caught.value) and "testcard:1280x720@30" in caught.value.advice
