"""Copying and cutting video: packets unchanged, nothing missing or doubled, whatever the containers and however long."""

import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from file_samples import (
    H264,
    H264_OPEN,
    HEVC,
    HEVC_OPEN,
    MPEG2,
    MPEG2_OPEN,
    again,
    fields,
    film,
    numbers_of,
    packet_sums,
    pictures,
)

from capture.footage import look
from capture.source import BadPicture
from capture.survey import survey
from capture.video import Wish, load_video

ANYTHING = Wish(lambda facts: "")
ROOT = Path(__file__).resolve().parents[2]


def bring(path: Path, tmp_path: Path, limit: int = 10**9, wish: Wish = ANYTHING) -> list:
    """Every clip of a file, each kept under a name of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return list(load_video(path, scratch, limit, wish))


SAMPLES = {
    "h264.mp4": ("libx264", H264, "mp4", "mp4"),
    "h264.mov": ("libx264", H264, "mov", "mp4"),
    "h264.mkv": ("libx264", H264, "matroska", "mp4"),
    "h264.ts": ("libx264", H264, "mpegts", "mpegts"),
    "hevc.mp4": ("libx265", HEVC, "mp4", "mp4"),
    "hevc.ts": ("libx265", HEVC, "mpegts", "mpegts"),
    "mpeg2.mpg": ("mpeg2video", MPEG2, "vob", "mpeg"),
    "mpeg2.ts": ("mpeg2video", MPEG2, "mpegts", "mpeg"),
    "mpeg2.mkv": ("mpeg2video", MPEG2, "matroska", "mpeg"),
    "mpeg2.avi": ("mpeg2video", MPEG2, "avi", "mpeg"),
    "mpeg2.m2v": ("mpeg2video", MPEG2, "mpeg2video", "mpeg"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_stream_goes_in_packet_by_packet_unchanged(name, tmp_path):
    codec, options, container, home = SAMPLES[name]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(40))
    (clip,) = bring(source, tmp_path)
    assert packet_sums(clip.path) == packet_sums(source)
    assert numbers_of(clip.path) == list(range(40))
    assert (clip.frames, clip.container, clip.format.rate, clip.times, clip.flaws) == (40, home, 25, (), ())


@pytest.mark.parametrize("container", ["avi", "h264"])
def test_h264_from_containers_without_times_gets_its_order_from_the_stream(container, tmp_path):
    source = film(tmp_path / f"film.{container}", container=container, numbers=range(40))
    (clip,) = bring(source, tmp_path)
    assert clip.container == "mpegts"
    assert numbers_of(clip.path) == list(range(40))
    assert [np.array_equal(one, other) for one, other in zip(pictures(clip.path), pictures(source), strict=True)] == [
        True
    ] * 40
    with av.open(str(clip.path)) as given:
        times = sorted(packet.pts for packet in given.demux(given.streams.video[0]) if packet.size)
    assert set(np.diff(times)) == {3600}


def test_metadata_sound_and_other_tracks_stay_behind(tmp_path):
    plain = film(tmp_path / "plain.mp4", numbers=range(20))
    tags = {"title": "Mustermann^Erika", "creation_time": "2021-03-04T05:06:07Z", "location": "+48.1+011.5/"}
    source = again(plain, tmp_path / "tagged.mp4", tags=tags, sound=True)
    (clip,) = bring(source, tmp_path)
    whole = clip.path.read_bytes()
    assert b"Mustermann" not in whole and b"+48.1" not in whole and b"Lavf" not in whole
    with av.open(str(clip.path)) as given:
        assert len(given.streams) == 1
        assert not {"title", "location", "creation_time"} & set(given.metadata)
    assert "Sound left out" in clip.derivation and not clip.has_sound
    assert clip.captured.isoformat().startswith("2021-03-04") and clip.captured.tzinfo is not None


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", "hevc.mp4", "mpeg2.mpg", "mpeg2.mkv"])
def test_a_long_film_is_cut_at_closed_entries_without_touching_a_packet(name, tmp_path):
    codec, options, container, home = SAMPLES[name]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(120), grain=0.8)
    limit = source.stat().st_size // 3
    clips = bring(source, tmp_path, limit)
    assert len(clips) > 2
    assert all(clip.path.stat().st_size < limit and clip.container == home for clip in clips)
    assert [sum_ for clip in clips for sum_ in packet_sums(clip.path)] == packet_sums(source)
    assert [number for clip in clips for number in numbers_of(clip.path)] == list(range(120))
    assert [clip.frames for clip in clips] == [len(numbers_of(clip.path)) for clip in clips]
    for before, after in pairwise(clips):
        assert abs((after.captured - before.captured).total_seconds() - before.seconds) < 0.001
    assert clips[1].derivation.startswith(f"Part 2 of {len(clips)}")


OPEN = {
    "open.mpg": ("mpeg2video", MPEG2_OPEN, "vob", {}),
    "open.ts": ("libx264", H264_OPEN, "mpegts", {}),
    "open.mp4": ("libx264", H264_OPEN, "mp4", {}),
    "hevc.mp4": ("libx265", HEVC_OPEN, "mp4", {}),
    "hevc.ts": ("libx265", HEVC_OPEN, "mpegts", {}),
    "fields.mpg": (
        "mpeg2video", MPEG2_OPEN | {"flags": "+ildct+ilme"}, "vob", {"prepare": fields("tff"), "aspect": Fraction(16, 15)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_at_an_open_entry_only_the_leading_pictures_are_encoded_again(name, tmp_path):
    codec, options, container, more = OPEN[name]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(144), grain=1.2, **more)
    before = pictures(source)
    limit = int(source.stat().st_size * 0.8)
    clips = bring(source, tmp_path, limit)
    assert len(clips) >= 2 and all(clip.path.stat().st_size < limit for clip in clips)
    after = [picture for clip in clips for picture in pictures(clip.path)]
    assert [number for clip in clips for number in numbers_of(clip.path)] == list(range(144))
    assert [clip.frames for clip in clips] == [len(pictures(clip.path)) for clip in clips]
    assert not any("Transcoded" in clip.derivation for clip in clips)
    changed = [place for place, (one, other) in enumerate(zip(before, after, strict=True)) if not np.array_equal(one, other)]
    ends = np.cumsum([clip.frames for clip in clips])[:-1]
    assert changed and all(any(end - 4 <= place < end for end in ends) for place in changed)
    worst = max(np.abs(before[place].astype(int) - after[place]).mean() for place in changed)
    assert worst < 6, "encoded again, nearly without loss"
    assert "encoded again at the cut" in clips[0].derivation
    assert {clip.format.field_order for clip in clips} == {"tff" if more else "progressive"}
    # an independent build of FFmpeg has nothing to say about the files
    for clip in clips:
        told = subprocess.run(["ffmpeg", "-v", "error", "-i", clip.path, "-f", "null", "-"], capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")


def test_a_file_that_begins_at_an_open_entry_loses_only_what_nobody_can_decode(tmp_path):
    source = film(tmp_path / "film.ts", "mpeg2video", options=MPEG2_OPEN, container="mpegts", numbers=range(60))
    found = survey(look(source))
    entry = next(one for one in found.entries if one.leading)
    late = tmp_path / "late.ts"
    with av.open(str(source)) as given, av.open(str(late), "w", format="mpegts") as out:
        copy = out.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(given.streams.video[0])):
            if number >= entry.packet and packet.size:
                packet.stream = copy
                out.mux(packet)
    (clip,) = bring(late, tmp_path)
    seen = numbers_of(clip.path)
    assert clip.frames == len(seen) and seen == list(range(seen[0], 60))
    assert clip.frames == 60 - entry.packet - entry.leading
    assert any("build on one that is missing" in flaw for flaw in clip.flaws)


def test_a_stream_without_a_place_to_cut_is_encoded_again(tmp_path):
    source = film(tmp_path / "one.mpg", "mpeg2video", options=MPEG2, container="vob", gop=300, numbers=range(60), grain=1.5)
    limit = source.stat().st_size // 2
    clips = bring(source, tmp_path, limit, Wish(lambda facts: "", "mpeg2"))
    assert all(clip.path.stat().st_size < limit for clip in clips)
    assert [number for clip in clips for number in numbers_of(clip.path)] == list(range(60))
    assert "no place where it could be cut" in clips[0].derivation


def test_uneven_times_are_kept_to_the_millisecond(tmp_path):
    times = list(np.cumsum([0.04, 0.04, 0.11, 0.02, 0.4, 0.04] * 8))
    source = film(tmp_path / "uneven.mp4", numbers=range(48), times=times, bframes=2)
    (clip,) = bring(source, tmp_path)
    assert numbers_of(clip.path) == list(range(48))
    assert np.allclose(clip.times, np.array(times) - times[0], atol=0.001)
    with av.open(str(clip.path)) as given:
        stream = given.streams.video[0]
        stored = sorted(float(packet.pts * stream.time_base) for packet in given.demux(stream) if packet.size)
    assert np.allclose(np.array(stored) - stored[0], clip.times, atol=0.001)


def test_a_clock_that_jumps_back_makes_no_gap_and_loses_nothing(tmp_path):
    one = film(tmp_path / "one.ts", container="mpegts", numbers=range(30))
    two = film(tmp_path / "two.ts", container="mpegts", numbers=range(30, 60))
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    (clip,) = bring(both, tmp_path)
    assert numbers_of(clip.path) == list(range(60)) and clip.frames == 60
    assert clip.times == () and clip.format.rate == 25
    assert any("clock jumps back" in flaw for flaw in clip.flaws)


def test_what_can_be_read_of_a_truncated_video_is_kept_and_marked(tmp_path):
    kinds = {"film.ts": ("mpegts", {}), "film.mpg": ("vob", {}), "film.mkv": ("matroska", {}), "film.avi": ("avi", {}),
             "film.mp4": ("mp4", {"movflags": "+faststart"})}  # fmt: skip
    for name, (container, muxing) in kinds.items():
        codec, options = ("mpeg2video", MPEG2) if container in ("vob", "avi") else ("libx264", H264)
        source = film(
            tmp_path / name, codec, options=options, container=container, muxing=muxing, numbers=range(100), grain=0.8
        )
        data = source.read_bytes()
        source.write_bytes(data[: int(len(data) * 0.61)])
        (clip,) = bring(source, tmp_path)
        assert 40 < clip.frames < 75, name
        assert any("cut off" in flaw for flaw in clip.flaws), name
        seen = numbers_of(clip.path)
        assert clip.frames == len(seen), name
        # pictures travel before those that are shown ahead of them: at the very end some may be missing between
        assert seen[:-4] == list(range(len(seen) - 4)), name


def test_a_video_that_lost_its_index_is_refused_in_words(tmp_path):
    source = film(tmp_path / "film.mp4", numbers=range(50))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadPicture, match="cut off before its index was written"):
        bring(source, tmp_path)


def test_names_are_only_names(tmp_path, monkeypatch):
    """A colon makes no protocol, a percent sign no pattern, and two files of one name keep apart."""
    monkeypatch.chdir(tmp_path)
    plain = film(tmp_path / "plain.mp4", numbers=range(5))
    Path("sub").mkdir()
    clips = []
    for name in ("2026-11-20T10:15:00.mp4", "100%d.mp4", "sub/100%d.mp4", "-dash.mp4"):
        shutil.copy(plain, name)
        clips += bring(Path(name), tmp_path)
    assert len({clip.path for clip in clips}) == 4
    assert all(numbers_of(clip.path) == list(range(5)) and clip.path.is_absolute() for clip in clips)


def test_of_two_videos_in_one_file_the_first_is_taken_and_that_is_said(tmp_path):
    one, two = film(tmp_path / "1.mp4", numbers=range(9)), film(tmp_path / "2.mp4", numbers=range(100, 109))
    both = tmp_path / "both.mkv"
    with av.open(str(one)) as first, av.open(str(two)) as second, av.open(str(both), "w") as out:
        tracks = [(given, out.add_stream_from_template(given.streams.video[0])) for given in (first, second)]
        for given, track in tracks:
            for packet in given.demux(given.streams.video[0]):
                if packet.size:
                    packet.stream = track
                    out.mux(packet)
    (clip,) = bring(both, tmp_path)
    assert numbers_of(clip.path) == list(range(9)) and "The first of 2 videos" in clip.derivation


def test_a_size_that_changes_on_the_way_is_brought_to_one(tmp_path):
    one = film(tmp_path / "1.ts", container="mpegts", numbers=range(20))
    two = film(tmp_path / "2.ts", container="mpegts", numbers=range(20, 40), size=(480, 360))
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    (clip,) = bring(both, tmp_path)
    shapes = {picture.shape for picture in pictures(clip.path)}
    assert shapes == {(240, 320, 3)} and numbers_of(clip.path) == list(range(40))
    assert "change on the way" in clip.derivation


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as out:
        voice = out.add_stream("aac", rate=48000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 48000
        out.mux(voice.encode(tone))
        out.mux(voice.encode(None))
    with pytest.raises(BadPicture, match="no moving picture"):
        bring(path, tmp_path)


_PEAK = """
import os, sys
from pathlib import Path
from capture.video import Wish, load_video
source, scratch, keep = (Path(word) for word in sys.argv[1:4])
for clip in load_video(source, scratch, int(sys.argv[4]), Wish(lambda facts: "")):
    os.link(clip.path, keep / clip.path.name)
    print(clip.path.name, clip.frames)
    clip.path.unlink()
# not ru_maxrss: that remembers the process that started this one
print("peak", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _repeated(source: Path, target: Path, times: int) -> int:
    """The packets of a film over and over; returns how many."""
    count = 0
    with av.open(str(source)) as given:
        stream = given.streams.video[0]
        rows = [(bytes(one), one.pts, one.dts, one.is_keyframe) for one in given.demux(stream) if one.size]
        span = round(len(rows) / 25 / stream.time_base)
        with av.open(str(target), "w", format="vob" if target.suffix == ".mpg" else "mp4") as out:
            copy = out.add_stream_from_template(stream)
            for turn in range(times):
                for data, shown, decoded, is_key in rows:
                    packet = av.Packet(data)
                    packet.pts, packet.dts, packet.is_keyframe = shown + turn * span, decoded + turn * span, is_key
                    packet.time_base, packet.stream = stream.time_base, copy
                    out.mux(packet)
                    count += 1
    return count


@pytest.mark.parametrize("name", ["long.mpg", "long.mp4"])
def test_cutting_takes_the_same_memory_however_long_the_film(name, tmp_path):
    options = (
        {**MPEG2, "b": "40000000", "level": "4"} if name.endswith("mpg") else H264 | {"crf": "8", "preset": "ultrafast"}
    )
    codec = "mpeg2video" if name.endswith("mpg") else "libx264"
    short = film(
        tmp_path / f"short-{name}", codec, options=options, container="vob" if codec == "mpeg2video" else "mp4",
        numbers=range(60), size=(640, 480), grain=1.5,
    )  # fmt: skip
    source = tmp_path / name
    count = _repeated(short, source, times=150_000_000 // short.stat().st_size + 1)
    assert source.stat().st_size > 140_000_000
    scratch, keep = tmp_path / "scratch", tmp_path / "keep"
    scratch.mkdir()
    keep.mkdir()
    limit = 40_000_000
    told = subprocess.run(
        [sys.executable, "-c", _PEAK, str(source), str(scratch), str(keep), str(limit)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    peak = int(told[told.index("peak") + 1])
    assert peak < 160_000, f"{peak} KiB: under 200 MB with room for the rest of the process"
    files = sorted(keep.iterdir())
    frames = [int(told[told.index(file.name) + 1]) for file in files]
    assert len(files) >= 4 and all(file.stat().st_size < limit for file in files)
    assert sum(frames) == count and not list(scratch.iterdir())
    assert [len(packet_sums(file)) for file in files] == frames
    seen = [numbers_of(file) for file in (files[0], files[1])]
    assert [len(one) for one in seen] == frames[:2]
    assert [number for one in seen for number in one] == [place % 60 for place in range(sum(frames[:2]))]
    shutil.rmtree(keep)
