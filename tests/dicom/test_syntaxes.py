"""The table of transfer syntaxes agrees with the standard, and chooses the right one for a coded stream."""

from fractions import Fraction

import pytest
from pydicom.uid import UID

from appliance.dicom.syntaxes import METHODS, SYNTAXES, by_name, by_stream, by_uid
from appliance.errors import InputError, SettingsError

COMMAND_WORDS = [
    "implicit",
    "explicit",
    "deflated",
    "rle",
    "jpeg",
    "jpeg-lossless",
    "jls",
    "jls-near",
    "j2k",
    "j2k-lossy",
    "htj2k",
    "htj2k-lossy",
    "mpeg2",
    "mpeg2-hd",
    "h264",
    "hevc",
]
NTSC = Fraction(30_000, 1001)


@pytest.mark.parametrize("word", COMMAND_WORDS)
def test_every_word_of_the_command_line_is_a_registered_transfer_syntax(word):
    syntax = by_name(word)
    uid = UID(syntax.uid)
    assert uid.is_transfer_syntax and uid.name != syntax.uid
    assert uid.is_compressed == syntax.is_compressed
    assert by_uid(syntax.uid) is syntax


def test_lossy_and_only_lossy_syntaxes_name_their_method():
    for syntax in SYNTAXES.values():
        assert bool(syntax.method) == bool(syntax.codec) == syntax.lossy
        assert not syntax.lossy or METHODS[syntax.codec] == syntax.method


def test_the_fragmentable_twin_is_found_by_its_own_uid():
    assert by_uid("1.2.840.10008.1.2.4.100.1").name == "mpeg2"
    assert "Fragmentable" in UID(SYNTAXES["h264"].fragmentable_uid).name
    assert SYNTAXES["hevc"].fragmentable_uid == SYNTAXES["hevc"].uid
    assert SYNTAXES["jls"].fragmentable_uid == ""


def test_a_wrong_word_is_answered_with_the_nearest_right_one():
    with pytest.raises(SettingsError, match="did you mean jpeg-lossless"):
        by_name("jpg-lossless")
    with pytest.raises(SettingsError, match="there are implicit"):
        by_name("zzz")


def test_an_unknown_uid_is_refused():
    with pytest.raises(InputError, match=r"1\.2\.840\.10008\.1\.2\.2 "):
        by_uid("1.2.840.10008.1.2.2")


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        (("mpeg2video", "Main", 8, 720, 576, Fraction(25)), "mpeg2"),
        (("mpeg2video", "Main", 8, 720, 480, NTSC), "mpeg2"),
        (("mpeg2video", "Main", 8, 720, 480, Fraction(2997, 100)), "mpeg2"),
        (("mpeg2video", "Main", 4, 1920, 1080, NTSC), "mpeg2-hd"),
        (("mpeg2video", "Main", 4, 1280, 720, Fraction(60)), "mpeg2-hd"),
        (("h264", "High", 30, 640, 480, Fraction(25)), "h264"),
        (("h264", "High", 41, 1920, 1080, Fraction(30)), "h264"),
        (("h264", "High", 42, 1920, 1080, Fraction(60)), "h264-42"),
        (("h264", "High", 41, 1920, 1080, Fraction(60)), "h264-42"),
        (("h264", "High", 0, 1280, 720, Fraction(60)), "h264"),
        (("hevc", "Main", 153, 3840, 2160, Fraction(60)), "hevc"),
        (("hevc", "Main 10", 120, 1920, 1080, Fraction(50)), "hevc10"),
    ],
)
def test_a_legal_stream_gets_its_syntax(stream, name):
    assert by_stream(*stream).name == name


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (("mpeg2video", "Main", 8, 720, 576, Fraction(30)), "fits neither"),
        (("mpeg2video", "Main", 6, 1440, 1080, Fraction(25)), "fits neither"),
        (("mpeg2video", "Main", 4, 1920, 1080, Fraction(50)), "fits neither"),
        (("mpeg2video", "Main", 4, 720, 576, Fraction(25)), "fits neither"),
        (("mpeg2video", "4:2:2", 5, 720, 576, Fraction(25)), "profile 4:2:2"),
        (("mpeg2video", "Main", 8, 640, 480, Fraction(24)), "fits neither"),
        (("h264", "Constrained Baseline", 30, 640, 480, Fraction(25)), "profile Constrained Baseline"),
        (("h264", "High 10", 41, 1920, 1080, Fraction(30)), "profile High 10"),
        (("h264", "High", 51, 3840, 2160, Fraction(30)), "above the level"),
        (("h264", "High", 41, 8192, 16, Fraction(1)), "above the level"),
        (("hevc", "Main", 156, 3840, 2160, Fraction(120)), "above the level"),
        (("hevc", "Rext", 120, 1920, 1080, Fraction(25)), "profile Rext"),
        (("vp9", "", 0, 640, 480, Fraction(25)), "no transfer syntax for vp9"),
    ],
)
def test_an_illegal_stream_is_refused_with_the_reason(stream, words):
    with pytest.raises(InputError, match=words):
        by_stream(*stream)
