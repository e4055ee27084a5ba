"""Plays a scenario through the same workflow as the appliance: begin, pictures, finish."""

import tempfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from appliance.clinic.exam import Exam
from appliance.clinic.order import Order
from appliance.dicom.uids import Seeded
from appliance.errors import InputError
from appliance.simulator import ct, phantoms
from appliance.simulator.scenario import ExamPlan, Scenario
from appliance.workflow.acquire import Acquisition, How, Made, Place
from capture.frame import Clip, Format, Pixels, Still

CINE_RATE = Fraction(20)
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)  # the scenario's clock begins here, whatever the wall says


class Clock:
    """The scenario's own time: begins at START and goes on by a second with every look."""

    def __init__(self) -> None:
        self._now = START

    def __call__(self) -> datetime:
        """The time now."""
        self._now += timedelta(seconds=1)
        return self._now


def choose(scenario: Scenario, orders: Sequence[Order]) -> list[tuple[ExamPlan, Order]]:
    """An order for each exam: the first of its modality, by key, that no earlier exam took; InputError where none is."""
    free = sorted(orders, key=lambda order: order.key)
    chosen = []
    for plan in scenario.exams:
        order = next((one for one in free if one.modality == plan.modality), None)
        if order is None:
            raise InputError(f"the worklist has no open {plan.modality} order for the scenario {scenario.name}")
        free.remove(order)
        chosen.append((plan, order))
    return chosen


def play(place: Place, plan: ExamPlan, order: Order, seed: int) -> Exam:
    """One exam from beginning to end into the spool of `place`, whose UIDs and clock are the scenario's."""
    acquisition = Acquisition(place)
    exam = acquisition.begin([order])
    own = zlib.crc32(f"{seed}/{order.key}".encode())
    if plan.modality == "CT":
        _slices(place, acquisition, exam, plan, own)
    else:
        draw = phantoms.ultrasound_frame if plan.modality == "US" else phantoms.endoscopy_frame
        for number in range(plan.pictures):
            still = Still(place.now(), pixels=draw(own, number * 3), bits=8)
            acquisition.keep(exam.id, still, How(syntax="jls"))
        if plan.cine:
            _cine(place, acquisition, exam, [draw(own, number) for number in range(plan.cine)])
    return acquisition.finish(exam.id)


def _slices(place: Place, acquisition: Acquisition, exam: Exam, plan: ExamPlan, seed: int) -> None:
    frame_of_reference = Seeded(seed).named("frame of reference")
    for number in range(plan.pictures):
        picture = phantoms.ct_slice(seed, number, plan.pictures)
        acquisition.keep_made(
            exam.id,
            Made(
                kind="sc",  # of no matter: the writer is our own
                modality="CT",
                write=partial(ct.write_slice, picture=picture, frame_of_reference=frame_of_reference),
                look=partial(np.right_shift(picture, 4).astype, np.uint8),
                captured=place.now(),
            ),
        )


def _cine(place: Place, acquisition: Acquisition, exam: Exam, frames: list[Pixels]) -> None:
    with tempfile.TemporaryDirectory(prefix="dicap-cine-") as folder:
        path = Path(folder) / "cine.raw"
        path.write_bytes(b"".join(frame.tobytes() for frame in frames))
        gray = frames[0].ndim == 2
        layout = Format(frames[0].shape[1], frames[0].shape[0], CINE_RATE, "gray" if gray else "rgb24")
        clip = Clip(path, "raw", "raw", layout, len(frames), place.now())
        acquisition.keep(exam.id, clip, How(syntax="rle", object="us" if gray else "sc"))
