"""The check passes what is sound, finds every fault planted here, and never reads a large object whole."""

import json
import random
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import object_samples as samples
import pydicom
import pytest
from object_samples import COLUMNS, ROWS, making
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from appliance.dicom import check, encapsulate, imagemodules, modules, objects, pixels, tables
from appliance.dicom.imagemodules import Seen
from appliance.dicom.syntaxes import SYNTAXES
from appliance.dicom.tables import generate
from appliance.errors import CheckError
from capture.frame import Clip
from capture.picture import read_frames

ClipOf = Callable[[str], Clip]
Mutation = Callable[[Dataset], object]
PDF = b"%PDF-1.4\n" + b"0123456789" * 20


@pytest.fixture(scope="module")
def sound(clip_of: ClipOf, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One good object of each sort that the mutations start from."""
    folder = tmp_path_factory.mktemp("sound")
    pdf = folder / "a.pdf"
    pdf.write_bytes(PDF)
    names = ("still", "native", "jpeg", "j2k", "sc", "clip", "gray", "video", "pdf")
    files = {name: folder / f"{name}.dcm" for name in names}
    odd = making("vl-endoscopic", sop_instance_uid="2.25.4711")  # nine characters and one of padding
    objects.write_still(files["still"], odd, samples.still("rgb"), SYNTAXES["jls"])
    objects.write_still(files["native"], making("us"), samples.still("rgb"), SYNTAXES["explicit"])
    objects.write_still(files["jpeg"], making("vl-endoscopic"), samples.still("rgb"), SYNTAXES["jpeg"])
    objects.write_still(files["j2k"], making("sc"), samples.still("rgb"), SYNTAXES["j2k"])
    objects.write_still(files["sc"], making("sc"), samples.still("gray12"), SYNTAXES["explicit"])
    objects.write_clip(files["clip"], making("us"), clip_of("raw-rgb"), SYNTAXES["rle"])
    objects.write_clip(files["gray"], making("sc"), clip_of("raw-gray8"), SYNTAXES["explicit"])
    objects.write_clip(files["video"], making("vl-endoscopic"), clip_of("mpeg2"), SYNTAXES["mpeg2"])
    objects.write_document(files["pdf"], making("document"), pdf, "A report")
    return files


def test_sound_objects_are_found_sound(sound: dict[str, Path]) -> None:
    """No error and no warning; demand lets them pass."""
    for path in sound.values():
        assert check.check(path) == []
        check.demand(path)


def put(keyword: str, value: object) -> Mutation:
    """Give an attribute another value."""
    return lambda dataset: setattr(dataset, keyword, value)


def drop(keyword: str) -> Mutation:
    """Take an attribute out."""
    return lambda dataset: delattr(dataset, keyword)


def nested(sequence: str, mutation: Mutation) -> Mutation:
    """Do it in the first item of a sequence."""
    return lambda dataset: mutation(dataset[sequence].value[0])


def fewer_frames(dataset: Dataset) -> None:
    """The second fragment of a clip disappears, its offset table stays."""
    frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=5))
    whole = pydicom.encaps.encapsulate(frames, has_bot=True)
    length = int.from_bytes(whole[4:8], "little")
    first = 8 + length
    size = int.from_bytes(whole[first + 4 : first + 8], "little")
    dataset.PixelData = whole[: first + 8 + size] + whole[first + 16 + size + len(frames[1]) + len(frames[1]) % 2 :]


# where it begins | what is done | where the fault is found
PLANTED: list[tuple[str, Mutation, str]] = [
    ("still", drop("PatientName"), "PatientName"),
    ("still", put("PatientID", ""), "PatientID"),
    ("still", put("PatientID", "   "), "PatientID"),
    ("still", drop("StudyDate"), "StudyDate"),
    ("still", drop("StudyInstanceUID"), "StudyInstanceUID"),
    ("still", put("SeriesInstanceUID", ""), "SeriesInstanceUID"),
    ("still", put("SeriesInstanceUID", "1.2.03"), "SeriesInstanceUID"),
    ("still", lambda dataset: put("SeriesInstanceUID", dataset.StudyInstanceUID)(dataset), "SOPInstanceUID"),
    ("still", put("Modality", ""), "Modality"),
    ("still", put("Modality", "OT"), "Modality"),
    ("still", drop("AcquisitionContextSequence"), "AcquisitionContextSequence"),
    ("still", drop("LossyImageCompression"), "LossyImageCompression"),
    ("still", put("LossyImageCompressionRatio", "3.5"), "LossyImageCompression"),
    ("still", put("SOPInstanceUID", "2.25.99"), "MediaStorageSOPInstanceUID"),
    ("still", put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.77.1.4"), "MediaStorageSOPClassUID"),
    ("still", put("PhotometricInterpretation", "YBR_FULL_422"), "PhotometricInterpretation"),
    ("still", put("PhotometricInterpretation", "PURPLE"), "PhotometricInterpretation"),
    ("still", put("SamplesPerPixel", 1), "SamplesPerPixel"),
    ("still", put("Rows", ROWS + 1), "Rows"),
    ("still", put("Columns", COLUMNS - 1), "Columns"),
    ("still", put("BitsStored", 7), "HighBit"),
    ("still", put("BitsAllocated", 16), "BitsAllocated"),
    ("still", put("HighBit", 8), "HighBit"),
    ("still", put("PlanarConfiguration", 1), "PlanarConfiguration"),
    ("still", drop("PlanarConfiguration"), "PlanarConfiguration"),
    ("still", put("NumberOfFrames", 2), "NumberOfFrames"),
    ("still", put("PatientBirthDate", "1970-02-03"), "PatientBirthDate"),
    ("still", put("StudyTime", "25:00"), "StudyTime"),
    ("still", put("ImageType", ["ORIGINAL", "primary"]), "ImageType"),
    ("still", put("ImageType", "ORIGINAL"), "ImageType"),
    ("still", put("PatientSex", ["F", "M"]), "PatientSex"),
    ("still", put("PatientName", "A^B^C^D^E^F"), "PatientName"),
    ("still", put("PatientName", "A=B=C=D"), "PatientName"),
    ("still", put("StationName", "bell\x07"), "StationName"),
    ("still", drop("SpecificCharacterSet"), "PatientName"),
    ("still", put("SpecificCharacterSet", "ISO-8859-1"), "SpecificCharacterSet"),
    ("still", nested("RequestAttributesSequence", put("StudyInstanceUID", "1..2")),
     "RequestAttributesSequence[1].StudyInstanceUID"),
    ("still", nested("ProcedureCodeSequence", drop("CodeMeaning")), "ProcedureCodeSequence[1].CodeMeaning"),
    ("still", nested("ProcedureCodeSequence", drop("CodeValue")), "ProcedureCodeSequence[1]"),
    ("still", nested("AnatomicRegionSequence", drop("CodingSchemeDesignator")), "AnatomicRegionSequence[1]"),
    ("still", nested("ReferencedPerformedProcedureStepSequence", drop("ReferencedSOPInstanceUID")),
     "ReferencedPerformedProcedureStepSequence[1].ReferencedSOPInstanceUID"),
    ("still", drop("PatientOrientation"), "PatientOrientation"),
    ("still", put("WindowCenter", 128), "WindowWidth"),
    ("still", put("PixelSpacing", ["1"]), "PixelSpacing"),
    ("still", lambda dataset: dataset.update({"PixelSpacing": [1, 2], "PixelAspectRatio": [1, 2]}), "PixelAspectRatio"),
    ("native", put("PixelData", b"\0" * (ROWS * COLUMNS * 3 - 2)), "PixelData"),
    ("native", put("Rows", 0), "Rows"),
    ("native", drop("PixelData"), "PixelData"),
    ("native", put("PhotometricInterpretation", "YBR_PARTIAL_420"), "PhotometricInterpretation"),
    ("native", put("Modality", "IVUS"), "IVUSAcquisition"),
    ("native", put("LossyImageCompression", "02"), "LossyImageCompression"),
    ("native", put("SequenceOfUltrasoundRegions", [Dataset()]), "SequenceOfUltrasoundRegions[1].RegionDataType"),
    ("jpeg", put("LossyImageCompression", "00"), "LossyImageCompression"),
    ("jpeg", drop("LossyImageCompressionMethod"), "LossyImageCompressionMethod"),
    ("jpeg", put("LossyImageCompressionMethod", "ISO_15444_1"), "LossyImageCompressionMethod"),
    ("jpeg", put("LossyImageCompressionRatio", "-1"), "LossyImageCompressionRatio"),
    ("jpeg", put("LossyImageCompressionRatio", ["5", "6"]), "LossyImageCompressionRatio"),
    ("jpeg", put("PhotometricInterpretation", "RGB"), "PhotometricInterpretation"),
    ("j2k", put("PhotometricInterpretation", "RGB"), "PhotometricInterpretation"),
    ("j2k", put("PhotometricInterpretation", "YBR_ICT"), "PhotometricInterpretation"),
    ("j2k", drop("ConversionType"), "ConversionType"),
    ("sc", put("BitsStored", 17), "BitsStored"),
    ("clip", put("NumberOfFrames", 6), "PixelData"),
    ("clip", drop("NumberOfFrames"), "NumberOfFrames"),
    ("clip", drop("FrameTime"), "FrameTime"),
    ("clip", put("FrameTime", "0"), "FrameTime"),
    ("clip", drop("FrameIncrementPointer"), "FrameIncrementPointer"),
    ("clip", put("FrameIncrementPointer", 0x00181065), "FrameIncrementPointer"),
    ("clip", fewer_frames, "PixelData"),
    ("gray", drop("BurnedInAnnotation"), "BurnedInAnnotation"),
    ("gray", drop("RescaleSlope"), "RescaleSlope"),
    ("gray", put("PhotometricInterpretation", "MONOCHROME1"), "PhotometricInterpretation"),
    ("gray", put("FrameTimeVector", ["0", "40"]), "FrameTimeVector"),
    ("gray", put("NumberOfFrames", 4), "PixelData"),
    ("video", drop("AnatomicRegionSequence"), "AnatomicRegionSequence"),
    ("video", put("AnatomicRegionSequence", Sequence()), "AnatomicRegionSequence"),
    ("video", put("PhotometricInterpretation", "RGB"), "PhotometricInterpretation"),
    ("video", put("FrameTime", "66.7"), "FrameTime"),
    ("video", put("Rows", 600), "Rows"),
    ("video", put("BitsStored", 10), "BitsStored"),
    ("pdf", put("EncapsulatedDocument", b"Dear colleague, "), "EncapsulatedDocument"),
    ("pdf", put("EncapsulatedDocumentLength", 7), "EncapsulatedDocumentLength"),
    ("pdf", drop("MIMETypeOfEncapsulatedDocument"), "MIMETypeOfEncapsulatedDocument"),
    ("pdf", drop("BurnedInAnnotation"), "BurnedInAnnotation"),
    ("pdf", drop("ConceptNameCodeSequence"), "ConceptNameCodeSequence"),
    ("pdf", drop("InstanceNumber"), "InstanceNumber"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns, and writes what it is told
@pytest.mark.parametrize(("base", "mutation", "where"), PLANTED, ids=lambda one: one if isinstance(one, str) else "")
def test_a_planted_fault_is_found(base: str, mutation: Mutation, where: str, sound: dict[str, Path], tmp_path: Path) -> None:
    """As an error, at its place; demand refuses the object and says so."""
    dataset = pydicom.dcmread(sound[base])
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if dataset["PixelData"].is_undefined_length else dataset["PixelData"].VR
    mutation(dataset)
    out = tmp_path / "faulty.dcm"
    meta = dataset.file_meta
    with out.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        pydicom.filewriter.write_file_meta_info(file, meta)
        pydicom.filewriter.dcmwrite(file, _without_meta(dataset), implicit_vr=False, little_endian=True, force_encoding=True)
    errors = [found for found in check.check(out) if found.severity == "error"]
    assert {found.where for found in errors} & {where}, [str(found) for found in errors]
    with pytest.raises(CheckError, match=r"faulty\.dcm is not a sound object"):
        check.demand(out)


def _without_meta(dataset: Dataset) -> Dataset:
    plain = Dataset()
    plain.update(dataset)
    return plain


def patched(path: Path, out: Path, change: Callable[[bytearray], object]) -> list[check.Finding]:
    """What the check says after the bytes of a file were changed."""
    content = bytearray(path.read_bytes())
    change(content)
    out.write_bytes(content)
    return [found for found in check.check(out) if found.severity == "error"]


def element(tag: int) -> bytes:
    """How an element begins in little endian."""
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


# what lies in the bytes | where the fault is found
RAW: list[tuple[str, str, Callable[[bytearray], object], str]] = [
    ("no preamble", "still", lambda b: b.__delitem__(slice(0, 4)), "file"),
    ("cut in the header", "still", lambda b: b.__delitem__(slice(700, None)), "file"),
    ("cut in native pixels", "native", lambda b: b.__delitem__(slice(-100, None)), "PixelData"),
    ("cut in a fragment", "still", lambda b: b.__delitem__(slice(-100, None)), "PixelData"),
    ("no delimiter", "still", lambda b: b.__delitem__(slice(-8, None)), "PixelData"),
    ("rubbish at the end", "native", lambda b: b.extend(b"abcdefgh"), "PixelData"),
    ("rubbish after the delimiter", "clip", lambda b: b.extend(b"abcd"), "PixelData"),
    ("wrong VR", "still", lambda b: b.__setitem__(slice(*_vr_at(b, 0x00100040)), b"SH"), "PatientSex"),
    ("not lossless after all", "still", lambda b: _set(b, b"\xff\xda\0\x0c\3\1\0\2\0\3\0", b"\2"), "PixelData"),
    ("another process", "jpeg", lambda b: _replace(b, b"\xff\xc0", b"\xff\xc1"), "PixelData"),
    ("twelve bits in the stream", "jpeg", lambda b: _set(b, b"\xff\xc0\0\x11", b"\x0c"), "BitsStored"),
    ("irreversible wavelet", "j2k", lambda b: _wavelet(b), "PixelData"),
    ("bytes that are not UTF-8", "still", lambda b: _replace(b, "ü".encode(), b"\xfc "), "PatientName"),
    ("a space after a UID", "still", lambda b: b.__setitem__(_uid_end(b), 0x20), "SOPInstanceUID"),
    ("twice the same", "native", lambda b: _twice(b, 0x00100040), "PatientSex"),
    ("out of order", "native", lambda b: _last_first(b), "StudyInstanceUID"),
    ("wrong offset table", "clip", lambda b: _set(b, b"\xfe\xff\x00\xe0\x14\0\0\0\0\0\0\0", b"\6"), "PixelData"),
    ("unknown syntax", "native", lambda b: _replace(b, b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"),
     "TransferSyntaxUID"),
    ("no container", "video", lambda b: _replace(b, b"\0\0\1\xba", b"\0\0\1\xb3"), "PixelData"),
    ("image data of another codec", "still", lambda b: _replace(b, b"\xff\xd8\xff", b"\xff\x4f\xff"), "PixelData"),
]  # fmt: skip


def _replace(content: bytearray, old: bytes, new: bytes) -> None:
    at = content.index(old)
    content[at : at + len(old)] = new


def _set(content: bytearray, after: bytes, new: bytes) -> None:
    at = content.index(after) + len(after)
    content[at : at + len(new)] = new


def _vr_at(content: bytearray, tag: int) -> tuple[int, int]:
    at = content.index(element(tag)) + 4
    return at, at + 2


def _wavelet(content: bytearray) -> None:
    content[content.index(b"\xff\x52") + 13] = 0


def _uid_end(content: bytearray) -> int:
    at = content.index(element(0x00080018))
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    assert content[at + 7 + length] == 0, "the sample's UID has an odd length, so it is padded"
    return at + 7 + length


def _twice(content: bytearray, tag: int) -> None:
    at = content.index(element(tag))
    length = 8 + int.from_bytes(content[at + 6 : at + 8], "little")
    content[at:at] = content[at : at + length]


def _last_first(content: bytearray) -> None:
    """Study Instance UID moves behind Series Instance UID."""
    middle = content.index(element(0x0020000E))
    at = content.rindex(element(0x0020000D), 0, middle)
    end = middle + 8 + int.from_bytes(content[middle + 6 : middle + 8], "little")
    content[at:end] = content[middle:end] + content[at:middle]


@pytest.mark.parametrize(("name", "base", "change", "where"), RAW, ids=[row[0] for row in RAW])
def test_a_fault_in_the_bytes_is_found(
    name: str, base: str, change: Callable[[bytearray], object], where: str, sound: dict[str, Path], tmp_path: Path
) -> None:
    """What pydicom would not write, and what it would read without a word."""
    errors = patched(sound[base], tmp_path / "faulty.dcm", change)
    assert where in {found.where for found in errors}, (name, [str(found) for found in errors])


def test_what_is_no_dicom_file_is_said_to_be_none(tmp_path: Path) -> None:
    """Empty, text, missing, a folder."""
    empty, text = tmp_path / "empty.dcm", tmp_path / "text.dcm"
    empty.write_bytes(b"")
    text.write_text("I am a picture" * 30)
    for path in (empty, text, tmp_path / "missing.dcm", tmp_path):
        (found,) = check.check(path)
        assert (found.severity, found.where) == ("error", "file")


def test_what_the_iod_does_not_know_is_a_warning(sound: dict[str, Path], tmp_path: Path) -> None:
    """At the top and within items; private attributes are nobody's business."""
    dataset = pydicom.dcmread(sound["still"])
    dataset.KVP = "120"
    dataset.RequestAttributesSequence[0].KVP = "120"
    dataset.private_block(0x0099, "SOMEBODY", create=True).add_new(1, "LO", "theirs")
    dataset.save_as(tmp_path / "more.dcm")
    found = check.check(tmp_path / "more.dcm")
    assert {one.severity for one in found} == {"warning"}
    assert {one.where for one in found} == {"KVP", "RequestAttributesSequence[1].KVP"}
    check.demand(tmp_path / "more.dcm")


def test_a_class_without_tables_is_checked_as_far_as_it_goes(sound: dict[str, Path], tmp_path: Path) -> None:
    """A report of somebody else's: its values are checked, its modules are not."""
    dataset = pydicom.dcmread(sound["pdf"])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.11")
    dataset.save_as(tmp_path / "report.dcm")
    (found,) = check.check(tmp_path / "report.dcm")
    assert (found.severity, found.where) == ("warning", "SOPClassUID")
    assert "no tables" in found.words


@pytest.mark.parametrize("above", [0, 3000])
def test_an_extended_offset_table_is_checked(above: int, sound: dict[str, Path], clip_of: ClipOf, tmp_path: Path) -> None:
    """Its offsets land on the frames' items; one that does not is an error."""
    clip = clip_of("raw-rgb")
    facts = pixels.pixel_facts(clip, SYNTAXES["rle"])
    dataset = pydicom.dcmread(sound["clip"], stop_before_pixels=True)
    streams = list(pixels.encode_many(list(read_frames(clip)), 8, SYNTAXES["rle"]))
    out = tmp_path / "extended.dcm"
    encapsulate.write(out, dataset, SYNTAXES["rle"], encapsulate.Frames(streams, extended_above=above))
    assert facts.frames == len(streams)
    assert "ExtendedOffsetTable" in pydicom.dcmread(out)
    assert check.check(out) == []
    last = struct.pack("<Q", sum(8 + len(stream) + len(stream) % 2 for stream in streams[:-1]))
    errors = patched(out, tmp_path / "x.dcm", lambda b: _replace(b, last, struct.pack("<Q", 5)))
    assert {found.where for found in errors} == {"ExtendedOffsetTable"}


def test_deflated_objects_are_checked_like_others(sound: dict[str, Path], tmp_path: Path) -> None:
    """Their dataset is inflated first; a damaged or a short one is told."""
    out = tmp_path / "deflated.dcm"
    encapsulate.transcode(sound["native"], out, SYNTAXES["deflated"])
    assert check.check(out) == []
    (cut,) = patched(out, tmp_path / "x.dcm", lambda b: b.__delitem__(slice(-200, None)))
    assert (cut.where, "ends too early" in cut.words) == ("file", True)
    faulty = pydicom.dcmread(sound["native"])
    del faulty.PatientName
    faulty.save_as(tmp_path / "faulty.dcm")
    encapsulate.transcode(tmp_path / "faulty.dcm", out, SYNTAXES["deflated"])
    assert [found.where for found in check.check(out)] == ["PatientName"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_that_lies_in_a_file_makes_the_check_stumble(sound: dict[str, Path], tmp_path: Path) -> None:
    """Files with random damage are judged, whatever it is."""
    chance, out = random.Random(4711), tmp_path / "damaged.dcm"
    for path in sound.values():
        content = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 6)):
                at = chance.randrange(132, min(len(damaged), 2500))
                if chance.random() < 0.7:
                    damaged[at] = chance.randrange(256)
                else:
                    damaged[at : at + chance.randint(1, 9)] = b""
            out.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(200, len(damaged))))])
            assert isinstance(check.check(out), list)


@pytest.mark.parametrize("kind", ["native", "pdf"])
def test_a_large_object_is_not_read_whole(kind: str, sound: dict[str, Path], tmp_path: Path) -> None:
    """200 MB of pixels or of a document are walked over."""
    out, size = tmp_path / "large.dcm", 200 << 20
    content = bytearray(sound[kind].read_bytes())
    tag = element(0x7FE00010 if kind == "native" else 0x00420011)
    at = content.rindex(tag)
    old = int.from_bytes(content[at + 8 : at + 12], "little")
    frames = size // old
    content[at + 8 : at + 12] = struct.pack("<I", frames * old)
    with out.open("wb") as file:
        file.write(content[: at + 12 + old])
        file.seek((frames - 1) * old, 1)
        file.write(content[at + 12 + old :])
        file.truncate(at + 12 + frames * old + len(content) - (at + 12 + old))
    check.check(sound[kind])
    tracemalloc.start()
    try:
        found = check.check(out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert [one.where for one in found] == ["PixelData" if kind == "native" else "EncapsulatedDocumentLength"]


def test_a_ct_image_of_the_simulator_is_checked_too(tmp_path: Path) -> None:
    """By the tables of its own IOD."""
    dataset, told = Dataset(), replace(making("sc"), series=replace(making("sc").series, modality="CT"))
    zone, still = told.zone, samples.still("gray12")
    modules.patient(dataset, told.exam)
    modules.general_study(dataset, told.exam, zone)
    modules.general_series(dataset, told.exam, told.series, zone)
    modules.general_equipment(dataset, told.device)
    imagemodules.general_image(dataset, Seen(samples.SEEN, 1), zone)
    pixels.put(dataset, pixels.pixel_facts(still, SYNTAXES["explicit"]))
    del dataset.PatientOrientation
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = "2.25.77", ""
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness, dataset.KVP, dataset.AcquisitionNumber = [1, 1], 5, 120, 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.PatientPosition = "HFS"
    modules.sop_common(dataset, ("1.2.840.10008.5.1.4.1.1.2", "2.25.78"), samples.SEEN, zone)
    body = encapsulate.Native([still.pixels.tobytes()], still.pixels.nbytes)
    encapsulate.write(tmp_path / "ct.dcm", dataset, SYNTAXES["explicit"], body)
    assert check.check(tmp_path / "ct.dcm") == []
    assert samples.dciodvfy(tmp_path / "ct.dcm") == []
    for keyword in ("ImagePositionPatient", "RescaleSlope", "KVP", "PatientPosition"):
        less = Dataset()
        less.update(dataset)
        delattr(less, keyword)
        encapsulate.write(tmp_path / "less.dcm", less, SYNTAXES["explicit"], body)
        assert keyword in {found.where for found in check.check(tmp_path / "less.dcm")}


def test_the_tables_are_as_they_were_generated() -> None:
    """Nobody edited them by hand; they say where they come from, and know the IODs the menu offers."""
    content = generate.TARGET.read_text(encoding="utf-8")
    assert generate.text(json.loads(content)) == content
    assert "highdicom" in content[:400]
    assert "MIT" in content[:400]
    assert tables.classes() == set(generate.SOP_CLASSES)
    for kind in objects.KINDS.values():
        assert {uid for uid in (kind.still, kind.clip) if uid} <= tables.classes()
    endoscopic = tables.iod("1.2.840.10008.5.1.4.1.1.77.1.1")
    assert endoscopic is not None
    assert {module.name for module in endoscopic.modules if module.usage == "M"} >= {"patient", "vl-image", "sop-common"}
    assert endoscopic.module("acquisition-context").attributes[0x00400555][0] == "2"
