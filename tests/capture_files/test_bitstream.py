"""Headers of coded pictures: fields that are half a frame, recovery points, tiers, rates."""

from fractions import Fraction

import av
from file_samples import HEVC, MPEG2, film

from capture.bitstream import is_high_tier, reader_for
from capture.footage import look
from capture.mpeg2 import rate_of

START = b"\0\0\1"


class Writer:
    """Bits, most significant first."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, count: int, value: int) -> "Writer":
        self.bits += format(value, f"0{count}b") if count else ""
        return self

    def ue(self, *values: int) -> "Writer":
        for value in values:
            code = format(value + 1, "b")
            self.bits += "0" * (len(code) - 1) + code
        return self

    def bytes(self) -> bytes:
        whole = self.bits + "1"
        whole += "0" * (-len(whole) % 8)
        return int(whole, 2).to_bytes(len(whole) // 8, "big")


def sps(frames_only: bool, number_bits: int = 7) -> bytes:
    """A High profile sequence parameter set, 1920 × 1088, with a scaling list to be passed over."""
    words = Writer().u(8, 100).u(8, 0).u(8, 40).ue(0).ue(1).ue(0, 0).u(1, 0).u(1, 1)
    words.u(1, 1)
    for _ in range(16):
        words.ue(0)
    words.u(7, 0)
    words.ue(number_bits - 4).ue(0).ue(2).ue(4).u(1, 0).ue(119).ue(33 if not frames_only else 67).u(1, int(frames_only))
    return bytes([0x67]) + words.bytes()


def slice_of(number: int, kind: int = 1, field: int | None = None, number_bits: int = 7) -> bytes:
    words = Writer().ue(0).ue(5).ue(0).u(number_bits, number)
    if field is not None:
        words.u(1, 1).u(1, field)
    else:
        words.u(1, 0)
    return bytes([0x60 | kind]) + words.u(32, 0xA5A5A5A5).bytes()


def test_a_packet_that_is_the_other_field_is_not_counted_as_a_frame():
    reader = reader_for("h264", START + sps(frames_only=False))
    halves = [
        reader.look(START + slice_of(number, kind, field)).second_field
        for number, kind, field in [(0, 5, 0), (0, 1, 1), (1, 1, 0), (1, 1, 1), (2, 1, 1), (2, 1, 0), (3, 1, 0), (4, 1, 0)]
    ]
    assert halves == [False, True, False, True, False, True, False, False]


def test_a_packet_with_both_fields_or_a_whole_frame_is_a_frame():
    reader = reader_for("h264", START + sps(frames_only=False))
    both = START + slice_of(3, 1, 0) + START + slice_of(3, 1, 1)
    assert [reader.look(one).second_field for one in (both, both, START + slice_of(4))] == [False, False, False]
    whole = reader_for("h264", START + sps(frames_only=True))
    assert whole.look(START + slice_of(3, 5)).entry == "closed"


def test_only_a_recovery_point_of_zero_frames_is_an_entry():
    reader = reader_for("h264", START + sps(frames_only=True))
    at_once = START + bytes([6, 6, 1]) + Writer().ue(0).u(4, 0).bytes() + b"\x80"
    later = START + bytes([6, 6, 2]) + Writer().ue(12).u(4, 0).bytes() + b"\x80"
    text = START + bytes([6, 5, 255, 4]) + b"x" * 259 + bytes([6, 1]) + Writer().ue(0).u(4, 0).bytes() + b"\x80"
    looks = [reader.look(sei + START + slice_of(9)).entry for sei in (at_once, later, text, b"")]
    assert looks == ["open", "", "open", ""]


def test_the_tier_of_hevc_is_read_from_both_ways_of_writing(tmp_path):
    for container in ("mp4", "mpegts"):
        for tier in (0, 1):
            options = dict(HEVC)
            options["x265-params"] += f":high-tier={tier}:vbv-maxrate=30000:vbv-bufsize=30000"
            path = film(tmp_path / f"{tier}.{container}", "libx265", options=options, container=container, numbers=range(3))
            with av.open(str(path)) as given:
                assert is_high_tier(given.streams.video[0].codec_context.extradata) is bool(tier)
            assert look(path).high_tier is bool(tier)


def test_the_rate_of_mpeg2_is_the_streams_own(tmp_path):
    for rate in (Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)):
        path = film(tmp_path / "film.mpg", "mpeg2video", options=MPEG2, container="vob", rate=rate, numbers=range(3))
        with av.open(str(path)) as given:
            assert rate_of(given.streams.video[0].codec_context.extradata) == rate
    assert rate_of(b"") is None and rate_of(b"\0\0\1\xb3abc") is None
