"""Array work: crop, turn, orientation, previews, coded pictures."""

import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction

import cv2
import numpy as np
import pytest

from capture.frame import Clip, Format, Frame, Stream
from capture.picture import crop, decode_stream, fit_width, orient, preview, read_frames, rotate
from capture.source import BadPicture

PICTURE = np.arange(12, dtype=np.uint8).reshape(3, 4)


def test_crop_gives_the_part_and_refuses_what_is_outside():
    assert np.array_equal(crop(PICTURE, 1, 1, 2, 2), [[5, 6], [9, 10]])
    for part in ((-1, 0, 2, 2), (0, 0, 5, 1), (0, 2, 1, 2), (0, 0, 0, 1)):
        with pytest.raises(ValueError, match="is not inside 4×3"):
            crop(PICTURE, *part)


def test_rotate_turns_to_the_right():
    assert rotate(PICTURE, 1)[0].tolist() == [8, 4, 0]
    assert np.array_equal(rotate(rotate(PICTURE, 1), 3), PICTURE) and rotate(PICTURE, 0) is PICTURE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_an_independent_reader(orientation):
    import io

    from PIL import Image, ImageOps

    shown = Image.fromarray(np.repeat(np.repeat(PICTURE * 20, 8, 0), 8, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    shown.save(file, "PNG", exif=exif)
    file.seek(0)
    want = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert np.array_equal(orient(np.asarray(shown), orientation), want)


def test_an_orientation_that_does_not_exist_changes_nothing():
    assert orient(PICTURE, 0) is PICTURE and orient(PICTURE, 99) is PICTURE


def test_a_picture_is_scaled_down_and_never_up():
    assert fit_width(np.zeros((100, 200, 3), np.uint8), 50).shape == (25, 50, 3)
    small = np.zeros((10, 20), np.uint8)
    assert fit_width(small, 50) is small


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(1), (240, 320)), (Fraction(16, 15), (225, 320)), (Fraction(8, 9), (270, 320))]
)
def test_a_preview_has_square_pixels(aspect, size):
    shape = Format(640, 480, Fraction(25), "rgb24", aspect)
    assert preview(Frame(0, 0.0, np.zeros((480, 640, 3), np.uint8), shape), 320).shape == (*size, 3)


def test_a_preview_of_sixteen_bits_shows_the_upper_eight():
    shape = Format(64, 64, Fraction(25), "gray16le")
    shown = preview(Frame(0, 0.0, np.full((64, 64), 0x4321, np.uint16), shape), 32)
    assert shown.dtype == np.uint8 and shown.shape == (32, 32) and (shown == 0x43).all()


@pytest.mark.parametrize(("suffix", "codec", "exact"), [(".jpg", "jpeg", False), (".jp2", "jpeg2000", True)])
@pytest.mark.parametrize("gray", [True, False])
def test_a_coded_picture_comes_back_in_rgb(suffix, codec, exact, gray):
    rows, columns = np.mgrid[0:32, 0:48]
    picture = (rows * 5).astype(np.uint8) if gray else np.stack([rows * 5, columns * 4, rows * 0 + 9], -1).astype(np.uint8)
    given = picture if gray else picture[..., ::-1]
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if exact else [cv2.IMWRITE_JPEG_QUALITY, 95]
    data = cv2.imencode(suffix, given, options)[1].tobytes()
    back = decode_stream(Stream(data, codec, 48, 32, 8, "gray" if gray else "ycc"))
    assert back.shape == picture.shape and np.abs(back.astype(int) - picture).max() <= (0 if exact else 12)


def test_a_coded_picture_that_is_none_is_refused():
    with pytest.raises(BadPicture, match="cannot be decoded"):
        decode_stream(Stream(b"nonsense", "jpeg", 1, 1, 8, "gray"))


def raw(path, frames, size=9 * 16 * 3):
    path.write_bytes(bytes(range(251)) * 99)
    with path.open("r+b") as file:
        file.truncate(size)
    return Clip(path, "raw", "raw", Format(16, 9, Fraction(25), "rgb24"), frames, datetime.now(UTC))


def test_a_raw_clip_that_is_too_short_is_said(tmp_path):
    assert len(list(read_frames(raw(tmp_path / "a.raw", 1)))) == 1
    with pytest.raises(BadPicture, match="ends in frame 1 of 2"):
        list(read_frames(raw(tmp_path / "a.raw", 2)))


def test_a_video_that_cannot_be_played_is_said(tmp_path):
    (tmp_path / "a.ts").write_bytes(b"no video" * 100)
    clip = Clip(tmp_path / "a.ts", "h264", "mpegts", Format(16, 16, Fraction(25)), 1, datetime.now(UTC))
    with pytest.raises(BadPicture, match=r"a\.ts cannot be played"):
        list(read_frames(clip))


SEVERAL_AT_ONCE = """
import threading
from fractions import Fraction
from capture.frame import Frame
from capture.picture import preview
from capture.sources.testcard import TestCard
card = TestCard(640, 480, Fraction(25))
for number in range(60):
    frame = Frame(number, 0.0, card.draw(number, 0.0), card.format)
    works = [frame.array, lambda: preview(frame, 320), frame.array, lambda: preview(frame, 500)]
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("alive")
"""


def test_screen_stills_and_recorder_may_look_at_one_frame_at_once():
    """PyAV converts a frame with a converter that the frame keeps: two threads in it kill the process (seen)."""
    done = subprocess.run([sys.executable, "-c", SEVERAL_AT_ONCE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "alive\n", done.stderr[-2000:]
