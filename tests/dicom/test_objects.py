"""Every legal pair of object and syntax is written, passes our check and dciodvfy; every other pair is refused by name."""

import hashlib
import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import object_samples as samples
import pydicom
import pytest
from object_samples import COLUMNS, KINDS, ROWS, making

from appliance.clinic.exam import Series
from appliance.clinic.order import Code
from appliance.dicom import anatomy, check, objects, pixels
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import SYNTAXES
from appliance.errors import IllegalPair, InputError, SettingsError
from capture.frame import Clip, Format, Loss, Still
from capture.picture import read_frames

STORAGE = "1.2.840.10008.5.1.4.1.1."
FRAME_SYNTAXES = (
    "implicit", "explicit", "deflated", "rle", "jpeg", "jpeg-lossless", "jls", "jls-near", "j2k", "j2k-lossy", "htj2k",
    "htj2k-lossy",
)  # fmt: skip
VL_WORDS = ("vl-endoscopic", "vl-microscopic", "vl-photographic")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
ClipOf = Callable[[str], Clip]


def demand_sound(path: Path, syntax: str) -> None:
    """Neither our check nor dciodvfy finds anything wrong."""
    assert check.check(path) == []
    assert samples.dciodvfy(samples.readable_twin(path, syntax)) == []


def expected_class(kind: str, subject: Still | Clip, syntax: str) -> str:
    """The table of the issue."""
    moving, gray = isinstance(subject, Clip), syntax in FRAME_SYNTAXES
    if kind == "sc":
        gray = gray and moving and subject.format.pixels.startswith("gray")
        word = gray and "16" in subject.format.pixels
        return STORAGE + ("7.3" if word else "7.2" if gray else "7.4" if moving else "7")
    if kind == "us":
        return STORAGE + ("3.1" if moving else "6.1")
    return STORAGE + f"77.1.{ {'vl-endoscopic': 1, 'vl-microscopic': 2, 'vl-photographic': 4}[kind] }" + ".1" * moving


@pytest.mark.parametrize("name", samples.STILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_still_in_every_legal_syntax_is_sound(kind: str, name: str, tmp_path: Path) -> None:
    """The SOP class is the issue's, check and dciodvfy find nothing, lossless pixels come back identical."""
    still = samples.still(name)
    legal = objects.legal_syntaxes(kind, still)
    if still.bits > 8 and kind != "sc":
        assert legal == []
        return
    assert legal == [word for word in FRAME_SYNTAXES if still.bits == 8 or word != "jpeg"]
    for word in legal:
        out = tmp_path / f"{word}.dcm"
        written = objects.write_still(out, making(kind), still, SYNTAXES[word])
        assert written.sop_class_uid == expected_class(kind, still, word)
        assert (written.syntax_uid, written.rows, written.columns, written.frames) == (SYNTAXES[word].uid, ROWS, COLUMNS, 1)
        demand_sound(out, word)
        (back,) = pixels.decode(out)
        if SYNTAXES[word].lossy:
            assert np.abs(back.astype(int) - still.pixels).mean() < (1 << still.bits) / 40
        else:
            assert np.array_equal(back, still.pixels)


@pytest.mark.parametrize("name", samples.CLIPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_in_every_legal_syntax_is_sound(kind: str, name: str, clip_of: ClipOf, tmp_path: Path) -> None:
    """As for a still; single frames come back in their order, a video's stream byte for byte."""
    clip = clip_of(name)
    legal = objects.legal_syntaxes(kind, clip)
    coded = {"mpeg2-ntsc": ["mpeg2"], "h264": ["h264", "h264-bd", "h264-42"], "h264-mp4": ["h264", "h264-bd", "h264-42"]}
    videos = [] if name.startswith("raw") else coded.get(name, [name])
    if name == "raw-gray16" and kind != "sc":
        assert legal == []
        return
    assert legal == [*(word for word in FRAME_SYNTAXES if name != "raw-gray16" or word != "jpeg"), *videos]
    if not name.startswith("raw"):
        legal = [*videos, "jls"]  # the decoding is the same for all
    for word in legal:
        out = tmp_path / f"{word}.dcm"
        written = objects.write_clip(out, making(kind), clip, SYNTAXES[word])
        assert written.sop_class_uid == expected_class(kind, clip, word)
        assert written.frames == clip.frames
        assert check.check(out) == []
        if word == "hevc":
            out = tmp_path / "twin.dcm"
            objects.write_clip(out, making(kind), clip, SYNTAXES["explicit"])
        assert samples.dciodvfy(samples.readable_twin(out, word) if word != "hevc" else out) == []
        if SYNTAXES[word].kind == "video":
            with Stored(tmp_path / f"{word}.dcm") as stored:
                stream = b"".join(stored.fragments())
            assert stream.removesuffix(b"\0" * (len(stream) - clip.path.stat().st_size)) == clip.path.read_bytes()
        elif not SYNTAXES[word].lossy:
            assert all(np.array_equal(*pair) for pair in zip(pixels.decode(out), read_frames(clip), strict=True))


@pytest.mark.parametrize("name", ["mpeg2", "h264", "h264-mp4", "hevc"])
def test_a_fragmentable_video_is_sound_and_so_is_its_twin(name: str, clip_of: ClipOf, tmp_path: Path) -> None:
    """Under the twin UID; HEVC allows several fragments under its own."""
    clip, out = clip_of(name), tmp_path / "video.dcm"
    syntax = objects.auto_syntax(clip, "auto")
    written = objects.write_clip(out, making("vl-endoscopic"), clip, syntax, fragmentable=True)
    assert written.syntax_uid == syntax.fragmentable_uid == pydicom.dcmread(out).file_meta.TransferSyntaxUID
    assert check.check(out) == []


@pytest.mark.parametrize("word", ["implicit", "explicit", "deflated"])
@pytest.mark.parametrize("size", [len(PDF), len(PDF) + 1, 3 << 20])
def test_a_document_is_sound_and_comes_back(word: str, size: int, tmp_path: Path) -> None:
    """Odd and even, small and larger than a piece; its true length is told."""
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(PDF + b"\n" * (size - len(PDF)))
    out = tmp_path / "out.dcm"
    written = objects.write_document(out, making("document"), pdf, "Report Grün", SYNTAXES[word])
    assert (written.sop_class_uid, written.frames) == (STORAGE + "104.1", 0)
    assert check.check(out) == []
    dataset = pydicom.dcmread(out)
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == pdf.read_bytes()
    assert (dataset.Modality, dataset.DocumentTitle, dataset.MIMETypeOfEncapsulatedDocument) == (
        "DOC", "Report Grün", "application/pdf")  # fmt: skip
    if word != "deflated":
        assert samples.dciodvfy(out) == []


def test_what_is_no_pdf_is_no_document(tmp_path: Path) -> None:
    """Nothing is written."""
    text, out = tmp_path / "letter.pdf", tmp_path / "out.dcm"
    text.write_text("Dear colleague")
    with pytest.raises(InputError, match=r"letter\.pdf is not a PDF"):
        objects.write_document(out, making("document"), text, "Letter")
    assert not out.exists()


def test_illegal_pairs_are_refused_and_the_legal_ones_named(clip_of: ClipOf, tmp_path: Path) -> None:
    """Every pair of kind and syntax that legal_syntaxes does not list, for stills, clips and documents."""
    subjects = [samples.still("rgb"), samples.still("gray16"), *(clip_of(name) for name in samples.CLIPS), "document"]
    refused = 0
    for subject in subjects:
        for kind in objects.KINDS:
            legal = objects.legal_syntaxes(kind, subject)
            for word in SYNTAXES.keys() - set(legal):
                with pytest.raises(IllegalPair) as told:
                    objects.sop_class(kind, subject, SYNTAXES[word])
                assert f"{kind} cannot be written as {word}" in str(told.value)
                assert told.value.exit_code == 2
                named = told.value.advice.replace(".", "").replace(",", "").split()
                assert set(legal) <= set(named)
                assert legal or any(other in named for other in objects.KINDS)
                refused += 1
    assert refused > 400
    with pytest.raises(IllegalPair):
        objects.write_still(tmp_path / "x.dcm", making("us"), samples.still("rgb"), SYNTAXES["mpeg2"])
    assert not (tmp_path / "x.dcm").exists()


@pytest.mark.parametrize(
    ("kind", "word", "what"),
    [("vl-endoscopic", "h264", "still"), ("document", "jls", "still"), ("document", "explicit", "clip"),
     ("document", "jpeg", "document"), ("sc", "explicit", "document")],
)  # fmt: skip
def test_a_pair_can_be_refused_before_anything_is_captured(kind: str, word: str, what: str) -> None:
    """From the words of the command alone."""
    with pytest.raises(IllegalPair, match=f"{kind} as {word}") as told:
        objects.demand_pair(kind, SYNTAXES[word], what)
    assert told.value.advice.startswith("Legal: ")
    objects.demand_pair("document" if what == "document" else "us", SYNTAXES["explicit"], what)


def test_a_stream_that_is_not_what_the_word_says_is_refused(clip_of: ClipOf) -> None:
    """MPEG-2 of other sizes and rates, other profiles, pixels that are not square, containers DICOM does not know."""
    mpeg2, h264 = clip_of("mpeg2"), clip_of("h264")
    wrong = {
        "15/s": replace(mpeg2, format=replace(mpeg2.format, rate=Fraction(15))),
        "Main is": replace(mpeg2, profile="4:2:2"),
        "legal as mpeg2-hd": replace(clip_of("mpeg2-hd")),
    }
    for words, clip in wrong.items():
        with pytest.raises(IllegalPair, match=words):
            objects.sop_class("sc", clip, SYNTAXES["mpeg2"])
    with pytest.raises(IllegalPair, match="square"):
        objects.sop_class("us", replace(h264, format=replace(h264.format, aspect=Fraction(16, 15))), SYNTAXES["h264"])
    with pytest.raises(IllegalPair, match="mpegts, mp4 around it, not matroska"):
        objects.sop_class("us", replace(h264, container="matroska"), SYNTAXES["h264"])
    with pytest.raises(IllegalPair, match="legal as h264-42"):
        objects.sop_class("us", clip_of("h264-42"), SYNTAXES["h264"])


def test_auto_is_lossless_for_stills_and_the_stream_itself_for_what_is_coded(clip_of: ClipOf) -> None:
    """The word of a codec's family means the syntax under which the stream is legal."""
    table = [
        (samples.still("rgb"), "auto", "jls"),
        (samples.jpeg_still(), "auto", "jpeg"),
        (samples.j2k_still(), "auto", "j2k"),
        (samples.j2k_still(lossy=True), "auto", "j2k-lossy"),
        (samples.still("rgb"), "jpeg", "jpeg"),
        (clip_of("raw-rgb"), "auto", "jls"),
        (clip_of("mpeg2"), "auto", "mpeg2"),
        (clip_of("mpeg2-hd"), "mpeg2", "mpeg2-hd"),
        (clip_of("h264"), "auto", "h264"),
        (clip_of("h264"), "h264-42", "h264-42"),
        (clip_of("h264-42"), "h264", "h264-42"),
        (clip_of("hevc"), "auto", "hevc"),
        (clip_of("hevc"), "jls", "jls"),
        ("document", "auto", "explicit"),
    ]
    assert [objects.auto_syntax(subject, word).name for subject, word, _ in table] == [name for *_, name in table]
    with pytest.raises(SettingsError, match="did you mean jls"):
        objects.auto_syntax(samples.still("rgb"), "jsl")


def test_the_kind_goes_by_the_modality_and_the_series_by_the_kind() -> None:
    """What does not fit the modality's own kind becomes Secondary Capture."""
    modalities = {"ES": "vl-endoscopic", "GM": "vl-microscopic", "SM": "vl-microscopic", "XC": "vl-photographic",
                  "OP": "vl-photographic", "US": "us", "IVUS": "us", "DOC": "document", "OT": "sc", "CT": "sc"}  # fmt: skip
    assert {modality: objects.kind_for(modality) for modality in modalities} == modalities
    assert objects.kind_for("ES", samples.still("gray12")) == "sc"
    assert objects.kind_for("DOC", samples.still("rgb")) == "sc"
    assert objects.kind_for("ES", "document") == "document"
    assert objects.modality_for("vl-photographic", "OP") == "XC"
    assert objects.modality_for("us", "IVUS") == "US"
    assert objects.modality_for("sc", "ES") == "ES"
    assert objects.modality_for("document", "ES") == "DOC"


def test_a_series_of_another_modality_is_refused(tmp_path: Path) -> None:
    """An endoscopic picture is ES, whatever was ordered."""
    wrong = making("vl-endoscopic", series=Series("2.25.1", 1, "OT"))
    with pytest.raises(SettingsError, match="of modality ES, this series is OT"):
        objects.write_still(tmp_path / "x.dcm", wrong, samples.still("rgb"), SYNTAXES["jls"])


@pytest.mark.parametrize("kind", VL_WORDS)
def test_a_visible_light_clip_must_say_which_part_of_the_body_it_shows(kind: str, clip_of: ClipOf, tmp_path: Path) -> None:
    """Asked for, never invented (PS3.3 C.8.12.1); a still may leave it out."""
    out = tmp_path / "out.dcm"
    with pytest.raises(SettingsError, match="part of the body") as told:
        objects.write_clip(out, making(kind, region=None), clip_of("raw-rgb"), SYNTAXES["jls"])
    assert "anatomic_region" in told.value.advice
    assert not out.exists()
    objects.write_still(out, making(kind, region=None), samples.still("rgb"), SYNTAXES["jls"])
    demand_sound(out, "jls")
    assert "AnatomicRegionSequence" not in pydicom.dcmread(out)


def test_the_region_comes_from_the_orders_codes_else_from_the_setting() -> None:
    """A protocol code counts only where PS3.16 lists it as a region; retired codes count as their twins."""
    assert anatomy.find_region(samples.EXAM.orders) is None
    assert anatomy.find_region(samples.EXAM.orders, samples.COLON) == samples.COLON
    for value, scheme in (("955009", "SCT"), ("69695003", "SCT"), ("14975008", "SCT"), ("T-32000", "SRT")):
        region = replace(samples.COLON, value=value, scheme=scheme)
        order = replace(samples.ORDER, protocol_codes=(*samples.ORDER.protocol_codes, region))
        assert anatomy.find_region([order], samples.COLON) == region


@pytest.mark.parametrize(
    ("region", "unpaired"),
    [("71854001", True), ("39607008", True), ("T-59300", True), ("85562004", False), ("39352004", False)],
)
def test_laterality_is_left_open_only_where_there_is_one(region: str, unpaired: bool, tmp_path: Path) -> None:
    """Type 2C (C.7.3.1): absent for the colon, empty for a hand of which nobody said which; so dciodvfy reads it, too."""
    code = Code(region, "SRT" if region.startswith("T") else "SCT", "a region")
    assert anatomy.is_unpaired(code) == unpaired
    for kind in ("vl-photographic", "us", "sc"):
        objects.write_still(tmp_path / "out.dcm", making(kind, region=code), samples.still("gray8"), SYNTAXES["jls"])
        demand_sound(tmp_path / "out.dcm", "jls")
        assert ("Laterality" in pydicom.dcmread(tmp_path / "out.dcm")) == (kind == "sc" or not unpaired)


@pytest.mark.parametrize("colour", [True, False])
def test_a_baseline_jpeg_goes_in_byte_for_byte_and_is_labelled(colour: bool, tmp_path: Path) -> None:
    """YBR_FULL_422, one loss of the real ratio; in another syntax it is decoded and keeps that history."""
    still, out = samples.jpeg_still(colour), tmp_path / "out.dcm"
    objects.write_still(out, making("vl-photographic"), still, SYNTAXES["jpeg"])
    demand_sound(out, "jpeg")
    dataset = pydicom.dcmread(out)
    assert still.stream.data in dataset.PixelData
    assert dataset.PhotometricInterpretation == ("YBR_FULL_422" if colour else "MONOCHROME2")
    native = ROWS * COLUMNS * (3 if colour else 1)
    assert dataset.LossyImageCompression == "01"
    assert float(dataset.LossyImageCompressionRatio) == pytest.approx(native / len(still.stream.data), abs=0.001)
    objects.write_still(out, making("vl-photographic"), still, SYNTAXES["jls-near"])
    demand_sound(out, "jls-near")
    dataset = pydicom.dcmread(out)
    assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14495_1"]
    assert len(dataset.LossyImageCompressionRatio) == 2


@pytest.mark.parametrize("lossy", [True, False])
@pytest.mark.parametrize("transformed", [True, False])
@pytest.mark.parametrize("kind", ["sc", "vl-endoscopic"])
def test_a_jpeg2000_stream_goes_in_with_its_own_colours(kind: str, transformed: bool, lossy: bool, tmp_path: Path) -> None:
    """RGB samples are not for visible light in JPEG 2000: such a stream is encoded again."""
    still, out = samples.j2k_still(lossy, transformed), tmp_path / "out.dcm"
    syntax = objects.auto_syntax(still, "auto")
    objects.write_still(out, making(kind), still, syntax)
    demand_sound(out, syntax.name)
    dataset = pydicom.dcmread(out)
    as_it_is = transformed or kind == "sc"
    assert (still.stream.data in dataset.PixelData) == as_it_is
    assert dataset.LossyImageCompression == ("01" if lossy else "00")
    coded = "YBR_ICT" if lossy else "YBR_RCT"
    assert dataset.PhotometricInterpretation == (coded if transformed or not as_it_is else "RGB")


def test_a_history_of_losses_ends_with_the_objects_own(clip_of: ClipOf, tmp_path: Path) -> None:
    """A recorder that counted its own loss is not counted twice."""
    out, clip = tmp_path / "out.dcm", samples.with_history(clip_of("h264"))
    ratio = ROWS * COLUMNS * 3 * clip.frames / clip.path.stat().st_size
    for losses in (clip.losses, (*clip.losses, Loss("h264", round(ratio, 3)))):
        objects.write_clip(out, making("vl-endoscopic"), replace(clip, losses=losses), SYNTAXES["h264"])
        dataset = pydicom.dcmread(out, stop_before_pixels=True)
        assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14496_10"]
        assert [float(one) for one in dataset.LossyImageCompressionRatio] == pytest.approx([7.5, ratio], rel=0.001)
    objects.write_clip(out, making("vl-endoscopic"), clip, SYNTAXES["jpeg"])
    dataset = pydicom.dcmread(out, stop_before_pixels=True)
    assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14496_10", "ISO_10918_1"]
    assert "ISO_14496_10" in dataset.DerivationDescription
    objects.write_clip(out, making("vl-endoscopic"), clip, SYNTAXES["jls"])
    assert check.check(out) == []
    dataset = pydicom.dcmread(out, stop_before_pixels=True)
    assert dataset.LossyImageCompression == "01"
    assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14496_10"]


def test_what_never_lost_anything_says_so(tmp_path: Path) -> None:
    """00, without a ratio."""
    objects.write_still(tmp_path / "x.dcm", making("vl-endoscopic"), samples.still("rgb"), SYNTAXES["j2k"])
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    assert dataset.LossyImageCompression == "00"
    assert "LossyImageCompressionRatio" not in dataset
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY"]


@pytest.mark.parametrize(("name", "time", "rate"), [("mpeg2", 40, 25), ("mpeg2-ntsc", 33.366667, 30), ("mpeg2-hd", 20, 50)])
def test_a_video_tells_its_frame_time(name: str, time: float, rate: int, clip_of: ClipOf, tmp_path: Path) -> None:
    """In milliseconds, pointed to; the cine rate is the whole number next to it."""
    out = tmp_path / "out.dcm"
    clip = replace(clip_of(name), times=(0, 1, 2, 3, 4, 5))
    objects.write_clip(out, making("us"), clip, objects.auto_syntax(clip, "auto"))
    dataset = pydicom.dcmread(out, stop_before_pixels=True)
    assert float(dataset.FrameTime) == pytest.approx(time, abs=1e-6)
    assert dataset.CineRate == dataset.RecommendedDisplayFrameRate == rate
    assert dataset.FrameIncrementPointer == 0x00181063
    assert "FrameTimeVector" not in dataset
    assert float(dataset.EffectiveDuration) == pytest.approx(6 * time / 1000, abs=1e-4)
    assert (dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.BitsStored) == ("YBR_PARTIAL_420", 3, 8)


def test_irregular_frames_get_a_vector(clip_of: ClipOf, tmp_path: Path) -> None:
    """Increments in milliseconds, the first 0 (C.7.6.5.1.2); what was wrong is said in words."""
    clip = replace(clip_of("raw-rgb"), times=(0.0, 0.04, 0.08, 0.24, 0.28), flaws=("3 frames lost after 0.08 s",))
    out = tmp_path / "out.dcm"
    for kind, word in (("sc", "rle"), ("us", "explicit"), ("vl-endoscopic", "jls")):
        objects.write_clip(out, making(kind), clip, SYNTAXES[word])
        demand_sound(out, word)
        dataset = pydicom.dcmread(out, stop_before_pixels=True)
        assert [float(one) for one in dataset.FrameTimeVector] == [0, 40, 40, 160, 40]
        assert dataset.FrameIncrementPointer == 0x00181065
        assert "FrameTime" not in dataset
        assert dataset.ImageComments == "3 frames lost after 0.08 s"


def test_marked_moments_become_frames_of_interest(clip_of: ClipOf, tmp_path: Path) -> None:
    """Counted from 1, where the IOD has the Frame Pointers module."""
    clip, out = replace(clip_of("mpeg2"), markers=(0.0, 0.13, 9.0)), tmp_path / "out.dcm"
    for kind, there in (("sc", True), ("us", True), ("vl-endoscopic", False)):
        objects.write_clip(out, making(kind), clip, SYNTAXES["mpeg2"])
        demand_sound(out, "mpeg2")
        dataset = pydicom.dcmread(out, stop_before_pixels=True)
        assert dataset.get("FrameNumbersOfInterest") == ([1, 4, 6] if there else None)


def test_pixels_that_are_not_square_say_so(clip_of: ClipOf, tmp_path: Path) -> None:
    """Pixel Aspect Ratio is vertical over horizontal (C.7.6.3.1.7): a wide PAL pixel is 15 to 16."""
    out, wide = tmp_path / "out.dcm", Fraction(16, 15)
    clip = replace(clip_of("mpeg2"), format=replace(clip_of("mpeg2").format, aspect=wide))
    objects.write_clip(out, making("vl-endoscopic"), clip, SYNTAXES["mpeg2"])
    demand_sound(out, "mpeg2")
    assert list(pydicom.dcmread(out, stop_before_pixels=True).PixelAspectRatio) == [15, 16]
    objects.write_still(out, making("vl-endoscopic"), replace(samples.still("rgb"), aspect=wide), SYNTAXES["jls"])
    demand_sound(out, "jls")
    assert list(pydicom.dcmread(out).PixelAspectRatio) == [15, 16]


def test_a_scanners_spacing_is_nominal_a_cameras_is_pixel_spacing(tmp_path: Path) -> None:
    """A scanner measures film, not the patient (C.8.6.2); ultrasound has no Pixel Spacing at all."""
    out, still = tmp_path / "out.dcm", replace(samples.still("gray12"), millimetres=(0.084667, 0.1))
    objects.write_still(out, making("sc", conversion="DF"), still, SYNTAXES["jls"])
    demand_sound(out, "jls")
    dataset = pydicom.dcmread(out)
    assert (dataset.ConversionType, list(dataset.NominalScannedPixelSpacing)) == ("DF", [0.084667, 0.1])
    assert "PixelSpacing" not in dataset
    for kind, there in (("vl-photographic", True), ("us", False)):
        fax = replace(samples.still("rgb"), millimetres=(0.25, 0.125), aspect=Fraction(1, 2))
        objects.write_still(out, making(kind), fax, SYNTAXES["jls"])
        demand_sound(out, "jls")
        assert ("PixelSpacing" in pydicom.dcmread(out)) == there
        assert ("PixelAspectRatio" in pydicom.dcmread(out)) == (not there)


def test_a_derivation_makes_the_picture_derived(tmp_path: Path) -> None:
    """With the words in Derivation Description; laterality, annotation and comments are written where known."""
    out, still = tmp_path / "out.dcm", replace(samples.still("rgb"), derivation="cropped", flaws=("no signal at first",))
    told = making("vl-photographic", burned_in="NO", comments="left hand", laterality="L")
    objects.write_still(out, told, still, SYNTAXES["jpeg"])
    demand_sound(out, "jpeg")
    dataset = pydicom.dcmread(out)
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY"]
    assert dataset.DerivationDescription.startswith("cropped; lossy compression ISO_10918_1, ")
    assert (dataset.BurnedInAnnotation, dataset.ImageLaterality) == ("NO", "L")
    assert dataset.ImageComments == "left hand; no signal at first"
    assert dataset.AnatomicRegionSequence[0].CodeValue == samples.COLON.value
    assert "Laterality" not in dataset


def test_every_time_is_in_the_exams_zone(tmp_path: Path) -> None:
    """Whatever zone the camera's clock has; the offset is told, for the half hours of Newfoundland too."""
    out = tmp_path / "out.dcm"
    objects.write_still(out, making("sc"), samples.still("rgb"), SYNTAXES["jls"])
    dataset = pydicom.dcmread(out)
    assert dataset.TimezoneOffsetFromUTC == "-0330"
    assert (dataset.StudyDate, dataset.StudyTime) == ("20261120", "093000")
    assert (dataset.ContentDate, dataset.ContentTime) == ("20261120", "094001.25")
    assert dataset.AcquisitionDateTime == "20261120094001.25"
    assert (dataset.InstanceCreationTime, dataset.TimeOfSecondaryCapture) == ("094200", "094200")


@pytest.mark.parametrize(
    ("name", "charset"),
    [("Brown^Anna", None), ("Grün^Anna", "ISO_IR 192"), ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192")],
)
def test_names_keep_their_groups_and_the_character_set_fits(name: str, charset: str | None, tmp_path: Path) -> None:
    """UTF-8 where anything is not ASCII, nothing where all is."""
    order = replace(samples.ORDER, patient=replace(samples.PATIENT, name=name), performing_physician="")
    exam = replace(samples.EXAM, orders=(order,))
    out = tmp_path / "out.dcm"
    objects.write_still(out, making("us", exam), samples.still("rgb"), SYNTAXES["jls"])
    demand_sound(out, "jls")
    dataset = pydicom.dcmread(out)
    assert dataset.get("SpecificCharacterSet") == charset
    assert str(dataset.PatientName) == name


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about identifiers that are too long
def test_what_the_hospital_wrote_carelessly_does_not_break_the_object(tmp_path: Path) -> None:
    """Control characters and backslashes go, long text is cut, an identifier never is; nonsense is left empty."""
    nonsense = {"birth_date": "unknown", "sex": "female", "size": "tall", "pregnancy": "9", "comments": "x" * 20_000}
    patient = replace(samples.PATIENT, name="Line\nbreak\\^Anna", **nonsense)
    order = replace(samples.ORDER, patient=patient, accession="A" * 20, procedure_description="d" * 100, step_id="S" * 17)
    out = tmp_path / "out.dcm"
    objects.write_still(out, making("sc", replace(samples.EXAM, orders=(order,))), samples.still("rgb"), SYNTAXES["jls"])
    check.demand(out)
    request = "RequestAttributesSequence[1]."
    too_long = {"AccessionNumber", f"{request}AccessionNumber", f"{request}ScheduledProcedureStepID"}
    assert {found.where for found in check.check(out)} == too_long
    dataset = pydicom.dcmread(out)
    assert (dataset.AccessionNumber, dataset.StudyDescription) == ("A" * 20, "d" * 64)
    assert (str(dataset.PatientName), dataset.PatientBirthDate, dataset.PatientSex) == ("Line break/^Anna", "", "")
    assert "PatientSize" not in dataset
    assert "PregnancyStatus" not in dataset


def test_an_unscheduled_patient_has_no_request(tmp_path: Path) -> None:
    """IHE RAD TF-2 Appendix A: no Request Attributes, an empty accession number, the step's ID as Study ID."""
    order = replace(samples.ORDER, unscheduled=True, accession="", procedure_id="", step_id="")
    exam = replace(samples.EXAM, orders=(order,))
    out = tmp_path / "out.dcm"
    objects.write_still(out, making("sc", exam), samples.still("rgb"), SYNTAXES["jls"])
    demand_sound(out, "jls")
    dataset = pydicom.dcmread(out)
    assert "RequestAttributesSequence" not in dataset
    assert (dataset.AccessionNumber, dataset.StudyID) == ("", exam.step_id)


def test_the_same_facts_give_the_same_bytes(clip_of: ClipOf, tmp_path: Path) -> None:
    """A simulation can be repeated."""
    digests = set()
    for number in range(2):
        out = tmp_path / f"{number}.dcm"
        objects.write_clip(out, making("sc"), clip_of("raw-rgb"), SYNTAXES["j2k"])
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("word", ["explicit", "rle"])
def test_a_long_clip_is_never_whole_in_memory(word: str, tmp_path: Path) -> None:
    """60 MB of frames pass through less than a tenth of that."""
    rows, columns, frames = 512, 512, 80
    path = tmp_path / "long.raw"
    frame = np.zeros((rows, columns, 3), np.uint8)
    with path.open("wb") as file:
        for number in range(frames):
            frame[number] = number
            file.write(frame.tobytes())
    clip = Clip(path, "raw", "", Format(columns, rows, Fraction(25), "rgb24"), frames, samples.SEEN)
    objects.write_clip(tmp_path / "warm.dcm", making("sc"), replace(clip, frames=2), SYNTAXES[word])
    tracemalloc.start()
    try:
        written = objects.write_clip(tmp_path / "out.dcm", making("sc"), clip, SYNTAXES[word])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written.frames == frames
    assert peak < 12_000_000
    assert check.check(tmp_path / "out.dcm") == []
    assert not list(tmp_path.glob("frames-*"))


def test_a_frame_of_another_size_stops_the_writing(clip_of: ClipOf, tmp_path: Path) -> None:
    """The format promised something else: nothing is left behind."""
    clip = clip_of("mpeg2")
    wrong = replace(clip, format=replace(clip.format, width=32))
    with pytest.raises(InputError, match="frame of the clip"):
        objects.write_clip(tmp_path / "out.dcm", making("sc"), wrong, SYNTAXES["jls"])
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_is_shorter_than_promised_tells_its_true_length(clip_of: ClipOf, tmp_path: Path) -> None:
    """Frames are counted, not believed."""
    clip = replace(clip_of("mpeg2"), frames=9, times=tuple(range(9)))
    written = objects.write_clip(tmp_path / "out.dcm", making("sc"), clip, SYNTAXES["explicit"])
    assert written.frames == 6
    demand_sound(tmp_path / "out.dcm", "explicit")


def test_a_gray_clip_as_video_is_a_colour_object(tmp_path: Path) -> None:
    """PS3.5 8.2.5: a video stream has three samples, so a gray source recorded as video is true colour."""
    clip = samples.video_clip(tmp_path, "mpeg2")
    gray = replace(clip, format=replace(clip.format, pixels="gray"))
    written = objects.write_clip(tmp_path / "out.dcm", making("sc"), gray, SYNTAXES["mpeg2"])
    assert written.sop_class_uid == STORAGE + "7.4"
    demand_sound(tmp_path / "out.dcm", "mpeg2")


def test_several_orders_become_several_requests(tmp_path: Path) -> None:
    """The group case: each order keeps its own identifiers, what differs between them is left empty above."""
    second = replace(samples.ORDER, accession="ACC-2", procedure_id="RP-2", step_id="SPS-2", procedure_description="Biopsy")
    exam = replace(samples.EXAM, orders=(samples.ORDER, second), started=samples.BEGUN + timedelta(seconds=0.5))
    objects.write_still(tmp_path / "out.dcm", making("us", exam), samples.still("rgb"), SYNTAXES["jls"])
    demand_sound(tmp_path / "out.dcm", "jls")
    dataset = pydicom.dcmread(io.BytesIO((tmp_path / "out.dcm").read_bytes()))
    assert [item.AccessionNumber for item in dataset.RequestAttributesSequence] == ["ACC-1", "ACC-2"]
    assert [item.ScheduledProcedureStepID for item in dataset.RequestAttributesSequence] == ["SPS-1", "SPS-2"]
    assert (dataset.AccessionNumber, dataset.StudyID) == ("", exam.step_id)
    assert dataset.StudyDescription == "Colonoscopy / Biopsy"
    assert dataset.StudyTime == "093000.5"
