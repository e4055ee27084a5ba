"""A file-set holds what the objects say, under a profile of the standard, whole or not at all."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from making import JANE, PDF, YAMADA, Maker, coded, colours, deep

from appliance.dicom import pixels, syntaxes
from appliance.errors import DiskFull, InputError, SettingsError
from appliance.media import fileset
from appliance.media.profiles import MEDIA, choose
from appliance.media.verify import verify
from appliance.media.whole import whole

DCMMKDIR = {"cd": "-Pgp", "dvd-jpeg": "-Pdv", "bd-jpeg": "-Pbd", "usb-jpeg": "-Pfl"}
SYNTAXES = ("jls", "j2k", "rle", "deflated", "jpeg", "htj2k")
JPEG_FAMILY = {"explicit", "jpeg-lossless", "jpeg"}
ALLOWED = {"cd": {"explicit"}, "dvd-jpeg": JPEG_FAMILY, "bd-jpeg": JPEG_FAMILY, "usb-jpeg": JPEG_FAMILY}


def made(folder, paths, word="usb-jpeg"):
    """A file-set of these objects."""
    with whole(folder) as place:
        return fileset.make(place, paths, MEDIA[word])


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """Objects of two people: stills in many syntaxes, a cine, a document."""
    folder = tmp_path_factory.mktemp("exams")
    jane, yamada = Maker(folder / "jane"), Maker(folder / "yamada", YAMADA, "yamada")
    return [
        *(jane.still(colours(number), word) for number, word in enumerate(SYNTAXES)),
        jane.still(deep(), "j2k", bits=12),
        jane.cine([colours(number) for number in range(4)]),
        jane.document("Befund für Müller"),
        yamada.still(colours(9), kind="vl-endoscopic"),
    ]


def by_uid(paths):
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


def objects_on(folder):
    """The object files of a file-set."""
    return [path for path in folder.rglob("*") if re.fullmatch(r"(IM|ED)\d{6}", path.name)]


@pytest.mark.parametrize("word", MEDIA)
def test_every_object_is_there_in_a_syntax_of_the_profile_and_no_pixel_changed(exams, word, tmp_path):
    handout = made(tmp_path / "disc", exams, word)
    assert handout.profiles == (MEDIA[word].profile,) and handout.objects == len(exams) and handout.notes == ()
    copies = by_uid(objects_on(tmp_path / "disc"))
    originals = by_uid(exams)
    assert set(copies) == set(originals)
    for uid, original in originals.items():
        dataset = pydicom.dcmread(copies[uid], stop_before_pixels=True)
        assert syntaxes.by_uid(dataset.file_meta.TransferSyntaxUID).name in ALLOWED[word]
        if "Rows" in dataset:
            pairs = zip(pixels.decode(original), pixels.decode(copies[uid]), strict=True)
            assert all(np.array_equal(before, after) for before, after in pairs)
    assert verify(tmp_path / "disc").faults == ()


@pytest.mark.parametrize("word", MEDIA)
def test_dcmtk_finds_every_object_fit_for_the_profile(exams, word, tmp_path):
    made(tmp_path / "disc", exams, word)
    patients = sorted(path.name for path in (tmp_path / "disc").glob("PT*"))
    done = subprocess.run(
        ["dcmmkdir", DCMMKDIR[word], "-nb", "+r", "-v", "+D", str(tmp_path / "THEIRS"), *patients],
        cwd=tmp_path / "disc", capture_output=True, text=True,
    )  # fmt: skip
    words = done.stdout + done.stderr
    assert done.returncode == 0 and not re.findall(r"^[EW]:.*", words, re.M), words
    assert words.count("adding file") == len(exams)


def records_by_file(path):
    """What each record of a DICOMDIR says, with the records above it: {File ID: {keyword: value}}."""
    found, above = {}, []
    levels = {"PATIENT": 0, "STUDY": 1, "SERIES": 2}
    for record in pydicom.dcmread(path).DirectoryRecordSequence:
        level = levels.get(record.DirectoryRecordType, 3)
        above[level:] = [record]
        if level == 3:
            said = {element.keyword: str(element.value) for one in above for element in one if element.tag.group != 4}
            found["/".join(record.ReferencedFileID)] = said
    return found


def test_the_dicomdir_says_of_each_file_what_dcmtks_own_says(exams, tmp_path):
    """Every key that dcmmkdir writes for STD-GEN-DVD-JPEG has the same value in ours."""
    made(tmp_path / "disc", exams, "dvd-jpeg")
    patients = sorted(path.name for path in (tmp_path / "disc").glob("PT*"))
    subprocess.run(
        ["dcmmkdir", "-Pdv", "-nb", "+r", "+D", str(tmp_path / "THEIRS"), *patients], cwd=tmp_path / "disc", check=True
    )
    ours, theirs = records_by_file(tmp_path / "disc" / "DICOMDIR"), records_by_file(tmp_path / "THEIRS")
    assert set(ours) == set(theirs) and len(ours) == len(exams)
    for name, said in theirs.items():
        assert {keyword: ours[name].get(keyword) for keyword in said} == said, name


def test_a_name_in_three_scripts_is_read_by_others(exams, tmp_path):
    made(tmp_path / "disc", exams)
    done = subprocess.run(["dcmdump", "+U8", str(tmp_path / "disc" / "DICOMDIR")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert f"[{YAMADA.name}]" in done.stdout
    assert "[Befund für Müller]" in done.stdout


def test_videos_go_under_the_profile_of_their_medium(tmp_path):
    maker = Maker(tmp_path / "in")
    videos = {codec: maker.video(coded(tmp_path, codec), codec) for codec in ("mpeg2", "h264", "hevc")}
    blu_ray = made(tmp_path / "bd", [videos["mpeg2"], videos["h264"]], "bd-jpeg")
    assert blu_ray.profiles == ("STD-GEN-BD-JPEG", "STD-GEN-BD-MPEG2-MPML", "STD-GEN-BD-MPEG4-HPLV41")
    dvd = made(tmp_path / "dvd", [videos["mpeg2"]], "dvd-jpeg")
    assert dvd.profiles == ("STD-DVD-MPEG2-MPML", "STD-GEN-DVD-JPEG") and dvd.notes == ()
    stick = made(tmp_path / "usb", list(videos.values()), "usb-jpeg")
    assert stick.profiles == ("PRI-DICAP-USB-VIDEO", "STD-GEN-USB-JPEG")
    assert stick.notes[0] in (tmp_path / "usb" / "README.TXT").read_text() and "hevc" in stick.notes[0]
    originals = by_uid(videos.values())
    for place in ("bd", "dvd", "usb"):
        assert verify(tmp_path / place).faults == ()
        for uid, copy in by_uid(objects_on(tmp_path / place)).items():
            assert copy.read_bytes() == originals[uid].read_bytes(), "a video stays byte for byte what it is"


@pytest.mark.parametrize(
    ("syntaxes_there", "megabytes", "is_image", "word"),
    [
        ({"jls", "explicit"}, 10, False, "usb-jpeg"),
        ({"jls", "explicit"}, 10, True, "cd"),
        ({"jls"}, 700, True, "dvd-jpeg"),
        ({"jls"}, 5000, True, "bd-jpeg"),
        ({"jls", "mpeg2"}, 10, True, "dvd-jpeg"),
        ({"mpeg2", "h264"}, 10, True, "bd-jpeg"),
        ({"mpeg2-hd"}, 10, True, "bd-jpeg"),
        ({"hevc"}, 10, True, "cd"),
        ({"hevc"}, 700, True, "dvd-jpeg"),
    ],
)
def test_auto_means_the_smallest_medium_that_the_standard_allows(syntaxes_there, megabytes, is_image, word):
    assert choose("auto", syntaxes_there, megabytes, is_image) is MEDIA[word]


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"floppy.*auto, cd, dvd-jpeg, bd-jpeg, usb-jpeg"):
        choose("floppy", set(), 1, False)


def test_file_ids_are_legal_and_the_dicomdir_is_written_last(exams, tmp_path):
    made(tmp_path / "disc", exams)
    files = [path for path in (tmp_path / "disc").rglob("*") if path.is_file()]
    last = max(files, key=lambda path: path.stat().st_mtime_ns)
    assert last.name == "DICOMDIR"
    for path in objects_on(tmp_path / "disc"):
        parts = path.relative_to(tmp_path / "disc").parts
        assert len(parts) <= 8 and all(re.fullmatch("[A-Z0-9_]{1,8}", part) for part in parts)
    assert (tmp_path / "disc" / "IHE_PDI" / "D0000009.PDF").read_bytes() == PDF


def broken(path):
    """The same object, cut in the middle of its pixels."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 2000])
    return path


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_fails_half_way_is_as_it_was(tmp_path, is_there):
    maker = Maker(tmp_path / "in")
    paths = [maker.still(colours(1)), broken(maker.still(colours(2)))]
    disc = tmp_path / "out" / "disc"
    if is_there:
        disc.mkdir(parents=True)
    with pytest.raises(InputError):
        made(disc, paths)
    assert disc.exists() is is_there
    assert [path for path in (tmp_path / "out").rglob("*") if path != disc] == [], "nothing is left beside it either"


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="not empty"):
        made(tmp_path / "disc", [Maker(tmp_path / "in").still(colours())])
    assert [path.name for path in (tmp_path / "disc").iterdir()] == ["holiday.jpg"]


def without(path, *keywords):
    dataset = pydicom.dcmread(path)
    for keyword in keywords:
        delattr(dataset, keyword)
    dataset.save_as(path)
    return path


def test_objects_that_lack_what_a_dicomdir_must_say_are_all_named_at_once(tmp_path):
    maker = Maker(tmp_path / "in")
    paths = [
        maker.still(colours(1)),
        without(maker.still(colours(2)), "StudyID", "SeriesNumber"),
        without(maker.still(colours(3)), "PatientID"),
    ]
    with pytest.raises(InputError) as told:
        made(tmp_path / "disc", paths)
    words = str(told.value)
    assert "does not say StudyID, SeriesNumber" in words and "does not say PatientID" in words
    assert words.count("the object") == 2 and not (tmp_path / "disc").exists()


def test_two_people_under_one_number_never_share_a_disc(tmp_path):
    other = replace(JANE, name="Roe^John", birth_date="19500505")
    paths = [Maker(tmp_path / "a").still(colours(1)), Maker(tmp_path / "b", other, "roe").still(colours(2))]
    with pytest.raises(InputError, match=r"P-1 is the Patient ID of two people, Doe\^Jane\^Q and Roe\^John"):
        made(tmp_path / "disc", paths)
    assert not (tmp_path / "disc").exists()


def test_the_same_object_twice_is_refused(tmp_path):
    path = Maker(tmp_path / "in").still(colours(1))
    with pytest.raises(InputError, match="named twice"):
        made(tmp_path / "disc", [path, path])


def test_what_only_a_later_object_knows_is_said_in_the_patients_record(tmp_path):
    unknown = replace(JANE, birth_date="", sex="")
    paths = [Maker(tmp_path / "a", unknown).still(colours(1)), Maker(tmp_path / "b", JANE, "later").still(colours(2))]
    made(tmp_path / "disc", paths)
    patients = [
        one for one in pydicom.dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
        if one.DirectoryRecordType == "PATIENT"
    ]  # fmt: skip
    assert [(one.PatientID, one.PatientBirthDate, one.PatientSex) for one in patients] == [("P-1", "19620330", "F")]
    assert verify(tmp_path / "disc").faults == ()


def test_an_object_without_picture_or_document_is_refused_in_words(tmp_path):
    path = without(Maker(tmp_path / "in").still(colours(), "explicit"), "Rows", "Columns", "PixelData")
    with pytest.raises(InputError, match=r"Secondary Capture.*neither a picture nor a document"):
        made(tmp_path / "disc", [path])


def test_a_stranger_is_no_object(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt"):
        made(tmp_path / "disc", [tmp_path / "notes.txt"])


def test_what_does_not_fit_is_refused_and_removed(tmp_path):
    small = replace(MEDIA["cd"], megabytes=1)
    path = Maker(tmp_path / "in").still(np.zeros((700, 700, 3), np.uint8))
    with pytest.raises(InputError, match=r"do not fit on a CD, which holds 1 MB"), whole(tmp_path / "disc") as place:
        fileset.make(place, [path], small)
    assert not (tmp_path / "disc").exists()


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(100_000, 90_000, 10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(DiskFull, match="0 MB free"):
        made(tmp_path / "disc", [Maker(tmp_path / "in").still(colours())])
    assert not (tmp_path / "disc").exists()


PEAK = """
import resource, sys
from pathlib import Path
from appliance.media import fileset, disc
from appliance.media.profiles import MEDIA
from appliance.media.verify import verify
from appliance.media.whole import whole
folder = Path(sys.argv[2])
with whole(folder) as place:
    fileset.make(place, [Path(sys.argv[1])], MEDIA["bd-jpeg"])
assert not verify(folder).faults
disc.write_iso(folder, folder.with_suffix(".iso"))
disc.digests(folder.with_suffix(".iso"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    peaks = []
    for padding in (0, 160):
        folder = tmp_path / str(padding)
        folder.mkdir()
        clip = coded(folder, "h264")
        with clip.path.open("ab") as file:
            for _ in range(padding):
                file.write((b"\x47\x1f\xff\x10" + b"\xff" * 184) * 5578)  # a megabyte of empty transport packets
        path = Maker(folder / "in").video(clip, "h264")
        clip.path.unlink()
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(folder / "disc")], capture_output=True, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
        shutil.rmtree(folder)
    assert peaks[1] - peaks[0] < 60, f"megabytes for a video of 0.5 MB and of 160 MB: {peaks}"
