"""What the screen shows, made from the ledger and the session: the state of `ui.shape.State`."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from appliance.clinic.clock import doubt
from appliance.clinic.exam import REASONS, WRONG_WORKLIST_ENTRY, Exam, ExamState, Picture
from appliance.clinic.order import Order
from appliance.clinic.patient import Patient
from appliance.spool.debts import Debt, Report, State
from appliance.workflow.owing import exam_of, for_a_person, owed
from appliance.workflow.place import Place
from appliance.workflow.regions import Regions
from appliance.workflow.session import Session
from capture.tap import Tap

PREGNANCY = {"1": "not pregnant", "2": "possibly pregnant", "3": "PREGNANT", "4": "pregnancy unknown"}
STALE = 30.0  # seconds without a sign of life after which the courier counts as stopped
SHOWN_EXAMS = 30
ABANDON_FIRST = ("110514", "110500", "110505", "110501", "110513")


def state_of(place: Place, session: Session, tap: Tap, demo: bool) -> dict[str, Any]:
    """Everything the screen shows."""
    station = place.settings.station
    things = owed(place)
    free = place.shelf.free_mb()
    word, words = _picture_state(tap.state)
    picture = tap.format
    return {
        "station": {
            "ae_title": station.ae_title,
            "name": station.name,
            "modality": station.modality,
            "source": station.source,
            "demo": demo,
        },
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "picture": {
            "state": word,
            "words": words,
            "width": picture.width if picture else 0,
            "height": picture.height if picture else 0,
            "rate": float(picture.rate) if picture else 0.0,
        },
        "worklist": _worklist(place),
        "exam": _open_exam(place, session),
        "exams": [_line(place, exam, things) for exam in _recent(place, things)],
        "owed": _owed(place, things, session),
        "peers": _peers(place),
        "disk": {"free_mb": free, "reserve_mb": station.reserve_mb, "ok": free >= station.reserve_mb},
        "reasons": [
            {"value": code.value, "meaning": code.meaning}
            for code in sorted(REASONS.values(), key=lambda one: (one.value not in ABANDON_FIRST, one.meaning))
        ],
    }


def _picture_state(state: str) -> tuple[str, str]:
    """The tap's state as one of the screen's words, and a sentence."""
    word, _, words = state.partition(":")
    if word == "starting":
        return "no signal", "the source is being opened"
    if word == "stopped":
        return "ended", "the station is stopping"
    return word, words.strip()


def patient_words(patient: Patient) -> dict[str, Any]:
    """A patient with the birth date spelled out, so that no two countries read it differently."""
    try:
        born = datetime.strptime(patient.birth_date, "%Y%m%d")
        birth = f"{born.day} {born:%B} {born.year}"
    except ValueError:
        birth = patient.birth_date or "birth date unknown"
    return {
        "id": patient.id,
        "name": patient.name,
        "spoken_name": patient.spoken_name,
        "birth_date": patient.birth_date,
        "birth_words": birth,
        "sex": patient.sex,
    }


def _worklist(place: Place) -> dict[str, Any]:
    """The cached worklist without what has been begun; `error` only where the last look failed after the last good one."""
    fetched = place.ledger.fetched()
    known = [fetched[name] for name in place.settings.with_role("worklist") if name in fetched]
    good = min((at for at, _ in known if at), default=None)
    recent = [exam for exam in place.ledger.exams(since=time.time() - 86400) if exam.reason != WRONG_WORKLIST_ENTRY]
    begun = {order.key for exam in recent for order in exam.orders}  # whoever was picked by mistake still waits
    return {
        "orders": [_order(order, place) for order in place.ledger.orders() if order.key not in begun],
        "fetched_at": datetime.fromtimestamp(good, UTC).isoformat(timespec="seconds") if good else None,
        "age_seconds": max(0, round(time.time() - good)) if good else None,
        "error": " ".join(filter(None, [doubt(place.now()), *(error for _, error in known)])),
    }


def _order(order: Order, place: Place) -> dict[str, Any]:
    """One line of the worklist."""
    patient = order.patient
    return {
        "key": order.key,
        "patient": patient_words(patient),
        "accession": order.accession,
        "step_id": order.step_id,
        "description": order.step_description or order.procedure_description,
        "modality": order.modality,
        "date": order.date,
        "time": order.time,
        **_dangers(patient),
        "mine": order.modality == place.settings.station.modality,
        "status": order.status,
    }


def _open_exam(place: Place, session: Session) -> dict[str, Any] | None:
    """The exam in front of the camera, its pictures, and the clip being recorded."""
    exam = session.exam
    if exam is None:
        return None
    take = session.take
    order = exam.orders[0]
    return {
        "id": exam.id,
        "key": order.key,
        "patient": patient_words(exam.patient),
        "accession": exam.accession,
        "description": order.step_description or order.procedure_description,
        "modality": exam.modality,
        "started": exam.started.isoformat(timespec="seconds"),
        "pictures": [_kept(picture) for picture in place.ledger.pictures(exam.id) if picture.kind in ("still", "clip")],
        "recording": None
        if take is None or take.exam_id != exam.id
        else {
            "seconds": round(time.time() - take.started, 1),
            "frames": take.frames,
            "started": datetime.fromtimestamp(take.started, UTC).isoformat(),
        },
        "busy": session.busy,
        **_region(session.regions, exam),
        **_dangers(exam.patient),  # the worklist does not show this order any more
    }


def _region(regions: Regions, exam: Exam) -> dict[str, Any]:
    """Which part of the body it shows, by whose word, and what may be chosen."""
    known = regions.region(exam)
    return {
        "region": {"value": known.code.value, "meaning": known.code.meaning, "from": known.said_by} if known else None,
        "needs_region": regions.is_needed(exam),
        "regions": [{"value": code.value, "meaning": code.meaning} for code in regions.offered(exam)],
    }


def _dangers(patient: Patient) -> dict[str, str]:
    return {
        "alerts": patient.alerts,
        "allergies": patient.allergies,
        "pregnancy": PREGNANCY.get(patient.pregnancy, ""),
        "special_needs": patient.special_needs,
    }


def _kept(picture: Picture) -> dict[str, Any]:
    """One tile."""
    return {
        "id": picture.id,
        "kind": picture.kind,
        "number": picture.number,
        "seconds": picture.seconds,
        "frames": picture.frames,
        "flaws": list(picture.flaws),
    }


def _recent(place: Place, things: Sequence[Debt | Report]) -> list[Exam]:
    """Today's ended exams, and older ones of which something is still owed."""
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    unsettled = {exam_of(one) for one in things}
    exams = [exam for exam in place.ledger.exams() if exam.state != ExamState.OPEN]
    return [exam for exam in exams if exam.started.timestamp() >= midnight or exam.id in unsettled][:SHOWN_EXAMS]


def _line(place: Place, exam: Exam, things: Sequence[Debt | Report]) -> dict[str, Any]:
    """One ended exam: how far its pictures and reports got."""
    debts = place.ledger.debts.deliveries("p.exam_id=?", exam.id)
    reports = place.ledger.debts.reports("r.exam_id=?", exam.id)
    mine = [one for one in things if exam_of(one) == exam.id]
    line, done = exam_words(mine, debts, reports)
    trouble = next(iter(for_a_person(place, mine)), None)
    return {
        "id": exam.id,
        "patient": patient_words(exam.patient),
        "accession": exam.accession,
        "description": exam.orders[0].step_description or exam.orders[0].procedure_description,
        "ended": exam.ended.isoformat(timespec="seconds") if exam.ended else "",
        "state": str(exam.state),
        "line": line,
        "done": done,
        "trouble": f"{trouble.words} {trouble.advice}".strip() if trouble else "",
    }


def exam_words(owed_of_it: Sequence[Debt | Report], debts: list[Debt], reports: list[Report]) -> tuple[str, bool]:
    """How far an exam's pictures and reports got with all who are to have them, in words, and whether all is done."""
    done = not owed_of_it
    told = not any(isinstance(one, Report) for one in owed_of_it)
    if not debts:
        return ("no pictures" + (", reported" if told and reports else ""), done)
    total = len({debt.picture.id for debt in debts})
    stored = total - len({debt.picture.id for debt in debts if debt.state not in (State.SENT, State.COMMITTED)})
    committed = total - len({debt.picture.id for debt in debts if debt.state != State.COMMITTED})
    if committed == total:
        words = f"{total} of {total} stored, committed"
    elif stored == total:
        words = f"{total} of {total} stored" + ("" if done else ", commitment asked")
    else:
        words = f"{stored} of {total} stored"
    return (words if told else words + "; the RIS is not told yet", done)


def _held(place: Place, session: Session) -> list[str]:
    """Which pictures wait for the end of an exam: of the one here, and of those that a command left open."""
    if place.settings.station.send != "finish":
        return []
    here = session.exam
    held = {exam.id: len(place.ledger.pictures(exam.id)) for exam in place.ledger.exams(ExamState.OPEN)}
    mine = held.pop(here.id, 0) if here else 0
    words = [f"{_count(mine, 'picture')} of this exam, sent with Finish"] if mine else []
    return words + ([f"{_count(sum(held.values()), 'picture')} of exams that were left open"] if any(held.values()) else [])


def _owed(place: Place, things: Sequence[Debt | Report], session: Session) -> dict[str, Any]:
    refused = sum(one.state == State.REFUSED for one in things)
    objects = sum(isinstance(one, Debt) for one in things)
    reports = len(things) - objects
    going = [isinstance(one, Debt) for one in things if one.state != State.REFUSED]
    parts = _held(place, session)
    if going.count(True):
        parts.append(f"{_count(going.count(True), 'object')} on the way")
    if going.count(False):
        parts.append(f"{_count(going.count(False), 'report')} to the RIS")
    if refused:
        parts.append(f"{refused} refused: somebody must look")
    elif for_a_person(place, things):
        parts.append("somebody must look")
    archives = place.settings.with_role("store")
    fine = "nothing owed: all pictures are safe in the archive" if archives else "nothing owed: no archive is set"
    return {"objects": objects, "reports": reports, "refused": refused, "words": ", ".join(parts) or fine}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _peers(place: Place) -> list[dict[str, Any]]:
    """Each peer of the settings and whether it answers, as the courier last saw it; unknown while the courier sleeps."""
    signs = place.ledger.signs("peer:")
    beat = place.ledger.signs("courier").get("courier")
    asleep = beat is None or time.time() - beat[0] > STALE
    lines = []
    for name, peer in place.settings.peers.items():
        sign = signs.get(f"peer:{name}")
        words = "the courier is not running" if asleep else str(sign[1]["words"]) if sign else "not asked yet"
        lines.append(
            {
                "name": name,
                "address": peer.address,
                "roles": list(peer.roles),
                "answers": None if asleep or sign is None else bool(sign[1]["answers"]),
                "words": words,
            }
        )
    return lines
