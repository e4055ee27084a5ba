"""Import: every kind of file and folder, as it is where that is legal; one bad file never stops the others."""

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pypdf
import pytest
from file_samples import (
    H264,
    HEVC,
    HEVC_OPEN,
    MPEG2,
    MPEG2_OPEN,
    again,
    fields,
    film,
    numbered,
    numbers_of,
    packet_sums,
    png_header,
)
from PIL import Image

from appliance.dicom import objects
from appliance.errors import InputError, SettingsError
from appliance.workflow.ingest import Document, Found, bring_in
from capture.frame import Clip, Still
from capture.source import BadPicture

LIMIT = 2_000_000_000


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    return place


def take(paths: list[Path], scratch: Path, syntax: str = "auto", limit: int = LIMIT) -> list[Found]:
    return list(bring_in(paths, scratch, limit, syntax))


def jpeg(path: Path) -> Path:
    Image.fromarray(numbered(3, 160, 120)).save(path, "JPEG")
    return path


def pdf(path: Path, password: str = "") -> Path:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    if password:
        writer.encrypt(user_password=password, algorithm="RC4-128")
    writer.write(path)
    return path


def test_each_kind_of_file_becomes_what_it_is(tmp_path, scratch):
    files = [jpeg(tmp_path / "a.jpg"), pdf(tmp_path / "b.pdf"), film(tmp_path / "c.mp4", numbers=range(10))]
    Image.fromarray(numbered(1, 64, 48)).save(tmp_path / "d.png")
    found = take([*files, tmp_path / "d.png"], scratch)
    assert [one.kind for one in found] == ["still", "document", "clip", "still"]
    assert [type(one.subject) for one in found] == [Still, Document, Clip, Still]
    assert all(one.error is None and one.path.name in one.words for one in found)
    document = found[1].subject
    assert document == Document(tmp_path / "b.pdf", "b", 1)


BAD = {
    "empty.jpg": (b"", InputError, "0 bytes"),
    "text.jpg": (b"To whom it may concern: this is a letter. " * 30, InputError, "a text file, whatever its name says"),
    "half.jpg": ("half", BadPicture, "cut off"),
    "huge.png": ("huge", BadPicture, "60000 × 60000"),
    "locked.pdf": ("locked", BadPicture, "password"),
    "index-lost.mp4": ("index", BadPicture, "cut off before its index"),
    "object.dcm": (bytes(128) + b"DICM" + bytes(100), InputError, "DICOM object already"),
    "phone.heic": (b"\0\0\0\x20ftypheic" + bytes(100), InputError, "Save it as JPEG"),
    "noise.tif": (np.random.default_rng(1).bytes(5000), InputError, "no picture, video or PDF"),
}


def bad_file(name: str, folder: Path) -> Path:
    path, content = folder / name, BAD[name][0]
    if content == "half":
        whole = jpeg(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "huge":
        path.write_bytes(png_header(60_000, 60_000))
    elif content == "locked":
        pdf(path, "secret")
    elif content == "index":
        whole = film(path, numbers=range(30)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_error_and_the_next_file_goes_in(name, tmp_path, scratch):
    bad = bad_file(name, tmp_path)
    before = bad.read_bytes()
    first, second = take([bad, jpeg(tmp_path / "good.jpg")], scratch)
    kind, words = BAD[name][1:]
    assert isinstance(first.error, kind) and first.subject is None and first.kind == ""
    said = f"{first.error} {first.error.advice}"
    assert words in said and name in said and first.error.advice
    assert second.kind == "still" and second.error is None
    assert bad.read_bytes() == before and not list(scratch.iterdir())


def test_a_missing_file_is_an_error_of_its_own(tmp_path, scratch):
    first, second = take([tmp_path / "missing.jpg", jpeg(tmp_path / "a.jpg")], scratch)
    assert isinstance(first.error, InputError) and "no file" in str(first.error)
    assert second.kind == "still"


def test_a_folder_is_walked_in_order_and_what_is_no_picture_is_named(tmp_path, scratch):
    folder = tmp_path / "exam"
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / ".hidden-folder").mkdir()
    jpeg(folder / ".hidden-folder" / "z.jpg")
    for name in ("page10.jpg", "page2.jpg", "sub/b.jpg", "sub/deeper/a.jpg"):
        jpeg(folder / name)
    jpeg(folder / ".hidden.jpg")
    (folder / "notes.txt").write_text("taken by the registrar, on the left side")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0garbage")
    found = take([folder], scratch)
    assert [(one.path.name, one.kind, one.error is not None) for one in found] == [
        (".hidden.jpg", "", False),
        ("broken.jpg", "", True),
        ("notes.txt", "", False),
        ("page2.jpg", "still", False),
        ("page10.jpg", "still", False),
        ("b.jpg", "still", False),
        ("a.jpg", "still", False),
    ]
    assert "passed over: it is hidden" in found[0].words and "passed over: it is a text file" in found[2].words


def test_the_file_of_a_clip_is_gone_when_the_next_thing_is_asked_for(tmp_path, scratch):
    film(tmp_path / "a.mp4", numbers=range(60), grain=0.8)
    limit = (tmp_path / "a.mp4").stat().st_size // 2
    paths = []
    for found in bring_in([tmp_path / "a.mp4", jpeg(tmp_path / "b.jpg")], scratch, limit):
        assert not any(path.exists() for path in paths)
        if isinstance(found.subject, Clip):
            assert found.subject.path.exists() and found.subject.path.stat().st_size < limit
            paths.append(found.subject.path)
    assert len(paths) > 1 and not list(scratch.iterdir())


def test_a_word_that_means_no_syntax_is_said_at_once(tmp_path, scratch):
    with pytest.raises(SettingsError, match="mpeg3"):
        take([jpeg(tmp_path / "a.jpg")], scratch, "mpeg3")


# name, encoder, options, container, more; then what becomes of it with `auto`, and whether its packets stay as they are
INTERLACED = MPEG2 | {"flags": "+cgop+ildct+ilme"}
DEEP = {"preset": "ultrafast", "x265-params": "log-level=none"}
TIER = {"preset": "ultrafast"}
TIER["x265-params"] = "log-level=none:level-idc=4.1:high-tier=1:vbv-maxrate=40000:vbv-bufsize=40000"
VIDEOS = {
    "pal.mpg": ("mpeg2video", MPEG2, "vob", {"size": (720, 576), "aspect": Fraction(16, 15)}, "mpeg2", True),
    "fields.mpg": ("mpeg2video", INTERLACED, "vob", {"size": (720, 576), "prepare": fields("tff")}, "mpeg2", True),
    "hd.ts": ("mpeg2video", MPEG2 | {"level": "4", "b": "15000000"}, "mpegts", {"size": (1280, 720)}, "mpeg2-hd", True),
    "high.mkv": ("libx264", H264, "matroska", {}, "h264", True),
    "fast.mov": ("libx264", H264 | {"level": "4.2"}, "mov", {}, "h264-42", True),
    "hevc.mp4": ("libx265", HEVC, "mp4", {}, "hevc", True),
    "open.ts": ("libx265", HEVC_OPEN, "mpegts", {}, "hevc", True),
    "slow.mpg": ("mpeg2video", MPEG2_OPEN, "vob", {"rate": Fraction(24)}, "h264", False),
    "baseline.mp4": ("libx264", {"profile": "baseline"}, "mp4", {"bframes": 0}, "h264", False),
    "main.mov": ("libx264", {"profile": "main"}, "mov", {}, "h264", False),
    "level5.mp4": ("libx264", H264 | {"level": "5.1"}, "mp4", {}, "h264", False),
    "wide.mp4": ("libx264", H264, "mp4", {"aspect": Fraction(4, 3)}, "mpeg2", False),
    "deep.mp4": ("libx264", {"preset": "veryfast"}, "mp4", {"pixels": "yuv420p10le"}, "h264", False),
    "ten.mp4": ("libx265", DEEP, "mp4", {"pixels": "yuv420p10le"}, "h264", False),
    "tier.mp4": ("libx265", TIER, "mp4", {}, "h264", False),
    "photo.avi": ("mjpeg", {}, "avi", {"pixels": "yuvj420p", "bframes": 0}, "h264", False),
    "old.avi": ("mpeg4", {}, "avi", {}, "h264", False),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_legal_stream_goes_in_as_it_is_and_anything_else_is_transcoded(name, tmp_path, scratch):
    codec, options, container, more, becomes, stays = VIDEOS[name]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(14), **more)
    before = packet_sums(source)
    seen = 0
    for found in bring_in([source], scratch, LIMIT):
        assert found.error is None, found.words
        clip = found.subject
        assert isinstance(clip, Clip)
        syntax = objects.auto_syntax(clip, "auto")
        assert syntax.name == becomes and clip.container in syntax.containers
        assert (clip.format.aspect == 1 or not syntax.square_pixels) and clip.losses[-1].codec == syntax.codec
        assert (packet_sums(clip.path) == before) is stays
        assert ("Transcoded" in clip.derivation and "Reason" in clip.derivation) is not stays
        assert numbers_of(clip.path) == list(range(14)) and clip.frames == 14
        seen += 1
    assert seen == 1


@pytest.mark.parametrize("word", ["mpeg2", "mpeg2-hd", "h264", "hevc"])
@pytest.mark.parametrize("name", ["pal.mpg", "high.mkv", "photo.avi"])
def test_a_video_syntax_makes_the_clip_that_kind_of_video(word, name, tmp_path, scratch):
    codec, options, container, more = VIDEOS[name][:4]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(6), **more)
    for found in bring_in([source], scratch, LIMIT, word):
        assert isinstance(found.subject, Clip), found.words
        assert objects.auto_syntax(found.subject, word).name == word
        if word != "mpeg2-hd":
            assert numbers_of(found.subject.path) == list(range(6))
        native = {"pal.mpg": "mpeg2", "high.mkv": "h264"}.get(name)
        assert ("Transcoded" in found.subject.derivation) is (word != native)


@pytest.mark.parametrize("name", ["high.mkv", "photo.avi", "old.avi", "deep.mp4"])
def test_a_per_frame_syntax_leaves_the_clip_as_it_is(name, tmp_path, scratch):
    codec, options, container, more = VIDEOS[name][:4]
    source = film(tmp_path / name, codec, options=options, container=container, numbers=range(6), **more)
    for found in bring_in([source], scratch, LIMIT, "j2k"):
        assert isinstance(found.subject, Clip), found.words
        assert "Transcoded" not in found.subject.derivation
        assert packet_sums(found.subject.path) == packet_sums(source)


def test_a_truncated_video_is_kept_as_far_as_it_goes_and_marked(tmp_path, scratch):
    source = film(tmp_path / "a.ts", container="mpegts", numbers=range(80), grain=0.8)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 6 // 10])
    for found in bring_in([source], scratch, LIMIT):
        assert found.error is None and isinstance(found.subject, Clip)
        assert 30 < found.subject.frames < 70 and any("cut off" in flaw for flaw in found.subject.flaws)
        assert "cut off" in found.words


def test_a_long_film_is_several_parts_in_the_order_of_time(tmp_path, scratch):
    source = film(tmp_path / "a.mp4", numbers=range(100), grain=0.8)
    limit = source.stat().st_size // 3
    clips = []
    numbers: list[int] = []
    for found in bring_in([again(source, tmp_path / "b.mkv")], scratch, limit):
        assert isinstance(found.subject, Clip)
        clips.append(found.subject)
        numbers += numbers_of(found.subject.path)
    assert numbers == list(range(100)) and len(clips) >= 3
    assert all(before.captured < after.captured for before, after in pairwise(clips))


REAL = {
    "laparoscopy_endo.mp4": ("clip", "h264", 250, (1280, 720), "h264"),
    "us_ovary_masked_header.mp4": ("clip", "h264", 67, (960, 720), "h264"),
    "us_lung_181602_oddfps.mp4": ("clip", "h264", 374, (386, 386), "h264"),
    "us_lung_pat1_132943.mpeg": ("clip", "mpeg2video", 280, (370, 370), "mpeg2"),
    "ntsc_interlaced_chart.mpeg": ("clip", "mpeg2video", 78, (720, 480), "mpeg2"),
    "sinus_00004584.jpg": ("still", "jpeg", 1, (1920, 1080), "jpeg"),
    "vhs_headswitch_BR-S525U.jpg": ("still", "jpeg", 1, (720, 480), "jpeg"),
    "Landscape_6.jpg": ("still", "pixels", 1, (1800, 1200), "jls"),
    "Portrait_3.jpg": ("still", "pixels", 1, (1200, 1800), "jls"),
    "cxr_pseudo_phi_burned_in.png": ("still", "pixels", 1, (2140, 1760), "jls"),
    "pillcam_calibration.png": ("still", "pixels", 1, (256, 256), "jls"),
    "scan_typewriter.png": ("still", "pixels", 1, (4000, 2864), "jls"),
    "fax_3page_g3.tif": ("still", "pixels", 3, (1728, 2156), "jls"),
    "gray12_packed.tif": ("still", "pixels", 1, (100, 100), "jls"),
    "gray16_instrument.tiff": ("still", "pixels", 1, (640, 512), "jls"),
    "film_steps_rgb16.tif": ("still", "pixels", 1, (156, 905), "jls"),
    "scan_multipage.pdf": ("document", "", 6, (0, 0), "explicit"),
    "doc_pdfa.pdf": ("document", "", 1, (0, 0), "explicit"),
    "doc_password.pdf": ("", "password", 0, (0, 0), ""),
    "iphone11_flower_gps.HEIC": ("", "HEIC", 0, (0, 0), ""),
    "xa_coronary_96f.dcm": ("", "DICOM object already", 0, (0, 0), ""),
}


def frames_by_ffprobe(path: Path) -> int:
    """How many frames an independent build of FFmpeg shows, without a word of complaint."""
    words = "-v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of default=nw=1:nk=1"
    told = subprocess.run(["ffprobe", *words.split(), path], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return int(told.stdout.split()[0])


def test_real_files_are_what_their_list_says(shared, tmp_path, scratch):
    """The real files where they are; without them the same claims hold of the generated ones above."""
    known = {path.name: path for path in sorted(shared.rglob("*"))} if shared else {}
    for name, (kind, what, count, size, syntax) in REAL.items():
        if name not in known:
            continue
        found = []
        for one in bring_in([known[name]], scratch, LIMIT):
            found.append(one)
            if isinstance(one.subject, Clip):
                assert frames_by_ffprobe(one.subject.path) == count, name
                assert packet_sums(one.subject.path) == packet_sums(known[name]), name
        if not kind:
            assert len(found) == 1 and what in str(found[0].error), name
            continue
        assert {one.kind for one in found} == {kind} and all(one.error is None for one in found), name
        subject = found[0].subject
        if isinstance(subject, Document):
            assert subject.pages == count, name
        elif isinstance(subject, Clip):
            shape = subject.format
            assert (subject.codec, subject.frames, (shape.width, shape.height)) == (what, count, size), name
            assert objects.auto_syntax(subject, "auto").name == syntax, name
        elif isinstance(subject, Still):
            assert (len(found), (subject.width, subject.height)) == (count, size), name
            assert ("jpeg" if subject.stream else "pixels") == what, name
            assert objects.auto_syntax(subject, "auto").name == syntax, name
            if subject.stream and not known[name].read_bytes().count(b"Exif\0"):
                assert subject.stream.data == known[name].read_bytes(), name
    assert known or shared is None
    assert not list(scratch.iterdir())
