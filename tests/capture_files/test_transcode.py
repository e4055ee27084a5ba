"""Encoding again: every frame once, legal shapes, upright, honest words; and nothing lost where frames are wanted."""

import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from file_samples import H264, again, fields, film, numbers_of, pictures, read_number

from capture.frame import Clip
from capture.picture import read_frames
from capture.video import Wish, load_video


def transcoded(path, tmp_path, becomes="auto", limit=10**9) -> list[Clip]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return list(load_video(path, scratch, limit, Wish(lambda facts: "the test says so", becomes)))


def stream_words(clip: Clip) -> dict[str, str]:
    """What ffprobe, an independent build, says of the stream."""
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-of", "default=nw=1", "-show_entries",
         "stream=codec_name,profile,level,width,height,pix_fmt,field_order,sample_aspect_ratio,avg_frame_rate,nb_read_frames,"
         "color_range", str(clip.path)], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def test_odd_sizes_are_padded_and_every_frame_arrives_once(tmp_path):
    source = film(
        tmp_path / "odd.webm", "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}, size=(321, 241), rate=24,
        bframes=0, numbers=range(40),
    )  # fmt: skip
    (clip,) = transcoded(source, tmp_path)
    told = stream_words(clip)
    assert (told["codec_name"], told["profile"], told["level"]) == ("h264", "High", "41")
    assert (told["width"], told["height"], told["pix_fmt"], told["nb_read_frames"]) == ("322", "242", "yuv420p", "40")
    assert (clip.format.width, clip.format.height, clip.frames, clip.format.rate) == (322, 242, 40, 24)
    assert numbers_of(clip.path) == list(range(40))
    assert "padded with black to 322 × 242" in clip.derivation and "lossy already (vp9)" in clip.derivation
    assert [loss.codec for loss in clip.losses] == ["vp9", "h264"], "the loss before ours is said, too"
    before, after = pictures(source), pictures(clip.path)
    worst = max(np.abs(one.astype(int) - other[:241, :321]).mean() for one, other in zip(before, after, strict=True))
    assert worst < 6


def test_pixels_that_are_not_square_go_to_the_codec_that_knows_them(tmp_path):
    source = film(
        tmp_path / "pal.avi", "mjpeg", size=(720, 576), pixels="yuvj420p", aspect=Fraction(16, 15), bframes=0,
        numbers=range(12), container="avi",
    )  # fmt: skip
    (clip,) = transcoded(source, tmp_path)
    assert (clip.codec, clip.container, clip.format.aspect, clip.level) == ("mpeg2video", "mpeg", Fraction(16, 15), 8)
    assert stream_words(clip)["sample_aspect_ratio"] == "16:15"
    assert numbers_of(clip.path) == list(range(12))
    assert [loss.codec for loss in clip.losses] == ["jpeg", "mpeg2video"] and all(loss.ratio > 1 for loss in clip.losses)
    (square,) = transcoded(source, tmp_path, "h264")
    assert (square.format.width, square.format.height, square.format.aspect) == (768, 576, 1)
    assert "scaled from 720 × 576 to 768 × 576" in square.derivation


def test_interlaced_video_stays_interlaced_with_its_field_order(tmp_path):
    for order, sign in (("tff", "tt"), ("bff", "bb")):
        source = film(
            tmp_path / f"{order}.mpg", "mpeg2video", pixels="yuv422p", prepare=fields(order), container="vob",
            options={"b": "6000000", "flags": "+ildct+ilme"}, numbers=range(12), size=(720, 576),
        )  # fmt: skip
        for becomes in ("h264", "mpeg2"):
            (clip,) = transcoded(source, tmp_path, becomes)
            assert (clip.format.field_order, stream_words(clip)["field_order"]) == (order, sign)
            assert numbers_of(clip.path) == list(range(12))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_camera_that_was_held_turned_gives_an_upright_picture(angle, tmp_path):
    plain = film(tmp_path / "plain.mp4", numbers=range(5))
    turned = again(plain, tmp_path / "turned.mp4", rotation=angle if angle < 180 else angle - 360)
    # it is encoded again even where the stream itself could go as it is
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (clip,) = load_video(turned, scratch, 10**9, Wish(lambda facts: ""))
    expected = [np.rot90(picture, angle // 90) for picture in pictures(plain)]
    assert (clip.format.width, clip.format.height) == (expected[0].shape[1], expected[0].shape[0])
    worst = max(np.abs(one.astype(int) - other).mean() for one, other in zip(expected, pictures(clip.path), strict=True))
    assert worst < 5
    assert f"turned by {angle} degrees" in clip.derivation


def test_a_rate_that_mpeg2_does_not_know_is_said_in_words(tmp_path):
    source = film(tmp_path / "slow.mp4", rate=10, numbers=range(20))
    (clip,) = transcoded(source, tmp_path, "mpeg2")
    assert clip.format.rate in (25, 30) and stream_words(clip)["avg_frame_rate"] == f"{clip.format.rate}/1"
    seen = numbers_of(clip.path)
    assert sorted(set(seen)) == list(range(20)) and seen == sorted(seen) and clip.frames == len(seen)
    assert "repeated or left out to come from 10 to 25 per second" in clip.derivation


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (1440, 1080)])
def test_mpeg2_hd_has_one_of_its_two_sizes_and_no_distortion(size, tmp_path):
    source = film(tmp_path / "film.mp4", size=size, numbers=range(3), options=H264 | {"profile": "high"})
    (clip,) = transcoded(source, tmp_path, "mpeg2-hd")
    assert (clip.format.width, clip.format.height) in ((1280, 720), (1920, 1080)) and clip.level == 4
    assert stream_words(clip)["sample_aspect_ratio"] == "1:1"
    picture = pictures(clip.path)[0]
    scale = min(clip.format.width / size[0], clip.format.height / size[1])
    left = round((clip.format.width - size[0] * scale) / 2)
    inner = picture[:, left + 2 : clip.format.width - left - 2]
    assert abs(inner.shape[1] / inner.shape[0] - size[0] / size[1]) < 0.02
    assert picture[:, : max(left - 2, 0)].size == 0 or picture[:, : left - 2].max() < 20


def test_uneven_times_survive(tmp_path):
    times = list(np.cumsum([0.04, 0.04, 0.2, 0.03] * 6))
    source = film(tmp_path / "uneven.mkv", "libvpx-vp9", times=times, bframes=0, numbers=range(24),
                  options={"deadline": "realtime", "cpu-used": "8"})  # fmt: skip
    (clip,) = transcoded(source, tmp_path)
    assert np.allclose(clip.times, np.array(times) - times[0], atol=0.0015)
    with av.open(str(clip.path)) as given:
        shown = [frame.time for frame in given.decode(given.streams.video[0])]
    assert np.allclose(np.array(shown) - shown[0], clip.times, atol=0.0015)


@pytest.mark.parametrize("becomes", ["h264", "mpeg2"])
def test_what_would_be_too_large_becomes_several_files_with_nothing_between(becomes, tmp_path):
    source = film(tmp_path / "film.mkv", "ffv1", numbers=range(100), bframes=0, options={}, size=(480, 360), grain=1.0)
    (whole,) = transcoded(source, tmp_path, becomes)
    limit = max(whole.path.stat().st_size * 2 // 3, 1_000_000)
    whole.path.unlink()
    clips = transcoded(source, tmp_path, becomes, limit)
    assert len(clips) > 1 and all(clip.path.stat().st_size < limit for clip in clips)
    assert [number for clip in clips for number in numbers_of(clip.path)] == list(range(100))
    gap = (clips[1].captured - clips[0].captured).total_seconds()
    assert abs(gap - clips[0].frames / 25) < 0.001


def test_whoever_wants_single_frames_gets_them_without_another_loss(tmp_path):
    films = [
        film(tmp_path / "a.avi", "mjpeg", pixels="yuvj422p", bframes=0, container="avi", numbers=range(9)),
        film(tmp_path / "b.mov", "qtrle", pixels="rgb24", bframes=0, numbers=range(9)),
        film(tmp_path / "c.avi", "mpeg4", container="avi", numbers=range(9)),
        again(film(tmp_path / "d.mp4", numbers=range(9)), tmp_path / "turned.mp4", rotation=90),
    ]
    for source in films:
        (clip,) = transcoded(source, tmp_path, "frames")
        given = list(read_frames(clip))
        before = pictures(source)
        if source.name == "turned.mp4":
            before = [np.rot90(picture) for picture in before]
        assert clip.frames == len(given) == 9
        worst = max(np.abs(one.astype(int) - other).max() for one, other in zip(before, given, strict=True))
        assert worst <= 2, f"{source.name}: only rounding from YUV to RGB may differ"


def test_damage_in_the_middle_is_passed_over_and_said(tmp_path):
    source = film(tmp_path / "film.avi", "mpeg4", container="avi", numbers=range(60), bframes=0, gop=5, grain=0.8)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    source.write_bytes(data)
    (clip,) = transcoded(source, tmp_path)
    with av.open(str(clip.path)) as given:
        frames = [frame.to_ndarray(format="gray") for frame in given.decode(given.streams.video[0])]
    assert clip.frames == len(frames) > 40
    assert read_number(frames[0]) == 0 and read_number(frames[-1]) == 59
    assert clip.flaws


def test_every_target_is_what_it_says(tmp_path):
    source = film(tmp_path / "film.mkv", "ffv1", numbers=range(6), bframes=0, options={}, pixels="yuv420p10le")
    for becomes, codec, profile in (("h264", "h264", "High"), ("hevc", "hevc", "Main"), ("mpeg2", "mpeg2video", "Main")):
        (clip,) = transcoded(source, tmp_path, becomes)
        told = stream_words(clip)
        assert (told["codec_name"], told["profile"], int(told["level"])) == (codec, profile, clip.level)
        assert (clip.codec, clip.profile, told["pix_fmt"]) == (codec, profile, "yuv420p")
        assert "reduced to 8 bits" in clip.derivation
