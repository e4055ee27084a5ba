"""The command simulate: a spool and a courier of its own, never the clinic's."""

import hashlib
import tempfile
import threading
import time
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.clinic.exam import Exam
from appliance.courier import Courier
from appliance.dicom.procedure import Wanted
from appliance.dicom.uids import Seeded
from appliance.errors import ApplianceError
from appliance.oneshot.place import ask_worklist
from appliance.settings import Settings
from appliance.simulator import modality, report, scenario
from appliance.spool.debts import State
from appliance.spool.doorbell import Doorbell
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Place
from appliance.workflow.deliver import owed

LOOK_EVERY = 0.05  # seconds


def simulate(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Play a scenario against the peers of the settings; raises ApplianceError (exit 1) where not all was committed."""
    plan = scenario.load(args.scenario)
    if args.listen:
        settings = settings.model_copy(update={"courier": settings.courier.model_copy(update={"listen": args.listen})})
    began = time.monotonic()
    orders, _ = ask_worklist(settings, Wanted())
    chosen = modality.choose(plan, orders)
    with tempfile.TemporaryDirectory(prefix="dicap-simulation-") as folder:
        spool = Path(folder)
        ledger = Ledger(spool / "ledger.sqlite")
        bell = Doorbell(spool, "courier")
        place = Place(settings, Shelf(spool), ledger, Seeded(args.seed), ring=bell.ring, now=modality.Clock())
        courier = Courier(settings, spool)
        with closing(ledger):
            courier.start()
            over = threading.Event()
            rounds = threading.Thread(target=courier.run, args=(over,), name="courier", daemon=True)
            rounds.start()
            try:
                exams = [modality.play(place, one, order, args.seed) for one, order in chosen]
                _wait(place, plan.patience)
                outcome = _outcome(place, plan, exams, args.seed, time.monotonic() - began)
            finally:
                over.set()
                rounds.join(5)
                courier.stop()
    result = _words(outcome)
    if args.report:
        target = Path(args.report)
        target.mkdir(parents=True, exist_ok=True)
        result["report"] = str(target / "report.html")
        (target / "report.html").write_text(report.page(outcome), encoding="utf-8")
    if not outcome.good:
        advice = "Look at the report and at the peers' logs."
        raise ApplianceError("not everything was committed", advice).with_report(result)
    return result


def _wait(place: Place, patience: float) -> None:
    """Until nothing waits any more, or the patience is at its end."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if all(one.state == State.REFUSED for one in owed(place)):
            return
        time.sleep(LOOK_EVERY)


def _outcome(place: Place, plan: scenario.Scenario, exams: list[Exam], seed: int, seconds: float) -> report.Outcome:
    digest = hashlib.sha256()
    lines = []
    for exam in exams:
        pictures = place.ledger.pictures(exam.id)
        for picture in pictures:
            digest.update(bytes.fromhex(picture.sha256))
        debts = place.ledger.debts.deliveries("p.exam_id=?", exam.id)
        reports = place.ledger.debts.reports("r.exam_id=?", exam.id)
        lines.append(
            report.ExamLine(
                modality=exam.modality,
                accession=exam.accession,
                patient=exam.patient.spoken_name,
                made=len(pictures),
                stored=sum(debt.state in (State.SENT, State.COMMITTED) for debt in debts),
                committed=sum(debt.state == State.COMMITTED for debt in debts),
                reports=len(reports),
                told=sum(one.state == State.DONE for one in reports),
                trouble="; ".join(sorted({*(one.words for one in debts), *(one.words for one in reports)} - {""})),
            )
        )
    return report.Outcome(plan.name, seed, seconds, digest.hexdigest(), tuple(lines))


def _words(outcome: report.Outcome) -> dict[str, Any]:
    return {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 2),
        "digest": outcome.digest,
        "good": outcome.good,
        "exams": [
            {
                "modality": one.modality,
                "accession": one.accession,
                "made": one.made,
                "stored": one.stored,
                "committed": one.committed,
                "reports": one.reports,
                "told": one.told,
                "trouble": one.trouble,
            }
            for one in outcome.exams
        ],
    }
