"""What is left of a recording after kill -9: all but the last moment, as a clip that says so."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import pytest

from capture.frame import Frame
from capture.picture import read_frames
from capture.recorder import Recorder, salvage
from capture.sources.testcard import TestCard, read_strip

RECORD = """
import sys
from pathlib import Path
from capture.recorder import Recorder
from capture.sources import open_source
from capture.tap import Tap
tap = Tap(lambda: open_source(sys.argv[1]))
reader = tap.subscribe()
tap.start()
while (first := tap.wait_frame(-1, 5)) is None:
    pass
print("recording", flush=True)
Recorder(Path(sys.argv[2]), sys.argv[3]).follow(reader, seconds=60)
"""


def killed(folder, codec, spec, seconds):
    """A recording that is killed in the middle; returns how long it ran by then, in seconds, and its file."""
    command = [sys.executable, "-c", RECORD, spec, str(folder), codec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "recording\n"
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        until = time.time()
    (path,) = [one for one in folder.iterdir() if one.suffix != ".journal"]
    return path, until


@pytest.mark.parametrize("codec", ["mpeg2", "h264", "raw"])
def test_a_killed_recording_loses_less_than_a_second_and_says_so(tmp_path, codec):
    path, until = killed(tmp_path, codec, "testcard:320x240@25", 2.5)
    clip = salvage(path)
    numbers = [read_strip(frame) for frame in read_frames(clip)]
    assert numbers == list(range(clip.frames)), "whole frames, in order, none half written"
    assert clip.frames >= 25 and clip.captured.timestamp() + clip.seconds > until - 1.0
    assert any("cut off by a crash" in words for words in clip.flaws)
    assert clip.path == path and clip.format.rate == 25
    assert salvage(path) == clip, "salvaging once more takes nothing away"
    assert sorted(one.suffix for one in tmp_path.iterdir()) == sorted([".journal", path.suffix])


def whole(folder, codec="h264", count=40, skip=()):
    card, recorder = TestCard(320, 240, Fraction(25)), Recorder(folder, codec)
    for number in range(count):
        if number not in skip:
            recorder.write(Frame(number, 100 + number / 25, card.draw(number, 0.0), card.format))
    return recorder.stop()


@pytest.mark.parametrize("codec", ["mpeg2", "h264", "hevc", "raw"])
def test_a_recording_that_had_ended_is_salvaged_as_it_was(tmp_path, codec):
    clip = whole(tmp_path, codec, skip=(7, 8))
    again = salvage(clip.path)
    assert again == clip and again.flaws == ("2 frames are missing after frame 7 (0.28 s)",)


def test_gaps_before_the_crash_are_still_named(tmp_path):
    clip = whole(tmp_path, skip=(7, 8))
    journal = clip.path.with_suffix(".journal")
    journal.write_text(journal.read_text().replace('{"end": 38}\n', "[38, 10"))
    saved = salvage(clip.path)
    assert saved.frames == 37 and "2 frames are missing after frame 7" in saved.flaws[0] and "cut off" in saved.flaws[1]
    assert saved.times[6:8] == (0.24, 0.36)


def test_a_journal_behind_its_file_takes_no_frame_away(tmp_path):
    clip = whole(tmp_path)
    journal = clip.path.with_suffix(".journal")
    journal.write_text("\n".join(journal.read_text().split("\n")[:21]))
    saved = salvage(clip.path)
    assert saved.frames == 39 and saved.times == () and len(list(read_frames(saved))) == 39


@pytest.mark.parametrize("codec", ["mpeg2", "h264", "hevc"])
def test_without_its_journal_a_video_still_tells_what_it_is(tmp_path, codec):
    clip = whole(tmp_path, codec)
    clip.path.with_suffix(".journal").unlink()
    saved = salvage(clip.path)
    assert (saved.codec, saved.container, saved.profile, saved.level) == (
        clip.codec,
        clip.container,
        clip.profile,
        clip.level,
    )
    assert saved.frames == 39 and (saved.format.width, saved.format.rate) == (320, 25)
    assert any("journal was lost" in words for words in saved.flaws)


def test_a_torn_end_is_cut_away(tmp_path):
    clip = whole(tmp_path, "mpeg2")
    journal = clip.path.with_suffix(".journal")
    journal.write_text(journal.read_text().replace('{"end": 40}\n', ""))
    size = clip.path.stat().st_size
    os.truncate(clip.path, size - size // 3)
    saved = salvage(clip.path)
    numbers = [read_strip(frame) for frame in read_frames(saved)]
    assert 10 < saved.frames < 40 and numbers == list(range(saved.frames))


def test_what_is_no_recording_is_left_alone(tmp_path):
    for name, content in {"how.json": b"{}", "empty.ts": b"", "text.ts": b"hello" * 99, "lone.raw": bytes(9999)}.items():
        (tmp_path / name).write_bytes(content)
        assert salvage(tmp_path / name) is None
        assert (tmp_path / name).read_bytes() == content
    assert salvage(tmp_path / "none.ts") is None


def test_a_recording_with_no_whole_frame_is_nothing(tmp_path):
    clip = whole(tmp_path, "raw", count=1)
    journal = clip.path.with_suffix(".journal")
    journal.write_text(journal.read_text().split("\n")[0])
    os.truncate(clip.path, 1000)
    assert salvage(clip.path) is None
