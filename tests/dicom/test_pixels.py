"""What goes into a syntax comes out of it; the Image Pixel module says what PS3.5 section 8 demands."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pixel_samples import KINDS, LOSSLESS, LOSSY, a_picture, header, pairs, picture, psnr, write_frames
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from appliance.dicom import codecs, exact_jls, pixels
from appliance.dicom.encapsulate import Frames, Native, write
from appliance.dicom.syntaxes import SYNTAXES
from appliance.errors import InputError, SettingsError
from capture.frame import Clip, Format, Still, Stream


@pytest.mark.parametrize(("name", "kind"), pairs())
def test_every_frame_syntax_brings_back_what_was_written(tmp_path, name, kind):
    bits, _ = KINDS[kind]
    frames = [a_picture(kind, seed=seed)[0] for seed in range(3)]
    write_frames(tmp_path / "a.dcm", frames, bits, SYNTAXES[name])
    back = list(pixels.decode(tmp_path / "a.dcm"))
    assert len(back) == 3
    for sent, got in zip(frames, back, strict=True):
        assert got.shape == sent.shape and got.dtype == sent.dtype
        if name in LOSSLESS:
            assert np.array_equal(got, sent)
        else:
            assert psnr(sent, got, bits) > {"jpeg": 35}.get(name, 42)


@pytest.mark.parametrize("kind", KINDS)
def test_near_lossless_stays_within_its_bound(kind):
    sent, bits = a_picture(kind)
    syntax = SYNTAXES["jls-near"]
    bound = codecs.near(bits, 90)
    stream = pixels.encode(sent, bits, syntax, 90)
    got = codecs.decode(stream, syntax, sent.shape, sent.dtype, "RGB")
    error = np.abs(got.astype(int) - sent.astype(int)).max()
    assert 0 < error <= bound
    assert bound == {8: 2, 12: 32, 16: 255}[bits]


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (9, 1), (64, 64)])
def test_the_smallest_pictures_survive(tmp_path, name, size):
    for kind in ("gray8", "rgb8"):
        sent, bits = a_picture(kind, *size)
        write_frames(tmp_path / "a.dcm", [sent], bits, SYNTAXES[name])
        (got,) = pixels.decode(tmp_path / "a.dcm")
        assert got.shape == sent.shape
        if name in LOSSLESS:
            assert np.array_equal(got, sent)


@pytest.mark.parametrize("bits", range(9, 17))
@pytest.mark.parametrize("name", ["jpeg-lossless", "j2k", "htj2k", "rle"])
def test_every_bit_depth_is_exact_and_stamped_truly(name, bits):
    sent = picture(20, 31, bits)
    stream = pixels.encode(sent, bits, SYNTAXES[name])
    assert np.array_equal(codecs.decode(stream, SYNTAXES[name], sent.shape, sent.dtype, "MONOCHROME2"), sent)
    assert name == "rle" or precision(name, stream) == bits


def test_jpeg_ls_of_twelve_bits_is_stamped_truly():
    sent = picture(20, 31, 12)
    sent[sent > 1000] = 1000  # a picture that does not use its highest bits
    for name in ("jls", "jls-near"):
        assert precision(name, pixels.encode(sent, 12, SYNTAXES[name])) == 12


def precision(name: str, stream: bytes) -> int:
    """The bits per sample that a JPEG, JPEG-LS or JPEG 2000 stream says in its header."""
    if "j2k" in name:
        return stream[stream.index(b"\xff\x51") + 40] + 1
    return stream[stream.index(b"\xff\xc3" if name == "jpeg-lossless" else b"\xff\xf7") + 4]


def test_lossy_htj2k_of_twelve_bits_keeps_its_scale():
    sent = picture(60, 80, 12)
    for quality, least in ((60, 29), (90, 44), (100, 49)):
        stream = pixels.encode(sent, 12, SYNTAXES["htj2k-lossy"], quality)
        got = codecs.decode(stream, SYNTAXES["htj2k-lossy"], sent.shape, sent.dtype, "MONOCHROME2")
        assert psnr(sent, got, 12) > least


@pytest.mark.parametrize("name", ["jpeg", "jls-near", "j2k-lossy", "htj2k-lossy"])
def test_a_higher_quality_costs_more_and_loses_less(name):
    sent = picture(100, 120, 8, colour=True)
    syntax = SYNTAXES[name]
    streams = [pixels.encode(sent, 8, syntax, quality) for quality in (40, 95)]
    losses = [psnr(sent, codecs.decode(s, syntax, sent.shape, sent.dtype, syntax.colours), 8) for s in streams]
    assert len(streams[0]) < len(streams[1]) and losses[0] < losses[1]


def test_colour_transforms_of_jpeg_2000_are_in_the_stream_as_the_header_says():
    sent, _ = a_picture("rgb8")
    for name, reversible in (("j2k", 1), ("j2k-lossy", 0), ("htj2k", 1), ("htj2k-lossy", 0)):
        stream = pixels.encode(sent, 8, SYNTAXES[name])
        cod = stream.index(b"\xff\x52")
        assert stream[cod + 8] == 1 and stream[cod + 13] == reversible
        assert SYNTAXES[name].colours == ("YBR_RCT" if reversible else "YBR_ICT")
        assert stream.startswith(b"\xff\x4f\xff\x51"), "no JP2 header (PS3.5 8.2.4)"


def test_baseline_jpeg_is_four_two_two_as_its_photometric_interpretation_says():
    stream = pixels.encode(a_picture("rgb8")[0], 8, SYNTAXES["jpeg"])
    sof = stream.index(b"\xff\xc0")
    assert stream[sof + 11] == 0x21 and stream[sof + 14] == stream[sof + 17] == 0x11


@pytest.mark.parametrize(
    ("name", "colour", "expected"),
    [
        ("explicit", True, ("RGB", 0, 8, 8)),
        ("rle", True, ("RGB", 0, 8, 8)),
        ("jpeg", True, ("YBR_FULL_422", 0, 8, 8)),
        ("jpeg-lossless", True, ("RGB", 0, 8, 8)),
        ("jls", True, ("RGB", 0, 8, 8)),
        ("j2k", True, ("YBR_RCT", 0, 8, 8)),
        ("j2k-lossy", True, ("YBR_ICT", 0, 8, 8)),
        ("htj2k", False, ("MONOCHROME2", None, 8, 8)),
        ("mpeg2", True, ("YBR_PARTIAL_420", 0, 8, 8)),
        ("h264", False, ("YBR_PARTIAL_420", 0, 8, 8)),
        ("hevc10", True, ("YBR_PARTIAL_420", 0, 16, 10)),
    ],
)
def test_the_image_pixel_module_follows_the_syntax(name, colour, expected):
    facts = pixels.facts_of_shape((48, 64, 3) if colour else (48, 64), 8, SYNTAXES[name], 7)
    assert (facts.photometric, facts.planar, facts.bits_allocated, facts.bits_stored) == expected
    dataset = header(facts)
    assert (dataset.Rows, dataset.Columns, dataset.NumberOfFrames) == (48, 64, 7)
    assert dataset.HighBit == facts.bits_stored - 1 and dataset.PixelRepresentation == 0
    assert ("PlanarConfiguration" in dataset) == (facts.samples == 3)


def test_a_still_that_brings_its_own_stream_keeps_its_colours():
    now = datetime.now(UTC)
    for color, photometric in (("ycc", "YBR_FULL_422"), ("rgb", "RGB"), ("gray", "MONOCHROME2")):
        still = Still(now, stream=Stream(b"", "jpeg", 64, 48, 8, color, "420"))
        facts = pixels.pixel_facts(still, SYNTAXES["jpeg"])
        assert (facts.photometric, facts.rows, facts.columns) == (photometric, 48, 64)


@pytest.mark.parametrize(
    ("layout", "bits", "samples"), [("rgb24", 8, 3), ("gray", 8, 1), ("gray12le", 12, 1), ("gray16le", 16, 1)]
)
def test_a_raw_clip_is_described_by_its_pixel_format(layout, bits, samples):
    clip = Clip(Path("x"), "raw", "raw", Format(64, 48, Fraction(25), layout), 5, datetime.now(UTC))
    facts = pixels.pixel_facts(clip, SYNTAXES["jls"])
    assert (facts.bits_stored, facts.samples, facts.frames) == (bits, samples, 5)
    assert facts.total_bytes == 64 * 48 * samples * (1 if bits == 8 else 2) * 5


@pytest.mark.parametrize(
    ("frame", "bits", "name", "words"),
    [
        (np.zeros((4, 4), np.uint16), 12, "jpeg", "at most 8 bits"),
        (np.full((4, 4), 5000, np.uint16), 12, "jls", "more than its 12 bits"),
        (np.zeros((4, 4), np.uint16), 8, "jls", "8 bits cannot lie"),
        (np.zeros((4, 4, 4), np.uint8), 8, "jls", "not \\(4, 4, 4\\)"),
        (np.zeros((0, 4), np.uint8), 8, "jls", "not \\(0, 4\\)"),
        (np.zeros((1, 70_000), np.uint8), 8, "explicit", "too large"),
        (np.zeros((4, 4), np.uint8), 8, "h264", "takes a clip"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_in_words(frame, bits, name, words):
    with pytest.raises(InputError, match=words):
        list(pixels.encode_many([frame], bits, SYNTAXES[name]))


def test_a_quality_beyond_its_scale_is_a_wrong_setting():
    with pytest.raises(SettingsError, match="1 to 100"):
        pixels.encode(np.zeros((4, 4), np.uint8), 8, SYNTAXES["jpeg"], 101)


@pytest.mark.parametrize(("name", "bits"), [("jls", 8), ("jls", 12)])
def test_frames_keep_their_order_and_few_are_ahead(name, bits):
    taken = 0

    def source():
        nonlocal taken
        for number in range(60):
            taken += 1
            yield np.full((8, 8), number, np.uint8 if bits == 8 else np.uint16)

    ahead, shape = 0, (8, 8)
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for number, stream in enumerate(pixels.encode_many(source(), bits, SYNTAXES[name])):
        ahead = max(ahead, taken - number)
        assert codecs.decode(stream, SYNTAXES[name], shape, dtype, "MONOCHROME2")[0, 0] == number
    assert number == 59
    assert ahead <= 2 * pixels._cores() + 2


def test_twelve_bit_jpeg_ls_costs_this_process_next_to_nothing():
    """Its codec holds Python's lock for a whole frame: it may not hold that of the process that captures."""
    frames = [picture(1000, 1500, 12)] * 6
    begin = time.process_time()
    for frame in frames:
        exact_jls.encode(frame.tobytes(), frame.shape, 12, 0)
    here = time.process_time() - begin
    begin = time.process_time()
    streams = list(pixels.encode_many(frames, 12, SYNTAXES["jls"]))
    assert time.process_time() - begin < here / 2
    assert {len(stream) for stream in streams} == {len(exact_jls.encode(frames[0].tobytes(), frames[0].shape, 12, 0))}


def test_a_generator_that_is_left_does_not_hold_up_the_end_of_the_program():
    script = (
        "import numpy as np, threading\n"
        "from appliance.dicom import pixels\n"
        "from appliance.dicom.syntaxes import SYNTAXES\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "    frames = [np.full((64, 64), n, np.uint16) for n in range(40)]\n"
        "    left = [pixels.encode_many(frames, 12, SYNTAXES['jls']), pixels.encode_many(frames, 16, SYNTAXES['j2k'])]\n"
        "    print(sum(len(next(one)) > 20 for one in left))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "2"


@pytest.mark.parametrize("name", ["rle", "jpeg", "jpeg-lossless", "jls", "j2k", "htj2k"])
def test_a_damaged_frame_is_refused_in_words(tmp_path, name):
    sent, bits = a_picture("gray8", 64, 64)
    syntax = SYNTAXES[name]
    facts = pixels.facts_of_shape(sent.shape, bits, syntax)
    stream = pixels.encode(sent, bits, syntax)
    write(tmp_path / "short.dcm", header(facts), syntax, Frames([stream[:40]]))
    with pytest.raises(InputError, match="cannot be read"):
        list(pixels.decode(tmp_path / "short.dcm"))
    other = pixels.encode(sent[:32], bits, syntax)
    write(tmp_path / "other.dcm", header(facts), syntax, Frames([other]))
    with pytest.raises(InputError, match="frame"):
        list(pixels.decode(tmp_path / "other.dcm"))


def test_files_that_are_no_objects_are_refused_in_words(tmp_path):
    for name, content in {"empty": b"", "text": b"no picture at all", "cut": b"\0" * 128 + b"DICM" + b"\x02\x00"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            list(pixels.decode(tmp_path / name))


def test_missing_pixels_are_noticed(tmp_path):
    sent, bits = a_picture("gray8")
    write_frames(tmp_path / "a.dcm", [sent, sent], bits, SYNTAXES["explicit"])
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="ends in the middle"):
        list(pixels.decode(tmp_path / "b.dcm"))
    dataset = write_frames(tmp_path / "c.dcm", [sent], bits, SYNTAXES["jls"])
    dataset.NumberOfFrames = 2
    write(tmp_path / "c.dcm", dataset, SYNTAXES["jls"], Frames([pixels.encode(sent, bits, SYNTAXES["jls"])]))
    with pytest.raises(InputError, match="has 1 frames, but its header promises 2"):
        list(pixels.decode(tmp_path / "c.dcm"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*sorted({*LOSSLESS} - {"jpeg-lossless"}), "jpeg"])  # pydicom alone has no SV1
def test_pydicom_reads_the_same_pixels(tmp_path, name, kind):
    sent, bits = a_picture(kind)
    if bits > SYNTAXES[name].max_bits:
        with pytest.raises(InputError):
            pixels.encode(sent, bits, SYNTAXES[name])
        return
    write_frames(tmp_path / "a.dcm", [sent, sent], bits, SYNTAXES[name])
    theirs = dcmread(tmp_path / "a.dcm").pixel_array
    ours = np.stack(list(pixels.decode(tmp_path / "a.dcm")))
    assert theirs.shape == ours.shape
    assert np.abs(theirs.astype(int) - ours.astype(int)).max() <= (3 if name == "jpeg" else 0)


def test_colour_by_plane_and_ybr_full_are_shown_as_rgb(tmp_path):
    sent, _ = a_picture("rgb8")
    facts = pixels.facts_of_shape(sent.shape, 8, SYNTAXES["explicit"])
    dataset = header(facts)
    dataset.PlanarConfiguration = 1
    planes = np.ascontiguousarray(sent.transpose(2, 0, 1)).tobytes()
    write(tmp_path / "p.dcm", dataset, SYNTAXES["explicit"], Native([planes], len(planes)))
    (got,) = pixels.decode(tmp_path / "p.dcm")
    assert np.array_equal(got, sent)
    gray = np.full((4, 4, 3), 128, np.uint8)
    dataset = header(pixels.facts_of_shape(gray.shape, 8, SYNTAXES["explicit"]))
    dataset.PhotometricInterpretation = "YBR_FULL"
    write(tmp_path / "y.dcm", dataset, SYNTAXES["explicit"], Native([gray.tobytes()], gray.size))
    (got,) = pixels.decode(tmp_path / "y.dcm")
    assert np.array_equal(got, gray)


def test_the_ratio_is_that_of_the_bytes():
    facts = pixels.facts_of_shape((480, 640, 3), 8, SYNTAXES["jpeg"], 10)
    assert pixels.ratio(facts, 921_600) == pytest.approx(10)
    with pytest.raises(InputError, match="empty"):
        pixels.ratio(facts, 0)


def test_a_jpeg_marker_counts_before_a_wrong_photometric_interpretation(tmp_path):
    sent, _ = a_picture("rgb8")
    syntax = SYNTAXES["jpeg"]
    dataset = header(pixels.facts_of_shape(sent.shape, 8, syntax))
    dataset.PhotometricInterpretation = "RGB"  # but the stream is YCbCr, and its JFIF marker says so
    write(tmp_path / "a.dcm", dataset, syntax, Frames([pixels.encode(sent, 8, syntax)]))
    assert psnr(sent, next(pixels.decode(tmp_path / "a.dcm")), 8) > 35


def test_white_and_black_stay_white_and_black_in_lossy_htj2k():
    sent = np.zeros((64, 64, 3), np.uint8)
    sent[:, ::3] = 255
    syntax = SYNTAXES["htj2k-lossy"]
    got = codecs.decode(pixels.encode(sent, 8, syntax, 60), syntax, sent.shape, sent.dtype, "YBR_ICT")
    assert np.abs(got.astype(int) - sent).max() < 60, "a value beyond the range was wrapped, not clamped"


def test_frames_in_several_fragments_without_a_table_are_put_together(tmp_path):
    frames = [a_picture("gray8", seed=seed)[0] for seed in range(3)]
    syntax = SYNTAXES["jls"]
    streams = list(pixels.encode_many(frames, 8, syntax))
    dataset = header(pixels.facts_of_shape(frames[0].shape, 8, syntax, 3))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax.uid
    dataset.PixelData = encapsulate(streams, fragments_per_frame=2, has_bot=False)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(np.stack(list(pixels.decode(tmp_path / "a.dcm"))), np.stack(frames))
