"""V4L2 devices, as far as a machine without one can show: names, modes, rhythm, failures in words."""

import errno
import fcntl
import struct
import subprocess
import sys
from fractions import Fraction

import pytest

from capture.source import NotOnThisSystem, SourceMissing
from capture.sources import find_sources, grabber, open_source, v4l2
from capture.sources.grabber import _SPEC, Beat, find_input
from capture.sources.v4l2 import Device, Input, Mode, best_mode

INPUTS = [Input(0, "Composite", 0xFF, 0), Input(1, "S-Video", 0xFF, 2), Input(2, "HDMI 1", 0, 0)]


def test_a_device_that_is_not_there_is_said_in_words():
    with pytest.raises(SourceMissing, match="/dev/video97 cannot be opened: there is no such device") as caught:
        open_source("/dev/video97")
    assert "dicap sources" in caught.value.advice


def test_a_thing_that_is_no_video_device_is_said_in_words(monkeypatch):
    with pytest.raises(SourceMissing, match="/dev/null cannot be opened: it is no video device"):
        grabber._device("/dev/null")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EBUSY, "another program uses it"), (errno.EACCES, "this user may not open it")]
)
def test_a_device_that_cannot_be_had_says_why(monkeypatch, number, words):
    def refuse(path):
        raise OSError(number, "refused")

    monkeypatch.setattr(v4l2, "Device", refuse)
    with pytest.raises(SourceMissing, match=words):
        open_source("/dev/video0:S-Video:PAL")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("/dev/video0", ("/dev/video0", None, None)),
        ("/dev/video12:1", ("/dev/video12", "1", None)),
        ("/dev/video0:S-Video:PAL", ("/dev/video0", "S-Video", "PAL")),
        ("/dev/video0::NTSC", ("/dev/video0", "", "NTSC")),
        ("v4l2:/dev/video3", ("/dev/video3", None, None)),
    ],
)
def test_input_and_standard_stand_behind_the_device(spec, parts):
    assert _SPEC.fullmatch(spec).groups() == parts


def test_a_device_that_is_none_is_refused():
    with pytest.raises(SourceMissing, match="is not a video device"):
        open_source("/dev/video0:1:PAL:more")


def test_an_input_is_found_by_number_name_or_part_of_it():
    assert [find_input(INPUTS, word).index for word in ("1", "S-Video", "s-video", "hdmi")] == [1, 1, 1, 2]
    with pytest.raises(SourceMissing, match="0 Composite, 1 S-Video, 2 HDMI 1"):
        find_input(INPUTS, "SCART")
    assert [one.has_signal for one in INPUTS] == [True, False, True]


def test_a_camera_is_asked_for_the_largest_fluent_picture():
    raw_slow, raw_small = Mode("yuyv422", 1920, 1080, Fraction(5)), Mode("yuyv422", 640, 480, Fraction(30))
    jpeg, huge = Mode("mjpeg", 1920, 1080, Fraction(30)), Mode("mjpeg", 3840, 2160, Fraction(30))
    raw_fast = Mode("nv12", 1920, 1080, Fraction(60))
    assert best_mode([raw_slow, raw_small, jpeg, huge]) is jpeg
    assert best_mode([raw_slow, raw_small]) is raw_small
    assert best_mode([jpeg, raw_fast]) is raw_fast
    assert best_mode([huge]) is huge and best_mode([]) is None


def missing(beat, moments):
    return [beat.missing(moment) for moment in moments]


def test_a_pause_between_time_stamps_is_a_gap_and_jitter_is_none():
    moments = [0.0, 0.04, 0.083, 0.118, 0.16, 0.20, 0.32, 0.36]
    assert missing(Beat(Fraction(25)), moments) == [0, 0, 0, 0, 0, 0, 2, 0]


def test_a_camera_that_slows_down_in_the_dark_loses_nothing_once_that_is_its_rhythm():
    moments = [number / 30 for number in range(20)] + [19 / 30 + number / 15 for number in range(1, 40)]
    found = missing(Beat(Fraction(30)), moments)
    assert sum(found[:20]) == 0 and sum(found[-25:]) == 0 and sum(found) <= 10


class Kernel:
    """Answers the ioctls of one PAL grabber, laid out as linux/videodev2.h has it."""

    def __init__(self):
        self.chosen = 0
        self.field = 4
        self.standard = 0xFF

    def ioctl(self, fd, request, answer):
        number, size = request & 0xFF, request >> 16 & 0x3FFF
        assert len(answer) == size and request >> 8 & 0xFF == ord("V")
        handler = {0: self.cap, 2: self.fmt, 4: self.shape, 23: self.std, 26: self.input, 38: self.current, 39: self.choose,
                   58: self.crop, 74: self.sizes, 75: self.rates}[number]  # fmt: skip
        handler(answer)

    def cap(self, answer):
        struct.pack_into("=16s32s32sIII", answer, 0, b"em28xx", b"Grabber X", b"usb-1", 0x60100, 0x85200001, 0x05200001)

    def fmt(self, answer):
        if struct.unpack_from("=I", answer)[0] > 0:
            raise OSError(errno.EINVAL, "no more")
        struct.pack_into("=III32s4s", answer, 0, 0, 1, 0, b"YUYV 4:2:2", b"YUYV")

    def shape(self, answer):
        offset = len(answer) - 200
        struct.pack_into("=II4sI", answer, offset, 720, 576, b"YUYV", self.field)

    def std(self, answer):
        struct.pack_into("=Q", answer, 0, self.standard)

    def input(self, answer):
        index = struct.unpack_from("=I", answer)[0]
        if index > 1:
            raise OSError(errno.EINVAL, "no more")
        name = (b"Composite", b"S-Video")[index]
        struct.pack_into("=I32sIIIQII", answer, 0, index, name, 2, 0, 0, 0xFF, 0x2 if index else 0, 0)

    def current(self, answer):
        struct.pack_into("=I", answer, 0, self.chosen)

    def choose(self, answer):
        self.chosen = struct.unpack_from("=I", answer)[0]

    def crop(self, answer):
        struct.pack_into("=I4i4iII", answer, 0, 1, 0, 0, 720, 576, 0, 0, 720, 576, 54, 59)

    def sizes(self, answer):
        if struct.unpack_from("=I", answer)[0] > 0:
            raise OSError(errno.EINVAL, "no more")
        struct.pack_into("=III", answer, 8, 1, 720, 576)

    def rates(self, answer):
        if struct.unpack_from("=I", answer)[0] > 0:
            raise OSError(errno.EINVAL, "no more")
        struct.pack_into("=III", answer, 16, 1, 1, 25)


@pytest.fixture
def kernel(monkeypatch):
    made = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    return made


def test_what_a_grabber_says_of_itself_is_read(kernel):
    device = Device("/dev/null")
    assert device.name == "Grabber X" and device.captures and device.lines() == 625
    assert [(one.name, one.has_signal) for one in device.inputs()] == [("Composite", True), ("S-Video", False)]
    assert device.modes() == [Mode("yuyv422", 720, 576, Fraction(25))]
    assert device.pixel_aspect() == Fraction(59, 54), "V4L2 has it upside down"
    device.choose_input(1)
    assert device.input() == 1
    orders = []
    for kernel.field in (1, 4, 8, 9):
        orders.append(device.field_order())
    assert orders == ["progressive", "tff", "tff", "bff"]
    device.close()
    device.close()


@pytest.mark.parametrize(("standard", "lines"), [(0xFF, 625), (0x1000, 525), (0x100, 525), (0x600, 625), (0, 0)])
def test_the_standard_says_how_many_lines_there_are(kernel, standard, lines):
    """PAL, NTSC M, PAL-M, PAL-N, none: linux/videodev2.h, V4L2_STD_525_60."""
    device = Device("/dev/null")
    kernel.standard = standard
    assert device.lines() == lines
    assert device.field_order() == ("bff" if lines == 525 else "tff")
    device.close()


def test_a_device_that_vanishes_while_it_is_asked_is_an_error_not_an_answer(kernel, monkeypatch):
    device = Device("/dev/null")

    def gone(fd, request, answer):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(device, "_ioctl", gone)
    with pytest.raises(OSError, match="No such device"):
        device.inputs()
    device.close()


def test_sources_are_listed_with_inputs_and_formats(kernel, monkeypatch):
    listing = grabber._listing("/dev/null")
    assert listing.description == "Grabber X" and listing.inputs == ("Composite", "S-Video (no signal)")
    assert listing.formats == ("yuyv422 720x576@25",)
    assert find_sources()[0].spec.startswith("testcard")


ELSEWHERE = """
import sys
for name in ("fcntl", "termios", "grp", "pwd", "resource", "gpiozero", "lgpio", "sane", "linuxpy"):
    sys.modules[name] = None
import importlib, pkgutil, capture, capture.sources
from capture.source import NotOnThisSystem
for room in [*pkgutil.iter_modules(capture.__path__), *pkgutil.iter_modules(capture.sources.__path__, "sources.")]:
    importlib.import_module("capture." + room.name)
from capture.sources import find_sources, open_source
def refused(make):
    try:
        make()
    except NotOnThisSystem as error:
        return str(error) + " " + error.advice
    raise AssertionError("it was opened")
print(refused(lambda: open_source("/dev/video0")))
print(refused(lambda: open_source("sane:test")))
from capture.trigger import PinTrigger
print(refused(lambda: PinTrigger(17, print)))
assert [one.spec for one in find_sources()][0].startswith("testcard")
assert open_source("testcard:320x240@25").read().number == 0
"""


def test_without_linuxs_modules_everything_imports_and_says_not_on_this_system():
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    device, scanner, button = done.stdout.splitlines()
    assert "/dev/video0 is not on this system" in device and "testcard and file: work everywhere" in device
    assert "SANE" in scanner and "gpiozero" in button


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_other_systems_have_no_v4l2(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(NotOnThisSystem, match="Linux only"):
        open_source("/dev/video0")
    assert [one.spec for one in find_sources()] == ["testcard:1280x720@30"]
