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
from appliance.workflow.acquire import Acquisition, Made
from appliance.workflow.becoming import How
from appliance.workflow.place import Place
from capture.frame import Clip, Format, Pixels, Still

CINE_RATE = Fraction(20)
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)  # where an order names no time of its own
BETWEEN = 3  # frames of the loop between two stills: they differ as much as a person's would


class Clock:
    """The scenario's own time, whatever the wall says: an exam begins when it is scheduled, each look takes a second."""

    def __init__(self) -> None:
        self._now = START

    def __call__(self) -> datetime:
        """The time now."""
        self._now += timedelta(seconds=1)
        return self._now

    def turn_to(self, order: Order) -> None:
        """Go to the time that the order is scheduled for, taken as UTC; an order without one changes nothing."""
        try:
            self._now = datetime.strptime(f"{order.date}{order.time[:4] or '0800'}", "%Y%m%d%H%M").replace(tzinfo=UTC)
        except ValueError:
            return


def choose(scenario: Scenario, orders: Sequence[Order]) -> list[tuple[ExamPlan, Order]]:
    """An order for each exam: the first of its modality, by key, that no earlier exam took.

    Raises InputError naming every exam for which the worklist has no order.
    """
    free = sorted(orders, key=lambda order: order.key)
    chosen, missing = [], []
    for plan in scenario.exams:
        order = next((one for one in free if one.modality == plan.modality), None)
        if order is None:
            missing.append(plan.modality)
            continue
        free.remove(order)
        chosen.append((plan, order))
    if missing:
        what = f"the worklist has no open order for {', '.join(missing)}, which the scenario {scenario.name} needs"
        raise InputError(what, "Nothing was done. Look at `dicap worklist`; a hospital that is started anew has all again.")
    return chosen


def uids(seed: int, chosen: Sequence[tuple[ExamPlan, Order]]) -> Seeded:
    """The UIDs of a run: the same for the same seed and orders, others for other orders, as objects need others then."""
    return Seeded("\n".join([str(seed), *(f"{order.study_uid} {order.key}" for _, order in chosen)]))


def play(place: Place, plan: ExamPlan, order: Order, seed: int) -> Exam:
    """One exam from beginning to end into the spool of `place`, whose UIDs and clock are the scenario's.

    What the pictures show comes from `seed` and the order alone, so that another exam before it changes nothing. Raises what
    the workflow raises.
    """
    acquisition = Acquisition(place)
    exam = acquisition.begin([order])
    own = zlib.crc32(f"{seed}/{order.key}".encode())
    if plan.modality == "CT":
        _slices(place, acquisition, exam, plan, own)
    else:
        draw = phantoms.FRAMES[plan.modality]
        for number in range(plan.pictures):
            still = Still(place.now(), pixels=draw(own, number * BETWEEN), bits=8)
            acquisition.keep(exam.id, still, How(syntax="jls"))
        if plan.cine:
            _cine(place, acquisition, exam, [partial(draw, own, number) for number in range(plan.cine)])
    return acquisition.finish(exam.id)


def _slices(place: Place, acquisition: Acquisition, exam: Exam, plan: ExamPlan, seed: int) -> None:
    """A CT exam: slices of one person, each an object, in one frame of reference."""
    frame_of_reference = Seeded(f"{seed} {exam.study_uid}").named("frame of reference")
    for number in range(plan.pictures):
        picture = phantoms.ct_slice(seed, number, plan.pictures)
        acquisition.keep_made(
            exam.id,
            Made(
                kind="sc",  # of no matter: the writer is our own
                modality="CT",
                write=partial(ct.write_slice, picture=picture, frame_of_reference=frame_of_reference),
                look=partial(_windowed, picture),
                captured=place.now(),
            ),
        )


def _windowed(picture: Pixels) -> Pixels:
    """A slice as it is looked at: through the window that ct.py writes."""
    low = ct.WINDOW[0] - ct.WINDOW[1] // 2 + 1024
    shown: Pixels = np.clip((picture.astype(np.int32) - low) * 255 // ct.WINDOW[1], 0, 255).astype(np.uint8)
    return shown


def _cine(place: Place, acquisition: Acquisition, exam: Exam, frames: Sequence[partial[Pixels]]) -> None:
    """A loop as one multi-frame object; its frames are drawn one by one, by way of a file."""
    first = frames[0]()
    with tempfile.TemporaryDirectory(prefix="dicap-cine-") as folder:
        path = Path(folder) / "cine.raw"
        with path.open("wb") as out:
            for frame in frames:
                out.write(frame().tobytes())
        gray = first.ndim == 2
        layout = Format(first.shape[1], first.shape[0], CINE_RATE, "gray" if gray else "rgb24")
        clip = Clip(path, "raw", "raw", layout, len(frames), place.now())
        acquisition.keep(exam.id, clip, How(syntax="rle", object="us" if gray else "sc"))
