"""What the archive does with what it is sent."""

import hashlib
import socket
import subprocess
import threading
import tracemalloc

import pytest
from callers import Modality, findscu, make_object, open_house, run, statuses, storescu
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import SecondaryCaptureImageStorage

from appliance.dicom.syntaxes import SYNTAXES
from appliance.errors import StateError
from appliance.peers.faults import Faults
from appliance.peers.pacs import Pacs


@pytest.fixture
def pacs(tmp_path):
    """An archive without faults."""
    with open_house(Pacs("PACS", "127.0.0.1", 0, tmp_path / "store", {}, faults=Faults())) as peer:
        yield peer


def dataset_bytes(path):
    """The data set of a Part 10 file as it is on disk, behind the file meta information."""
    with path.open("rb") as file:
        file.seek(132)
        file.seek(140)
        length = int.from_bytes(file.read(4), "little")
        file.seek(144 + length)
        return file.read()


def test_it_answers_c_echo(pacs):
    """The Verification SOP class is always there."""
    assert run("echoscu", "-aec", "PACS", "127.0.0.1", pacs.port).returncode == 0


def test_objects_are_kept_byte_for_byte(pacs, tmp_path):
    """Each object lies under study, series, instance; its data set is the one that was sent; nothing is left over."""
    files = [make_object(tmp_path, number) for number in range(1, 6)]
    assert statuses(storescu(pacs.port, *files)) == ["Success"] * 5
    stored = pacs.objects()
    assert [one.sop_instance_uid for one in stored] == [f"2.25.77.{number}" for number in range(1, 6)]
    for path, one in zip(files, stored, strict=True):
        assert one.path == tmp_path / "store" / "2.25.7" / "2.25.7.1" / f"{one.sop_instance_uid}.dcm"
        assert dcmread(one.path) == dcmread(path)
        assert one.sha256 == hashlib.sha256(dataset_bytes(one.path)).hexdigest()
        assert one.size == len(dataset_bytes(one.path))
        assert one.sop_class_uid == SecondaryCaptureImageStorage and one.syntax_uid == "1.2.840.10008.1.2.1"
    assert list((tmp_path / "store" / "incoming").iterdir()) == [] and pacs.complaints == [] and pacs.again == 0


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_syntaxes_are_kept_as_they_come(pacs, tmp_path, syntax):
    """The file says in which syntax it was sent, and reads back the same."""
    path = make_object(tmp_path, 1)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    options = ("-xd",) if syntax.is_deflated else ("-xi",)
    assert statuses(storescu(pacs.port, path, options=options)) == ["Success"]
    (stored,) = pacs.objects()
    kept = dcmread(stored.path)
    assert stored.syntax_uid == kept.file_meta.TransferSyntaxUID == syntax
    assert kept.PixelData == dataset.PixelData and kept.PatientName == dataset.PatientName


def test_the_same_object_again_is_a_success_and_counted(pacs, tmp_path):
    """A sender whose answer was lost sends again: kept once."""
    path = make_object(tmp_path, 1)
    for _ in range(3):
        assert statuses(storescu(pacs.port, path)) == ["Success"]
    assert len(pacs.objects()) == 1 and pacs.again == 2 and pacs.complaints == []


def test_other_content_under_a_known_uid_is_refused(pacs, tmp_path):
    """What is there stays; the sender hears of it, and not with a status that could pass for success."""
    storescu(pacs.port, make_object(tmp_path, 1))
    before = pacs.objects()
    (status,) = statuses(storescu(pacs.port, make_object(tmp_path, 1, PatientComments="changed")))
    assert "CannotUnderstand" in status
    assert pacs.objects() == before and "second time with other content" in pacs.complaints[0]


def test_a_restart_forgets_nothing(tmp_path):
    """The index is on disk; a half-received file of an earlier life is swept away."""
    store = tmp_path / "store"
    with open_house(Pacs("PACS", "127.0.0.1", 0, store, {}, faults=Faults())) as first:
        storescu(first.port, make_object(tmp_path, 1))
        before = first.objects()
        (store / "incoming" / "torn.part").write_bytes(b"half")
    with open_house(Pacs("PACS", "127.0.0.1", 0, store, {}, faults=Faults())) as second:
        assert second.objects() == before
        assert list((store / "incoming").iterdir()) == []
        storescu(second.port, make_object(tmp_path, 1))
        assert second.again == 1


def test_it_can_be_stopped_and_started_on_the_same_port(pacs, tmp_path):
    """As when somebody restarts the archive; while it is down nobody answers."""
    port = pacs.port
    pacs.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1).close()
    assert pacs.start() == port
    assert statuses(storescu(port, make_object(tmp_path, 1))) == ["Success"]


def test_a_taken_port_is_said_in_words(pacs, tmp_path):
    """StateError with the port, and with what to do."""
    other = Pacs("PACS", "127.0.0.1", pacs.port, tmp_path / "other", {}, faults=Faults())
    with pytest.raises(StateError, match=f"cannot listen on 127.0.0.1:{pacs.port}") as raised:
        other.start()
    assert "another port" in raised.value.advice


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"SeriesInstanceUID": "../../../etc"}, "DataSetDoesNotMatchSOPClass", "cannot be one"),
        ({"StudyInstanceUID": ""}, "DataSetDoesNotMatchSOPClass", "cannot be one"),
        ({"PatientID": ""}, "Success", "blank Patient ID"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_what_is_wrong_with_an_object_is_complained_of(pacs, tmp_path, changes, status, words):
    """A UID that is none, a blank Patient ID. No file is written outside of the store."""
    (answer,) = statuses(storescu(pacs.port, make_object(tmp_path, 1, **changes)))
    assert status in answer and words in pacs.complaints[0]
    assert all(one.path.is_relative_to(tmp_path / "store") for one in pacs.objects())


def test_a_command_that_speaks_of_another_object_is_refused(pacs, tmp_path):
    """A900: the data set does not match."""
    dataset = dcmread(make_object(tmp_path, 1))
    with Modality(pacs.port, "PACS") as modality:
        encoded = dataset.SOPInstanceUID
        dataset.SOPInstanceUID = "2.25.1"
        dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
        assert modality.ask("c_store", dataset).Status == 0
        modality.association.dimse.send_msg = rename(modality.association.dimse.send_msg, encoded)
        assert modality.ask("c_store", dataset).Status == 0xA900
    assert "the command speaks of" in pacs.complaints[0] and len(pacs.objects()) == 1


def rename(send, uid):
    """Let the next commands speak of another instance than their data set."""

    def wrapper(primitive, context):
        primitive.AffectedSOPInstanceUID = uid
        return send(primitive, context)

    return wrapper


def test_every_storage_class_and_every_syntax_of_ours_is_accepted(pacs):
    """Proposed 120 at a time, none is turned down."""
    uids = [uid for syntax in SYNTAXES.values() for uid in (syntax.uid, syntax.fragmentable_uid) if uid]
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts]
    pairs = [(SecondaryCaptureImageStorage, uid) for uid in uids] + [(one, uids[0]) for one in classes]
    for first in range(0, len(pairs), 120):
        entity = AE(ae_title="DICAP")
        contexts = [build_context(abstract, uid) for abstract, uid in pairs[first : first + 120]]
        association = entity.associate("127.0.0.1", pacs.port, contexts=contexts, ae_title="PACS")
        assert association.is_established
        assert association.rejected_contexts == [] and len(association.accepted_contexts) == len(contexts)
        association.release()


def test_the_callers_order_of_preference_counts(pacs):
    """Of several syntaxes in one context the first that we know is taken."""
    entity = AE(ae_title="DICAP")
    wanted = ["1.2.3.4", SYNTAXES["jls"].uid, SYNTAXES["explicit"].uid, SYNTAXES["implicit"].uid]
    association = entity.associate(
        "127.0.0.1", pacs.port, contexts=[build_context(SecondaryCaptureImageStorage, wanted)], ae_title="PACS"
    )
    assert association.accepted_contexts[0].transfer_syntax == [SYNTAXES["jls"].uid]
    association.release()


def test_more_associations_at_once_than_pynetdicoms_ten(pacs, tmp_path):
    """Many callers who hang around do not keep others from storing."""
    files = [make_object(tmp_path, number) for number in range(20)]
    idle = [socket.create_connection(("127.0.0.1", pacs.port), 5) for _ in range(20)]
    results = []
    threads = [
        threading.Thread(target=lambda part=part: results.extend(statuses(storescu(pacs.port, *part))))
        for part in (files[0:5], files[5:10], files[10:15], files[15:20])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in idle:
        one.close()
    assert results == ["Success"] * 20 and len(pacs.objects()) == 20


def test_memory_does_not_grow_with_the_object(pacs, tmp_path):
    """A 48 MB object passes through with a few hundred kilobytes at a time."""
    path = make_object(tmp_path, 1, size=7000)
    tracemalloc.start()
    try:
        assert statuses(storescu(pacs.port, path)) == ["Success"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pacs.objects()[0].size > 48_000_000
    assert peak < 8_000_000


def test_a_sender_that_dies_in_the_middle_leaves_nothing(pacs, tmp_path):
    """kill -9 of storescu in mid-object: no file, no index entry, no part file, and the next sender is served."""
    path = make_object(tmp_path, 1, size=9000)
    incoming = tmp_path / "store" / "incoming"
    process = subprocess.Popen(
        ["storescu", "-aec", "PACS", "--max-send-pdu", "4096", "127.0.0.1", str(pacs.port), path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not any(part.stat().st_size > 100_000 for part in incoming.iterdir()):
        threading.Event().wait(0.002)
    process.kill()
    process.wait()
    for _ in range(500):
        if not list(incoming.iterdir()):
            break
        threading.Event().wait(0.01)
    assert list(incoming.iterdir()) == [] and pacs.objects() == []
    assert statuses(storescu(pacs.port, make_object(tmp_path, 2))) == ["Success"]


@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("STUDY", ["StudyInstanceUID", "NumberOfStudyRelatedInstances", "ModalitiesInStudy"], 2),
        ("STUDY", ["PatientName=probe*", "StudyInstanceUID=2.25.8"], 1),
        ("STUDY", ["PatientID=NOBODY", "StudyInstanceUID"], 0),
        ("SERIES", ["StudyInstanceUID=2.25.7", "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances"], 2),
        ("SERIES", ["StudyInstanceUID=2.25.7", "SeriesInstanceUID", "Modality=US"], 1),
        ("IMAGE", ["StudyInstanceUID=2.25.7", "SeriesInstanceUID=2.25.7.1", "SOPInstanceUID", "Rows"], 2),
        ("IMAGE", ["StudyInstanceUID=2.25.7", r"SOPInstanceUID=2.25.77.1\2.25.77.4", "InstanceNumber"], 1),
    ],
)
def test_what_is_stored_can_be_found(pacs, tmp_path, level, keys, expected):
    """Study Root C-FIND at three levels."""
    files = [make_object(tmp_path, 1), make_object(tmp_path, 2)]
    files.append(make_object(tmp_path, 3, SeriesInstanceUID="2.25.7.2", Modality="US"))
    files.append(make_object(tmp_path, 4, StudyInstanceUID="2.25.8", SeriesInstanceUID="2.25.8.1"))
    storescu(pacs.port, *files)
    answers = findscu(pacs.port, tmp_path / "answers", f"QueryRetrieveLevel={level}", *keys, model="-S", called="PACS")
    assert len(answers) == expected
    assert all(answer.QueryRetrieveLevel == level and answer.RetrieveAETitle == "PACS" for answer in answers)
    if level == "STUDY" and expected == 2:
        assert sorted(answer.NumberOfStudyRelatedInstances for answer in answers) == [1, 3]
        (larger,) = [answer for answer in answers if answer.NumberOfStudyRelatedInstances == 3]
        assert list(larger.ModalitiesInStudy) == ["OT", "US"]


def test_a_level_that_does_not_exist_is_refused(pacs, tmp_path):
    """A900: the identifier does not match the SOP class."""
    done = run("findscu", "-v", "-S", "-aec", "PACS", "-k", "QueryRetrieveLevel=FRAME", "127.0.0.1", pacs.port)
    assert "Received Final Find Response (Error: DataSetDoesNotMatchSOPClass)" in done.stdout + done.stderr
