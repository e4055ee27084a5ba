"""Decoders that are not ours read what we write: dcmtk, GDCM, OpenJPEG's own program, and ffmpeg for video."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pixel_samples import KINDS, LOSSLESS, a_picture, header, pairs, write_frames
from pydicom import dcmread
from pydicom.encaps import generate_frames

from appliance.dicom import pixels
from appliance.dicom.encapsulate import Video, transcode, write
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import SYNTAXES


def run(*words: str | Path) -> str:
    """Run a program to its end; its output and complaints in words."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def by_converter(*program: str) -> Callable[[Path], np.ndarray]:
    """A decoder that turns a DICOM file into an uncompressed one."""

    def decoded(path: Path) -> np.ndarray:
        out = path.with_suffix(".out")
        run(*program, path, out)
        return dcmread(out).pixel_array

    return decoded


def by_opj(path: Path) -> np.ndarray:
    """Each frame's code stream through opj_decompress, as PGM or PPM."""
    dataset = dcmread(path)
    frames = []
    for stream in generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)):
        code, out = path.with_suffix(".j2k"), path.with_suffix(".ppm" if dataset.SamplesPerPixel == 3 else ".pgm")
        code.write_bytes(stream)
        run("opj_decompress", "-i", code, "-o", out, "-quiet")
        depth = ">u2" if dataset.BitsStored > 8 else "u1"
        count = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
        raw = out.read_bytes()[-count * np.dtype(depth).itemsize :]
        frames.append(np.frombuffer(raw, depth).reshape(pixels_shape(dataset)))
    return np.stack(frames)


def pixels_shape(dataset) -> tuple[int, ...]:
    shape = (dataset.Rows, dataset.Columns)
    return (*shape, 3) if dataset.SamplesPerPixel == 3 else shape


DECODERS: dict[str, Callable[[Path], np.ndarray]] = {
    "explicit": by_converter("dcmconv", "+ti"),
    "implicit": by_converter("dcmconv", "+te"),
    "deflated": by_converter("dcmconv", "+te"),
    "rle": by_converter("dcmdrle"),
    "jpeg": by_converter("dcmdjpeg"),
    "jpeg-lossless": by_converter("dcmdjpeg"),
    "jls": by_converter("dcmdjpls"),
    "jls-near": by_converter("dcmdjpls"),
    "j2k": by_converter("gdcmconv", "--raw"),
    "j2k-lossy": by_converter("gdcmconv", "--raw"),
    "htj2k": by_opj,
    "htj2k-lossy": by_opj,
}
# baseline JPEG: another inverse DCT and another way to widen the chroma; JPEG 2000: rounding of the inverse 9/7
BOUNDS = {"jpeg": 3, "j2k-lossy": 1, "htj2k-lossy": 1}


@pytest.mark.parametrize(("name", "kind"), pairs())
def test_an_independent_decoder_sees_the_same_pixels(tmp_path, name, kind):
    bits, _ = KINDS[kind]
    frames = [a_picture(kind, seed=seed)[0] for seed in range(2)]
    path = tmp_path / "a.dcm"
    write_frames(path, frames, bits, SYNTAXES[name])
    theirs = DECODERS[name](path)
    ours = np.stack(list(pixels.decode(path)))
    assert theirs.shape == ours.shape
    assert np.abs(theirs.astype(int) - ours.astype(int)).max() <= BOUNDS.get(name, 0)
    if name in LOSSLESS:
        assert np.array_equal(theirs, np.stack(frames))


@pytest.mark.parametrize("bits", [9, 10, 12, 15])
def test_htj2k_with_a_precision_between_8_and_16_bits_is_read_by_openjpeg(tmp_path, bits):
    from pixel_samples import picture

    sent = [picture(40, 50, bits, seed=seed) for seed in range(2)]
    write_frames(tmp_path / "a.dcm", sent, bits, SYNTAXES["htj2k"])
    assert np.array_equal(by_opj(tmp_path / "a.dcm"), np.stack(sent))


@pytest.mark.parametrize("name", ["explicit", "deflated", "jls", "jpeg", "j2k"])
def test_dcmtk_finds_nothing_odd_in_the_file(tmp_path, name):
    write_frames(tmp_path / "a.dcm", [a_picture("rgb8")[0]] * 2, 8, SYNTAXES[name])
    said = run("dcmdump", "+E", "-q", tmp_path / "a.dcm")
    assert not [line for line in said.splitlines() if line.startswith(("W:", "E:"))]
    assert "yes:" in run("dcmftest", tmp_path / "a.dcm")


def test_dcmtk_and_gdcm_agree_with_our_transcoding(tmp_path):
    write_frames(tmp_path / "a.dcm", [a_picture("rgb8")[0]] * 2, 8, SYNTAXES["j2k"])
    transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["jls"])
    transcode(tmp_path / "b.dcm", tmp_path / "c.dcm", SYNTAXES["rle"])
    assert np.array_equal(by_converter("dcmdrle")(tmp_path / "c.dcm"), by_converter("gdcmconv", "--raw")(tmp_path / "a.dcm"))


VIDEOS = {
    "mpeg2": ("720x576", "25", ["-c:v", "mpeg2video", "-b:v", "4M", "-f", "mpeg"], "mpeg2video"),
    "h264": ("320x240", "25", ["-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-f", "mpegts"], "h264"),
    "hevc": ("320x240", "25", ["-c:v", "libx265", "-preset", "ultrafast", "-f", "mpegts"], "hevc"),
}


@pytest.mark.parametrize("fragmentable", [False, True])
@pytest.mark.parametrize("name", VIDEOS)
def test_ffmpeg_plays_the_video_in_the_object(tmp_path, name, fragmentable):
    size, rate, encoder, codec = VIDEOS[name]
    source = f"testsrc=size={size}:rate={rate}:duration=0.6"
    original = tmp_path / "original"
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", *encoder, original)
    columns, rows = (int(word) for word in size.split("x"))
    facts = pixels.facts_of_shape((rows, columns, 3), 8, SYNTAXES[name], 15)
    piece = original.stat().st_size // 3
    write(tmp_path / "a.dcm", header(facts), SYNTAXES[name], Video(original, fragmentable, piece))
    assert "W:" not in run("dcmdump", "+E", "-q", tmp_path / "a.dcm")
    with Stored(tmp_path / "a.dcm") as stored:
        (tmp_path / "back").write_bytes(b"".join(stored.fragments()))
    probed = run("ffprobe", "-v", "error", "-count_frames", "-show_entries",
                 "stream=codec_name,width,height,nb_read_frames", "-of", "csv=p=0", tmp_path / "back")  # fmt: skip
    assert probed.split()[0].strip(",") == f"{codec},{columns},{rows},15"
    sums = [run("ffmpeg", "-v", "error", "-i", tmp_path / one, "-f", "framemd5", "-") for one in ("original", "back")]
    assert sums[0] == sums[1] and len(sums[0].splitlines()) > 15
