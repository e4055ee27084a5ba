"""Verify finds what was planted, says where, and finds nothing in a good file-set."""

import shutil

import pydicom
import pytest
from making import YAMADA, Maker, coded, colours

from appliance.media import directory, fileset
from appliance.media.profiles import MEDIA
from appliance.media.verify import verify
from appliance.media.whole import whole

FIRST = "PT000000/ST000000/SE000000/IM000000"
NEXT, LOWER = b"\x04\x00\x00\x14UL\x04\x00", b"\x04\x00\x20\x14UL\x04\x00"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file-set of two people: stills, a cine, a video and a document."""
    folder = tmp_path_factory.mktemp("good")
    jane, yamada = Maker(folder / "jane"), Maker(folder / "yamada", YAMADA, "yamada")
    paths = [
        jane.still(colours(0), "explicit"), jane.still(colours(1), "jls"), jane.cine([colours(2), colours(3)]),
        jane.video(coded(folder, "h264"), "h264"), jane.document(pdf=b"%PDF-1.4\n" + bytes(100_001)),
        yamada.still(colours(4)),
    ]  # fmt: skip
    with whole(folder / "disc") as place:
        fileset.make(place, paths, MEDIA["bd-jpeg"])
    return folder / "disc"


@pytest.fixture
def disc(good, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(good, tmp_path / "disc")


def offsets(disc, mark):
    """Where the values of a kind of link lie in the DICOMDIR."""
    data, found, at = (disc / "DICOMDIR").read_bytes(), [], -1
    while (at := data.find(mark, at + 1)) >= 0:
        found.append(at + len(mark))
    return found


def link(disc, at, value):
    data = bytearray((disc / "DICOMDIR").read_bytes())
    data[at : at + 4] = value.to_bytes(4, "little")
    (disc / "DICOMDIR").write_bytes(data)


def linked(disc, at):
    return int.from_bytes((disc / "DICOMDIR").read_bytes()[at : at + 4], "little")


def test_a_good_file_set_has_no_fault(good):
    verdict = verify(good)
    assert verdict.faults == () and verdict.objects == 6 and verdict.notes == ()


def test_every_single_flipped_link_is_found(disc):
    """Each offset of the whole DICOMDIR in turn, changed by one bit, to nothing, and to where another record begins."""
    whole = (disc / "DICOMDIR").read_bytes()
    places = offsets(disc, NEXT) + offsets(disc, LOWER) + offsets(disc, b"\x04\x00\x00\x12UL\x04\x00")
    places += offsets(disc, b"\x04\x00\x02\x12UL\x04\x00")
    begins = [int(one.seq_item_tell) for one in pydicom.dcmread(disc / "DICOMDIR").DirectoryRecordSequence]
    assert len(places) == 2 * len(begins) + 2 and len(begins) == 13
    for at in places:
        true = linked(disc, at)
        wrong = {true ^ 4, true ^ 0x8000, 0, begins[0], begins[-1], begins[5]} - {true}
        for value in wrong:
            link(disc, at, value)
            assert directory.read(disc / "DICOMDIR").faults, f"the link at {at}, {true} before, now {value}"
            (disc / "DICOMDIR").write_bytes(whole)
    assert verify(disc).faults == ()


def test_a_missing_file(disc):
    (disc / FIRST).unlink()
    assert verify(disc).faults == (f"{FIRST} is listed but not there",)


def test_a_lower_case_name(disc):
    (disc / FIRST).rename((disc / FIRST).with_name("im000000"))
    (fault,) = verify(disc).faults
    assert "is there as PT000000/ST000000/SE000000/im000000: names are upper case" in fault


def test_a_lower_case_dicomdir(disc):
    (disc / "DICOMDIR").rename(disc / "dicomdir")
    assert verify(disc).faults == ("the DICOMDIR is called dicomdir",)


def test_a_lower_case_file_id(disc):
    data = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(data.replace(b"IM000001", b"im000001", 1))
    (disc / FIRST).with_name("IM000001").rename((disc / FIRST).with_name("im000001"))
    (fault,) = verify(disc).faults
    assert "im000001 is not a legal File ID" in fault


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("SOPInstanceUID", "2.25.42", "SOP Instance"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", "SOP Class"),
        ("StudyInstanceUID", "2.25.42", "study"),
        ("SeriesInstanceUID", "2.25.42", "series"),
        ("PatientID", "SOMEBODY-ELSE", "Patient ID"),
        ("Modality", "CT", "modality"),
        ("InstanceNumber", 77, "Instance Number"),
    ],
)
def test_a_file_that_is_another_than_its_record_says(disc, keyword, value, words):
    dataset = pydicom.dcmread(disc / FIRST)
    setattr(dataset, keyword, value)
    dataset.save_as(disc / FIRST)
    faults = verify(disc).faults
    assert any(one.startswith(f"{FIRST}: the DICOMDIR says {words} ") and f"says {value}" in one for one in faults), faults


def test_another_syntax_than_the_record_says(disc):
    dataset = pydicom.dcmread(disc / FIRST)
    dataset.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    dataset.save_as(disc / FIRST)
    (fault,) = verify(disc).faults
    assert "transfer syntax 1.2.840.10008.1.2.1, the file says 1.2.840.10008.1.2.5" in fault


def test_a_syntax_that_no_profile_knows_is_worth_a_note(tmp_path):
    path = Maker(tmp_path / "in").video(coded(tmp_path, "hevc"), "hevc")
    with whole(tmp_path / "disc") as place:
        fileset.make(place, [path], MEDIA["usb-jpeg"])
    verdict = verify(tmp_path / "disc")
    assert verdict.faults == () and "hevc" in verdict.notes[0]


def files(disc):
    return sorted(path for path in disc.glob("PT*/**/*") if path.is_file())


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("cut", [1, 2, 9, 500, -400, -140])
def test_a_truncated_file(disc, number, cut):
    """A still, a compressed one, a cine, a video, a document: whatever is missing at the end, or nearly everything."""
    path = files(disc)[number]
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    (fault,) = verify(disc).faults
    assert path.relative_to(disc).as_posix() in fault and ("cut off" in fault or "cannot be read" in fault)


def test_an_empty_file(disc):
    (disc / FIRST).write_bytes(b"")
    (fault,) = verify(disc).faults
    assert fault.startswith(f"{FIRST} cannot be read")


def test_an_object_that_nobody_lists(disc):
    shutil.copy(disc / FIRST, disc / "PT000000" / "STRANGER")
    assert verify(disc).faults == ("PT000000/STRANGER is an object that is not in the DICOMDIR",)


def test_a_program_is_worth_a_note(disc):
    (disc / "AUTORUN.INF").write_text("[autorun]\nopen=VIEWER.EXE\n")
    (disc / "VIEWER.EXE").write_bytes(b"MZ")
    verdict = verify(disc)
    assert verdict.faults == ()
    assert [note.split()[0] for note in verdict.notes] == ["AUTORUN.INF", "VIEWER.EXE"]


def test_no_dicomdir_and_an_empty_folder(tmp_path):
    assert verify(tmp_path).faults == ("there is no DICOMDIR at the top",)


@pytest.mark.parametrize("keep", [0, 100, 131, 140, 300, 700])
def test_a_truncated_dicomdir(disc, keep):
    data = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(data[:keep])
    assert verify(disc).faults


def change(disc, spoil):
    """Rewrite the DICOMDIR with one record changed; nothing moves as long as the lengths stay."""
    root = pydicom.dcmread(disc / "DICOMDIR")
    spoil(root)
    root.save_as(disc / "DICOMDIR")


def test_a_record_without_a_key_it_must_have(disc):
    def spoil(root):
        root.DirectoryRecordSequence[1].StudyID = ""
        root.DirectoryRecordSequence[1].StudyDescription += "X" * len("R-jane")

    change(disc, spoil)
    (fault,) = verify(disc).faults
    assert "STUDY record" in fault and "does not say StudyID" in fault


def test_a_dicomdir_that_calls_itself_inconsistent(disc):
    change(disc, lambda root: setattr(root, "FileSetConsistencyFlag", 0xFFFF))
    assert verify(disc).faults == ("the DICOMDIR says of itself that it is inconsistent",)


def test_a_record_taken_out_of_use_may_be_anywhere(disc):
    """PS3.3 F.5: an inactive record that nothing leads to is no fault; its file is then nobody's."""
    root = pydicom.dcmread(disc / "DICOMDIR")
    images = [one for one in root.DirectoryRecordSequence if one.DirectoryRecordType == "IMAGE"]
    before, gone = images[0], images[1]
    before.OffsetOfTheNextDirectoryRecord = gone.OffsetOfTheNextDirectoryRecord
    gone.RecordInUseFlag = 0
    root.save_as(disc / "DICOMDIR")
    name = "/".join(gone.ReferencedFileID)
    assert verify(disc).faults == (f"{name} is an object that is not in the DICOMDIR",)
    (disc / name).unlink()
    assert verify(disc).faults == ()


def test_a_file_id_never_leads_out_of_the_disc(disc):
    (disc.parent / "SECRETS").write_bytes((disc / FIRST).read_bytes())
    data = (disc / "DICOMDIR").read_bytes()
    name = b"PT000000\\ST000000\\SE000000\\IM000000"
    (disc / "DICOMDIR").write_bytes(data.replace(name, b"..\\SECRETS".ljust(len(name)), 1))
    faults = verify(disc).faults
    assert "../SECRETS is listed but not there" in faults and any("not a legal File ID" in one for one in faults)
