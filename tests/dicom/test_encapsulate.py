"""Part 10 files are written in pieces, exactly as PS3.10 and PS3.5 A.4 say, and transcoded without a further loss."""

import os
import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from pixel_samples import a_picture, header, picture, write_frames
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.sequence import Sequence

from appliance.dicom import encapsulate, pixels
from appliance.dicom.encapsulate import Frames, Native, Nothing, Video, spilled, transcode, write
from appliance.dicom.stored import Stored
from appliance.dicom.syntaxes import SYNTAXES
from appliance.errors import InputError


def facts_of(name: str = "explicit", shape=(4, 6), bits: int = 8, frames: int = 1) -> pixels.PixelFacts:
    return pixels.facts_of_shape(shape, bits, SYNTAXES[name], frames)


def fragments(dataset: Dataset) -> tuple[list[int], list[bytes]]:
    """The Basic Offset Table and the fragments of a file that pydicom has read."""
    buffer = BytesIO(dataset.PixelData)
    return parse_basic_offsets(buffer), list(generate_fragments(buffer))


def test_the_meta_information_is_complete_and_its_length_right(tmp_path):
    path = tmp_path / "a.dcm"
    size = write(path, header(facts_of()), SYNTAXES["explicit"], Native([bytes(24)], 24))
    raw = path.read_bytes()
    assert size == len(raw) and raw[128:132] == b"DICM" and not any(raw[:128])
    meta = dcmread(path).file_meta
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert meta.MediaStorageSOPInstanceUID == header(facts_of()).SOPInstanceUID
    assert meta.TransferSyntaxUID == SYNTAXES["explicit"].uid
    assert meta.ImplementationClassUID == encapsulate.IMPLEMENTATION_UID
    assert meta.ImplementationClassUID.startswith("2.25.") and len(meta.ImplementationVersionName) <= 16
    assert meta.FileMetaInformationVersion == b"\0\1"
    (length,) = struct.unpack_from("<I", raw, 140)
    assert raw[144 + length : 148 + length] == b"\x08\x00\x16\x00", "the data set begins right behind it"


def test_the_data_set_that_was_handed_in_is_left_as_it_is(tmp_path):
    dataset = header(facts_of("jls", frames=2))
    before = dataset.to_json()
    write(tmp_path / "a.dcm", dataset, SYNTAXES["jls"], Frames([b"12", b"345"], extended_above=0))
    assert dataset.to_json() == before and not hasattr(dataset, "file_meta")


@pytest.mark.parametrize(
    ("name", "bits", "vr"), [("explicit", 8, "OB"), ("explicit", 12, "OW"), ("implicit", 8, ""), ("implicit", 12, "")]
)
def test_native_pixels_have_the_right_vr_and_an_even_length(tmp_path, name, bits, vr):
    shape = (3, 5)
    total = 15 if bits == 8 else 30
    body = bytes(range(total))
    write(tmp_path / "a.dcm", header(facts_of(name, shape, bits)), SYNTAXES[name], Native([body[:7], body[7:]], total))
    with Stored(tmp_path / "a.dcm") as stored:
        assert stored.vr == vr and stored.native_length == total + total % 2
        assert b"".join(stored.pieces()) == body + b"\0" * (total % 2)
    read = dcmread(tmp_path / "a.dcm")["PixelData"].VR
    assert read == (vr or "OW")


def test_a_wrong_number_of_native_bytes_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match="23 bytes instead of 24"):
        write(tmp_path / "a.dcm", header(facts_of()), SYNTAXES["explicit"], Native([bytes(23)], 24))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="do not fit into one object"):
        write(tmp_path / "a.dcm", header(facts_of()), SYNTAXES["explicit"], Native([], 1 << 32))


def test_a_deflated_file_inflates_to_the_explicit_one(tmp_path):
    frames = [a_picture("rgb8")[0]]
    write_frames(tmp_path / "e.dcm", frames, 8, SYNTAXES["explicit"])
    write_frames(tmp_path / "d.dcm", frames, 8, SYNTAXES["deflated"])
    deflated, explicit = (tmp_path / "d.dcm").read_bytes(), (tmp_path / "e.dcm").read_bytes()
    (meta,) = struct.unpack_from("<I", deflated, 140)
    (meta_explicit,) = struct.unpack_from("<I", explicit, 140)
    assert len(deflated) % 2 == 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    assert inflater.decompress(deflated[144 + meta :]) == explicit[144 + meta_explicit :]
    assert inflater.eof and inflater.unused_data in (b"", b"\0")


def test_several_frames_get_a_basic_offset_table_and_even_items(tmp_path):
    streams = [b"a" * 10, b"b" * 7, b"c" * 12]
    write(tmp_path / "a.dcm", header(facts_of("jls", frames=3)), SYNTAXES["jls"], Frames(streams))
    dataset = dcmread(tmp_path / "a.dcm")
    offsets, items = fragments(dataset)
    assert offsets == [0, 18, 34]
    assert items == [b"a" * 10, b"b" * 7 + b"\0", b"c" * 12]
    assert "ExtendedOffsetTable" not in dataset
    assert dataset["PixelData"].VR == "OB" and dataset["PixelData"].is_undefined_length


def test_one_frame_needs_no_table(tmp_path):
    write(tmp_path / "a.dcm", header(facts_of("jls")), SYNTAXES["jls"], Frames([b"abc"]))
    assert fragments(dcmread(tmp_path / "a.dcm")) == ([], [b"abc\0"])


def test_large_multi_frame_gets_the_extended_table_and_an_empty_basic_one(tmp_path):
    sent = [picture(16, 16, seed=seed) for seed in range(4)]
    syntax = SYNTAXES["jls"]
    streams = list(pixels.encode_many(sent, 8, syntax))
    write(tmp_path / "a.dcm", header(facts_of("jls", (16, 16), frames=4)), syntax, Frames(streams, extended_above=100))
    dataset = dcmread(tmp_path / "a.dcm")
    offsets, items = fragments(dataset)
    assert offsets == []
    table = struct.unpack("<4Q", dataset.ExtendedOffsetTable)
    lengths = struct.unpack("<4Q", dataset.ExtendedOffsetTableLengths)
    assert list(lengths) == [len(item) for item in items]
    assert list(table) == [sum(8 + len(item) for item in items[:n]) for n in range(4)]
    assert np.array_equal(np.stack(list(pixels.decode(tmp_path / "a.dcm"))), np.stack(sent))
    assert np.array_equal(dataset.pixel_array, np.stack(sent))


def test_offsets_beyond_four_gigabytes_are_extended(tmp_path):
    huge = Frames(tmp_path / "never-read", [3 << 30, 2 << 30, 5])
    dataset = Dataset()
    huge.put_tables(dataset)
    assert struct.unpack("<3Q", dataset.ExtendedOffsetTable) == (0, 8 + (3 << 30), 16 + (5 << 30))
    assert struct.unpack("<3Q", dataset.ExtendedOffsetTableLengths) == (3 << 30, 2 << 30, 6)
    small = Dataset()
    Frames(tmp_path / "never-read", [1 << 30, 1 << 30, 5]).put_tables(small)
    assert not len(small)


def test_frames_come_from_a_spill_file_that_goes_away(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    with spilled(iter([b"12345", b"678"]), folder) as frames:
        assert frames.total == 8 and len(list(folder.iterdir())) == 1
        write(tmp_path / "a.dcm", header(facts_of("jls", frames=2)), SYNTAXES["jls"], frames)
    assert fragments(dcmread(tmp_path / "a.dcm")) == ([0, 14], [b"12345\0", b"678\0"])
    assert not list(folder.iterdir())


def test_a_video_is_one_fragment_with_an_empty_offset_table(tmp_path):
    stream = os.urandom(12_345)
    (tmp_path / "v.mpg").write_bytes(stream)
    write(
        tmp_path / "a.dcm", header(facts_of("mpeg2", (480, 720, 3), frames=9)), SYNTAXES["mpeg2"], Video(tmp_path / "v.mpg")
    )
    dataset = dcmread(tmp_path / "a.dcm")
    assert fragments(dataset) == ([], [stream + b"\0"])
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.100"
    with Stored(tmp_path / "a.dcm") as stored:
        assert b"".join(stored.fragments()) == stream + b"\0"


def test_a_fragmentable_video_is_cut_under_its_own_uid(tmp_path):
    stream = os.urandom(10_001)
    (tmp_path / "v.ts").write_bytes(stream)
    facts = facts_of("h264", (48, 64, 3), frames=9)
    write(tmp_path / "a.dcm", header(facts), SYNTAXES["h264"], Video(tmp_path / "v.ts", True, 4001))
    dataset = dcmread(tmp_path / "a.dcm")
    offsets, items = fragments(dataset)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102.1"
    assert offsets == [] and [len(item) for item in items] == [4000, 4000, 2002]
    assert b"".join(items) == stream + b"\0"
    write(tmp_path / "h.dcm", header(facts), SYNTAXES["hevc"], Video(tmp_path / "v.ts", piece=6000))
    dataset = dcmread(tmp_path / "h.dcm")
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES["hevc"].uid
    assert len(fragments(dataset)[1]) == 2, "HEVC may be cut under its only UID (PS3.5 8.2.10)"


def test_a_video_beyond_four_gigabytes_is_refused_unless_fragmentable(tmp_path):
    with (tmp_path / "v.mpg").open("wb") as file:
        file.truncate((1 << 32) + 10)
    with pytest.raises(InputError, match="does not fit into one object"):
        write(tmp_path / "a.dcm", header(facts_of()), SYNTAXES["mpeg2"], Video(tmp_path / "v.mpg"))
    (tmp_path / "empty.mpg").touch()
    with pytest.raises(InputError, match="is empty"):
        write(tmp_path / "a.dcm", header(facts_of()), SYNTAXES["mpeg2"], Video(tmp_path / "empty.mpg"))
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("jls", Native([b""], 0), "Native pixels cannot be written as jls"),
        ("explicit", Frames([b"ab"]), "Frames pixels cannot be written as explicit"),
        ("jls", Frames([]), "There are no frames"),
    ],
)
def test_pixels_that_do_not_fit_the_syntax_are_refused(tmp_path, name, body, words):
    with pytest.raises(InputError, match=words):
        write(tmp_path / "a.dcm", header(facts_of()), SYNTAXES[name], body)
    nameless = header(facts_of())
    del nameless.SOPInstanceUID
    with pytest.raises(InputError, match="without SOPInstanceUID"):
        write(tmp_path / "a.dcm", nameless, SYNTAXES["explicit"], Nothing())
    assert not list(tmp_path.iterdir())


def test_a_document_has_no_pixels(tmp_path):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.104.1", "2.25.9"
    dataset.EncapsulatedDocument = b"%PDF-1.4 "
    write(tmp_path / "a.dcm", dataset, SYNTAXES["explicit"], Nothing())
    back = dcmread(tmp_path / "a.dcm")
    assert "PixelData" not in back and back.EncapsulatedDocument.startswith(b"%PDF")
    transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["implicit"])
    assert dcmread(tmp_path / "b.dcm").EncapsulatedDocument == back.EncapsulatedDocument


def test_memory_does_not_grow_with_a_video_or_with_native_frames(tmp_path):
    with (tmp_path / "v.mpg").open("wb") as file:
        file.truncate(100 << 20)
    frame = bytes(1 << 20)
    facts = facts_of("explicit", (1024, 1024), frames=100)
    tracemalloc.start()
    try:
        write(tmp_path / "v.dcm", header(facts_of("mpeg2", (480, 720, 3))), SYNTAXES["mpeg2"], Video(tmp_path / "v.mpg"))
        write(tmp_path / "n.dcm", header(facts), SYNTAXES["deflated"], Native((frame for _ in range(100)), 100 << 20))
        transcode(tmp_path / "n.dcm", tmp_path / "e.dcm", SYNTAXES["explicit"])
        for name in ("rle", "implicit"):
            transcode(tmp_path / "e.dcm", tmp_path / f"{name}.dcm", SYNTAXES[name])
        transcode(tmp_path / "rle.dcm", tmp_path / "e2.dcm", SYNTAXES["explicit"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert (tmp_path / "e2.dcm").read_bytes() == (tmp_path / "e.dcm").read_bytes()
    for file in tmp_path.iterdir():
        file.unlink()


@pytest.mark.parametrize("kind", ["gray8", "gray12", "gray16", "rgb8"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("explicit", "implicit"),
        ("implicit", "explicit"),
        ("explicit", "deflated"),
        ("deflated", "implicit"),
        ("rle", "explicit"),
        ("jpeg-lossless", "implicit"),
        ("jls", "explicit"),
        ("j2k", "explicit"),
        ("htj2k", "implicit"),
        ("explicit", "jls"),
        ("implicit", "j2k"),
        ("j2k", "rle"),
        ("jls", "htj2k"),
    ],
)
def test_a_lossless_transcoding_keeps_every_pixel_and_the_uid(tmp_path, first, second, kind):
    sent, bits = a_picture(kind)
    frames = [sent, a_picture(kind, seed=2)[0]]
    write_frames(tmp_path / "a.dcm", frames, bits, SYNTAXES[first])
    transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES[second])
    old, new = dcmread(tmp_path / "a.dcm"), dcmread(tmp_path / "b.dcm")
    assert new.file_meta.TransferSyntaxUID == SYNTAXES[second].uid
    assert new.SOPInstanceUID == old.SOPInstanceUID == new.file_meta.MediaStorageSOPInstanceUID
    assert new.PhotometricInterpretation == (SYNTAXES[second].colours if kind == "rgb8" else "MONOCHROME2")
    assert np.array_equal(np.stack(list(pixels.decode(tmp_path / "b.dcm"))), np.stack(frames))
    assert np.array_equal(new.pixel_array, np.stack(frames))
    for dataset in (old, new):
        del dataset.PixelData
        del dataset.PhotometricInterpretation
    assert new.to_json_dict() == old.to_json_dict()


@pytest.mark.parametrize("name", ["jpeg", "jls-near", "j2k-lossy", "htj2k-lossy"])
def test_a_lossy_object_becomes_uncompressed_with_its_history(tmp_path, name):
    sent, bits = a_picture("rgb8")
    syntax = SYNTAXES[name]
    dataset = header(pixels.facts_of_shape(sent.shape, bits, syntax))
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = 7.5
    dataset.LossyImageCompressionMethod = syntax.method
    write(tmp_path / "a.dcm", dataset, syntax, Frames([pixels.encode(sent, bits, syntax)]))
    transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["implicit"])
    new = dcmread(tmp_path / "b.dcm")
    assert (new.PhotometricInterpretation, new.PlanarConfiguration) == ("RGB", 0)
    assert new.LossyImageCompression == "01" and new.LossyImageCompressionRatio == 7.5
    assert new.LossyImageCompressionMethod == syntax.method
    assert new.SOPInstanceUID == dataset.SOPInstanceUID
    (shown,) = pixels.decode(tmp_path / "a.dcm")
    assert np.array_equal(new.pixel_array, shown)


def test_nothing_is_transcoded_to_a_lossy_syntax_or_from_a_video(tmp_path):
    write_frames(tmp_path / "a.dcm", [a_picture("gray8")[0]], 8, SYNTAXES["explicit"])
    with pytest.raises(InputError, match="loses detail"):
        transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["jpeg"])
    (tmp_path / "v.mpg").write_bytes(b"\0\0\1\xba" * 10)
    facts = facts_of("mpeg2", (480, 720, 3), frames=9)
    write(tmp_path / "v.dcm", header(facts), SYNTAXES["mpeg2"], Video(tmp_path / "v.mpg"))
    with pytest.raises(InputError, match="mpeg2 video"):
        transcode(tmp_path / "v.dcm", tmp_path / "b.dcm", SYNTAXES["explicit"])
    with pytest.raises(InputError, match="not read as single frames"):
        list(pixels.decode(tmp_path / "v.dcm"))
    assert not (tmp_path / "b.dcm").exists()


def test_a_damaged_source_leaves_no_half_written_file(tmp_path):
    write_frames(tmp_path / "a.dcm", [a_picture("gray8")[0]] * 3, 8, SYNTAXES["jls"])
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError):
        transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["explicit"])
    assert [file.name for file in tmp_path.iterdir()] == ["a.dcm"]


def test_names_in_any_script_sequences_and_private_elements_survive(tmp_path):
    dataset = header(facts_of())
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T1", "99X", "山"
    item.ReferencedImageSequence = Sequence([Dataset()])
    dataset.ProcedureCodeSequence = Sequence([item])
    dataset.private_block(0x0011, "DICAP TEST", create=True).add_new(0x01, "LO", "kept")
    write(tmp_path / "a.dcm", dataset, SYNTAXES["explicit"], Native([bytes(24)], 24))
    for number, name in enumerate(("implicit", "deflated", "explicit")):
        transcode(tmp_path / f"{'abc'[number]}.dcm", tmp_path / f"{'bcd'[number]}.dcm", SYNTAXES[name])
    back = dcmread(tmp_path / "d.dcm")
    assert str(back.PatientName) == str(dataset.PatientName)
    assert back.ProcedureCodeSequence[0].CodeMeaning == "山"
    assert back.private_block(0x0011, "DICAP TEST")[0x01].value in ("kept", b"kept")


def test_signed_pixels_pass_between_native_syntaxes_but_are_not_compressed(tmp_path):
    signed = np.array([[-1000, 5], [7, 2000]], np.int16)
    dataset = header(facts_of("explicit", (2, 2), 16))
    dataset.PixelRepresentation = 1
    write(tmp_path / "a.dcm", dataset, SYNTAXES["explicit"], Native([signed.tobytes()], 8))
    transcode(tmp_path / "a.dcm", tmp_path / "b.dcm", SYNTAXES["implicit"])
    assert np.array_equal(dcmread(tmp_path / "b.dcm").pixel_array, signed)
    assert np.array_equal(next(pixels.decode(tmp_path / "b.dcm")), signed)
    with pytest.raises(InputError, match="signed"):
        transcode(tmp_path / "a.dcm", tmp_path / "c.dcm", SYNTAXES["jls"])
