"""What nearly every command needs: the spool, the orders that are meant, the exam that is meant."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.clinic.clock import doubt
from appliance.clinic.exam import Exam, ExamState
from appliance.clinic.order import Order
from appliance.clinic.patient import Patient, temporary_id
from appliance.dicom import uids
from appliance.dicom.procedure import Wanted
from appliance.errors import ApplianceError, InputError, PeerError, SettingsError
from appliance.network import ris
from appliance.network.association import Caller
from appliance.settings import Peer, Settings
from appliance.spool.doorbell import Doorbell
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Acquisition
from appliance.workflow.place import Place, here_and_now

log = logging.getLogger("dicap.oneshot")


@dataclass(frozen=True)
class Meant:
    """The exam a command is about; `lone` when the command began it itself and ends it itself."""

    exam: Exam
    lone: bool


@contextmanager
def spool(settings: Settings, root: Path) -> Iterator[Place]:
    """The spool for as long as a command runs; both processes are woken by what is done in it."""
    ledger = Ledger(root / "ledger.sqlite")
    bells = [Doorbell(root, "courier"), Doorbell(root, "station")]

    def ring() -> None:
        for bell in bells:
            bell.ring()

    try:
        yield Place(settings, Shelf(root), ledger, uids.Fresh(settings.dicom.uid_root), ring=ring)
    finally:
        ledger.close()


def caller(settings: Settings, peer: Peer) -> Caller:
    """We, as this peer knows us."""
    return Caller(peer.calling or settings.station.ae_title, settings.courier.timeout, settings.courier.connect_timeout)


def ask_worklist(settings: Settings, wanted: Wanted) -> tuple[list[Order], list[str]]:
    """Ask every RIS of the settings; returns the orders and the complaints, about unusable answers and about who is away.

    Raises PeerError where none of them answers.
    """
    orders, complaints, away = _ask_each(settings, wanted)
    if len(away) == len(settings.with_role("worklist")):
        raise away[0]
    return orders, [*complaints, *map(str, away)]


def _ask_each(settings: Settings, wanted: Wanted) -> tuple[list[Order], list[str], list[PeerError]]:
    peers = settings.with_role("worklist")
    if not peers:
        raise SettingsError("no peer of the settings has the role worklist")
    orders: list[Order] = []
    complaints: list[str] = []
    away: list[PeerError] = []
    for peer in peers.values():
        try:
            found = ris.find_orders(caller(settings, peer), peer.parsed(), wanted)
        except PeerError as error:
            away.append(error)
            continue
        orders += found.orders
        complaints += found.complaints
    return orders, complaints, away


def find_orders(place: Place, words: Sequence[str]) -> list[Order]:
    """The orders that `ACCESSION` or `ACCESSION/STEP-ID` mean, from the RIS, or from the cache while it is away.

    Raises SettingsError (exit 2) naming the open steps where an accession has several and none is named; InputError
    where there is no such order; PeerError where the RIS is away and the cache does not know it.
    """
    return [_find_order(place, word) for word in words]


def _find_order(place: Place, word: str) -> Order:
    accession, _, step = word.partition("/")
    known, _, away = _ask_each(place.settings, Wanted(accession=accession))
    if away:
        once = {(order.key, order.study_uid, order.patient.id): order for order in (*place.ledger.orders(), *known)}
        known = list(once.values())
    fitting = [order for order in known if order.accession == accession and step in ("", order.step_id)]
    if len(fitting) > 1:
        names = ", ".join(f"{order.key} ({order.step_description})" for order in fitting)
        what = f"the accession {accession} has several open steps: {names}"
        raise SettingsError(what, "Name one: --order ACCESSION/STEP-ID.")
    if fitting:
        return fitting[0]
    done = _done_before(place, accession, step)
    if len(done) == 1:
        log.warning("the RIS no longer lists %s; it is taken from an earlier exam of ours", done[0].key)
        return done[0]
    if done:
        names = ", ".join(order.key for order in done)
        what = f"the accession {accession} has several steps that were begun before: {names}"
        raise SettingsError(what, "Name one: --order ACCESSION/STEP-ID.")
    if away:
        raise away[0]
    raise InputError(f"the worklist has no order {word}", "Nothing was captured. Look at `dicap worklist`.")


def _done_before(place: Place, accession: str, step: str) -> list[Order]:
    """Orders that the RIS no longer lists, since exams of ours have begun or done them: more pictures may follow."""
    orders = {order.key: order for exam in place.ledger.exams() for order in exam.orders if accession}
    return [one for one in orders.values() if one.accession == accession and step in ("", one.step_id)]


def meant_exam(place: Place, acquisition: Acquisition, args: Namespace, look: Callable[[Sequence[Order]], None]) -> Meant:
    """The exam of --exam, --order or --unscheduled: an open one of those orders, else a new one.

    `look` sees the orders before an exam is begun, and raises where what is wanted could not become legal.
    """
    _demand_one_way(args)
    if words := doubt(place.now()):
        log.warning(words)
    if args.exam:
        exam = place.ledger.exam(args.exam)
        if exam.state != ExamState.OPEN:
            raise InputError(f"the exam {exam.id} has ended")
        look(exam.orders)
        return Meant(exam, False)
    if args.unscheduled:
        orders = [acquisition.unscheduled(_patient(args))]
        look(orders)
        return Meant(acquisition.begin(orders), True)
    if not args.order:
        raise SettingsError("for whom? Name --order ACCESSION, --exam ID, or --unscheduled")
    open_exam = open_for(place, args.order)
    if open_exam:
        look(open_exam.orders)
        return Meant(open_exam, False)
    orders = find_orders(place, args.order)
    look(orders)
    return Meant(acquisition.begin(orders), True)


def _demand_one_way(args: Namespace) -> None:
    """Whom a command is for is said in one way only; raises SettingsError naming every mistake."""
    ways = [word for word in ("exam", "unscheduled", "order") if getattr(args, word)]
    wrong = [] if len(ways) < 2 else [f"{' and '.join('--' + word for word in ways)} exclude each other"]
    told = ("patient_id", "patient_name", "birth_date", "sex")
    extra = ["--" + word.replace("_", "-") for word in told if getattr(args, word)]
    if extra and not args.unscheduled:
        wrong.append(f"{', '.join(extra)} belong to --unscheduled; an order names its own patient")
    if wrong:
        raise SettingsError("; ".join(wrong))


def open_for(place: Place, words: Sequence[str]) -> Exam | None:
    """The open exam that fulfils all these orders."""
    for exam in place.ledger.exams(ExamState.OPEN):
        keys = {order.key for order in exam.orders} | {order.accession for order in exam.orders if order.accession}
        if set(words) <= keys:
            return exam
    return None


def _patient(args: Namespace) -> Patient:
    return Patient(
        (args.patient_id or "").strip() or temporary_id(here_and_now()),
        args.patient_name or "UNKNOWN",
        args.birth_date or "",
        (args.sex or "").upper(),
    )


def words_of(error: Exception) -> dict[str, str]:
    """An error as plain values."""
    advice = error.advice if isinstance(error, ApplianceError) else getattr(error, "advice", "")
    return {"error": str(error), "advice": str(advice)}
