"""Recording: every frame, in order, in a stream that DICOM allows; losses named, never silent."""

import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import Opener, Script, frames

from capture.frame import Format, Frame, Loss
from capture.picture import read_frames
from capture.recorder import Recorder
from capture.source import CaptureError, EncoderMissing
from capture.sources import open_source
from capture.sources.testcard import TestCard, read_strip
from capture.tap import Tap

CODECS = {"mpeg2": "mpeg2video", "h264": "h264", "hevc": "hevc", "raw": "raw"}


def record(reader, folder, codec, **how):
    """Follow a reader, then close the clip."""
    recorder = Recorder(folder, codec)
    recorder.follow(reader, **how)
    return recorder.stop()


def recorded(opener, folder, codec="h264", **how):
    """Record through a tap."""
    tap = Tap(opener)
    reader = tap.subscribe()
    tap.start()
    try:
        return record(reader, folder, codec, **how)
    finally:
        tap.stop()


def numbers(clip):
    return [read_strip(frame) for frame in read_frames(clip)]


def written(folder, codec, given):
    """Write these frames with a recorder of their own."""
    recorder = Recorder(folder, codec)
    for frame in given:
        recorder.write(frame)
    return recorder.stop()


def card_frames(count, size=(320, 240), rate=25, **changes):
    card = TestCard(*size, Fraction(rate))
    shape = replace(card.format, **changes)
    return [Frame(number, 100 + number / rate, card.draw(number, 0.0), shape) for number in range(count)]


def probed(path, words):
    """What ffprobe says of the stream."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        f"stream={words}",
        "-of",
        "default=nw=1",
        path,
    ]
    lines = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout.split()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_of_a_file_played_live_is_in_the_clip(video, tmp_path, codec):
    path = video(60, rate=50)
    clip = recorded(lambda: open_source(f"file:{path}"), tmp_path, codec, seconds=1)
    assert numbers(clip) == list(range(50)), "exactly N·R frames, from the first one on"
    assert (clip.frames, clip.codec, clip.format.rate, clip.times, clip.flaws) == (50, CODECS[codec], 50, (), ())
    assert [loss.codec for loss in clip.losses] == ["h264"] + ([CODECS[codec]] if codec != "raw" else [])
    assert all(loss.ratio >= 1 for loss in clip.losses)


@pytest.mark.parametrize(("rate", "seconds", "count"), [("30000/1001", 1.0, 30), ("25", 0.5, 12), ("12.5", 0.3, 4)])
def test_n_seconds_are_round_n_times_r_frames(tmp_path, rate, seconds, count):
    clip = recorded(lambda: open_source(f"testcard:320x240@{rate}"), tmp_path, "h264", seconds=seconds)
    assert clip.frames == count == len(numbers(clip))


def test_a_recording_ends_when_it_is_told_to(tmp_path):
    tap = Tap(lambda: open_source("testcard:320x240@50"))
    reader, stop = tap.subscribe(), threading.Event()
    threading.Timer(0.6, stop.set).start()
    tap.start()
    clip = record(reader, tmp_path, "mpeg2", stop=stop)
    tap.stop()
    assert 10 < clip.frames < 100 and numbers(clip) == list(range(clip.frames))


def test_what_came_before_the_word_to_stop_is_in_the_clip(tmp_path):
    """The encoder is behind when Stop is pressed: the frames that wait were seen, and belong to the clip."""
    tap = Tap(Opener(Script([*frames(*range(40)), ("hang",)], rate=25)))
    reader, stop = tap.subscribe(), threading.Event()
    tap.start()
    while tap.wait_frame(38, 5) is None:
        continue
    stop.set()
    clip = record(reader, tmp_path, "h264", stop=stop)
    tap.stop()
    assert numbers(clip) == list(range(40)) and clip.flaws == ()


@pytest.mark.parametrize("seconds", [0.001, 0.04])
def test_the_shortest_clip_has_one_frame(tmp_path, seconds):
    assert recorded(Opener(Script(frames(*range(9)), rate=25)), tmp_path, seconds=seconds).frames == 1


def test_a_recording_ends_when_whoever_looks_after_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("capture.recorder._LOOK", 0.1)
    clip = recorded(lambda: open_source("testcard:320x240@50"), tmp_path, look=lambda: "the disk is nearly full")
    assert 1 <= clip.frames < 50 and clip.flaws == ("the disk is nearly full",)


def test_the_codec_may_be_chosen_by_the_first_frame(tmp_path):
    seen = []
    clip = recorded(Opener(Script(frames(*range(9)), rate=25)), tmp_path, lambda frame: seen.append(frame.number) or "mpeg2")
    assert clip.codec == "mpeg2video" and clip.frames == 9 and seen == [0]


def test_frames_that_this_machine_lost_are_said(tmp_path):
    tap = Tap(Opener(Script(frames(*range(60)), rate=250)))
    reader = tap.subscribe(20)
    tap.start()
    while not reader.ended:
        tap.wait_frame(1000, 0.05)
    clip = record(reader, tmp_path, "h264")
    tap.stop()
    assert clip.frames == 20 and any("did not keep up" in words for words in clip.flaws)


def test_missing_frames_are_named_and_timed(tmp_path):
    given = [frame for frame in card_frames(30) if frame.number not in (10, 11, 20)]
    clip = written(tmp_path, "h264", given)
    assert clip.frames == 27 and numbers(clip) == [frame.number for frame in given]
    assert clip.flaws == ("2 frames are missing after frame 10 (0.40 s)", "1 frame is missing after frame 18 (0.72 s)")
    assert clip.times == tuple(round(frame.number / 25, 6) for frame in given)


def test_lost_frames_count_as_time_that_passed(tmp_path):
    clip = recorded(Opener(Script(frames(*range(20), *range(30, 80)), rate=25)), tmp_path, seconds=2)
    assert numbers(clip) == [*range(20), *range(30, 50)] and "10 frames are missing" in clip.flaws[0]


def test_a_rate_that_is_not_constant_is_written_down(tmp_path):
    given = [replace(frame, time=100 + frame.number**1.5 / 25) for frame in card_frames(10)]
    clip = written(tmp_path, "h264", given)
    assert clip.flaws == () and clip.times == tuple(round(number**1.5 / 25, 6) for number in range(10))


def test_the_clip_so_far_is_kept_when_the_device_is_unplugged(tmp_path):
    clip = recorded(Opener(Script([*frames(*range(25)), ("lost",)])), tmp_path, seconds=10)
    assert numbers(clip) == list(range(25)) and clip.flaws == ("the scripted camera was unplugged",)


def test_a_changed_size_ends_the_clip_and_is_said(tmp_path):
    recorder = Recorder(tmp_path, "h264")
    for frame in card_frames(5):
        recorder.write(frame)
    with pytest.raises(CaptureError, match="from 320×240 to 640×480"):
        recorder.write(card_frames(1, (640, 480))[0])
    clip = recorder.stop()
    assert clip.frames == 5 and "the picture changed from 320×240 to 640×480" in clip.flaws[0]


def test_a_slow_encoder_makes_the_writer_wait_not_lose(tmp_path):
    clip = written(tmp_path, "hevc", card_frames(40, (640, 480)))
    assert numbers(clip) == list(range(40)) and clip.flaws == ()


@pytest.mark.parametrize(
    ("codec", "shape", "want"),
    [
        ("mpeg2", {}, {"profile": "Main", "level": "8", "field_order": "progressive"}),
        ("mpeg2", {"field_order": "tff"}, {"field_order": "tt", "level": "8"}),
        ("mpeg2", {"field_order": "bff"}, {"field_order": "bb"}),
        ("mpeg2-hd", {}, {"profile": "Main", "level": "4"}),
        ("h264", {}, {"profile": "High", "level": "41", "field_order": "progressive", "has_b_frames": "0"}),
        ("h264", {"field_order": "tff"}, {"profile": "High", "field_order": "tt"}),
        ("hevc", {}, {"profile": "Main", "level": "153"}),
    ],
)
def test_the_stream_is_what_dicom_allows(tmp_path, codec, shape, want):
    given = card_frames(12, (720, 576), aspect=Fraction(16, 15), **shape)
    clip = written(tmp_path, codec, given)
    found = probed(clip.path, "profile,level,field_order,has_b_frames,pix_fmt,color_range,color_space,sample_aspect_ratio")
    assert {key: found[key] for key in want} == want
    assert found["pix_fmt"] == "yuv420p" and found["color_range"] == "tv" and found["color_space"] == "bt470bg"
    assert found["sample_aspect_ratio"] == "16:15" == str(clip.format.aspect).replace("/", ":")
    assert (clip.profile, clip.level) == (found["profile"], int(found["level"]))


@pytest.mark.parametrize(
    ("size", "level", "space"), [((1280, 720), 41, "bt709"), ((1920, 1080), 41, "bt709"), ((1920, 1080), 42, "bt709")]
)
def test_level_and_colours_follow_the_size_and_rate(tmp_path, size, level, space):
    clip = written(tmp_path, "h264", card_frames(3, size, 60 if level == 42 else 30))
    found = probed(clip.path, "level,color_space,color_primaries,color_transfer")
    assert (int(found["level"]), found["color_space"], found["color_primaries"], found["color_transfer"]) == (
        level,
        space,
        space,
        space,
    )


def test_every_group_of_pictures_is_closed_and_begins_twice_a_second(tmp_path):
    clip = written(tmp_path, "mpeg2", card_frames(50))
    data = b""
    with av.open(str(clip.path)) as container:
        kinds = []
        for packet in container.demux(video=0):
            data += bytes(packet) if packet.size else b""
            kinds += [packet.is_keyframe] if packet.size else []
    headers = [data[at + 7] for at in range(len(data)) if data.startswith(b"\0\0\1\xb8", at)]
    assert len(headers) == sum(kinds) == 5 and all(byte & 0x40 for byte in headers), (
        "closed_gop is set (ISO 13818-2 6.2.2.6)"
    )


@pytest.mark.parametrize("codec", ["mpeg2", "h264", "raw"])
@pytest.mark.parametrize(("pixels", "depth"), [("rgb24", np.uint8), ("gray", np.uint8), ("gray16le", np.uint16)])
def test_arrays_are_recorded_with_their_colours(tmp_path, codec, pixels, depth):
    picture = np.zeros((240, 320, 3), depth)
    full = np.iinfo(depth).max
    picture[:, :160] = (full * 200 // 255, full * 60 // 255, full * 40 // 255)
    picture[:, 160:] = (full * 30 // 255, full * 90 // 255, full * 220 // 255)
    if pixels != "rgb24":
        picture = picture[..., 0].copy()
    shape = Format(320, 240, Fraction(25), pixels)
    clip = written(tmp_path, codec, [Frame(number, number / 25, picture, shape) for number in range(5)])
    back = list(read_frames(clip))
    assert len(back) == 5
    if codec == "raw":
        assert clip.format.pixels == pixels and all(np.array_equal(one, picture) for one in back) and clip.losses == ()
        return
    for place in (80, 240):
        want = picture[120, place].astype(float) * 255 / full
        assert np.abs(back[4][120, place] - want).max() < 6, "the colours come back, range and matrix included"


def test_our_colours_are_the_ones_that_ffmpeg_sees(tmp_path):
    clip = written(tmp_path, "h264", card_frames(2, (1280, 720)))
    command = ["ffmpeg", "-v", "error", "-i", str(clip.path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    theirs = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8).reshape(
        2, 720, 1280, 3
    )
    for mine, other in zip(read_frames(clip), theirs, strict=True):
        assert np.abs(mine.astype(int) - other).mean() < 1.5


def test_an_odd_size_is_made_even_and_that_is_said(tmp_path):
    clip = written(tmp_path, "h264", card_frames(5, (371, 241)))
    assert (clip.format.width, clip.format.height) == (372, 242) and "1 columns and 1 rows repeated" in clip.derivation
    assert next(read_frames(clip)).shape == (242, 372, 3)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/capture")
from test_recorder import card_frames, numbers
from capture.recorder import Recorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for codec in ("mpeg2", "h264", "raw"):
    recorder, failed = Recorder(Path(sys.argv[1]), codec), ""
    try:
        for frame in card_frames(300, (160, 120) if codec == "raw" else (320, 240)):
            recorder.write(frame)
    except OSError as error:
        failed = str(error)
    if codec == "raw":
        assert failed
        clip = recorder.stop()
        assert numbers(clip) == [0], "one whole frame fitted"
    else:
        clip = recorder.stop()
        seen = numbers(clip)
        assert clip.frames == len(seen) > 5 and seen[:-1] == list(range(len(seen) - 1)), (clip.frames, seen)
    assert any("stopped early: File too large" in words for words in clip.flaws), (failed, clip.flaws)
    print("kept")
"""


def test_a_full_disk_keeps_the_clip_so_far(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ["kept"] * 3, done.stderr


def test_what_a_codec_cannot_carry_is_refused_at_the_first_frame(tmp_path):
    for codec, size, rate, words in [
        ("mpeg2", (320, 240), 10, "10 frames per second"),
        ("h264", (3840, 2160), 30, "level 4.2"),
        ("mpeg2", (3840, 2160), 30, "MP@HL"),
        ("vp9", (320, 240), 25, "no video codec"),
    ]:
        recorder = Recorder(tmp_path, codec)
        with pytest.raises(EncoderMissing, match=words):
            recorder.write(Frame(0, 0.0, np.zeros(size[::-1], np.uint8), Format(*size, Fraction(rate), "gray")))
        with pytest.raises(CaptureError, match="nothing was recorded"):
            recorder.stop()
    assert list(tmp_path.iterdir()) == []


def test_what_is_noted_becomes_a_flaw(tmp_path):
    recorder = Recorder(tmp_path, "h264")
    for frame in card_frames(3):
        recorder.write(frame)
    recorder.note("the light source flickered")
    assert recorder.stop().flaws == ("the light source flickered",)


def test_earlier_losses_stay_with_the_clip(tmp_path):
    given = [replace(frame, losses=(Loss("jpeg", 8.0),)) for frame in card_frames(3)]
    assert [loss.codec for loss in written(tmp_path, "mpeg2", given).losses] == ["jpeg", "mpeg2video"]


def test_an_interlaced_file_stays_interlaced(tmp_path):
    given = card_frames(10, (720, 576), field_order="tff", aspect=Fraction(16, 15))
    woven = written(tmp_path, "mpeg2", given).path
    source = open_source(f"file:{woven}")
    source.close()
    assert source.format.field_order == "tff" and source.format.aspect == Fraction(16, 15)
    clip = recorded(lambda: open_source(f"file:{woven}"), tmp_path / "again", "h264", seconds=0.4)
    assert clip.frames == 10 and probed(clip.path, "field_order")["field_order"] == "tt"
