"""Commands on what is owed: ledger, wait, retry, release."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from appliance.clinic.exam import Picture
from appliance.dicom import syntaxes
from appliance.errors import ApplianceError, InputError
from appliance.oneshot.place import spool
from appliance.settings import Settings
from appliance.spool.debts import Debt, Report, State
from appliance.workflow.owing import owed, stuck

LOOK_EVERY = 0.1  # seconds


def ledger(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Everything the ledger knows.

    Returns exams (id, state, patient, accession, orders, study), objects (one for each destination: state waiting, sent,
    committed or refused; attempts, words, advice, released), held (objects of open exams, not owed yet) and reports
    (begun and ended, for each RIS: waiting, done or refused).
    """
    with spool(settings, root) as place:
        debts = place.ledger.debts.deliveries()
        owing = {debt.picture.id for debt in debts}
        exams = place.ledger.exams()
        held = [one for exam in exams for one in place.ledger.pictures(exam.id) if one.id not in owing]
        return {
            "exams": [
                {
                    "id": exam.id,
                    "state": str(exam.state),
                    "patient_id": exam.patient.id,
                    "patient_name": exam.patient.name,
                    "accession": exam.accession,
                    "orders": [order.key for order in exam.orders],
                    "study_instance_uid": exam.study_uid,
                    "started": exam.started.isoformat(),
                }
                for exam in exams
            ],
            "objects": [_debt_words(debt) for debt in debts],
            "held": [_picture_words(one) for one in held],
            "reports": [_report_words(report) for report in place.ledger.debts.reports()],
        }


def wait(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Return when nothing is owed any more.

    An object is done when it is committed, or stored where nobody commits or the policy asks no more. Raises
    ApplianceError (exit 1) on time-out, or as soon as nothing that is left goes on without a person.
    """
    deadline = time.monotonic() + args.timeout if args.timeout else None
    with spool(settings, root) as place:
        while True:
            things = owed(place)
            if not things:
                return {"owed": 0}
            words = "; ".join(sorted({one.words or _no_words(one) for one in things}))
            if len(stuck(place, things)) == len(things):
                refused = sum(one.state == State.REFUSED for one in things)
                left = len(things) - refused
                what = f"{refused} refused" + (f", {left} cannot go on" if left else "")
                raise ApplianceError(f"{what}: {words}", "Look at `dicap ledger`, mend it, then `dicap retry`.")
            if deadline is not None and time.monotonic() > deadline:
                objects = sum(isinstance(one, Debt) for one in things)
                what = f"{objects} objects and {len(things) - objects} reports are still owed"
                raise ApplianceError(f"{what}: {words}", "Everything stays in the spool. Does the courier run?")
            time.sleep(LOOK_EVERY)


def retry(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """What was refused waits again, what waits is due now, what was sent is asked for again; all, or these ids."""
    with spool(settings, root) as place:
        count = place.ledger.debts.hurry(args.ids)
        place.ring()
        if args.ids and not count:
            advice = "Look at `dicap ledger`. What is withheld goes only when the object itself is named, not its exam."
            raise InputError(f"nothing is owed of {', '.join(args.ids)}", advice)
        return {"retried": count}


def release(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Let objects go by hand: nothing more is owed of them. Only what is named, or what is at least sent everywhere."""
    with spool(settings, root) as place:
        debts = place.ledger.debts.deliveries("p.released IS NULL")
        if args.ids:
            chosen = {debt.picture.id for debt in debts if {debt.picture.id, debt.picture.exam_id} & set(args.ids)}
            if not chosen:
                raise InputError(f"nothing to release of {', '.join(args.ids)}", "Look at `dicap ledger`.")
        else:
            unsent = {debt.picture.id for debt in debts if debt.state not in (State.SENT, State.COMMITTED)}
            chosen = {debt.picture.id for debt in debts} - unsent
        place.ledger.release(sorted(chosen))
        return {"released": sorted(chosen)}


def _no_words(one: Debt | Report) -> str:
    """What to say of a thing of which nobody has said anything yet."""
    if one.state == State.SENT:
        return "commitment was asked for and has not come yet"
    if isinstance(one, Report) and one.kind == "ended":
        return "the RIS must be told of the beginning first"
    return "no peer was asked yet"


def _picture_words(picture: Picture) -> dict[str, Any]:
    """One object."""
    return {
        "id": picture.id,
        "exam": picture.exam_id,
        "sop_class_uid": picture.sop_class_uid,
        "sop_instance_uid": picture.sop_instance_uid,
        "syntax": syntaxes.by_uid(picture.syntax_uid).name,
        "frames": picture.frames,
        "size": picture.size,
        "file": picture.file,
        "flaws": list(picture.flaws),
    }


def _debt_words(debt: Debt) -> dict[str, Any]:
    """One object and one destination."""
    return {
        **_picture_words(debt.picture),
        "destination": debt.destination,
        "state": str(debt.state),
        "released": debt.released,
        "attempts": debt.attempts,
        "words": debt.words,
        "advice": debt.advice,
    }


def _report_words(report: Report) -> dict[str, Any]:
    """One step report and one RIS."""
    return {
        "id": report.id,
        "exam": report.exam.id,
        "kind": report.kind,
        "peer": report.peer,
        "state": str(report.state),
        "attempts": report.attempts,
        "words": report.words,
        "advice": report.advice,
    }
