"""The command simulate: a spool and a courier of its own, never the clinic's."""

import hashlib
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from appliance.clinic.exam import Exam
from appliance.dicom import syntaxes
from appliance.dicom.procedure import Wanted
from appliance.errors import ApplianceError, SettingsError
from appliance.oneshot.place import ask_worklist
from appliance.settings import Address, Settings
from appliance.simulator import modality, report, scenario
from appliance.simulator.report import ExamLine, Outcome, Shown
from appliance.spool.debts import Debt, State
from appliance.spool.doorbell import Doorbell
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.owing import owed
from appliance.workflow.place import Place

LOOK_EVERY = 0.05  # seconds
SHOWN = 12  # pictures of an exam in the report


class CourierLike(Protocol):
    """What a simulation needs of a courier; roots do not import roots, so one is handed in."""

    def start(self) -> int:
        """Open the ear and start the rounds; SettingsError where the port is taken."""
        ...

    def run(self, over: threading.Event) -> None:
        """Wait for rings until it is over."""
        ...

    def stop(self) -> None:
        """End the rounds, close the ear."""
        ...


def simulate(settings: Settings, args: Namespace, courier: Callable[[Settings, Path], CourierLike]) -> dict[str, Any]:
    """Play a scenario against the peers of the settings, with a `courier` of its own over a spool of its own.

    Returns what --json prints. Raises SettingsError (exit 2) for a scenario or settings that cannot be, PeerError (exit 3)
    where the RIS cannot be asked, InputError where its worklist has too few orders, ApplianceError (exit 1) where not all
    was committed and told; the report is written in that case, too.
    """
    plan = scenario.load(args.scenario)
    _demand_peers(settings)
    if args.listen:
        ear = Address.parse(f"{settings.station.ae_title}@{args.listen}")  # SettingsError where it is no HOST:PORT
        listen = str(ear).partition("@")[2]
        settings = settings.model_copy(update={"courier": settings.courier.model_copy(update={"listen": listen})})
    began = time.monotonic()
    orders, _ = ask_worklist(settings, Wanted())
    chosen = modality.choose(plan, orders)
    clock = modality.Clock()
    with tempfile.TemporaryDirectory(prefix="dicap-simulation-") as folder:
        spool = Path(folder)
        ledger = Ledger(spool / "ledger.sqlite")
        bell = Doorbell(spool, "courier")
        place = Place(settings, Shelf(spool), ledger, modality.uids(args.seed, chosen), ring=bell.ring, now=clock)
        with closing(ledger), _running(courier(settings, spool)):
            exams: dict[str, float] = {}
            for one, order in chosen:
                clock.turn_to(order)
                exams[modality.play(place, one, order, args.seed).id] = time.monotonic() - began
            settled = _wait(place, plan.patience, began)
            seconds = time.monotonic() - began
            lines = tuple(_line(place, place.ledger.exam(one), ended, settled) for one, ended in exams.items())
            peers = tuple(f"{name}: {peer.address}, {', '.join(peer.roles)}" for name, peer in settings.peers.items())
            digest = _digest(place, list(exams))
        outcome = Outcome(plan.name, args.seed, seconds, digest, lines, peers)
    result = _words(outcome)
    if args.report:
        result["report"] = _write(outcome, Path(args.report))
    if not outcome.good:
        trouble = "; ".join(sorted({line.trouble for line in lines if line.trouble})) or "the patience is at its end"
        advice = "Look at the report and at the peers' logs."
        raise ApplianceError(f"not everything was committed: {trouble}", advice).with_report(result)
    return result


def _demand_peers(settings: Settings) -> None:
    """SettingsError unless there is somebody to ask, to store at, and to commit: else it could never end well."""
    missing = [role for role in ("worklist", "store", "commit") if not settings.with_role(role)]
    if missing:
        words = ", ".join(missing)
        raise SettingsError(f"a simulation needs peers with the roles worklist, store and commit; nobody has: {words}")


@contextmanager
def _running(courier: CourierLike) -> Iterator[None]:
    """Let a courier work for as long as the simulation lasts; what it then still owes goes with the spool."""
    over = threading.Event()
    rounds = threading.Thread(target=courier.run, args=(over,), name="courier", daemon=True)
    try:
        try:
            courier.start()
        except SettingsError as error:
            advice = "Does the clinic's courier run? Name another port with --listen HOST:PORT, which the archive must know."
            raise SettingsError(str(error), advice) from error
        rounds.start()
        yield
    finally:
        over.set()
        if rounds.ident is not None:
            rounds.join(5)
        courier.stop()


def _wait(place: Place, patience: float, began: float) -> dict[str, float]:
    """Wait until nothing is owed any more, nothing but what was refused, or the patience is at its end.

    Returns for each exam the seconds since `began` after which nothing of it was owed; an exam that never came that far is
    not in it.
    """
    settled: dict[str, float] = {}
    deadline = time.monotonic() + patience
    every = {exam.id for exam in place.ledger.exams()}
    while time.monotonic() < deadline:
        things = owed(place)
        owing = {one.picture.exam_id if isinstance(one, Debt) else one.exam.id for one in things}
        for exam_id in every - owing - set(settled):
            settled[exam_id] = time.monotonic() - began
        if all(one.state == State.REFUSED for one in things):
            break
        time.sleep(LOOK_EVERY)
    return settled


def _line(place: Place, exam: Exam, ended: float, settled: dict[str, float]) -> ExamLine:
    """How one exam fared, from the ledger alone: an object counts where every archive has it."""
    debts = place.ledger.debts.deliveries("p.exam_id=?", exam.id)
    reports = place.ledger.debts.reports("r.exam_id=?", exam.id)
    pictures = place.ledger.pictures(exam.id)
    unsent = {debt.picture.id for debt in debts if debt.state not in (State.SENT, State.COMMITTED)}
    uncommitted = {debt.picture.id for debt in debts if debt.state != State.COMMITTED}
    trouble = {*(one.words for one in debts), *(one.words for one in reports)} - {""}
    if uncommitted - unsent:
        trouble.add(f"{len(uncommitted - unsent)} stored, but the promise to keep them never came")
    return ExamLine(
        modality=exam.modality,
        accession=exam.accession,
        patient=exam.patient.spoken_name,
        made=len(pictures),
        stored=len(pictures) - len(unsent),
        committed=len(pictures) - len(uncommitted),
        reports=len(reports),
        told=sum(one.state == State.DONE for one in reports),
        trouble="" if not uncommitted and all(one.state == State.DONE for one in reports) else "; ".join(sorted(trouble)),
        ended=ended,
        settled=settled.get(exam.id, 0.0),
        pictures=tuple(_shown(place, one.id) for one in pictures[:SHOWN]),
    )


def _shown(place: Place, picture_id: str) -> Shown:
    """One object for the report, with the small picture that the workflow made of it."""
    picture = place.ledger.picture(picture_id)
    small = place.shelf.thumbnail(picture.id)
    syntax = syntaxes.by_uid(picture.syntax_uid).name
    words = f"{picture.number}: {picture.columns} × {picture.rows}, {picture.frames} frames, {syntax}, {picture.size} bytes"
    return Shown(small.read_bytes() if small.is_file() else b"", words, picture.frames)


def _digest(place: Place, exam_ids: list[str]) -> str:
    """SHA-256 over all objects made, in their order."""
    digest = hashlib.sha256()
    for exam_id in exam_ids:
        for picture in sorted(place.ledger.pictures(exam_id), key=lambda one: (one.series.number, one.number)):
            digest.update(bytes.fromhex(picture.sha256))
    return digest.hexdigest()


def _write(outcome: Outcome, folder: Path) -> str:
    """Write the report; returns where it lies. ApplianceError where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.html").write_text(report.page(outcome), encoding="utf-8")
    except OSError as error:
        what = f"the report cannot be written to {folder}: {error.strerror}"
        raise ApplianceError(what, "The simulation itself has run.").with_report(_words(outcome)) from error
    return str(folder / "report.html")


def _words(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values for --json."""
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
                "patient": one.patient,
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
