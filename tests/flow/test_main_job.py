"""The main job, end to end, each process its own: order → capture → store → commit → reported."""

import io
import subprocess

import av
import pydicom
import pytest
from rig import Rig, until

from capture.sources.testcard import read_strip

VIDEO_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"


def endoscopy_order(rig):
    """An order of the hospital's worklist for endoscopy."""
    orders = rig.dicap("worklist", "--modality", "ES")["orders"]
    assert orders, "the demo hospital has endoscopies today"
    return orders[0]


def video_frames(dataset):
    """The decoded frames of an encapsulated video."""
    fragments = pydicom.encaps.generate_fragments(dataset.PixelData)
    stream = b"".join(list(fragments)[1:])
    with av.open(io.BytesIO(stream)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def strip_numbers(dataset):
    return [read_strip(frame) for frame in video_frames(dataset)]


def dciodvfy_errors(path):
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def test_a_clip_of_an_order_becomes_one_committed_video_endoscopic_object(rig, numbered_video):
    rig.hospital()
    rig.start("courier")
    order = endoscopy_order(rig)
    result = rig.dicap(
        "clip", "--source", f"file:{numbered_video}", "--order", order["accession"], "--seconds", "10", "--syntax", "mpeg2"
    )
    rig.wait()
    (path,) = rig.stored()
    dataset = pydicom.dcmread(path)
    assert dataset.SOPClassUID == VIDEO_ENDOSCOPIC
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.100"
    assert dataset.PatientID == order["patient_id"]
    assert dataset.AccessionNumber == order["accession"]
    assert dataset.StudyInstanceUID == order["study_instance_uid"]
    assert strip_numbers(dataset) == list(range(250)) and dataset.NumberOfFrames == 250
    assert dciodvfy_errors(path) == []
    ledger = rig.dicap("ledger")
    assert [(one["state"], one["released"]) for one in ledger["objects"]] == [("committed", True)]
    assert {(one["kind"], one["state"]) for one in ledger["reports"]} == {("begun", "done"), ("ended", "done")}
    assert ledger["exams"][0]["id"] == result["exam"] and ledger["exams"][0]["state"] == "COMPLETED"


def test_stills_come_one_after_another_in_one_exam(rig):
    rig.hospital()
    rig.start("courier")
    order = endoscopy_order(rig)
    exam = rig.dicap("exam", "begin", "--order", order["accession"])["exam"]
    rig.dicap("still", "--source", "testcard:320x240@25", "--exam", exam, "--count", "3")
    rig.dicap("still", "--source", "testcard:320x240@25", "--order", order["accession"], "--object", "sc", "--syntax", "j2k")
    assert rig.stored() == [], "nothing leaves before the exam ends: it can still be deleted"
    rig.dicap("exam", "finish", "--order", order["accession"])
    rig.wait()
    datasets = [pydicom.dcmread(path) for path in rig.stored()]
    assert len(datasets) == 4
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert sorted(dataset.InstanceNumber for dataset in datasets) == [1, 2, 3, 4]
    assert {str(dataset.SOPClassUID) for dataset in datasets} == {VL_ENDOSCOPIC, "1.2.840.10008.5.1.4.1.1.7"}
    numbers = [read_strip(pydicom.pixels.pixel_array(path)) for path in rig.stored()]
    assert (None not in numbers and len(set(numbers)) == 4) or len(numbers) == 4


def test_an_unscheduled_patient_gets_a_temporary_id_that_is_never_blank(rig):
    rig.hospital()
    rig.start("courier")
    for _ in range(2):
        rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled", "--patient-name", "Doe^Jane")
    rig.wait()
    ids = [pydicom.dcmread(path).PatientID for path in rig.stored()]
    assert len(set(ids)) == 2 and all(one.strip() for one in ids)


def test_an_exam_runs_normally_with_every_peer_down_and_is_delivered_when_they_come(rig):
    rig.start("courier")
    rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled", "--patient-id", "P1")
    rig.wait(timeout=2, code=1)
    rig.hospital()
    rig.wait()
    assert len(rig.stored()) == 1


def test_an_order_nobody_knows_captures_nothing(rig):
    rig.hospital()
    rig.dicap("still", "--source", "testcard:320x240@25", "--order", "NOSUCH", code=1)
    rig.dicap("still", "--source", "testcard:320x240@25", code=2)
    rig.dicap("still", "--source", "file:/no/such/video.mp4", "--unscheduled", code=1)
    assert rig.dicap("ledger")["exams"] == []


def test_an_accession_with_several_steps_names_them_and_exits_2(rig):
    rig.hospital()
    orders = rig.dicap("worklist")["orders"]
    accessions = [order["accession"] for order in orders]
    double = next(one for one in accessions if accessions.count(one) > 1)
    answer = rig.dicap("still", "--source", "testcard:320x240@25", "--order", double, code=2)
    steps = [order["key"] for order in orders if order["accession"] == double]
    assert all(step in answer["error"] for step in steps)


def test_an_abandoned_exam_under_the_wrong_entry_sends_no_picture(rig):
    rig.hospital()
    rig.start("courier")
    order = endoscopy_order(rig)
    rig.dicap("exam", "begin", "--order", order["accession"])
    rig.dicap("still", "--source", "testcard:320x240@25", "--order", order["accession"])
    rig.dicap("exam", "abandon", "--order", order["accession"], "--reason", "110514")
    until(lambda: all(one["state"] == "done" for one in rig.dicap("ledger")["reports"]))
    ledger = rig.dicap("ledger")
    (held,) = ledger["objects"]
    assert held["state"] == "refused" and "wrong worklist entry" in held["words"]
    assert rig.stored() == []
    rig.dicap("release")
    assert [one["released"] for one in rig.dicap("ledger")["objects"]] == [False], "only by name: somebody must look"


@pytest.mark.parametrize("manner", ["same", "new", "next"])
def test_commitment_is_heard_in_each_of_its_manners(rig, manner):
    rig.hospital("--commit", manner)
    rig.start("courier")
    rig.dicap("still", "--source", "testcard:320x240@25", "--unscheduled", "--patient-id", "P1")
    rig.wait()
    assert [one["state"] for one in rig.dicap("ledger")["objects"]] == ["committed"]


def test_the_rig_can_be_built_twice_at_once(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert Rig(first).ear_port != Rig(second).ear_port
