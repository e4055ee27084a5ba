"""Report, store, commit, settle, release: one step at a time, from the ledger alone."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from appliance.clinic.exam import WRONG_WORKLIST_ENTRY
from appliance.clinic.order import Reference
from appliance.dicom import encapsulate
from appliance.dicom.syntaxes import SYNTAXES, Syntax
from appliance.errors import ApplianceError, NeedsTranscoding, PeerError, Refused, Rejected, SpoolError, Unreachable
from appliance.events import Event
from appliance.network import pacs, ris
from appliance.network.association import Caller
from appliance.settings import Peer
from appliance.spool.debts import Debt, Report, State, Trouble
from appliance.workflow.lanes import Lanes
from appliance.workflow.owing import PATIENCE, committer
from appliance.workflow.place import Place

log = logging.getLogger("dicap.deliver")
NO_SUCH_INSTANCE = 0x0112  # it is not there: only this makes us store, or tell, again (PS3.4 J.3.3.1.3, PS3.7 C.5)
PASSING = frozenset({0x0110, 0x0213, 0x0131})  # processing failure, resource limitation, duplicate transaction
UNCOMPRESSED = ("explicit", "implicit")
REFERENCES_AT_ONCE = 500  # of one commitment request: a report of a whole day must not be lost at once
UNPACKED_AT_ONCE = 256_000_000  # bytes of decompressed pixels that lie on the workbench for one association
MOST_RETURNS = 3  # an archive that loses an object more often is not fed for ever
Unsuited = tuple[Debt, NeedsTranscoding]
Parcel = dict[str, tuple[Debt, pacs.Item, str]]  # by SOP Instance UID: what goes as what, and the words for that


class Delivery:
    """Carries what the ledger owes. Each method does what is due now for one peer, and returns whether it did any.

    Several threads may call it; what one of them is storing no other touches. What dicap itself does wrong with one
    object or report puts off that one, and no other. `stopping` is looked at between two objects.
    """

    def __init__(self, place: Place, stopping: Callable[[], bool] = lambda: False) -> None:
        self._place = place
        self._debts = place.ledger.debts
        self._stopping = stopping
        self._lanes = Lanes()
        self._dropping = threading.Lock()  # a file is not let go while its object is taken back
        self._longest = 1.5 * place.settings.courier.longest_pause

    def report(self, name: str, peer: Peer) -> bool:
        """Tell one RIS of steps begun and ended (N-CREATE, N-SET; PS3.4 F.7.2)."""
        due = self._debts.reports_due(name, time.time(), self._longest)
        away: ApplianceError | None = None
        for report in due:
            if self._stopping():
                break
            error = away or self._told(report, peer)
            if error is None:
                self._debts.move_report(report, State.DONE)
            elif error.retry:
                self._debts.postpone_report(report, self._trouble(error, report.attempts))
                away = error if _is_away(error) else None
            else:
                self._debts.move_report(report, State.REFUSED, Trouble(str(error), error.advice))
            self._sign(name, error)
            self._place.tell(Event("report.moved", {"exam": report.exam.id}))
        return bool(due)

    def store(self, name: str, peer: Peer, lane: int = 0) -> bool:
        """Store what waits for one archive, one association per exam (PS3.4 B).

        Lane 0 takes one exam after the other. The others help only while one takes long, so that nothing waits behind it.
        """
        if lane and not self._lanes.is_slow(name):
            return False
        now, did = time.time(), False
        away: ApplianceError | None = None
        for exam_id in self._debts.exams_to_send(name, now, self._longest):
            with self._lanes.claim(name, exam_id) as mine:
                if self._stopping() or not mine:
                    continue
                debts = self._debts.to_send(name, now, self._longest, exam_id)
                did |= bool(debts)
                if away and lane:
                    break  # it takes no second association from us: the first lane goes on alone
                if away and debts:  # nobody is there: the other exams would only wait for the same
                    self._debts.postpone(debts, self._trouble(away, debts[0].attempts))
                elif debts:
                    away = self._burst(name, peer, debts)
        return did

    def commit(self, name: str, committer_name: str, peer: Peer) -> bool:
        """Ask one archive (or who speaks for it) to promise what it was sent (PS3.4 J)."""
        courier = self._place.settings.courier
        due = self._debts.to_commit(name, time.time(), courier.commit_patience, self._longest)
        every = iter(due)
        away: ApplianceError | None = None
        while (batch := list(islice(every, REFERENCES_AT_ONCE))) and not self._stopping():
            error = away or self._ask(batch, peer)
            self._sign(committer_name, error)
            if error:
                pause = self._trouble(error, batch[0].attempts)
                self._debts.postpone(batch, pause if error.retry else Trouble(pause.words, pause.advice, self._later(99)))
                away = error if _is_away(error) else None
        return bool(due)

    def heard(self, report: pacs.Commitment) -> bool:
        """A commitment report has come, on whatever association. False when nobody asked for it."""
        failed = {uid: (reason, words) for uid, reason, words in report.failed}
        debts = self._debts.of_transaction(report.transaction_uid, [*dict.fromkeys((*report.committed, *failed))])
        for debt in debts or ():
            uid = debt.picture.sop_instance_uid
            if uid not in failed:
                self._debts.move(debt, State.COMMITTED)
            elif debt.transaction_uid == report.transaction_uid:  # else it was asked for, or sent, again since
                self._not_committed(debt, *failed[uid])
        if debts:
            self._place.tell(Event("commitment.heard", {"objects": len(debts)}))
            self._place.ring()
        return debts is not None

    def settle(self) -> list[str]:
        """Release every object of which each destination's policy is met. Returns their ids."""
        may: dict[str, bool] = {}
        for picture_id, destination, state in self._debts.standing():
            may[picture_id] = may.get(picture_id, True) and self._may_go(destination, state)
        free = [picture_id for picture_id, goes in may.items() if goes]
        if free:
            self._place.ledger.release(free)
            self._place.tell(Event("objects.released", {"objects": len(free)}))
        return free

    def let_go(self) -> int:
        """Delete the files of released objects: after their hours, or sooner where space is short. Returns how many."""
        place = self._place
        before = time.time() - place.settings.courier.keep_hours * 3600
        count = 0
        ripe = {one.id for one in place.ledger.to_drop(before)}
        for picture in place.ledger.to_drop(time.time()):
            if picture.id not in ripe and place.shelf.free_mb() > 2 * place.settings.station.reserve_mb:
                continue
            with self._dropping:
                if not place.ledger.is_released(picture.id):
                    continue  # it was taken back meanwhile
                try:
                    place.shelf.drop(picture.file)
                except SpoolError as error:
                    log.warning("%s", error)
                    continue
                place.ledger.gone(picture.id)
            count += 1
        return count

    # the RIS

    def _told(self, report: Report, peer: Peer) -> ApplianceError | None:
        """Tell it; returns why it could not be told."""
        try:
            self._tell(report, peer)
        except ApplianceError as error:
            return error
        except Exception as fault:
            log.exception("%s: a fault in dicap", report.id)
            return _our_fault(fault)
        return None

    def _tell(self, report: Report, peer: Peer) -> None:
        caller, address = self._caller(peer), peer.parsed()
        if report.kind == "begun":
            ris.begin_step(caller, address, report.exam)
            return
        pictures = self._place.ledger.pictures(report.exam.id)
        if report.exam.reason == WRONG_WORKLIST_ENTRY:  # withheld from the archives: the RIS hears of what is there already
            there = self._debts.deliveries("p.exam_id=? AND d.state IN ('sent', 'committed')", report.exam.id)
            pictures = [one for one in pictures if one.id in {debt.picture.id for debt in there}]
        try:
            ris.end_step(caller, address, report.exam, pictures)
        except Refused as error:
            if error.status != NO_SUCH_INSTANCE:
                raise
            # it has lost the step that it had confirmed: tell it from the beginning, once
            ris.begin_step(caller, address, report.exam)
            ris.end_step(caller, address, report.exam, pictures)

    # an archive

    def _burst(self, name: str, peer: Peer, debts: Sequence[Debt]) -> ApplianceError | None:
        """Send the objects of one exam; returns why the peer could not be spoken to at all, else None."""
        items = {debt.picture.sop_instance_uid: (debt, self._item(debt, peer), "") for debt in debts}
        away, unsuited = self._send(name, peer, items)
        if away and unsuited:
            self._debts.postpone([debt for debt, _ in unsuited], self._trouble(away, unsuited[0][0].attempts))
        elif unsuited:
            self._send_otherwise(name, peer, unsuited)
        return away

    def _send(self, name: str, peer: Peer, items: Parcel) -> tuple[ApplianceError | None, list[Unsuited]]:
        """Send these over one association; each is written down as soon as its answer is there.

        Returns why the peer could not be spoken to at all, and what it would take in another syntax.
        """
        left = dict(items)
        unsuited: list[Unsuited] = []
        away: ApplianceError | None = None
        try:
            for result in pacs.store(self._caller(peer), peer.parsed(), [item for _, item, _ in items.values()]):
                debt, item, words = left.pop(result.item.sop_instance_uid)
                if isinstance(result.error, NeedsTranscoding) and item.other_syntaxes:
                    unsuited.append((debt, result.error))
                else:
                    self._note(name, debt, result.error, words or result.words)
                    away = result.error if _is_away(result.error) else None
                if self._stopping():
                    return None, []
        except ApplianceError:
            raise
        except Exception as fault:
            culprit = next(iter(left.values()))[0]  # the answers come in the order of the objects
            log.exception("object %s: a fault in dicap", culprit.picture.id)
            self._note(name, culprit, _our_fault(fault), "")
        return away, unsuited

    def _note(self, name: str, debt: Debt, error: ApplianceError | None, words: str) -> None:
        """Write down how one object fared."""
        if error is None:
            self._debts.move(debt, State.SENT, self._sent(name, words))
        elif error.retry:
            self._debts.postpone([debt], self._trouble(error, debt.attempts))
        else:
            self._debts.move(debt, State.REFUSED, Trouble(str(error), error.advice))
        self._sign(name, error)
        self._place.tell(Event("object.moved", {"picture": debt.picture.id, "exam": debt.picture.exam_id}))

    def _sent(self, name: str, words: str) -> Trouble:
        peers = self._place.settings.peers
        if peers[name].release != "committed" or committer(peers, name):
            return Trouble(words, "")
        kept = "stored; it gives no commitment, so that the file stays here until it is released by hand"
        return Trouble("; ".join(filter(None, (words, kept))), f'Give peers.{name} release = "stored" to let files go.')

    def _send_otherwise(self, name: str, peer: Peer, unsuited: Sequence[Unsuited]) -> None:
        """The peer takes the SOP class, but not this syntax: transcode and send that, as many at once as there is room."""
        waiting = list(unsuited)
        while waiting and not self._stopping():
            items: Parcel = {}
            room = UNPACKED_AT_ONCE
            try:
                while waiting and (room > 0 or not items):
                    debt, refused = waiting.pop(0)
                    made = self._transcoded(name, peer, debt, refused)
                    if made:
                        items[debt.picture.sop_instance_uid] = (debt, *made)
                        room -= made[0].path.stat().st_size
                if items:
                    self._send(name, peer, items)
            finally:
                for _, item, _ in items.values():
                    item.path.unlink(missing_ok=True)

    def _transcoded(self, name: str, peer: Peer, debt: Debt, refused: NeedsTranscoding) -> tuple[pacs.Item, str] | None:
        """The object in a syntax that the peer takes, and the words for that; None where it cannot be (written down)."""
        picture = debt.picture
        syntax = next((one for one in _others(picture.syntax_uid, peer) if one.uid in refused.accepted), None)
        work = self._place.shelf.temporary(".dcm")
        error: ApplianceError = refused
        try:
            if syntax:
                encapsulate.transcode(self._place.shelf.path(picture.file), work, syntax)
                item = pacs.Item(work, picture.sop_class_uid, picture.sop_instance_uid, syntax.uid)
                return item, f"sent as {syntax.name}: the peer does not take its own syntax"
        except ApplianceError as known:
            error = known
        except Exception as fault:
            log.exception("object %s: a fault in dicap", picture.id)
            error = _our_fault(fault)
        work.unlink(missing_ok=True)
        self._note(name, debt, error, "")
        return None

    def _item(self, debt: Debt, peer: Peer) -> pacs.Item:
        picture = debt.picture
        path: Path = self._place.shelf.path(picture.file)
        others = tuple(one.uid for one in _others(picture.syntax_uid, peer))
        return pacs.Item(path, picture.sop_class_uid, picture.sop_instance_uid, picture.syntax_uid, others)

    # its promise

    def _ask(self, batch: Sequence[Debt], peer: Peer) -> ApplianceError | None:
        """Ask for the commitment of these; returns why it could not be asked."""
        uid = self._place.uids.new()
        references = [Reference(debt.picture.sop_class_uid, debt.picture.sop_instance_uid) for debt in batch]
        self._debts.asked(batch, uid, self._unheard(peer) if batch[0].transaction_uid else None)
        try:
            caller, wait = self._caller(peer), self._place.settings.courier.same_association
            answer = pacs.ask_commitment(caller, peer.parsed(), uid, references, wait, self.heard)
        except PeerError as error:
            return error
        if answer:
            self.heard(answer)
        return None

    def _unheard(self, peer: Peer) -> Trouble:
        """What to say of objects that are asked for again because no report came."""
        courier = self._place.settings.courier
        us = f"{self._caller(peer).ae_title} at {courier.listen}"
        words = f"stored, but {peer.address} has not reported on its commitment within {courier.commit_patience:g} seconds"
        return Trouble(words, f"Ask its administrator whether it knows us as {us}: there it must be able to call us.")

    def _not_committed(self, debt: Debt, reason: int, words: str) -> None:
        if reason in PASSING:
            self._debts.postpone([debt], Trouble(words, "It is asked again.", self._later(debt.attempts)))
        elif reason != NO_SUCH_INSTANCE:
            self._debts.move(debt, State.REFUSED, Trouble(f"not committed: {words}", "Ask the archive's administrator."))
        elif debt.returned >= MOST_RETURNS:
            what = f"it was stored {debt.returned + 1} times, and each time the archive said that it does not have it"
            self._debts.move(debt, State.REFUSED, Trouble(what, "A person must look at the archive; then retry it by hand."))
        else:
            with self._dropping:
                here = self._place.ledger.take_back(debt.picture.id)
            due = self._later(debt.returned) if debt.returned else 0.0
            what = "the archive says that it does not have it"
            if here:
                self._debts.move(debt, State.WAITING, Trouble(f"{what}: stored again", "", due))
            else:
                self._debts.move(debt, State.REFUSED, Trouble(f"{what}, and the file has been let go", "Look for it there."))

    # what all of them need

    def _may_go(self, destination: str, state: State) -> bool:
        peer = self._place.settings.peers.get(destination)
        release = peer.release if peer else "committed"
        if release == "never":
            return False
        return state == State.COMMITTED or (release == "stored" and state == State.SENT)

    def _caller(self, peer: Peer) -> Caller:
        courier = self._place.settings.courier
        return Caller(peer.calling or self._place.settings.station.ae_title, courier.timeout, courier.connect_timeout)

    def _trouble(self, error: ApplianceError, attempts: int) -> Trouble:
        """What is said of a thing that is tried again; after many attempts, that a person should look."""
        words, advice = str(error), error.advice
        if attempts + 1 >= PATIENCE and not _is_away(error):
            words += f" (tried {attempts + 1} times)"
            advice = f"A person should look; it goes on being tried, slowly. {advice}"
        return Trouble(words, advice, self._later(attempts))

    def _later(self, attempts: int) -> float:
        courier = self._place.settings.courier
        pause = min(courier.longest_pause, courier.first_pause * 2.0 ** min(attempts, 20))
        return time.time() + pause * random.uniform(0.75, 1.25)

    def _sign(self, name: str, error: ApplianceError | None = None) -> None:
        """Leave word whether the peer answers, when that has changed; a trouble of ours says nothing about it."""
        if error is not None and not isinstance(error, PeerError):
            return
        answers = error is None or isinstance(error, Refused | NeedsTranscoding)
        facts = {"answers": answers, "words": "" if error is None else str(error)}
        last = self._place.ledger.signs(f"peer:{name}").get(f"peer:{name}")
        if last is None or last[1] != facts:
            self._place.ledger.sign(f"peer:{name}", facts)


def _is_away(error: ApplianceError | None) -> bool:
    """Whether nobody could be spoken to at all: then everything else would only wait for the same."""
    return isinstance(error, Unreachable | Rejected)


def _our_fault(fault: Exception) -> ApplianceError:
    """Something that dicap did not foresee, for one thing: put off with growing pauses, so that nothing waits behind it."""
    error = ApplianceError(f"it could not be delivered: {fault!r}", "This is a fault in dicap: please report it.")
    error.retry = True
    return error


def _others(syntax_uid: str, peer: Peer) -> Iterator[Syntax]:
    """What an object could become for this peer without (further) loss: the peer's own wishes, then uncompressed."""
    own = next((one for one in SYNTAXES.values() if syntax_uid in (one.uid, one.fragmentable_uid)), None)
    if own is None or own.kind == "video":
        return
    for word in dict.fromkeys((*peer.syntaxes, *UNCOMPRESSED)):
        other = SYNTAXES.get(word)
        if other and other is not own and not other.lossy and other.kind != "video":
            yield other
