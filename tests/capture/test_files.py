"""Videos and folders of pictures, played as if live."""

import os
import struct
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import write_video

from capture.source import BadPicture, SourceMissing
from capture.sources import open_source
from capture.sources.files import _parse, read_picture
from capture.sources.testcard import TestCard, read_strip


def play(spec):
    """Every frame of a source."""
    source = open_source(spec)
    found = []
    while (frame := source.read()) is not None:
        found.append(frame)
    source.close()
    return source, found


def numbers(frames):
    return [read_strip(frame.array()) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_a_video_plays_every_frame_in_order_at_its_own_rate(video, suffix):
    path = video(30, rate=25, suffix=suffix)
    begun = time.monotonic()
    source, frames = play(f"file:{path}")
    assert time.monotonic() - begun >= 29 / 25 - 0.001
    assert [frame.number for frame in frames] == list(range(30)) == numbers(frames)
    assert np.allclose(np.diff([frame.time for frame in frames]), 1 / 25, atol=0.003)
    assert source.format.rate == 25 and source.flaws == [] and not source.live


def test_frames_stay_as_they_were_decoded_and_say_that_they_were_compressed(video):
    source, frames = play(f"file:{video(3)}")
    assert isinstance(frames[0].image, av.VideoFrame) and frames[0].image.format.name == "yuv420p" == source.format.pixels
    assert frames[0].losses[0].codec == "h264" and frames[0].losses[0].ratio > 1


def test_a_slow_reader_loses_nothing_it_is_only_late(video):
    source = open_source(f"file:{video(30)}")
    found = []
    while (frame := source.read()) is not None:
        if frame.number == 5:
            time.sleep(1.2)
        found.append(frame)
    assert numbers(found) == list(range(30))


def test_a_looped_video_goes_on_with_new_numbers(video):
    source = open_source(f"file:{video(10)}?loop")
    found = [source.read() for _ in range(25)]
    assert [frame.number for frame in found] == list(range(25))
    assert numbers(found) == [number % 10 for number in range(25)]
    assert np.allclose(np.diff([frame.time for frame in found]), 1 / 25, atol=0.003)
    source.close()
    assert source.read() is None


def test_a_rate_of_ones_own_replaces_the_videos(video):
    source = open_source(f"file:{video(10)}?rate=100")
    begun = time.monotonic()
    while source.read():
        pass
    assert time.monotonic() - begun < 10 / 25 and source.format.rate == 100


def test_a_question_mark_may_be_part_of_a_name(tmp_path):
    assert _parse("file:/a/what?.mp4") == (Path("/a/what?.mp4"), False, None)
    assert _parse("file:/a/what?.mp4?loop&rate=5") == (Path("/a/what?.mp4"), True, Fraction(5))


def test_a_video_that_was_cut_off_gives_what_can_be_read_and_says_so(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", 60, options={"preset": "ultrafast"}, container=None)
    moved = tmp_path / "front.mp4"
    with av.open(str(whole)) as given, av.open(str(moved), "w", options={"movflags": "faststart"}) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(moved.read_bytes()[: moved.stat().st_size * 2 // 3])
    source, frames = play(f"file:{torn}?rate=200")
    assert 10 < len(frames) < 60 and numbers(frames) == list(range(len(frames)))
    assert any(f"{len(frames)} of its 60 frames" in words for words in source.flaws)


def test_damage_in_the_middle_is_passed_over_and_said(tmp_path):
    path = write_video(tmp_path / "a.ts", 50, options={"preset": "ultrafast", "g": "5"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 8] = os.urandom(188 * 8)
    path.write_bytes(data)
    source, frames = play(f"file:{path}?rate=200")
    shown = [number for number in numbers(frames) if number is not None]
    assert shown[0] == 0 and shown[-1] == 49 and len(shown) >= 35
    assert source.flaws and "damaged" in source.flaws[0]


def test_pictures_of_a_folder_come_in_the_order_people_mean(tmp_path):
    card = TestCard(320, 240, Fraction(1))
    for number, name in enumerate(("p1.png", "p2.jpg", "p10.bmp", "p20.tif")):
        cv2.imwrite(str(tmp_path / name), card.draw(number, 0.0).to_ndarray(format="bgr24"))
    (tmp_path / "notes.txt").write_text("no picture")
    source, frames = play(f"file:{tmp_path}?rate=20")
    assert numbers(frames) == [0, 1, 2, 3] and [frame.number for frame in frames] == [0, 1, 2, 3]
    assert source.format.rate == 20 and source.format.pixels == "rgb24"
    assert [bool(frame.losses) for frame in frames] == [False, True, False, False], "only the JPEG was compressed"


def test_without_a_rate_a_folder_shows_one_picture_a_second(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((64, 64), np.uint8))
    begun = time.monotonic()
    source, frames = play(f"file:{tmp_path}")
    assert time.monotonic() - begun >= 0.99 and len(frames) == 2 and source.format.pixels == "gray"


def test_a_corrupt_picture_in_a_folder_is_a_lost_frame_with_a_name(tmp_path):
    card = TestCard(320, 240, Fraction(1))
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), card.draw(number, 0.0).to_ndarray(format="bgr24"))
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    source, frames = play(f"file:{tmp_path}?rate=50")
    assert [frame.number for frame in frames] == [0, 2] and "1.png" in source.flaws[0]


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    _, frames = play(f"file:{tmp_path / 'deep.png'}")
    assert np.array_equal(frames[0].array(), deep) and frames[0].format.pixels == "gray16le"


def test_a_photograph_stands_upright_by_its_exif(tmp_path):
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = 255
    plain = cv2.imencode(".jpg", picture)[1].tobytes()
    tag = struct.pack(">HHHII", 1, 0x0112, 3, 1, 6 << 16)  # orientation 6: turned to the right to stand
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + tag + bytes(4)
    path = tmp_path / "a.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    upright = read_picture(path)
    assert upright.shape == (80, 40, 3)
    assert upright[:30].mean() > 200 and upright[50:].mean() < 50, "what was left is now above"


def test_a_header_that_promises_a_huge_picture_is_refused(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(BadPicture, match=r"huge\.png"):
        open_source(f"file:{tmp_path / 'huge.png'}")


@pytest.mark.parametrize(
    ("name", "content"), [("empty.mp4", b""), ("text.mp4", b"hello\n" * 200), ("text.jpg", b"hello"), ("empty.png", b"")]
)
def test_a_file_that_is_not_what_its_name_says_is_refused_in_words(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadPicture, match=name.replace(".", r"\.")) as caught:
        open_source(f"file:{tmp_path / name}")
    assert caught.value.advice


def test_what_is_not_there_is_missing(tmp_path):
    with pytest.raises(SourceMissing, match="no file or folder"):
        open_source(f"file:{tmp_path / 'none.mp4'}")
    with pytest.raises(SourceMissing, match="no picture"):
        open_source(f"file:{tmp_path}")


def test_untagged_colour_is_settled_where_it_enters(tmp_path):
    fast = {"preset": "ultrafast"}
    small, large = (write_video(tmp_path / f"{size[1]}.mp4", 2, size, options=fast) for size in ((320, 240), (1280, 720)))
    assert [int(play(f"file:{path}")[1][0].image.colorspace) for path in (small, large)] == [6, 1], "BT.601 and BT.709"


def test_the_real_laparoscopy_plays_where_the_samples_are(video):
    shared = Path(__file__).parents[2].parent / "shared" / "data" / "1_endoscopy" / "laparoscopy_endo.mp4"
    path = shared if shared.is_file() else video(250, rate=25)
    source = open_source(f"file:{path}?rate=240")
    count = 0
    while source.read():
        count += 1
    assert count == 250 and source.flaws == []
