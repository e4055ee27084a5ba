"""The modality with nobody in front of it: its orders, its clock, its objects."""

import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom import pixels
from appliance.errors import InputError
from appliance.settings import Settings
from appliance.simulator import modality
from appliance.simulator.scenario import ExamPlan, Scenario, load
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.place import Place

STOMACH = Code("69695003", "SCT", "Stomach")


def order(word, number=1, **more):
    """A scheduled step of the modality `word`."""
    facts = {
        "patient": Patient(f"SIM{number}", "Test^Tessa", birth_date="19800102", sex="F"),
        "study_uid": f"2.25.{900 + number}", "accession": f"A{number}", "procedure_id": f"R{number}",
        "procedure_description": "Examination", "step_id": f"S{number}", "step_description": "Examination",
        "modality": word, "date": "20260314", "time": "143000", "protocol_codes": (STOMACH,),
    }  # fmt: skip
    return Order(**{**facts, **more})


def played(folder, scenario, orders, seed):
    """The files of a scenario in the order they were made, from a spool without a courier."""
    settings = Settings()
    settings = settings.model_copy(update={"station": settings.station.model_copy(update={"reserve_mb": 0})})
    chosen = modality.choose(scenario, orders)
    ledger, clock = Ledger(folder / "ledger.sqlite"), modality.Clock()
    place = Place(settings, Shelf(folder), ledger, modality.uids(seed, chosen), now=clock)
    files = []
    for plan, one in chosen:
        clock.turn_to(one)
        exam = modality.play(place, plan, one, seed)
        files += [place.shelf.path(picture.file) for picture in ledger.pictures(exam.id)]
    ledger.close()
    return files


ORDERS = [order("CT", 1), order("US", 2), order("ES", 3)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The objects of the smoke scenario, and one endoscopy cine."""
    scenario = load("smoke")
    scenario = replace(scenario, exams=(*scenario.exams, ExamPlan("ES", 0, 3)))
    return played(tmp_path_factory.mktemp("smoke"), scenario, [*ORDERS, order("ES", 4)], 3)


def test_every_object_passes_dciodvfy(smoke):
    assert len(smoke) == 4 + 3 + 3 + 1
    for path in smoke:
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], path.name


def test_the_objects_are_what_their_modality_makes(smoke):
    kinds = {}
    for path in smoke:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        kinds.setdefault(dataset.Modality, []).append(dataset.SOPClassUID.name)
    assert set(kinds["CT"]) == {"CT Image Storage"}
    assert kinds["US"].count("Ultrasound Image Storage") == 2 and "Ultrasound Multi-frame Image Storage" in kinds["US"]
    assert kinds["ES"].count("VL Endoscopic Image Storage") == 3


def test_no_two_pictures_of_a_run_are_alike(smoke):
    """A frame of a loop may be a still as well: the two came from the same place. Within an object all differ."""
    stills = set()
    for path in smoke:
        frames = [frame.tobytes() for frame in pixels.decode(path)]
        assert len(set(frames)) == len(frames)
        if len(frames) == 1:
            stills.add(frames[0])
    assert len(stills) == 4 + 2 + 3


def test_slices_lie_one_below_the_other(smoke):
    slices = [one for one in map(pydicom.dcmread, smoke) if one.Modality == "CT"]
    heights = [one.ImagePositionPatient[2] for one in slices]
    assert heights == [0, -5, -10, -15] and len({one.FrameOfReferenceUID for one in slices}) == 1
    values = slices[0].pixel_array * float(slices[0].RescaleSlope) + float(slices[0].RescaleIntercept)
    assert values.min() == -1024 and 500 < np.percentile(values, 99.5) < 1500


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    scenario = load("smoke")
    runs = {
        name: [path.read_bytes() for path in played(tmp_path / name, scenario, ORDERS, seed)]
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    }
    assert runs["one"] == runs["two"]
    assert all(one != other for one, other in zip(runs["one"], runs["other"], strict=True))


def test_other_orders_never_get_the_uids_of_these(tmp_path):
    """The same seed on another day's worklist makes other objects: an archive may hold both."""
    tomorrow = [replace(one, study_uid=one.study_uid + ".1", date="20260315") for one in ORDERS]
    runs = [played(tmp_path / str(number), load("smoke"), day, 3) for number, day in enumerate((ORDERS, tomorrow))]
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for run in runs for path in run]
    assert len(set(uids)) == len(uids) == 20


def test_an_exam_happens_when_it_was_scheduled(smoke):
    dataset = pydicom.dcmread(smoke[0], stop_before_pixels=True)
    assert (dataset.StudyDate, dataset.StudyTime, dataset.TimezoneOffsetFromUTC) == ("20260314", "143001", "+0000")
    clock = modality.Clock()
    clock.turn_to(order("CT", date="", time=""))
    assert clock() > modality.START
    clock.turn_to(order("CT", time=""))
    assert f"{clock():%Y%m%d %H%M}" == "20260314 0800"


def test_orders_are_taken_by_key_and_never_twice():
    orders = [order("US", 5), order("CT", 9), order("US", 2), order("XC", 1)]
    plan = Scenario("x", (ExamPlan("US"), ExamPlan("CT"), ExamPlan("US")))
    assert [one.accession for _, one in modality.choose(plan, orders)] == ["A2", "A9", "A5"]


def test_every_order_that_is_missing_is_named():
    plan = Scenario("x", (ExamPlan("US"), ExamPlan("CT"), ExamPlan("US"), ExamPlan("ES")))
    with pytest.raises(InputError, match="no open order for CT, US, ES, which the scenario x needs"):
        modality.choose(plan, [order("US", 5)])
